"""Reading raw data of any format."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import get_args

import torch
from mrpro.data import KData, KNoise

from mrpro_lambda.raw_data.correct_gradient_delay import correct_gradient_delay
from mrpro_lambda.raw_data.fit_calibration import fit_calibration
from mrpro_lambda.raw_data.RawScan import RawScan
from mrpro_lambda.raw_data.read_grid import is_grid, read_grid
from mrpro_lambda.raw_data.read_ismrmrd import Averages, read_ismrmrd
from mrpro_lambda.raw_data.read_noise import read_noise

_NOT_SAID = ('No vendor information', 'Unknown vendor', 'The Siemens to ismrmrd converter')
"""Beginnings of warnings of mrpro on what is not used."""


def read_scan(
    path: str | Path,
    *,
    trajectory: str = 'auto',
    calibration_file: str | Path | None = None,
    noise_file: str | Path | None = None,
    averages: Averages = 'auto',
    correct_delay: bool = True,
) -> RawScan:
    """Read raw data, and believe what they say about themselves.

    - ISMRMRD (`.h5`, `.mrd`): trajectory, lines for calibration and noise, averages, slices, reversed and asymmetric
      readouts come from the header and the flags. The data set that stands last is read.
    - `.npy` with complex k-space of shape `(coils, y, x)`, `(coils, z, y, x)` or `(slices, coils, z, y, x)`, and BART's
      `.cfl` with `.hdr`, of dimensions `(x, y, z, coils)`, where x, y and z may be 1: zeros were not sampled.
    - HDF5 of fastMRI: `kspace` of shape `(slices, coils, readout, phase encoding)`, without coils for a single one,
      with `ismrmrd_header` and `mask`, which may be absent.

    The trajectory is checked against the header, the oversampling of a Cartesian readout is removed, and the delays of
    the gradients of a radial acquisition are corrected, see `correct_gradient_delay`. Averages become repeated samples:
    the data term is the sum over them, and each sample keeps its noise.

    Parameters
    ----------
    path
        File.
    trajectory
        `'auto'` for that of the file, or one of `TRAJECTORIES`.
    calibration_file
        File with lines for coil sensitivities, of any of these formats: flagged ones, or the image lines if there are
        none. Default: the flagged lines of `path`.
    noise_file
        ISMRMRD file with a noise measurement, `'none'` for none. Default: the noise of `path`, if there is any.
    averages
        `'combine'` or `'separate'` images; `'auto'` combines them unless they contradict the header.
    correct_delay
        Whether to correct the delays of the gradients of a radial acquisition.

    Returns
    -------
        Data, with notes on what was found and done.

    Raises
    ------
    ValueError
        If a file can not be read or does not fit to the other, if the trajectory contradicts the header or is neither
        stored nor can be calculated, if averages contradict the header, or as of `standardize`.
    """
    path = Path(path)
    if averages not in get_args(Averages):
        raise ValueError(f'averages must be one of {get_args(Averages)}, got {averages!r}.')
    if not (path.is_file() or is_grid(path)):
        raise ValueError(f'There is no file {path}.')
    try:
        scan = _read(path, trajectory, averages, with_noise=noise_file is None)
        if scan.found['trajectory'] in ('ismrmrd', 'radial2d') and correct_delay:
            scan = _correct_delay(scan)
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ValueError(f'{path} can not be read with the trajectory {trajectory!r}: {reason}') from error
    if calibration_file is not None:
        scan = _with_calibration(scan, Path(calibration_file))
    if noise_file is not None and str(noise_file) != 'none':
        scan = scan._replace(noise=_read_noise(Path(noise_file), scan))
        scan.notes.append(f'The noise measurement is that of {noise_file}.')
    _check_noise(scan.noise, scan.kdata)
    return scan


def read_kdata(path: Path, trajectory: str) -> KData:
    """Read the image lines of a file, see `read_scan`.

    Parameters
    ----------
    path
        File.
    trajectory
        `'auto'`, or one of `TRAJECTORIES`.

    Raises
    ------
    ValueError
        As `read_scan`.

    Warns
    -----
    UserWarning
        For each of the notes of `read_scan`.
    """
    scan = read_scan(path, trajectory=trajectory, noise_file='none')
    for note in scan.notes:
        warnings.warn(note, stacklevel=2)
    return scan.kdata


def _read(path: Path, trajectory: str, averages: Averages, *, with_noise: bool) -> RawScan:
    """Read a file of any format. The warnings of mrpro become errors or notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for message in ('There are different numbers of', 'K-space points lie outside'):
            warnings.filterwarnings('error', message)  # mrpro would go on with other data than those of the file
        if not is_grid(path):
            scan = read_ismrmrd(path, trajectory=trajectory, averages=averages, with_noise=with_noise)
        elif trajectory in ('auto', 'cartesian'):
            scan = read_grid(path)
        else:
            raise ValueError(f'The file holds k-space on a grid, which contradicts the trajectory {trajectory!r}.')
    scan.notes.extend({str(w.message): 0 for w in caught if not str(w.message).startswith(_NOT_SAID)})
    return scan


def _correct_delay(scan: RawScan) -> RawScan:
    """Correct the delays of gradients, if they can be estimated."""
    try:
        kdata, delays = correct_gradient_delay(scan.kdata)
    except ValueError as error:
        if scan.found['trajectory_kind'] in ('radial', 'goldenangle'):
            scan.notes.append(f'Gradient delays are not corrected: {error}')
        return scan
    scan.found['gradient_delay'] = [round(delay, 4) for delay in delays.tolist()]
    if bool(delays.any()):
        xx, yy, xy = delays.tolist()
        scan.notes.append(
            f'The gradients are delayed by {xx:.2f} (x), {yy:.2f} (y) and {xy:.2f} (xy) samples, which was corrected.'
        )
    return scan._replace(kdata=kdata)


def _with_calibration(scan: RawScan, path: Path) -> RawScan:
    """Return the scan with the calibration lines of another file, which must fit to it."""
    try:
        other = _read(path, 'auto', 'combine', with_noise=False)
        flagged = other.calibration is not None
        calibration = fit_calibration(other.kdata if other.calibration is None else other.calibration, scan.kdata)
    except Exception as error:
        raise ValueError(f'The calibration file {path} can not be used: {" ".join(str(error).split())}') from error
    n_lines = math.prod(calibration.data.shape[-3:-1])
    scan.notes.append(f'{n_lines} {"flagged " if flagged else ""}lines of {path} are for coil sensitivities.')
    scan.found['calibration_lines'] = n_lines
    return scan._replace(calibration=calibration)


def _read_noise(path: Path, scan: RawScan) -> KNoise | None:
    """Return the noise of another file, with the standard deviation of the samples of the scan."""
    times = torch.as_tensor(scan.kdata.header.acq_info.sample_time_us).unique()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        noise = read_noise(path, required=True, sample_time_us=times[0].item() if len(times) == 1 else 0.0)
    scan.notes.extend({str(w.message): 0 for w in caught})
    return noise


def _check_noise(noise: KNoise | None, kdata: KData) -> None:
    """Raise an error unless noise is that of the coils of data."""
    if noise is not None and noise.data.shape[-4] != kdata.data.shape[-4]:
        raise ValueError(
            f'The noise measurement does not fit the data, it must be noise of {kdata.data.shape[-4]} coil(s), or be '
            f'left out (--noise-file none), got {noise.data.shape[-4]} coil(s).'
        )
