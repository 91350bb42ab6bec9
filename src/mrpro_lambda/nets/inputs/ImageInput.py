"""The initial image as input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mrpro_lambda.nets.inputs.InputContext import InputContext, Unit
from mrpro_lambda.nets.inputs.SignalInput import SignalInput


@dataclass(frozen=True)
class ImageInput(SignalInput):
    """The initial image."""

    @property
    def name(self) -> str:
        """Return what the input shows."""
        return 'image'

    @property
    def signal_names(self) -> tuple[str, ...]:
        """Return the name of the image."""
        return (self.name,)

    def signals(self, context: InputContext, unit: Unit) -> torch.Tensor:
        """Return the image."""
        return context.image(unit)
