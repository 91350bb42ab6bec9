"""A weight in units of the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mrpro_lambda.weighting.GivenWeight import as_numbers
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class NoiseWeight(Weight):
    r"""A multiple :math:`\Lambda = c \sigma` of the standard deviation of the noise, or one for each map.

    The best number for an image is close to proportional to :math:`\sigma`, so one :math:`c` serves many scans.
    """

    factor: torch.Tensor
    """Number, or vector with one number for each map."""

    def __init__(self, factor: float | Sequence[float] | torch.Tensor) -> None:
        """Initialize the weight.

        Parameters
        ----------
        factor
            A number :math:`c`, or one number for each map of the regularizer.

        Raises
        ------
        ValueError
            If it holds more than one number for each map, or is not valid.
        """
        super().__init__()
        numbers = as_numbers('The factor of the noise level', factor)
        if numbers.ndim > 1:
            raise ValueError(
                'The factor of the noise level must be a number, or one number for each map, got shape '
                f'{tuple(numbers.shape)}.'
            )
        self.register_buffer('factor', numbers)

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return a number and one for each map."""
        return {'noise': cls(1.3), 'noise, each map': cls([1.3 / (1 + i) for i in range(n_maps)])}

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed, which it is."""
        return True

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the numbers, for each image of the batch."""
        regularizer, noise_level = scan.solver.regularizer, scan.noise_level
        factor = regularizer.lambda_map(self.factor, scan.initial_image)
        return WeightChoice(regularizer.lambda_map(factor * noise_level, scan.initial_image))
