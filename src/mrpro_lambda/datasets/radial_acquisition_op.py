"""Operator of a radial acquisition."""

import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, LinearOperator, SensitivityOp


def radial_acquisition_op(traj: torch.Tensor, csm: torch.Tensor) -> LinearOperator:
    """Operator of a radial acquisition.

    The encoding matrix is square with as many points as a spoke has samples, see `~mrpro_lambda.datasets.Radial`.

    Parameters
    ----------
    traj
        Trajectory `(kz, ky, kx)`, shape `(*batch, 3, 1, 1, spokes, samples)`.
    csm
        Coil sensitivities, shape `(*batch, coils, 1, y, x)`.
    """
    n_samples, (n_y, n_x) = traj.shape[-1], csm.shape[-2:]
    kz, ky, kx = (k.reshape(-1, *k.shape[-4:]) for k in traj.unbind(-5))
    fourier_op = FourierOp(
        recon_matrix=SpatialDimension(1, n_y, n_x),
        encoding_matrix=SpatialDimension(1, n_samples, n_samples),
        traj=KTrajectory(kz, ky, kx),
    )
    return fourier_op @ SensitivityOp(csm)
