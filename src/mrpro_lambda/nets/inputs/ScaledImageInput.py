"""The initial image, scaled to the intensity that a network was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.nets.inputs.ImageInput import ImageInput
from mrpro_lambda.nets.inputs.InputContext import InputContext, Unit
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput


@dataclass(frozen=True)
class ScaledImageInput(ImageInput):
    """The initial image, scaled to a given intensity, see `~mrpro_lambda.nets.intensity`.

    For weights of others, which were trained with images in some unit: with the intensity of these images, the network
    sees images of any scanner as it saw them.
    """

    intensity: float = 1.0
    """Intensity of the images that the network sees."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        check_number('intensity', self.intensity, positive=True)
        if self.uses_noise_level:
            raise ValueError(f'A scaled image is not relative to the noise, got features={self.features!r}.')

    @classmethod
    def examples(cls) -> tuple[NetworkInput, ...]:
        """Return two of another intensity."""
        return cls('real_imaginary', 3.0), cls('magnitude', 0.5)

    def signals(self, context: InputContext, unit: Unit) -> torch.Tensor:
        """Return the image in the units of the network."""
        return self.intensity * context.image(unit)
