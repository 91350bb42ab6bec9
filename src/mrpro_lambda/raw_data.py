"""Raw data: reading files with checks, and bringing data into the form that a reconstruction takes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import torch
from mrpro.data import IHeader, KData, KNoise, traj_calculators
from mrpro.operators import FourierOp

from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.reconstruction.check_inputs import check_kdata

TRAJECTORIES: dict[str, Callable[[], Any]] = {
    'cartesian': traj_calculators.KTrajectoryCartesian,
    'ismrmrd': traj_calculators.KTrajectoryIsmrmrd,
    'radial2d': traj_calculators.KTrajectoryRadial2D,
    'spiral2d': traj_calculators.KTrajectorySpiral2D,
    'sunflower-rpe': traj_calculators.KTrajectorySunflowerGoldenRpe,
}
"""How to calculate the trajectory of a file, by name."""

_SMALLEST, _LARGEST = 1e-5, 1e9
_POINTS_PER_SAMPLE = 256
_TOO_SMALL = 'mrpro takes values that differ by less than 1e-6 as equal, so multiply the data of the file by a constant'


def read_kdata(path: Path, trajectory: str) -> KData:
    """Read an ISMRMRD file in the form of `standardize`. Of several data sets in the file, the last one is read.

    Parameters
    ----------
    path
        HDF5 file.
    trajectory
        One of `TRAJECTORIES`.

    Raises
    ------
    ValueError
        If the trajectory is unknown, if the file is no ISMRMRD file or lacks the trajectory, if the slices have
        different numbers of readouts, if samples are outside of the encoding matrix, or as of `standardize`.
    """
    if trajectory not in TRAJECTORIES:
        raise ValueError(f'trajectory must be one of {list(TRAJECTORIES)}, got {trajectory!r}.')
    datasets = _datasets(path)
    try:
        with warnings.catch_warnings():
            for message in ('There are different numbers of', 'K-space points lie outside'):
                warnings.filterwarnings('error', message)  # mrpro would go on with other data than those of the file
            kdata = KData.from_file(path, TRAJECTORIES[trajectory](), dataset_idx=datasets[-1])
            return standardize(kdata)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f'{path} can not be read with the trajectory {trajectory!r}: {reason}') from error


def standardize(kdata: KData) -> KData:
    """Check that data can be reconstructed, and remove the oversampling of a Cartesian readout.

    Data in this form stay as they are.

    Parameters
    ----------
    kdata
        k-space data.

    Raises
    ------
    ValueError
        If the data hold NaN or Inf, are all zero or below 1e-5, if a matrix or a field of view of the header is not
        possible, or if the images have no position.
    """
    check_kdata(kdata)
    if (largest := kdata.data.abs().max().item()) < _SMALLEST:
        raise ValueError(f'The largest value is {largest:.1e}, but {_TOO_SMALL}.')
    _check_header(kdata)
    _check_geometry(kdata)
    if kdata.header.encoding_matrix.z == 1:  # mrpro takes k2 for slices where there is only one kz
        kdata = kdata.rearrange('... k2 k1 k0 -> ... 1 (k2 k1) k0')
    FourierOp.from_kdata(kdata)
    oversampled = kdata.data.shape[-1] == kdata.header.encoding_matrix.x > kdata.header.recon_matrix.x
    return kdata.remove_readout_os() if oversampled and _has_cartesian_readout(kdata) else kdata


def _has_cartesian_readout(kdata: KData) -> bool:
    """Tell whether all readouts take the same steps of one along kx, and none along ky and kz."""
    kx, ky, kz = kdata.traj.kx, kdata.traj.ky, kdata.traj.kz
    one_line = kx.numel() == kx.shape[-1] > 1 and ky.shape[-1] == kz.shape[-1] == 1
    return one_line and bool(((kx.diff(dim=-1) - 1).abs() < 1e-3).all())


def read_noise(path: Path, *, required: bool) -> KNoise | None:
    """Read the noise measurement of a file. Of several data sets with noise, the last one is read.

    Parameters
    ----------
    path
        ISMRMRD file.
    required
        Whether a file without noise measurement is an error.

    Returns
    -------
        Noise measurement, `None` if there is none.

    Raises
    ------
    ValueError
        If the file is no ISMRMRD file, if it holds no noise although required, or if the noise is not finite or so
        small that mrpro takes it as constant.
    """
    noise, datasets = None, _datasets(path)
    try:
        for index in datasets:
            with suppress(ValueError):  # this data set holds no noise
                noise = KNoise.from_file(path, dataset_idx=index)
    except Exception as error:
        raise ValueError(f'The noise measurement of {path} can not be read: {error!r:.200}') from error
    if noise is None and required:
        raise ValueError(f'{path} holds no noise measurement.')
    if noise is not None and noise.data.shape[-1] == 1:
        raise ValueError(f'The noise measurement of {path} is too small: {_TOO_SMALL}.')
    if noise is not None and not bool(noise.data.isfinite().all()):
        raise ValueError(f'The noise measurement of {path} must be finite, got shape {tuple(noise.data.shape)}.')
    return noise


def to_unit_range(kdata: KData) -> tuple[KData, float]:
    """Multiply small and huge data by a power of ten such that the largest magnitude is from 1 to 10.

    mrpro would otherwise take images of small values as constant, and the squares of huge ones would overflow.

    Returns
    -------
        Data, and the factor, which is 1 for data with a largest magnitude from 1 to 1e9.
    """
    largest = kdata.data.abs().max().item()
    factor = 1.0 if 1 <= largest <= _LARGEST else 10.0 ** math.ceil(-math.log10(largest))
    return KData(kdata.header, kdata.data * factor, kdata.traj), factor


def sampled_fraction(kdata: KData) -> float | None:
    """Return the fraction of the points of the measured band that are sampled, `None` if it is not Cartesian.

    The band is the smallest symmetric box of k-space that holds all samples, see
    `~mrpro_lambda.operators.BandLimitOp`.
    """
    gram = gram_operator(FourierOp.from_kdata(kdata))
    if not isinstance(gram, CirculantGramOp):
        return None
    band = BandLimitOp.from_gram(CirculantGramOp(gram.transfer, gram.dim))  # on the grid of the encoded k-space
    return (gram.transfer > 0).double().mean().item() / (1.0 if band is None else band.band.mean().item())


def upsample(kdata: KData, factor: float) -> KData:
    """Refine the grid of the image in the plane, within the same field of view.

    The samples then fill a central box of k-space.

    Raises
    ------
    ValueError
        If the grid would be too fine for the number of samples.
    """
    _check_header(kdata, factor)
    kdata = kdata.clone()
    for matrix in (kdata.header.encoding_matrix, kdata.header.recon_matrix):
        matrix.y, matrix.x = round(factor * matrix.y), round(factor * matrix.x)
    return kdata


def _check_header(kdata: KData, factor: float = 1.0) -> None:
    """Raise an error if matrix or field of view can not be those of the data, before time and memory run out."""
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
    if not all(bool(torch.as_tensor(x).isfinite().all()) for x in header.position.zyx):
        raise ValueError(f'The position must be finite, got {header.position.zyx} (z, y, x) in m.')


def _datasets(path: Path) -> list[int]:
    """Return the indices of the ISMRMRD data sets of a file."""
    if not path.is_file():
        raise ValueError(f'There is no file {path}.')
    found = []
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                parts = [set(group) if isinstance(group, h5py.Group) else set() for group in file.values()]
            found = [i for i, part in enumerate(parts) if {'xml', 'data'} <= part]
    except Exception as error:  # of many kinds
        raise ValueError(f'{path} is damaged: {error!r:.200}.') from error
    if not found:
        raise ValueError(f"{path} is no ISMRMRD file: it must be HDF5 with a data set that holds 'xml' and 'data'.")
    return found
