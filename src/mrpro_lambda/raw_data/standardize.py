"""The form of k-space data that a reconstruction takes."""

from __future__ import annotations

import math

import torch
from mrpro.data import IHeader, KData
from mrpro.operators import FourierOp

from mrpro_lambda.reconstruction.check_inputs import check_kdata

TOO_SMALL = 'mrpro takes values that differ by less than 1e-6 as equal, so multiply the data of the file by a constant'
"""Why small values are refused."""

_SMALLEST = 1e-5
_LARGEST_POSITION = 100.0
_POINTS_PER_SAMPLE = 256


def standardize(kdata: KData, *, keep_oversampling: bool = False) -> KData:
    """Check that data can be reconstructed, and remove the oversampling of a Cartesian readout.

    Data in this form stay as they are.

    Parameters
    ----------
    kdata
        k-space data.
    keep_oversampling
        Whether the oversampling stays, for the air beside the image, which shows the noise.

    Raises
    ------
    ValueError
        If the data hold NaN or Inf, are all zero or below 1e-5, if a matrix or a field of view of the header is not
        possible, or if the images have no position, or one that is further than 100 m from the center.
    """
    check_header(kdata)
    _check_geometry(kdata)
    if kdata.header.encoding_matrix.z == 1:  # mrpro takes k2 for slices where there is only one kz
        kdata = kdata.rearrange('... k2 k1 k0 -> ... 1 (k2 k1) k0')
    FourierOp.from_kdata(kdata)
    oversampled = kdata.data.shape[-1] == kdata.header.encoding_matrix.x > kdata.header.recon_matrix.x
    if keep_oversampling or not oversampled or not _has_cartesian_readout(kdata):
        return kdata
    return kdata.remove_readout_os()


def _has_cartesian_readout(kdata: KData) -> bool:
    """Tell whether all readouts take the same steps of one along kx, and none along ky and kz."""
    kx, ky, kz = kdata.traj.kx, kdata.traj.ky, kdata.traj.kz
    one_line = kx.numel() == kx.shape[-1] > 1 and ky.shape[-1] == kz.shape[-1] == 1
    return one_line and bool(((kx.diff(dim=-1) - 1).abs() < 1e-3).all())


def check_header(kdata: KData, factor: float = 1.0) -> None:
    """Raise an error if data, matrix or field of view are not possible, before time and memory run out."""
    check_kdata(kdata)
    if (largest := kdata.data.abs().max().item()) < _SMALLEST:
        raise ValueError(f'The largest value is {largest:.1e}, but {TOO_SMALL}.')
    header, n_samples = kdata.header, math.prod(kdata.data.shape[-3:])
    for name in ('encoding', 'recon'):
        matrix, fov = getattr(header, f'{name}_matrix').zyx, getattr(header, f'{name}_fov').zyx
        if not all(1e-6 <= length <= 100 for length in fov):
            raise ValueError(f'The {name} field of view must be from 1e-6 to 100 m, got {fov} (z, y, x) in m.')
        n_points = math.prod(matrix) * factor**2
        if not 0 < n_points <= _POINTS_PER_SAMPLE * n_samples:
            raise ValueError(
                f'The {name} matrix must have 1 to {_POINTS_PER_SAMPLE} points for each of the {n_samples} samples of '
                f'a coil, got {matrix} (z, y, x){f" and a grid finer by {factor:g}" if factor != 1 else ""}.'
            )


def _check_geometry(kdata: KData) -> None:
    """Raise an error if the images would have no position."""
    try:
        header = IHeader.from_kheader(kdata.header)
    except ValueError as error:
        raise ValueError('Position and orientation must be the same for all readouts of an image.') from error
    if not all(bool((torch.as_tensor(x).abs() <= _LARGEST_POSITION).all()) for x in header.position.zyx):
        raise ValueError(
            f'The position must be finite and at most {_LARGEST_POSITION:g} m from the center, got '
            f'{header.position.zyx} (z, y, x) in m.'
        )
