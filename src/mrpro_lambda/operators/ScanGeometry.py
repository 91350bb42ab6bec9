"""Base class of the geometries of computed tomography."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from mrpro_lambda.checks import check_number, check_tensor


class ScanGeometry(ABC):
    r"""Where the rays of a scan run, in a plane with coordinates (y, x) whose origin is the center of the image.

    At an angle :math:`\varphi` the detector is along :math:`e = (\cos \varphi, \sin \varphi)` and the central ray along
    :math:`n = (-\sin \varphi, \cos \varphi)`, where y grows with the number of the row and x with that of the column.
    A ray is that of a bin of the detector, whose center is at :math:`s` along :math:`e`. Lengths have any unit, the
    same for all.
    """

    def __init__(self, angles: torch.Tensor, n_bins: int, bin_width: float) -> None:
        r"""Initialize the geometry.

        Parameters
        ----------
        angles
            Angles :math:`\varphi` in rad, shape `(n_angles,)`.
        n_bins
            Number of bins of the detector, which is centered.
        bin_width
            Width of a bin.

        Raises
        ------
        ValueError
            If the angles are not a vector of finite real numbers, or a number is not positive.
        """
        check_tensor('angles', angles)
        if angles.ndim != 1 or angles.is_complex():
            raise ValueError(
                f'angles must be real, of shape (n_angles,), got {angles.dtype}, shape {tuple(angles.shape)}.'
            )
        check_number('n_bins', n_bins, 1, integer=True)
        check_number('bin_width', bin_width, positive=True)
        self.angles = angles.detach().to('cpu', torch.float64)
        self.n_bins = n_bins
        self.bin_width = float(bin_width)

    @property
    def data_shape(self) -> tuple[int, int]:
        """Number of angles and bins."""
        return len(self.angles), self.n_bins

    @property
    def bins(self) -> torch.Tensor:
        """Centers of the bins along the detector (float64), shape `(n_bins,)`."""
        return (torch.arange(self.n_bins, dtype=torch.float64) - (self.n_bins - 1) / 2) * self.bin_width

    @property
    def axes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Directions of detector and central ray (float64), each of shape `(n_angles, 2)`."""
        cos, sin = self.angles.cos(), self.angles.sin()
        return torch.stack((cos, sin), -1), torch.stack((-sin, cos), -1)

    @abstractmethod
    def rays(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a point of each ray at an angle and its direction of length 1 (float64), shape `(n_bins, 2)`."""
