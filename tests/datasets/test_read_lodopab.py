"""Files in the layout of LoDoPaB-CT."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from mrpro_lambda.datasets import read_lodopab
from mrpro_lambda.operators import RayTransformOp


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two discs, and data that are constant."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, 362, dtype=np.float32),) * 2, indexing='ij')
    images = np.stack([0.3 * (np.hypot(y, x) < 0.5), 0.3 * (np.hypot(y - 0.3, x) < 0.5)]).astype(np.float32)
    with h5py.File(tmp_path / 'ground_truth_test_000.hdf5', 'w') as file:
        file['data'] = images
    observation = np.zeros((2, 1000, 513), np.float32)
    observation[1, 0] = 0.04
    with h5py.File(tmp_path / 'observation_test_000.hdf5', 'w') as file:
        file['data'] = observation
    return tmp_path


def files(folder: Path, **change: Any) -> dict[str, Any]:
    return {name: folder / f'{name}_test_000.hdf5' for name in ('observation', 'ground_truth')} | change


def test_scan(folder: Path) -> None:
    scan = read_lodopab(**files(folder, index=1, angle_step=250))
    assert scan.data.shape == (1, 1, 4, 513)
    assert scan.data.dtype == torch.float32
    assert bool((scan.data[..., 0, :] == 0.04).all())
    assert scan.img is not None
    operator = scan.ray_transform_op()
    assert isinstance(operator, RayTransformOp)
    (response,) = operator(scan.img)
    # the longest way through the disc is half of the field of view; it is off center along the first axis
    assert response.max().item() == pytest.approx(0.3 * 0.13, rel=1e-2)
    center = (response[0, 0, 0] * torch.arange(513)).sum() / response[0, 0, 0].sum() - 256
    assert center.item() * 2**0.5 * 0.26 / 513 == pytest.approx(0.3 * 0.13, rel=1e-2)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'index': 2}, r'index must be in \[-2, 2\)'),
        ({'angle_step': 0}, 'angle_step must be an integer from 1 to 1000, got 0'),
        ({'ground_truth': Path(__file__)}, 'can not be read as an HDF5 file'),
        ({'observation': 'missing.hdf5'}, 'missing.hdf5 can not be read as an HDF5 file'),
    ],
)
def test_errors(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_lodopab(**files(folder, **change))


def test_files_that_are_mixed_up(folder: Path) -> None:
    with pytest.raises(ValueError, match=r'must hold data of shape \(n, 1000, 513\), got \(2, 362, 362\)'):
        read_lodopab(folder / 'ground_truth_test_000.hdf5')


def test_without_images(folder: Path) -> None:
    assert read_lodopab(folder / 'observation_test_000.hdf5').img is None
    with h5py.File(folder / 'other.hdf5', 'w') as file:
        file['images'] = np.zeros(3)
    with pytest.raises(ValueError, match=r'must have the data set "data", it has \[.images.\]'):
        read_lodopab(folder / 'other.hdf5')
