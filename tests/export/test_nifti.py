"""Tests of the geometry of NIfTI files."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.export import write_nifti

from tests.export.cases import CENTER, PHASE, READOUT, SLICE, header


def world(nifti: nibabel.Nifti1Image, x: int, y: int, z: int) -> torch.Tensor:
    """Position of a voxel in m, in the axes of ISMRMRD."""
    right, anterior, superior, _ = nifti.affine @ [x, y, z, 1]
    return torch.tensor([-right, -anterior, superior]).float() / 1000


def test_slices_are_stacked_in_the_order_of_their_positions(tmp_path: Path) -> None:
    """Interleaved slices 0, 2, 1 with two repetitions each become a series of volumes."""
    slices, height = [0, 1, 2, 0, 1, 2], torch.tensor([0.0, 2.0, 1.0, 0.0, 2.0, 1.0])
    positions = CENTER + 0.007 * height[:, None] * SLICE
    img = RandomGenerator(seed=0).complex64_tensor((6, 1, 1, 8, 10))
    write_nifti(tmp_path / 'image.nii.gz', img, header(positions, slices))
    nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'image.nii.gz')
    assert nifti.shape == (10, 8, 3, 2)
    assert nifti.header.get_xyzt_units()[0] == 'mm'
    np.testing.assert_allclose(nifti.header.get_zooms()[:3], (2, 3, 7), rtol=1e-5)
    values = np.asarray(nifti.dataobj)
    for repetition in range(2):
        for z, index in enumerate((0, 2, 1)):
            np.testing.assert_array_equal(values[:, :, z, repetition].T, img[3 * repetition + index, 0, 0])
            torch.testing.assert_close(world(nifti, 5, 4, z), positions[index], rtol=0, atol=1e-6)
    torch.testing.assert_close(world(nifti, 6, 4, 0) - world(nifti, 5, 4, 0), 0.002 * READOUT, rtol=0, atol=1e-6)
    torch.testing.assert_close(world(nifti, 5, 5, 0) - world(nifti, 5, 4, 0), 0.003 * PHASE, rtol=0, atol=1e-6)


def test_volume_and_slices_without_positions(tmp_path: Path) -> None:
    volume = RandomGenerator(seed=1).float32_tensor((1, 1, 6, 8, 10))
    write_nifti(tmp_path / 'volume.nii', volume, header(CENTER[None], [0]))
    nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'volume.nii')
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).T, volume[0, 0])
    torch.testing.assert_close(world(nifti, 5, 4, 3), CENTER, rtol=0, atol=1e-6)
    torch.testing.assert_close(world(nifti, 5, 4, 4) - CENTER, 0.005 * SLICE, rtol=0, atol=1e-6)

    slices = RandomGenerator(seed=1).float32_tensor((3, 1, 1, 8, 10))
    with pytest.warns(UserWarning, match='All 3 slices have the same position: they are stacked in steps of 5 mm'):
        write_nifti(tmp_path / 'slices.nii', slices, header(CENTER[None], [0, 1, 2]))
    nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'slices.nii')
    assert nifti.shape == (10, 8, 3)
    torch.testing.assert_close(world(nifti, 5, 4, 2) - CENTER, 2 * 0.005 * SLICE, rtol=0, atol=1e-6)


def test_center_of_volumes(tmp_path: Path) -> None:
    """The position is that of the pixel n // 2, for odd and even numbers of slices."""
    for n_z in (3, 4, 5):
        volume = torch.ones(1, 1, n_z, 7, 9)
        write_nifti(tmp_path / 'volume.nii', volume, header(CENTER[None], [0]))
        nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'volume.nii')
        torch.testing.assert_close(world(nifti, 4, 3, n_z // 2), CENTER, rtol=0, atol=1e-6)


@pytest.mark.parametrize('heights', [[0, 1, 3], [0, 1, 2, 0.5, 1.5, 2.5]])
def test_places_that_a_nifti_file_can_not_tell(tmp_path: Path, heights: list[float]) -> None:
    """Gaps that differ, and a series that moves."""
    positions = CENTER + 0.007 * torch.tensor(heights)[:, None] * SLICE
    img = torch.ones(len(heights), 1, 1, 8, 10)
    with pytest.warns(UserWarning, match='not parallel and equally spaced'):
        write_nifti(tmp_path / 'image.nii', img, header(positions, [0, 1, 2] * (len(heights) // 3)))
