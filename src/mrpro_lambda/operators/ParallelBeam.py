"""Parallel rays."""

from __future__ import annotations

import math
from typing import Self

import torch

from mrpro_lambda.operators.ScanGeometry import ScanGeometry


class ParallelBeam(ScanGeometry):
    r"""Parallel rays :math:`\{z : \langle z, e \rangle = s\}`, see `ScanGeometry`. Angles of half a turn are all."""

    @classmethod
    def half_turn(cls, n_angles: int, n_bins: int, bin_width: float) -> Self:
        r"""Return evenly spaced angles :math:`(k + 1/2) \pi / n`.

        Parameters
        ----------
        n_angles
            Number of angles.
        n_bins, bin_width
            As for the class.
        """
        angles = (torch.arange(n_angles, dtype=torch.float64) + 0.5) * (math.pi / n_angles)
        return cls(angles, n_bins, bin_width)

    def rays(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a point of each ray at an angle and its direction."""
        detector, direction = (axis[index] for axis in self.axes)
        return self.bins[:, None] * detector, direction.expand(self.n_bins, 2)
