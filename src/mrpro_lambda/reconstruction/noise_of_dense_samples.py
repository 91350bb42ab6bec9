"""Noise of samples that are denser than the field of view requires, as those of spokes at the center of k-space."""

from __future__ import annotations

import torch
from mrpro.data import KData

_N_SAMPLES = 768
"""Largest number of samples that are looked at together."""

_N_IMAGES = 4
"""Largest number of images."""

_MARGIN = 1.05
"""Size of the largest object relative to the field of view."""

_NULL = 1e-11
"""Largest eigenvalue, relative to the largest one, of a direction without signal."""


def dense_variance(kdata: KData) -> tuple[float, float] | None:
    r"""Estimate the variance of complex white noise from the samples next to the center of k-space.

    The samples at :math:`k_i` of an object within a field of view of lengths :math:`L_d` are in the range of the matrix
    :math:`G_{ij} = \prod_d \mathrm{sinc}(L_d (k_i - k_j)_d)`. Where they are denser than those of a Cartesian grid,
    many of its eigenvalues are zero. In these directions there is noise only, whatever the object and the coils are.

    Parameters
    ----------
    kdata
        k-space data.

    Returns
    -------
        Variances, the mean over coils, of the half of the samples next to the center and of the other half. The first
        one is larger where signal is in it, for example because the trajectory is not the true one. `None` if the
        samples are not dense.
    """
    matrix = zip(kdata.header.recon_matrix.zyx, kdata.header.encoding_matrix.zyx, strict=True)
    traj = torch.stack(
        [
            k.double().expand(*kdata.data.shape[:-4], 1, *kdata.data.shape[-3:]) * (_MARGIN * n / size)
            for k, (n, size) in zip((kdata.traj.kz, kdata.traj.ky, kdata.traj.kx), matrix, strict=True)
        ]
    )
    images = zip(kdata.data.flatten(0, -5).flatten(2), traj.flatten(1, -5).flatten(2).unbind(1), strict=True)
    estimates = []
    for coils, k in [*images][:_N_IMAGES]:
        nearest = k.square().sum(0).argsort()[:_N_SAMPLES]
        k = k[:, nearest]
        eigenvalues, directions = torch.linalg.eigh(torch.sinc(k[:, :, None] - k[:, None]).prod(0))
        null = directions[:, eigenvalues < _NULL * eigenvalues[-1]]
        if null.shape[1] < len(nearest) // 4:
            return None
        noise = (coils[:, nearest].to(torch.complex128) @ null.to(torch.complex128)) @ null.mT.to(torch.complex128)
        energy, freedom = noise.abs().square().mean(0), null.square().sum(1)
        half = len(nearest) // 2
        estimates.append(
            [(energy[part].sum() / freedom[part].sum()).item() for part in (slice(half), slice(half, None))]
        )
    inner, outer = torch.tensor(estimates).mean(0).tolist()
    return inner, outer
