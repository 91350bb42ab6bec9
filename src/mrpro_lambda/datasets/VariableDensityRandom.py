"""Random sampling with a density that decays with the frequency."""

from dataclasses import dataclass
from typing import Annotated

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling, central_box
from mrpro_lambda.datasets.draw import as_range, draw_points, draw_uniform
from mrpro_lambda.models.fields import Range, check_fields


@dataclass(frozen=True)
class VariableDensityRandom(CartesianSampling):
    r"""Fully sampled center and random points, as in 3D acquisitions with two phase encoding axes.

    Exactly ``round(n / acceleration)`` of the `n` points of the grid are sampled. Points outside the center are drawn
    without replacement with probabilities proportional to :math:`(1 - r)^p`, where `r` is the distance from the k-space
    center relative to that of the corners [LUS2007]_.

    References
    ----------
    .. [LUS2007] Lustig M, Donoho D, Pauly JM (2007) Sparse MRI: The application of compressed sensing for rapid MR
       imaging. Magnetic Resonance in Medicine 58(6) https://doi.org/10.1002/mrm.21391
    """

    acceleration: float | tuple[float, float] = 4.0
    """Number of points of the grid per sampled point, at least 1; drawn uniformly from a range `(low, high)`."""

    center_fraction: Annotated[float, Range(0, 1)] = 0.12
    """Size of the fully sampled center along each axis relative to the grid, in [0, 1]. The center has at least the
    point of frequency zero."""

    decay: Annotated[float, Range(0, 100)] = 2.0
    """Power `p` of the decay of the density; 0 is a uniform density."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        as_range('acceleration', self.acceleration, 1)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a mask of shape `(k1, k0)`, see `CartesianSampling.mask`.

        Raises
        ------
        ValueError
            If the center alone has more points than the acceleration permits.
        """
        center = central_box(shape, (self.center_fraction, self.center_fraction))
        acceleration = draw_uniform(as_range('acceleration', self.acceleration, 1), generator)
        n_points, n_center = round(center.numel() / acceleration), int(center.sum())
        if n_center > n_points:
            raise ValueError(
                f'The fully sampled center must not have more points than the acceleration permits: center_fraction='
                f'{self.center_fraction} has {n_center} points, acceleration={acceleration:g} permits {n_points} in a '
                f'k-space of shape {tuple(shape)}.'
            )
        k1, k0 = ((torch.arange(n, dtype=torch.float64) - n // 2) / max(1, n // 2) for n in shape)
        distance = torch.hypot(k1[:, None], k0) / 2**0.5
        density = (1 - distance).clamp_min(1e-3) ** self.decay
        return draw_points(density.masked_fill(center, torch.inf), n_points, generator)
