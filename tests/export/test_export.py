"""Tests of the output folder and of the geometry of images in files."""

import json
import math
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from mrpro.data import IData, IHeader, Rotation, SpatialDimension
from mrpro.utils import RandomGenerator
from mrpro_lambda.export import json_text, output_folder, write_dicom, write_nifti

READOUT, PHASE, SLICE = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]])
CENTER = torch.tensor([0.01, 0.02, 0.03])


def header(positions: torch.Tensor, slices: list[int]) -> IHeader:
    """Header of oblique images with given centers in m, shape (n, 3) along x, y and z."""
    x, y, z = (p.reshape(-1, 1, 1, 1, 1) for p in positions.unbind(-1))
    directions = [SpatialDimension(*d.flip(0)[:, None, None, None, None, None]) for d in (SLICE, PHASE, READOUT)]
    result = IHeader(resolution=SpatialDimension(0.005, 0.003, 0.002), position=SpatialDimension(z, y, x))
    result.orientation = Rotation.from_directions(*directions)
    result.idx.slice = torch.tensor(slices).reshape(-1, 1, 1, 1, 1)
    return result


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
    write_nifti(tmp_path / 'slices.nii', slices, header(CENTER[None], [0, 1, 2]))
    nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'slices.nii')
    assert nifti.shape == (10, 8, 3)
    torch.testing.assert_close(world(nifti, 5, 4, 2) - CENTER, 2 * 0.005 * SLICE, rtol=0, atol=1e-6)


def test_dicom_files_of_a_series_have_one_scale(tmp_path: Path) -> None:
    img = 1 + RandomGenerator(seed=2).float32_tensor((2, 1, 4, 8, 10))
    img[1] *= 0.01
    write_dicom(tmp_path / 'dicom', IData(img, header(CENTER.expand(2, 3), [0, 0])))
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / 'dicom').iterdir())]
    assert [file.NumberOfFrames for file in files] == [4, 4]
    slopes = [f.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope for f in files]
    assert slopes[0] == slopes[1]
    for file, expected in zip(files, img, strict=True):
        values = file.pixel_array.swapaxes(1, 2) * float(slopes[0])  # mrpro writes x along the rows
        np.testing.assert_allclose(values, expected[0], rtol=0, atol=1.01 * float(slopes[0]))


def write(folder: Path) -> None:
    (folder / 'a').mkdir()
    (folder / 'a' / 'b').write_text('text')


@pytest.mark.parametrize('exists', [False, True])
def test_folder_appears_at_the_end(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / 'new' / 'out'
    if exists:
        output.mkdir(parents=True)
    with output_folder(output) as folder:
        write(folder)
        assert folder.parent == output.parent
        assert not output.exists() or not any(output.iterdir())
    assert (output / 'a' / 'b').read_text() == 'text'
    assert [p.name for p in output.parent.iterdir()] == ['out']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with output_folder(tmp_path / 'new' / 'newer' / 'out') as folder:
            write(folder)
            raise error

    with pytest.raises(error):
        interrupted()
    assert not any(tmp_path.iterdir())


def test_folders_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """Those of a run that goes on, and what only looks like one, stay."""
    (tmp_path / '.out-0123abcd' / 'a').mkdir(parents=True)
    (tmp_path / '.out-notes').mkdir()
    (tmp_path / '.outer-0123abcd').mkdir()
    with output_folder(tmp_path / 'out') as first:
        assert not (tmp_path / '.out-0123abcd').exists()
        with pytest.raises(ValueError, match='not empty'), output_folder(tmp_path / 'out') as second:  # noqa: PT012
            assert first != second
            write(first)
            (tmp_path / 'out').mkdir()
            write(tmp_path / 'out')
        assert first.exists()
        shutil.rmtree(tmp_path / 'out')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.out-notes', '.outer-0123abcd', 'out']


def test_report_is_json() -> None:
    """JSON knows neither NaN nor Inf."""
    values = {'a': math.nan, 'b': [math.inf, 1.5, {'c': -math.inf}], 'd': (1, None, 'ü', True)}
    text = json_text(values)
    expected = {'a': None, 'b': [None, 1.5, {'c': None}], 'd': [1, None, 'ü', True]}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert 'ü' in text


def test_center_of_volumes(tmp_path: Path) -> None:
    """The position is that of the pixel n // 2, for odd and even numbers of slices."""
    for n_z in (3, 4, 5):
        volume = torch.ones(1, 1, n_z, 7, 9)
        write_nifti(tmp_path / 'volume.nii', volume, header(CENTER[None], [0]))
        nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'volume.nii')
        torch.testing.assert_close(world(nifti, 4, 3, n_z // 2), CENTER, rtol=0, atol=1e-6)


def test_folder_that_fills_up_in_the_meantime_is_kept(tmp_path: Path) -> None:
    def late() -> None:
        with output_folder(tmp_path / 'out') as folder:
            write(folder)
            (tmp_path / 'out').mkdir()
            (tmp_path / 'out' / 'other').write_text('keep')

    with pytest.raises(ValueError, match='not empty'):
        late()
    assert [p.name for p in tmp_path.iterdir()] == ['out']
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['other']
