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
    shape, notes = tuple(kspace.shape), []
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    kspace = kspace[(None,) * (5 - kspace.ndim)].to(torch.complex64)
    n_other, n_coils, *matrix = kspace.shape
    names = ('coils', 'y', 'x') if len(shape) == 3 else ('slices', 'coils', 'z', 'y', 'x')[-len(shape) :]
    notes.append(
        'The array was read as ' + ', '.join(f'{n} {name}' for n, name in zip(shape, names, strict=True)) + '.'
    )
    mask = (kspace != 0).any(1)  # other, z, y, x
    if not bool(mask.any()):
        raise ValueError(f'k-space must not be all zero, got shape {shape}.')
    lines, columns = mask.any(-1), mask.any((0, 1, 2)).nonzero().flatten()
    columns = torch.arange(int(columns[0]), int(columns[-1]) + 1)
    as_lines = mask[lines][:, columns].float().mean() > _NEARLY_ALL
    sampled = lines[..., None] if as_lines else mask
    counts = sampled.flatten(1).sum(1)
    if bool((counts != counts[0]).any()):
        raise ValueError(f'All slices must have the same number of samples, got {counts.tolist()} lines or points.')
    if bool((sampled == sampled[:1]).all()):
        sampled = sampled[:1]
    k = [sampled.nonzero()[:, i].reshape(len(sampled), 1, 1, -1, 1) for i in (1, 2, 3)]
    chosen = kspace[torch.arange(n_other)[:, None, None, None, None], torch.arange(n_coils)[:, None, None, None], *k]
    if as_lines:
        where = [i[:, 0, 0, :, 0] for i in k[:2]]
        rows = kspace.movedim(1, 3)[torch.arange(n_other)[:, None], where[0], where[1]]  # other, lines, coils, x
        chosen, k[2] = rows.transpose(1, 2)[:, :, None, :, columns], columns
    kz, ky, kx = ((i - n // 2).float() if n > 1 else torch.zeros(1, 1, 1, 1, 1) for i, n in zip(k, matrix, strict=True))
    fraction = counts[0].item() * (len(columns) / matrix[-1] if as_lines else 1) / (sampled[0].numel())
    if fraction < 1:
        what = f'{counts[0]} of {sampled[0].numel()} {"lines" if as_lines else "points"}'
        notes.append(f'{what} are sampled; the others are zero.')
    if encoding_fov is None:
        encoding_fov = SpatialDimension(*(1e-3 * n for n in matrix))
        notes.append('The file gives no field of view: pixels of 1 mm are assumed.')
    size = SpatialDimension(*matrix)
    entries = {
        'recon_matrix': size,
        'encoding_matrix': size,
        'recon_fov': encoding_fov,
        'encoding_fov': encoding_fov,
        'acq_info': AcqInfo(),
        'trajectory_type': TrajectoryType.CARTESIAN,
    } | header
    k_header = KHeader(**entries).clone()
    k_header.acq_info.idx.slice = torch.arange(n_other).reshape(-1, 1, 1, 1, 1)
    return KData(
        k_header, chosen, KTrajectory(*(i.reshape(1, 1, 1, 1, -1) if i.ndim == 1 else i for i in (kz, ky, kx)))
    ), notes
