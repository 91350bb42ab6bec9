"""Base class of what a network sees."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from mrpro_lambda.nets.inputs.InputContext import InputContext


class NetworkInput(ABC):
    """Some of the channels that the backbone of a `~mrpro_lambda.nets.LambdaNet` sees.

    Subclasses are frozen dataclasses. They say what their channels are called, what they need, and how the channels are
    made of an `InputContext`, which knows no units: scale equivariance is no task of an input.
    """

    @classmethod
    def examples(cls) -> tuple[NetworkInput, ...]:
        """Return some of this class, which the tests of all inputs take."""
        return (cls(),)

    @property
    @abstractmethod
    def name(self) -> str:
        """What the input shows."""

    @property
    @abstractmethod
    def channel_names(self) -> tuple[str, ...]:
        """What each channel shows, in their order."""

    @property
    def uses_noise_level(self) -> bool:
        """Whether the channels depend on the noise level."""
        return False

    @property
    def high_pass(self) -> bool | None:
        """Whether the responses it sees are those of the image without its smooth part; `None` if it sees none."""
        return None

    @property
    def each(self) -> bool:
        """Whether the channels differ between the filters of a dictionary, which the backbone then treats in turn."""
        return False

    def check_coarsening(self, coarsening: int) -> None:  # noqa: B027
        """Raise an error if the channels can not be given on a grid that is coarser by a factor."""

    @abstractmethod
    def channels(self, context: InputContext) -> torch.Tensor:
        """Return the channels.

        Parameters
        ----------
        context
            Image, responses and noise level.

        Returns
        -------
            Channels, real, shape `(n, batch, n_channels, *size)` on the grid of the network, where `n` is the number of
            filters of the context for an input with `each`, otherwise 1.
        """
