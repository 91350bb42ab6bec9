"""Shells of k-space, and the noise in one of them."""

from __future__ import annotations

import math

import torch
from mrpro.data import KData


def k_space_shells(kdata: KData, samples: torch.Tensor, n_shells: int) -> tuple[torch.Tensor, ...]:
    """Sort samples by their distance from the center of k-space, into shells with the same number of them.

    Parameters
    ----------
    kdata
        k-space data, whose trajectory is taken. Distances are relative to the extent of the encoded k-space.
    samples
        Samples of the same shape, `(*other, coils, k2, k1, k0)`.
    n_shells
        Number of shells, fewer if there are not as many samples.

    Returns
    -------
        Shells from the center outwards, each of shape `(coils, samples)`.
    """
    size = kdata.header.encoding_matrix
    axes = ((kdata.traj.kz, size.z), (kdata.traj.ky, size.y), (kdata.traj.kx, size.x))
    k = torch.stack(torch.broadcast_tensors(*(k / n for k, n in axes if n > 1)))
    radius = k.square().sum(0).expand(*kdata.data.shape[:-4], 1, *kdata.data.shape[-3:]).flatten()
    samples = samples.movedim(-4, 0).flatten(1)[:, radius.argsort()]
    return samples.tensor_split(min(n_shells, samples.shape[1]), dim=1)


def gaussian_variance(coils: torch.Tensor) -> float:
    """Return the variance of complex Gaussian noise of shape `(coils, samples)`, the mean over coils, by medians."""
    return coils.abs().median(1).values.double().square().mean().item() / math.log(2)
