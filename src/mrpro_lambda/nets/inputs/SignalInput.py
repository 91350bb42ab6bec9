"""Base class of inputs that show complex signals."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from mrpro_lambda.nets.inputs.InputContext import InputContext, Unit
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput

Features = Literal['real_imaginary', 'magnitude', 'signal_to_noise']
"""What of a complex signal a network sees."""

_PARTS: dict[Features, tuple[str, ...]] = {
    'real_imaginary': ('real part', 'imaginary part'),
    'magnitude': ('magnitude',),
    'signal_to_noise': ('signal to noise',),
}


@dataclass(frozen=True)
class SignalInput(NetworkInput):
    r"""Real channels of one or several complex signals.

    With a magnitude the map can not follow the phase.
    """

    features: Features = 'real_imaginary'
    r"""Real and imaginary part, or the magnitude, relative to the intensity :math:`s`; or the logarithm of one plus the
    magnitude relative to the standard deviation :math:`\sigma` of the noise."""

    def __post_init__(self) -> None:
        """Check the features."""
        if self.features not in get_args(Features):
            raise ValueError(f'features must be one of {get_args(Features)}, got features={self.features!r}.')

    @classmethod
    def examples(cls) -> tuple[NetworkInput, ...]:
        """Return one with each feature."""
        return tuple(cls(features) for features in get_args(Features))

    @abstractmethod
    def signals(self, context: InputContext, unit: Unit) -> torch.Tensor:
        """Return the signals relative to a unit, shape `(n, *image)`."""

    @property
    @abstractmethod
    def signal_names(self) -> tuple[str, ...]:
        """What each signal is."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the names of the signals with their parts."""
        return tuple(f'{signal}, {part}' for signal in self.signal_names for part in _PARTS[self.features])

    @property
    def has_sign(self) -> bool:
        """Whether the channels have a sign, so that their averages may vanish."""
        return self.features == 'real_imaginary'

    @property
    def uses_noise_level(self) -> bool:
        """Whether the channels are relative to the noise."""
        return self.features == 'signal_to_noise'

    def check_coarsening(self, coarsening: int) -> None:
        """Raise an error if channels with a sign were averaged."""
        if coarsening > 1 and self.has_sign:
            raise ValueError(
                f'coarsening must be 1, or above for features without sign, got coarsening={coarsening} for '
                f'{self.name} with features={self.features!r}.'
            )

    def channels(self, context: InputContext) -> torch.Tensor:
        """Return the channels, on a coarse grid the root mean squares in its cells."""
        signals = self.signals(context, 'noise' if self.features == 'signal_to_noise' else 'intensity')
        if self.features == 'real_imaginary':
            imaginary = signals.imag if signals.is_complex() else torch.zeros_like(signals)
            channels = context.arrange(torch.stack((signals.real, imaginary), 1).flatten(0, 1))
        else:
            channels = context.arrange(signals.abs())
            if context.coarsening > 1:
                channels = context.coarsen(channels.square()).sqrt()
            if self.features == 'signal_to_noise':
                channels = channels.log1p()
        if self.each:
            return channels.unflatten(0, (len(signals), -1)).movedim(1, 2)
        return channels.movedim(0, 1)[None]
