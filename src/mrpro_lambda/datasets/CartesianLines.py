"""Random sampling of readout lines."""

from dataclasses import dataclass
from typing import Annotated

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling, check_shape
from mrpro_lambda.datasets.draw import as_range, draw_points, draw_uniform
from mrpro_lambda.models.fields import Range, check_fields


@dataclass(frozen=True)
class CartesianLines(CartesianSampling):
    """Complete readouts along `k0` at random phase encodings along `k1`.

    Exactly ``round(n_k1 / acceleration)`` of the `n_k1` lines are sampled: the calibration lines at the center, and
    others drawn uniformly without replacement.
    """

    acceleration: float | tuple[float, float] = 4.0
    """Number of lines of the grid per sampled line, calibration lines included, at least 1. Drawn uniformly from a
    range `(low, high)`."""

    n_center_lines: Annotated[int, Range(0)] = 16
    """Number of calibration lines `c`, at the indices ``n_k1 // 2 - c // 2`` and following."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        as_range('acceleration', self.acceleration, 1)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a mask of shape `(k1, k0)`, see `CartesianSampling.mask`.

        Raises
        ------
        ValueError
            If there are more calibration lines than the acceleration permits, or no line at all.
        """
        check_shape(shape)
        acceleration = draw_uniform(as_range('acceleration', self.acceleration, 1), generator)
        n_lines = round(shape[0] / acceleration)
        if not max(1, self.n_center_lines) <= n_lines:
            raise ValueError(
                f'At least one line and all calibration lines must be among the lines that the acceleration permits: '
                f'n_center_lines={self.n_center_lines}, acceleration={acceleration:g} permits {n_lines} lines in a '
                f'k-space of shape {tuple(shape)}.'
            )
        density = torch.ones(shape[0])
        start = shape[0] // 2 - self.n_center_lines // 2
        density[start : start + self.n_center_lines] = torch.inf
        return draw_points(density, n_lines, generator)[:, None].expand(shape).contiguous()
