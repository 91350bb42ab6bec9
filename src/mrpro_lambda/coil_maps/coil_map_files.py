"""Coil maps in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mrpro.data import CsmData

from mrpro_lambda.array_files import read_cfl, read_npy, write_cfl
from mrpro_lambda.checks import check_tensor, check_type

_SLICE_DIMENSION, _MAPS_DIMENSION = 13, 4


def read_coil_maps(path: str | Path) -> torch.Tensor:
    """Read coil maps from a file of NumPy or BART.

    Parameters
    ----------
    path
        `.npy` with complex numbers of shape `(..., coils, z, y, x)`, or `.cfl` and `.hdr` with the dimensions of BART,
        x, y, z, coils, and all others in reverse order as the axes before the coils.

    Returns
    -------
        Maps, shape `(*other, coils, z, y, x)`.

    Raises
    ------
    ValueError
        If the file is missing, of another kind or damaged, if the numbers are not complex, not finite or all zero, or
        if there are several sets of maps.
    """
    path = Path(path)
    if path.suffix in ('.cfl', '.hdr'):
        maps = read_cfl(path)
        n_sets = maps.shape[-1 - _MAPS_DIMENSION] if maps.ndim > _MAPS_DIMENSION else 1
        if n_sets > 1:
            raise ValueError(f'{path} must hold one set of coil maps (ecalib -m1), got {n_sets}.')
        maps = maps.reshape([1] * max(4 - maps.ndim, 0) + list(maps.shape))
        maps = maps.reshape([n for n in maps.shape[:-4] if n > 1] + list(maps.shape[-4:]))
    elif path.suffix == '.npy':
        maps = read_npy(path)
    else:
        raise ValueError(f'Coil maps must be in a file .npy or .cfl, got {path}.')
    check_tensor(f'{path}', maps)
    if maps.ndim < 4 or not bool(maps.any()):
        raise ValueError(
            f'{path} must hold maps of shape (..., coils, z, y, x), not all zero, got shape {tuple(maps.shape)}.'
        )
    return maps


def write_coil_maps(path: str | Path, csm: CsmData | torch.Tensor) -> None:
    """Write coil maps to a file, which replaces another one of this name as a whole.

    Parameters
    ----------
    path
        `.npy` or `.cfl`, as of `read_coil_maps`. The last axis before the coils becomes the slices of BART.
    csm
        Maps, shape `(*other, coils, z, y, x)`.

    Raises
    ------
    ValueError
        If the maps are not complex, if the file is of another kind, or if there are more axes than BART knows.
    """
    check_type('csm', csm, (CsmData, torch.Tensor))
    data = csm.data if isinstance(csm, CsmData) else csm
    check_tensor('csm', data)
    path, shape = Path(path), tuple(data.shape)
    if not data.is_complex() or data.ndim < 4:
        raise ValueError(f'csm must be complex with shape (*other, coils, z, y, x), got {data.dtype}, shape {shape}.')
    if path.suffix in ('.cfl', '.hdr'):
        write_cfl(path, data.reshape(*shape[:-4], *(1,) * (_SLICE_DIMENSION - 4), *shape[-4:]))
    elif path.suffix == '.npy':
        partial = path.with_name(path.name + '.partial')
        with partial.open('wb') as file:
            np.save(file, data.detach().cpu().resolve_conj().numpy().astype(np.complex64))
        partial.replace(path)
    else:
        raise ValueError(f'Coil maps must be in a file .npy or .cfl, got {path}.')
