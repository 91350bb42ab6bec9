"""Random lines of k-space, others in each frame of a series."""

from dataclasses import dataclass
from typing import Annotated

import torch

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
from mrpro_lambda.datasets.CartesianSampling import check_shape
from mrpro_lambda.datasets.draw import as_range, draw_points, draw_uniform
from mrpro_lambda.models.fields import Range, check_fields


@dataclass(frozen=True)
class KtLines(AcquisitionFamily):
    r"""Complete readouts along `k0` of a series of frames, at random phase encodings along `k1` in each frame.

    Exactly ``round(n_k1 / acceleration)`` lines of each frame are sampled: those at the center, and others without
    replacement with a density :math:`\exp(-\frac{1}{2} (10 k / n)^2) + 1 / (2 R)` for a distance :math:`k` from the
    center, as in [JUN2007]_.

    References
    ----------
    .. [JUN2007] Jung H, Ye JC, Kim EY (2007) Improved k-t BLAST and k-t SENSE using FOCUSS. Phys Med Biol 52(11)
       https://doi.org/10.1088/0031-9155/52/11/018
    """

    acceleration: float | tuple[float, float] = 6.0
    """Number of lines of the grid per sampled line, at least 1. Drawn uniformly from a range `(low, high)`."""
    n_center_lines: Annotated[int, Range(0)] = 8
    """Number of lines `c` that are sampled in each frame, at the indices ``n_k1 // 2 - c // 2`` and following."""
    n_frames: Annotated[int, Range(2, 10_000)] = 16
    """Number of frames."""
    frames_per_cycle: float | tuple[float, float] | None = None
    """Number of frames in a cardiac cycle, of which a range is drawn from uniformly. `None`: the frames are those of
    one cycle, which begins anywhere; otherwise they are a part of a series in real time."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        as_range('acceleration', self.acceleration, 1)
        if self.frames_per_cycle is not None:
            as_range('frames_per_cycle', self.frames_per_cycle, 2)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a mask.

        Parameters
        ----------
        shape
            Size of the full k-space grid `(k1, k0)`.
        generator
            Random number generator. The global one is not used.

        Returns
        -------
            Mask with 1 at sampled points and 0 elsewhere, float32, shape `(n_frames, k1, k0)`.

        Raises
        ------
        ValueError
            If there are more lines at the center than the acceleration permits, or no line at all.
        """
        check_shape(shape)
        acceleration = draw_uniform(as_range('acceleration', self.acceleration, 1), generator)
        n = shape[0]
        n_lines = round(n / acceleration)
        if not max(1, self.n_center_lines) <= n_lines:
            raise ValueError(
                'At least one line and all lines at the center must be among the lines that the acceleration permits: '
                f'n_center_lines={self.n_center_lines}, acceleration={acceleration:g} permits {n_lines} lines in a '
                f'k-space of shape {tuple(shape)}.'
            )
        distance = torch.arange(n, dtype=torch.float64) - n // 2
        density = torch.exp(-0.5 * (10 * distance / n).square()) + 1 / (2 * acceleration)
        start = n // 2 - self.n_center_lines // 2
        density[start : start + self.n_center_lines] = torch.inf
        lines = [draw_points(density, n_lines, generator) for _ in range(self.n_frames)]
        return torch.stack(lines)[..., None].expand(-1, *shape).contiguous()
