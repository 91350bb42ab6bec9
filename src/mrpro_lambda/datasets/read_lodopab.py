"""Reader of the files of LoDoPaB-CT."""

import math
from pathlib import Path
from typing import NamedTuple

import h5py
import torch

from mrpro_lambda.operators import ParallelBeam, RayTransformOp

_SIZE, _FIELD_OF_VIEW = 362, 0.26
_DATA_SHAPE = (1000, 513)


class LodopabScan(NamedTuple):
    """A scan of LoDoPaB-CT."""

    data: torch.Tensor
    """Post-log data. Float32, shape `(coils=1, z=1, angles, bins=513)`."""
    img: torch.Tensor | None
    """Image, the target, if its file was given. Float32, shape `(coils=1, z=1, y=362, x=362)`."""
    geometry: ParallelBeam
    """Rays, in meters."""

    def ray_transform_op(self) -> RayTransformOp:
        """Set up the operator. With all 1000 angles it takes some 5 GB."""
        return RayTransformOp(self.geometry, (_SIZE, _SIZE), _FIELD_OF_VIEW / _SIZE)


def read_lodopab(
    observation: str | Path, ground_truth: str | Path | None = None, *, index: int = 0, angle_step: int = 1
) -> LodopabScan:
    r"""Read a scan of the data set LoDoPaB-CT [LEU2021]_ from its HDF5 files.

    They hold a data set `data` of 128 scans or less, shape `(n, 1000, 513)`, and their images, `(n, 362, 362)`. The
    geometry is that of `odl.tomo.parallel_beam_geometry`, as the authors give it: 1000 angles :math:`(k + 1/2) \pi /
    1000`, a detector as long as the diagonal of the image of 26 cm, and 4096 photons; the image is relative to an
    attenuation of 81.35858 per meter. These are the defaults of `~mrpro_lambda.data_terms.PoissonCounts`.

    Parameters
    ----------
    observation
        File of the data, such as `observation_test_000.hdf5`.
    ground_truth
        File of the images, such as `ground_truth_test_000.hdf5`.
    index
        Number of the scan in the files.
    angle_step
        Take each of so many angles, to save memory.

    Raises
    ------
    ValueError
        If a file is not one of the data set, or has no scan of that number.

    References
    ----------
    .. [LEU2021] Leuschner J, Schmidt M, Baguer DO, Maass P (2021) LoDoPaB-CT, a benchmark dataset for low-dose computed
       tomography reconstruction. Sci Data 8 https://doi.org/10.1038/s41597-021-00893-z
    """
    if not isinstance(angle_step, int) or not 1 <= angle_step <= _DATA_SHAPE[0]:
        raise ValueError(f'angle_step must be an integer from 1 to {_DATA_SHAPE[0]}, got {angle_step!r}.')
    data = _read(observation, index, _DATA_SHAPE)[..., ::angle_step, :].contiguous()
    img = None if ground_truth is None else _read(ground_truth, index, (_SIZE, _SIZE))
    angles = ((torch.arange(_DATA_SHAPE[0], dtype=torch.float64) + 0.5) * (math.pi / _DATA_SHAPE[0]))[::angle_step]
    geometry = ParallelBeam(angles, _DATA_SHAPE[1], math.sqrt(2) * _FIELD_OF_VIEW / _DATA_SHAPE[1])
    return LodopabScan(data, img, geometry)


def _read(path: str | Path, index: int, shape: tuple[int, int]) -> torch.Tensor:
    """Read an entry of a file."""
    try:
        with h5py.File(path) as file:
            if not isinstance(data := file.get('data'), h5py.Dataset):
                raise ValueError(f'{path} must have the data set "data", it has {sorted(file)}.')
            if data.shape[1:] != shape:
                raise ValueError(f'{path} must hold data of shape (n, {shape[0]}, {shape[1]}), got {data.shape}.')
            if not -len(data) <= index < len(data):
                raise ValueError(f'index must be in [-{len(data)}, {len(data)}) for {path}, got {index}.')
            return torch.as_tensor(data[index % len(data)], dtype=torch.float32)[None, None]
    except OSError as error:
        raise ValueError(f'{path} can not be read as an HDF5 file: {error}') from error
