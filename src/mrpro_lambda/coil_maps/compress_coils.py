"""Fewer virtual coils."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from mrpro.data import KData, KNoise

from mrpro_lambda.checks import check_number, check_tensor, check_type

Samples = TypeVar('Samples', KData, KNoise)


class CompressedCoils(NamedTuple):
    """k-space data of virtual coils."""

    kdata: KData
    """k-space data."""
    matrix: torch.Tensor
    """Compression matrix with orthonormal rows, shape `(virtual coils, coils)`, for `combine_coils` of other data."""
    energy: float
    """Fraction of the energy of the data that is kept."""


def compress_coils(kdata: KData, energy: float = 0.99) -> CompressedCoils:
    r"""Replace coils by the fewest virtual coils :math:`V^H y` that keep a fraction of the energy of the data.

    The singular vectors :math:`V` are those of all samples together [BUE2007]_. Prewhitened noise stays white, as the
    rows of :math:`V^H` are orthonormal; so prewhiten first. `mrpro.data.KData.compress_coils` takes a number of coils
    in place of the energy, and subtracts the mean of the samples.

    Parameters
    ----------
    kdata
        k-space data.
    energy
        Fraction of the energy, above 0, at most 1.

    Returns
    -------
        Data of virtual coils, with the matrix, which calibration data and noise must be compressed with as well.

    Raises
    ------
    TypeError, ValueError
        If the data are not finite or all zero, or if the fraction is out of its range.

    References
    ----------
    .. [BUE2007] Buehrer M, Pruessmann KP, Boesiger P, Kozerke S (2007) Array compression for MRI with large coil
       arrays. Magn Reson Med 57(6) https://doi.org/10.1002/mrm.21237
    """
    check_type('k-space data', kdata, KData)
    check_tensor('k-space data', kdata.data)
    check_number('energy', energy, 0, 1)
    samples = kdata.data.movedim(-4, 0).flatten(1)
    scale = samples.abs().max()
    if not scale > 0 or energy == 0:
        raise ValueError(
            f'Coils need data that are not all zero and an energy above 0, got shape {tuple(kdata.data.shape)} and '
            f'energy={energy}.'
        )
    samples = samples / scale
    values, vectors = torch.linalg.eigh((samples @ samples.mH).to(torch.complex128))
    kept = values.flip(0).clamp_min(0).cumsum(0) / values.clamp_min(0).sum()
    n_virtual = min(int((kept < energy - 1e-12).sum()) + 1, len(kept))
    matrix = vectors.flip(1)[:, :n_virtual].mH.to(kdata.data.dtype)
    return CompressedCoils(combine_coils(kdata, matrix), matrix, kept[n_virtual - 1].item())


def combine_coils(data: Samples, matrix: torch.Tensor) -> Samples:
    """Combine the coils of data, calibration data or noise with a matrix.

    Parameters
    ----------
    data
        Samples of coils, shape `(*other, coils, k2, k1, k0)`.
    matrix
        Matrix, shape `(virtual coils, coils)`.

    Returns
    -------
        Copy with virtual coils.

    Raises
    ------
    TypeError, ValueError
        If there are no such data, or if their coils are not those of the matrix.
    """
    check_type('data', data, (KData, KNoise))
    check_tensor('matrix', matrix)
    if matrix.ndim != 2 or matrix.shape[1] != data.data.shape[-4]:
        raise ValueError(
            f'matrix must have shape (virtual coils, coils) with the coils of the data, got {tuple(matrix.shape)} for '
            f'data of shape {tuple(data.data.shape)}.'
        )
    samples = torch.einsum('vc,...czyx->...vzyx', matrix.to(data.data), data.data)
    return KData(data.header, samples, data.traj) if isinstance(data, KData) else KNoise(samples)
