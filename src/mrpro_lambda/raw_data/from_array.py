"""k-space on a grid as k-space data."""

from __future__ import annotations

from typing import Any

import torch
from mrpro.data import AcqInfo, KData, KHeader, KTrajectory, SpatialDimension
from mrpro.data.enums import TrajectoryType

_NEARLY_ALL = 0.98
"""Fraction of the samples of sampled lines that are not zero, above which these are sampled as a whole."""


def from_array(
    kspace: torch.Tensor,
    *,
    encoding_fov: SpatialDimension[float] | None = None,
    **header: Any,  # noqa: ANN401
) -> tuple[KData, list[str]]:
    """Create k-space data from k-space on a grid, in which zeros stand for what was not sampled.

    The center is at `n // 2` of each axis. If lines along `x` were sampled, these become readouts without the columns
    that no line has; otherwise each sample is a readout of its own.

    Parameters
    ----------
    kspace
        Complex, shape `(coils, y, x)`, `(coils, z, y, x)` or `(other, coils, z, y, x)`, where `other` are slices.
    encoding_fov
        Field of view (z, y, x) in m. Default: pixels of 1 mm.
    **header
        Further entries of `mrpro.data.KHeader`, among them the matrix and the field of view of the image if they differ
        from those of k-space.

    Returns
    -------
        k-space data, and notes.

    Raises
    ------
    ValueError
        If it is not complex, not of 3 to 5 dimensions, empty or all zero, or if the slices have different numbers of
        samples.
    """
    if not kspace.is_complex() or not 3 <= kspace.ndim <= 5 or not kspace.numel():
        raise ValueError(
            'k-space must be complex with shape (coils, y, x), (coils, z, y, x) or (slices, coils, z, y, x), got '
            f'{kspace.dtype}, shape {tuple(kspace.shape)}.'
        )
    shape = tuple(kspace.shape)
    names = ('slices', 'coils', 'z', 'y', 'x') if kspace.ndim > 3 else ('coils', 'y', 'x')
    sizes = ', '.join(f'{n} {name}' for n, name in zip(shape, names[-len(shape) :], strict=True))
    notes = [f'The array was read as {sizes}.']
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    kspace = kspace[(None,) * (5 - kspace.ndim)].to(torch.complex64)
    n_other, n_coils, *matrix = kspace.shape
    mask = (kspace != 0).any(1)  # other, z, y, x
    if not bool(mask.any()):
        raise ValueError(f'k-space must not be all zero, got shape {shape}.')
    lines, columns = mask.any(-1), mask.any((0, 1, 2)).nonzero().flatten()
    columns = torch.arange(int(columns[0]), int(columns[-1]) + 1)
    as_lines = mask[lines][:, columns].float().mean() > _NEARLY_ALL
    sampled = (lines if as_lines else mask).flatten(1)
    counts = sampled.sum(1).tolist()
    if len(set(counts)) > 1:
        raise ValueError(f'All slices must have the same number of samples, got {counts} lines or points.')
    if counts[0] < sampled.shape[1]:
        notes.append(
            f'{counts[0]} of {sampled.shape[1]} {"lines" if as_lines else "points"} are sampled; the others are zero.'
        )
    index = sampled.nonzero()[:, 1].reshape(n_other, counts[0])  # of readouts on the grid
    readouts = kspace.flatten(2) if not as_lines else kspace[..., columns].flatten(2, 3)
    readouts = readouts.reshape(n_other, n_coils, sampled.shape[1], -1)
    data = readouts.take_along_dim(index[:, None, :, None], dim=2)[:, :, None]
    grid = index[:, None, None, :, None]  # other, coils, k2, k1, k0
    x = columns.reshape(1, 1, 1, 1, -1) if as_lines else grid % matrix[2]
    line = grid if as_lines else grid // matrix[2]
    kz, ky, kx = (
        (i - n // 2).float() if n > 1 else torch.zeros(1, 1, 1, 1, 1)
        for i, n in zip((line // matrix[1], line % matrix[1], x), matrix, strict=True)
    )
    if encoding_fov is None:
        encoding_fov = SpatialDimension(*(1e-3 * n for n in matrix))
        notes.append('The file gives no field of view: pixels of 1 mm are assumed.')
    entries: dict[str, Any] = {
        'recon_matrix': SpatialDimension(*matrix),
        'encoding_matrix': SpatialDimension(*matrix),
        'recon_fov': SpatialDimension(*encoding_fov.zyx),
        'encoding_fov': encoding_fov,
        'acq_info': AcqInfo(),
        'trajectory_type': TrajectoryType.CARTESIAN,
    }
    k_header = KHeader(**entries | header)
    k_header.acq_info.idx.slice = torch.arange(n_other).reshape(-1, 1, 1, 1, 1)
    return KData(k_header, data, KTrajectory(kz, ky, kx)), notes
