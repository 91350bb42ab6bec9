"""Files of k-space on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from ismrmrd.xsd import ismrmrdHeader
from mrpro.data import SpatialDimension

from mrpro_lambda.array_files import read_cfl, read_npy
from mrpro_lambda.raw_data.from_array import from_array
from mrpro_lambda.raw_data.ismrmrd_header import parse_header
from mrpro_lambda.raw_data.RawScan import RawScan
from mrpro_lambda.raw_data.standardize import standardize
from mrpro_lambda.raw_data.use_measured_grid import use_measured_grid


def is_grid(path: Path) -> bool:
    """Tell whether a file is one of those of `read_grid`, as far as its name and its parts say."""
    return path.suffix in ('.npy', '.cfl', '.hdr') or path.with_name(path.name + '.cfl').is_file() or _is_fastmri(path)


def read_grid(path: Path) -> RawScan:
    """Read k-space on a grid from a `.npy` file, a file of BART, or one of fastMRI, see `read_scan`.

    Raises
    ------
    ValueError
        If there is no such file, if it is damaged, or as of `from_array`.
    """
    header: dict[str, Any] = {}
    notes: list[str] = []
    if path.suffix == '.npy':
        kspace, name = read_npy(path), 'npy'
    elif _is_fastmri(path):
        (kspace, header, notes), name = _read_fastmri(path), 'fastMRI'
    else:
        kspace, name = read_cfl(path), 'BART'
        if kspace.ndim > 4 and any(n > 1 for n in kspace.shape[:-4]):
            raise ValueError(
                f'BART k-space must have no dimensions but x, y, z and coils, got shape {tuple(kspace.shape)} in '
                'reversed order.'
            )
        kspace = kspace.reshape((1,) * (4 - kspace.ndim) + tuple(kspace.shape[-4:]))
    kdata, said = from_array(kspace, **header)
    notes += said + use_measured_grid(kdata)
    standard = standardize(kdata)
    removed = standard.data.shape[-1] < kdata.data.shape[-1]
    if removed:
        notes.append(
            f'The oversampling of the readout was removed, from {kdata.data.shape[-1]} to {standard.data.shape[-1]} '
            'samples.'
        )
    found = {
        'format': name,
        'trajectory': 'cartesian',
        'trajectory_kind': 'cartesian',
        'trajectory_source': 'grid of the file',
        'coils': kdata.data.shape[-4],
        'slices': kdata.data.shape[0],
        'averages': 1,
        'calibration_lines': 0,
        'readout_oversampling': kdata.header.encoding_matrix.x / kdata.header.recon_matrix.x,
    }
    return RawScan(standard, None, None, kdata if removed else None, notes, found)


def _is_fastmri(path: Path) -> bool:
    """Tell whether a file has the parts of fastMRI."""
    try:
        if path.is_file() and h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return isinstance(file.get('kspace'), h5py.Dataset)
    except Exception:  # noqa: BLE001, S110 of many kinds; the reader of the other format says what is wrong
        pass
    return False


def _read_fastmri(path: Path) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    """Read a file of fastMRI: k-space of shape `(slices, coils, z, y, x)`, entries of its header, and notes."""
    try:
        with h5py.File(path) as file:
            array = file['kspace'][()]
            document = file['ismrmrd_header'][()] if 'ismrmrd_header' in file else None
            mask = file['mask'][()].astype(bool).ravel() if 'mask' in file else None
    except Exception as error:  # of many kinds
        raise ValueError(f'{path} is damaged: {error!r:.200}.') from error
    if not np.iscomplexobj(array) or array.ndim not in (3, 4):
        raise ValueError(
            'kspace must be complex with shape (slices, coils, readout, phase encoding) or without coils, got '
            f'{array.dtype}, shape {array.shape}.'
        )
    kspace = torch.from_numpy(array.astype(np.complex64))
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    header: ismrmrdHeader | None = None
    notes: list[str] = []
    if document is not None:
        header, notes = parse_header(document if isinstance(document, bytes) else str(document).encode())
    n_readout, n_phase = kspace.shape[-2:]
    if mask is not None:
        if len(mask) != n_phase:
            raise ValueError(f'The mask must have one entry for each of {n_phase} phase encodings, got {len(mask)}.')
        kspace = kspace * torch.from_numpy(mask)
    kspace = kspace.mT[:, :, None]
    if header is None:
        return kspace, {}, ['There is no ismrmrd_header.']
    return kspace, _entries(header, n_phase, n_readout), notes


def _entries(header: ismrmrdHeader, n_y: int, n_x: int) -> dict[str, Any]:
    """Return the entries of the header of k-space of a size, which may hold zeros around what was encoded."""
    encoded, recon = header.encoding[0].encodedSpace, header.encoding[0].reconSpace
    matrix = SpatialDimension(1, n_y, n_x)
    if encoded.matrixSize.x != n_x:
        raise ValueError(
            f'The readouts must have the {encoded.matrixSize.x} samples of the encoded matrix, got {n_x} along the '
            'last but one axis of kspace.'
        )
    fov = encoded.fieldOfView_mm
    return {
        'encoding_fov': SpatialDimension(1e-3 * fov.z, 1e-3 * fov.y * n_y / encoded.matrixSize.y, 1e-3 * fov.x),
        'encoding_matrix': matrix,
        'recon_matrix': SpatialDimension(1, recon.matrixSize.y, recon.matrixSize.x),
        'recon_fov': SpatialDimension(
            1e-3 * recon.fieldOfView_mm.z, 1e-3 * recon.fieldOfView_mm.y, 1e-3 * recon.fieldOfView_mm.x
        ),
        'lamor_frequency_proton': header.experimentalConditions.H1resonanceFrequency_Hz or None,
    }
