"""Rays from a source."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.ScanGeometry import ScanGeometry


class FanBeam(ScanGeometry):
    r"""Rays from a source at :math:`-d_s n` to the bins of a flat detector at :math:`d_d n`, see `ScanGeometry`.

    The source goes around the object: a whole turn of angles is all.
    """

    def __init__(
        self, angles: torch.Tensor, n_bins: int, bin_width: float, source_distance: float, detector_distance: float
    ) -> None:
        """Initialize the geometry.

        Parameters
        ----------
        angles, n_bins, bin_width
            As in `ScanGeometry`.
        source_distance
            Distance of the source from the center of rotation.
        detector_distance
            Distance of the detector from the center of rotation; 0 for one through the center.

        Raises
        ------
        ValueError
            If a distance is not valid.
        """
        super().__init__(angles, n_bins, bin_width)
        check_number('source_distance', source_distance, positive=True)
        check_number('detector_distance', detector_distance)
        self.source_distance = float(source_distance)
        self.detector_distance = float(detector_distance)

    def rays(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a point of each ray at an angle, the source, and its direction."""
        detector, direction = (axis[index] for axis in self.axes)
        source = (-self.source_distance * direction).expand(self.n_bins, 2)
        ray = (self.source_distance + self.detector_distance) * direction + self.bins[:, None] * detector
        return source, ray / ray.norm(dim=-1, keepdim=True)
