"""Sampling of the points of a grid along spokes."""

from dataclasses import dataclass
from math import pi

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling, check_shape
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.models.fields import check_fields


@dataclass(frozen=True)
class GriddedSpokes(CartesianSampling):
    """Points of the grid next to lines through the k-space center, the "radial" masks of single-coil studies.

    The lines reach the corners and are spaced evenly after a random rotation. There are as many as are needed for at
    least ``round(n / acceleration)`` of the `n` points. For spokes whose samples are not on a grid, see `Radial`.
    """

    acceleration: float | tuple[float, float] = 4.0
    """Number of points of the grid per sampled point, at least 1; drawn uniformly from a range `(low, high)`."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        as_range('acceleration', self.acceleration, 1)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a mask of shape `(k1, k0)`, see `CartesianSampling.mask`."""
        check_shape(shape)
        acceleration = draw_uniform(as_range('acceleration', self.acceleration, 1), generator)
        rotation = draw_uniform((0.0, pi), generator)
        n_points = round(shape[0] * shape[1] / acceleration)
        few, many = 0, 1
        while _spokes(shape, many, rotation).sum() < n_points:
            few, many = many, 2 * many
        while many - few > 1:
            middle = (few + many) // 2
            if _spokes(shape, middle, rotation).sum() < n_points:
                few = middle
            else:
                many = middle
        return _spokes(shape, many, rotation)


def _spokes(shape: tuple[int, int], n_spokes: int, rotation: float) -> torch.Tensor:
    """Return the mask of a number of spokes."""
    n_y, n_x = shape
    radius = torch.linspace(-1, 1, 4 * max(shape) + 1, dtype=torch.float64) * (n_y**2 + n_x**2) ** 0.5 / 2
    angle = rotation + pi * torch.arange(n_spokes, dtype=torch.float64)[:, None] / n_spokes
    y, x = ((radius * f).round().long() + n // 2 for f, n in ((angle.sin(), n_y), (angle.cos(), n_x)))
    inside = (y >= 0) & (y < n_y) & (x >= 0) & (x < n_x)
    mask = torch.zeros(shape)
    mask[y[inside], x[inside]] = 1
    return mask
