"""Tests of the images of a result as files."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from matplotlib.figure import Figure
from mrpro_lambda.export import ImageFiles, write_images

from tests.export.cases import result

ALL = ImageFiles(('magnitude', 'phase', 'complex', 'map', 'residual'))


@pytest.fixture(autouse=True)
def empty_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty figures, as drawing them takes most of the time. Those of the command line are drawn."""
    monkeypatch.setattr(Figure, 'savefig', lambda _, path, **__: path.touch())


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.suffix != '.dcm'}


def nifti(path: Path) -> np.ndarray:
    return np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj).T


def test_default_files_of_a_series(tmp_path: Path) -> None:
    assert write_images(tmp_path, result())
    files = {'image.nii.gz', 'lambda_map.nii.gz', 'image.png', 'lambda_map.png', 'movie.gif'}
    assert names(tmp_path) == files | {'dicom', 'dicom/image', 'dicom/lambda_map'}
    assert len(list((tmp_path / 'dicom' / 'image').iterdir())) == 3


def test_each_kind_is_what_it_says(tmp_path: Path) -> None:
    scan = result()
    assert write_images(tmp_path, scan, ALL)
    img, residual = scan.img[:, 0, 0], scan.residual
    assert residual is not None
    assert scan.lambda_map is not None
    expected = {
        'image': img.abs(),
        'image_phase': img.angle(),
        'image_complex': img,
        'lambda_map': scan.lambda_map[0, :, 0, 0],
        'residual': residual[:, 0, 0].abs(),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(nifti(tmp_path / f'{name}.nii.gz')[:, 0], values, rtol=1e-6)
        if name == 'image_complex':
            continue
        files = [pydicom.dcmread(path) for path in sorted((tmp_path / 'dicom' / name).iterdir())]
        slope = files[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
        stored = np.stack([file.pixel_array for file in files])
        np.testing.assert_allclose(stored * slope, values, rtol=0, atol=0.501 * slope)
    series = [next(folder.iterdir()) for folder in (tmp_path / 'dicom').iterdir()]
    headers = [pydicom.dcmread(path) for path in series]
    assert len({file.StudyInstanceUID for file in headers}) == len({file.FrameOfReferenceUID for file in headers}) == 1
    assert len({file.SeriesInstanceUID for file in headers}) == len({file.SeriesNumber for file in headers}) == 4
    assert {'image.png', 'lambda_map.png', 'residual.png', 'movie.gif'} <= names(tmp_path)


def test_enhanced_files_and_none(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    write_images(tmp_path / 'a', result(), ImageFiles(('magnitude',), dicom='enhanced', movie=False))
    assert names(tmp_path / 'a') == {'dicom', 'dicom/image', 'image.nii.gz', 'image.png'}
    assert [path.name for path in (tmp_path / 'a' / 'dicom' / 'image').iterdir()] == ['image.dcm']
    write_images(tmp_path / 'b', result(), ImageFiles(('map',), dicom=None))
    assert names(tmp_path / 'b') == {'lambda_map.nii.gz', 'lambda_map.png', 'image.png', 'movie.gif'}


def test_slices_are_no_series(tmp_path: Path) -> None:
    write_images(tmp_path, result(slices=[0, 2, 1]))
    assert 'movie.gif' not in names(tmp_path)


def test_coils_that_were_not_combined(tmp_path: Path) -> None:
    """The noise of a residual stays that of one coil."""
    scan = result(n_images=1, n_coils=2)
    write_images(tmp_path, scan, ALL)
    assert scan.residual is not None
    np.testing.assert_allclose(nifti(tmp_path / 'image.nii.gz'), scan.img[0].abs().square().sum(0).sqrt(), rtol=1e-6)
    np.testing.assert_allclose(
        nifti(tmp_path / 'residual.nii.gz'), scan.residual[0].abs().square().mean(0).sqrt(), rtol=1e-6
    )
    for coil in range(2):
        np.testing.assert_array_equal(nifti(tmp_path / f'image_complex_{coil}.nii.gz'), scan.img[0, coil])
        assert (tmp_path / 'dicom' / f'image_phase_{coil}' / '0001.dcm').exists()


def test_what_files_can_not_tell_is_a_note(tmp_path: Path) -> None:
    scan = result(n_images=3, slices=[0, 1, 3], residual=None)
    with pytest.warns(UserWarning, match='not parallel|no residual') as caught:
        write_images(tmp_path, scan, ALL)
    assert len(caught) == 2
    assert scan.notes == [str(w.message) for w in caught]


def test_the_same_result_gives_the_same_files(tmp_path: Path) -> None:
    for name in 'ab':
        (tmp_path / name).mkdir()
        write_images(tmp_path / name, result(), ALL)
    first, second = (sorted((tmp_path / name).rglob('*.dcm')) for name in 'ab')
    assert len(first) == 12
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_constant_map_is_not_written(tmp_path: Path) -> None:
    scan = result()._replace(lambda_map=torch.ones(1, 1, 1, 1, 1, 1))
    write_images(tmp_path, scan)
    assert not any('lambda' in name for name in names(tmp_path))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kinds': ('magnitude', 'real')}, "kinds must be some of .*'real'"),
        ({'kinds': ()}, 'kinds must be some of'),
        ({'dicom': 'multi'}, "dicom must be one of .*'multi'"),
    ],
)
def test_invalid_choices_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageFiles(**options)


def test_equal_slices_are_all_written(tmp_path: Path) -> None:
    """mrpro keeps one of them in the data, but the places of all in the header."""
    given = result(slices=[0, 1, 2])
    assert given.lambda_map is not None
    shape = given.lambda_map.shape
    write_images(tmp_path, given._replace(img=given.img[:1], lambda_map=given.lambda_map[:, :1]))
    assert shape[1] == 3
    assert nifti(tmp_path / 'image.nii.gz').shape[0] == 3
