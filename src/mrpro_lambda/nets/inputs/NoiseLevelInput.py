"""The noise level as input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mrpro_lambda.nets.inputs.InputContext import InputContext
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput


@dataclass(frozen=True)
class NoiseLevelInput(NetworkInput):
    r"""The noise level :math:`\sigma / s`: superfluous besides signals relative to the noise."""

    @property
    def name(self) -> str:
        """Return what the input shows."""
        return 'noise level'

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the name of the one channel."""
        return (self.name,)

    @property
    def uses_noise_level(self) -> bool:
        """Whether the channel depends on the noise level, which it is."""
        return True

    def channels(self, context: InputContext) -> torch.Tensor:
        """Return the noise level at each sample."""
        return context.coarsen(context.arrange(context.noise_level)).movedim(0, 1)[None]
