"""Tests that all files show one image: a marked pixel is at its place in the patient, and pictures have the same rows.

Expected places are calculated here from the header, without the code of the package.
"""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from mrpro.data import IData, IHeader
from mrpro_lambda.export import ImageFiles, Volumes, write_dicom, write_images, write_movie, write_nifti
from mrpro_lambda.export.dicom import Storage
from mrpro_lambda.plotting import plot_comparison
from PIL import Image

from tests.export.cases import CENTER, PHASE, READOUT, SLICE, header, result

HEIGHTS = [0, 2, 1]
"""Order in which slices were acquired."""
N_Y, N_X = 7, 10
MARKS = [(0, 1, 2), (1, 5, 8), (2, 3, 0)]
"""Image, row and column of pixels with the values 10, 20 and 30."""


def marked() -> torch.Tensor:
    """Three slices that are asymmetric, with marked pixels."""
    img = torch.arange(N_Y)[:, None] + 0.1 * torch.arange(N_X).repeat(3, 1, 1, 1, 1)
    for value, (image, y, x) in enumerate(MARKS, start=1):
        img[image, 0, 0, y, x] = 10 * value
    return img


def place(image: int, y: int, x: int) -> np.ndarray:
    """Place of a pixel in mm along left, posterior and superior, for voxels of 5 x 3 x 2 mm in steps of 7 mm."""
    center = 1e3 * CENTER + 7 * HEIGHTS[image] * SLICE
    return (center + 2 * (x - N_X // 2) * READOUT + 3 * (y - N_Y // 2) * PHASE).double().numpy()


def oblique_header() -> IHeader:
    return header(CENTER + 0.007 * torch.tensor(HEIGHTS)[:, None] * SLICE, [0, 1, 2])


def dicom_frames(folder: Path, storage: Storage) -> list[tuple[np.ndarray, ...]]:
    """Values, position, orientation and pixel spacing of each frame."""
    frames = []
    for file in map(pydicom.dcmread, sorted(folder.iterdir())):
        groups = [file] if storage == 'single' else file.PerFrameFunctionalGroupsSequence
        for pixels, group in zip(file.pixel_array.reshape(-1, N_Y, N_X), groups, strict=True):
            plane = {e.keyword: np.array(e.value, dtype=float) for e in group.iterall() if e.VR == 'DS' and e.VM > 1}
            names = 'ImagePositionPatient', 'ImageOrientationPatient', 'PixelSpacing'
            frames.append((pixels, *(plane[name] for name in names)))
    return frames


@pytest.mark.parametrize('storage', ['single', 'enhanced'])
def test_marked_pixels_are_at_their_place_in_dicom_files(tmp_path: Path, storage: Storage) -> None:
    """The equation is that of PS3.3, C.7.6.2.1.1."""
    write_dicom(tmp_path / 'dicom', marked(), oblique_header(), storage=storage)
    frames = dicom_frames(tmp_path / 'dicom', storage)
    largest = [frames[i] for i in (0, 2, 1)]  # in the order of the positions
    scale = largest[2][0].max() / 30
    for value, (image, *_), (pixels, position, orientation, spacing) in zip((10, 20, 30), MARKS, largest, strict=True):
        row, column = np.unravel_index(pixels.argmax(), pixels.shape)
        assert pixels[row, column] / scale == pytest.approx(value, rel=1e-3)
        found = position + column * spacing[1] * orientation[:3] + row * spacing[0] * orientation[3:]
        np.testing.assert_allclose(found, place(*MARKS[image]), rtol=0, atol=1e-4)


def test_marked_pixels_are_at_their_place_in_a_nifti_file(tmp_path: Path) -> None:
    write_nifti(tmp_path / 'image.nii.gz', marked(), oblique_header())
    nifti = nibabel.Nifti1Image.from_filename(tmp_path / 'image.nii.gz')
    for value, mark in zip((10, 20, 30), MARKS, strict=True):
        right, anterior, superior = np.linalg.inv(nifti.affine)[:3] @ [*(place(*mark) * [-1, -1, 1]), 1]
        np.testing.assert_allclose(index := np.array([right, anterior, superior]), index.round(), atol=1e-4)
        assert np.asarray(nifti.dataobj)[tuple(index.round().astype(int))] == value


def test_mrpro_reads_the_same_places(tmp_path: Path) -> None:
    """mrpro takes the rows as x. Its position is that between the pixels, half a pixel away for odd numbers."""
    write_dicom(tmp_path / 'dicom', marked()[..., :6, :], oblique_header())
    idata = IData.from_dicom_folder(tmp_path / 'dicom')
    values = idata.data.real.swapaxes(-1, -2)
    torch.testing.assert_close(values / values.max(), marked()[[0, 2, 1], ..., :6, :] / 30, rtol=1e-4, atol=1e-3)
    positions = torch.stack(torch.broadcast_tensors(*idata.header.position.zyx[::-1]), -1)[:, 0, 0, 0, 0]
    expected = CENTER + 0.007 * torch.arange(3)[:, None] * SLICE
    torch.testing.assert_close(positions, expected, rtol=0, atol=1e-5)


def test_pictures_have_the_rows_of_dicom_files(tmp_path: Path) -> None:
    img = marked()
    write_dicom(tmp_path / 'dicom', img, oblique_header())
    volumes = Volumes.of(img, oblique_header())
    pixels = pydicom.dcmread(tmp_path / 'dicom' / '0002.dcm').pixel_array
    (figure_img,) = plot_comparison({'a': volumes.shown(img)}).axes[0].images
    shown = np.asarray(figure_img.get_array())
    np.testing.assert_allclose(shown / shown.max(), pixels / pixels.max(), atol=1e-4)

    write_movie(tmp_path / 'movie.gif', volumes.img[0])
    repeats = -(-256 // N_Y)
    with Image.open(tmp_path / 'movie.gif') as movie:
        for frame, expected in enumerate(volumes.img[0]):
            movie.seek(frame)
            picture = np.asarray(movie.convert('L'))[repeats // 2 :: repeats, repeats // 2 :: repeats]
            np.testing.assert_allclose(picture, expected * 255 / 30, atol=1)


def test_pictures_show_the_middle_of_the_positions(tmp_path: Path) -> None:
    """Not that of the order of acquisition, nor of slices and times taken together."""
    scan = result(n_images=6, slices=[0, 2, 1, 0, 2, 1])
    volumes = Volumes.of(scan.img, scan.idata.header)
    assert volumes.img.shape[:2] == (2, 3)
    torch.testing.assert_close(volumes.shown(scan.img), scan.img[5, 0, 0])
    torch.testing.assert_close(volumes.middle(), scan.img[[2, 5], 0, 0])
    assert write_images(tmp_path, scan, ImageFiles(('magnitude',)))
