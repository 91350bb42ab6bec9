"""Sampling of the center of k-space."""

from dataclasses import dataclass

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling, central_box
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.models.fields import check_fields


@dataclass(frozen=True)
class CentralBox(CartesianSampling):
    """Fully sampled rectangle around the k-space center: an acquisition of low resolution.

    A box with an even number of points reaches one point further to the negative frequencies, as even grids do.
    """

    fraction: float | tuple[float, float] = 0.5
    """Size of the box relative to the grid, in (0, 1]. A number is used along both axes. From a range `(low, high)`,
    the fractions along `k1` and `k0` are drawn uniformly and independently: the resolution becomes anisotropic."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        as_range('fraction', self.fraction, 0, 1, exclusive=True)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a mask of shape `(k1, k0)`, see `CartesianSampling.mask`."""
        limits = as_range('fraction', self.fraction, 0, 1, exclusive=True)
        fraction = (draw_uniform(limits, generator), draw_uniform(limits, generator))
        return central_box(shape, fraction).float()
