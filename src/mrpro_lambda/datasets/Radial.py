"""Radial sampling."""

from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Annotated

import torch
from mrpro.data import DcfData, KTrajectory
from mrpro.data.traj_calculators import KTrajectoryRadial2D

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
from mrpro_lambda.datasets.CartesianSampling import check_shape
from mrpro_lambda.models.fields import Range, check_fields


@dataclass(frozen=True)
class Radial(AcquisitionFamily):
    """Golden-angle 2D radial acquisition with two-fold readout oversampling.

    Same convention as `mrpro.data.traj_calculators.KTrajectoryRadial2D`: for an image with `n` pixels along its longer
    axis, a spoke has ``2 * n`` samples at integer distances from `-n` to ``n - 1``, in units of the inverse of the
    oversampled field of view of `2 * n` pixels. The encoding matrix is `2 * n` by `2 * n`.
    """

    n_spokes: Annotated[int, Range(2)]
    """Number of spokes, at least 2."""

    random_start: bool = False
    """If the angle of the first spoke is random. Otherwise it is 0 and all acquisitions have the same trajectory."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)

    def trajectory(self, shape: tuple[int, int], generator: torch.Generator) -> KTrajectory:
        """Draw a trajectory.

        Parameters
        ----------
        shape
            Size of the image `(y, x)`.
        generator
            Random number generator. The global one is not used.

        Returns
        -------
            Trajectory with `ky` and `kx` of shape `(1, coils=1, k2=1, k1=n_spokes, k0=2 * n)`.
        """
        check_shape(shape)
        calculator = KTrajectoryRadial2D()
        start = float(torch.rand((), generator=generator)) * 2 * pi / calculator.angle if self.random_start else 0.0
        spoke = start + torch.arange(self.n_spokes, dtype=torch.float64)[:, None]
        trajectory = calculator(n_k0=2 * max(shape), k0_center=max(shape), k1_idx=spoke)
        return KTrajectory(trajectory.kz.float(), trajectory.ky.float(), trajectory.kx.float())

    def density_compensation(self, shape: tuple[int, int]) -> torch.Tensor:
        """Return the density compensation that reconstructions use, `mrpro.data.DcfData.from_traj_voronoi`.

        It is the same for all angles of the first spoke, by less than 1e-5.

        Parameters
        ----------
        shape
            Size of the image `(y, x)`.

        Returns
        -------
            Weights, float32, shape `(coils=1, k2=1, k1=n_spokes, k0=2 * n)`.
        """
        check_shape(shape)
        return _density_compensation(self.n_spokes, max(shape))


@lru_cache
def _density_compensation(n_spokes: int, n: int) -> torch.Tensor:
    """Calculate it once: it took 0.5 s for 48 spokes of 320 samples."""
    trajectory = Radial(n_spokes).trajectory((n, n), torch.Generator())
    return DcfData.from_traj_voronoi(trajectory).data[0].float()
