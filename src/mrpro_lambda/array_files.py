"""Complex arrays in files: `.npy` of NumPy, and `.cfl` with `.hdr` of BART."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import torch

_N_DIMENSIONS = 16


def read_npy(path: str | Path) -> torch.Tensor:
    """Read a file of NumPy.

    Parameters
    ----------
    path
        Path.

    Returns
    -------
        Complex numbers of single precision.

    Raises
    ------
    ValueError
        If there is no file, or if it holds no complex numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'There is no file {path}.')
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f'{path} is no array of numbers: {error!s:.200}') from error
    if not np.iscomplexobj(array):
        raise ValueError(f'The numbers of {path} must be complex, got {array.dtype}, shape {array.shape}.')
    return torch.from_numpy(array.astype(np.complex64))


def read_cfl(path: str | Path) -> torch.Tensor:
    """Read a file of BART.

    Parameters
    ----------
    path
        Path with or without the suffix `.cfl` or `.hdr`.

    Returns
    -------
        Complex numbers of single precision, with the dimensions of BART in reverse order, the last of them (x) last.
        All dimensions of the header are there.

    Raises
    ------
    ValueError
        If a file is missing, if the header has no dimensions, or if there are more or fewer numbers than it says.
    """
    data_path, header_path = _paths(path)
    for file in (header_path, data_path):
        if not file.is_file():
            raise ValueError(f'There is no file {file}: BART data are a header .hdr and numbers .cfl.')
    dimensions = _dimensions(header_path)
    n_bytes, expected = data_path.stat().st_size, 8 * prod(dimensions)
    if n_bytes != expected:
        raise ValueError(f'{data_path} must hold {expected} bytes for the dimensions {dimensions}, got {n_bytes}.')
    numbers = np.fromfile(data_path, dtype='<c8').astype(np.complex64, copy=False)
    return torch.from_numpy(numbers).reshape(dimensions[::-1])


def write_cfl(path: str | Path, data: torch.Tensor) -> None:
    """Write a file of BART, which replaces another one of this name as a whole.

    Parameters
    ----------
    path
        Path with or without the suffix `.cfl` or `.hdr`.
    data
        Numbers, with the dimensions of BART in reverse order, at most 16.

    Raises
    ------
    ValueError
        If there are more than 16 dimensions.
    """
    if data.ndim > _N_DIMENSIONS:
        raise ValueError(f'BART data have at most {_N_DIMENSIONS} dimensions, got shape {tuple(data.shape)}.')
    data_path, header_path = _paths(path)
    dimensions = [*data.shape[::-1], *(1,) * (_N_DIMENSIONS - data.ndim)]
    partial_data, partial_header = (p.with_name(p.name + '.partial') for p in (data_path, header_path))
    data.detach().cpu().resolve_conj().numpy().astype('<c8').tofile(partial_data)
    partial_header.write_text(f'# Dimensions\n{" ".join(map(str, dimensions))} \n', 'ascii')
    header_path.unlink(missing_ok=True)  # a header never stands beside numbers of another file
    partial_data.replace(data_path)
    partial_header.replace(header_path)


def _paths(path: str | Path) -> tuple[Path, Path]:
    """Return the paths of numbers and header."""
    path = Path(path)
    name = path.name.removesuffix('.cfl').removesuffix('.hdr')
    return path.with_name(name + '.cfl'), path.with_name(name + '.hdr')


def _dimensions(path: Path) -> list[int]:
    """Return the dimensions that a header tells."""
    lines = path.read_text('ascii', errors='replace').splitlines()
    try:
        dimensions = [int(word) for word in lines[lines.index('# Dimensions') + 1].split()]
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path} is no header of BART: it must have a line of integers after '# Dimensions'."
        ) from error
    if not dimensions or min(dimensions) < 1:
        raise ValueError(f'{path} must have positive dimensions, got {dimensions}.')
    return dimensions
