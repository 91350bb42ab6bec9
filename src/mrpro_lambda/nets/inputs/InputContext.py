"""What the inputs of a network are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Unit = Literal['intensity', 'noise']
"""What a signal is given relative to: the intensity of the image, or the standard deviation of the noise."""


@dataclass(frozen=True)
class InputContext:
    r"""Image, responses and noise level of one call of a `~mrpro_lambda.nets.LambdaNet`, which makes it.

    An input takes its signals from `image`, `response` and `noise_level`, which have no unit: whatever it makes of
    them, the map scales with the image.
    """

    initial_image: torch.Tensor
    """Initial image, shape `(*other, coils, z, y, x)`."""
    intensity: torch.Tensor
    """Intensity :math:`s`, broadcastable to the image."""
    noise_std: torch.Tensor | None
    r"""Standard deviation :math:`\sigma` of the noise, broadcastable to the image, for networks that use it."""
    responses: torch.Tensor | None
    """Responses of some or all filters, shape `(n_filters, *image)`, for networks that use them."""
    dim: tuple[int, ...]
    """Negative axes of the image that the network convolves."""
    coarsening: int
    """Factor between the grids of the image and the network."""

    def image(self, unit: Unit) -> torch.Tensor:
        """Return the image without its unit, shape `(1, *image)`."""
        return (self.initial_image / self._value_of(unit))[None]

    def response(self, unit: Unit) -> torch.Tensor:
        """Return the responses without their unit, shape `(n_filters, *image)`."""
        if self.responses is None:
            raise ValueError('An input for the responses of filters needs them: give responses.')
        return self.responses / self._value_of(unit)

    @property
    def noise_level(self) -> torch.Tensor:
        r"""Noise level :math:`\sigma / s`, shape `(1, *image)`."""
        return (self._value_of('noise') / self.intensity).expand(self.initial_image.shape)[None]

    def arrange(self, signals: torch.Tensor) -> torch.Tensor:
        """Move the convolved axes to the end and join all others but the first: shape `(n, batch, *size)`."""
        last = tuple(range(-len(self.dim), 0))
        return signals.movedim(self.dim, last).flatten(1, -len(self.dim) - 1)

    def coarsen(self, channels: torch.Tensor) -> torch.Tensor:
        """Average over cells; where the size is no multiple of theirs, the last sample is repeated."""
        if self.coarsening == 1:
            return channels
        for d in range(-len(self.dim), 0):
            n, c = channels.shape[d], self.coarsening
            channels = channels.index_select(d, torch.arange(n + -n % c, device=channels.device).clamp_max(n - 1))
            channels = channels.unflatten(d, (-1, c)).mean(d)
        return channels

    def _value_of(self, unit: Unit) -> torch.Tensor:
        """Return the value of a unit."""
        if unit == 'intensity':
            return self.intensity
        if self.noise_std is None:
            raise ValueError('An input relative to the noise needs the noise level: give noise_std.')
        return self.noise_std
