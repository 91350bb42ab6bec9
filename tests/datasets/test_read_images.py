"""Tests of the readers of images."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import scipy.io
import torch
from mrpro_lambda.datasets import ImageSource, read_images

VOLUME = np.random.default_rng(0).integers(1, 200, (4, 6, 5)).astype(np.uint8)


def scaled(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image / image.max(), dtype=torch.float32)


def assert_images(images: list[torch.Tensor], expected: list[np.ndarray]) -> None:
    assert len(images) == len(expected)
    for image, reference in zip(images, expected, strict=True):
        assert image.dtype == torch.float32
        torch.testing.assert_close(image, scaled(reference))


def save_nifti(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', VOLUME)
    assert_images(read_images(tmp_path / 'a.npy'), list(VOLUME))
    assert_images(read_images(str(tmp_path / 'a.npy')), list(VOLUME))
    assert_images(read_images(ImageSource(tmp_path / 'a.npy', slices=[2, -1])), [VOLUME[2], VOLUME[3]])
    assert_images(read_images(ImageSource(tmp_path / 'a.npy', slices=slice(1, None, 2))), [VOLUME[1], VOLUME[3]])
    assert_images(read_images(ImageSource(tmp_path / 'a.npy', axis=1, slices=(3,))), [np.moveaxis(VOLUME, 1, 0)[3]])
    np.save(tmp_path / 'b.npy', VOLUME[0])
    assert_images(read_images(tmp_path / 'b.npy'), [VOLUME[0]])


def test_mat(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / 'a.mat', {'image': VOLUME.astype(np.float64)})
    assert_images(read_images(tmp_path / 'a.mat'), [VOLUME[..., i] for i in range(5)])
    scipy.io.savemat(tmp_path / 'b.mat', {'image': VOLUME[0]})
    assert_images(read_images(tmp_path / 'b.mat'), [VOLUME[0]])


def test_npz(tmp_path: Path) -> None:
    ids = np.array(['a-1-x', 'a-1-y', 'a-10-x', 'b'])
    np.savez(tmp_path / 'a.npz', images=VOLUME, ids=ids)
    assert_images(read_images(tmp_path / 'a.npz'), list(VOLUME))
    assert_images(read_images(ImageSource(tmp_path / 'a.npz', ids=['a-1'])), [VOLUME[0], VOLUME[1]])
    assert_images(read_images(ImageSource(tmp_path / 'a.npz', ids=('b', 'a-10-x'))), [VOLUME[2], VOLUME[3]])
    assert_images(read_images(ImageSource(tmp_path / 'a.npz', slices=[3])), [VOLUME[3]])
    np.savez(tmp_path / 'b.npz', images=VOLUME)
    assert len(read_images(tmp_path / 'b.npz')) == 4


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
def test_nifti_orientations(tmp_path: Path, name: str) -> None:
    """Rows run from superior or anterior downwards, columns from left or posterior, whatever the storage order."""
    save_nifti(tmp_path / name, VOLUME, np.eye(4))
    for axis, n in enumerate(VOLUME.shape):
        expected = [np.moveaxis(VOLUME, axis, 0)[i].T[::-1] for i in range(n)]
        assert_images(read_images(ImageSource(tmp_path / name, axis=axis)), expected)
    assert len(read_images(tmp_path / name)) == 5
    stored = VOLUME.transpose(2, 0, 1)[::-1]  # axes: inferior to superior reversed, right, anterior
    affine = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    save_nifti(tmp_path / ('b' + name), stored, affine)
    assert_images(read_images(ImageSource(tmp_path / ('b' + name), axis=2)), [VOLUME[..., i].T[::-1] for i in range(5)])


def test_resizing(tmp_path: Path) -> None:
    """The longer axis gets the size, the shorter one is padded symmetrically; means are kept by anti-aliasing."""
    y, x = np.meshgrid(np.arange(64), np.arange(32), indexing='ij')
    checkerboard = ((y + x) % 2).astype(np.float32)
    np.save(tmp_path / 'a.npy', np.stack([np.ones((64, 32), np.float32), 1 + checkerboard]))
    flat, aliased = read_images(ImageSource(tmp_path / 'a.npy', size=20))
    assert flat.shape == aliased.shape == (20, 20)
    for image in (flat, aliased):
        assert (image[:, :5] == 0).all()
        assert (image[:, 15:] == 0).all()
        assert (image[:, 5:15] > 0.9).all()  # the checkerboard is averaged to a constant
        assert image.max() == 1
    (larger,) = read_images(ImageSource(tmp_path / 'a.npy', size=100, slices=[0]))
    assert larger.shape == (100, 100)
    (same,) = read_images(ImageSource(tmp_path / 'a.npy', size=64, slices=[1]))
    torch.testing.assert_close(same[:, 16:48], torch.tensor((1 + checkerboard) / 2))


def test_slices_with_little_tissue_are_skipped(tmp_path: Path) -> None:
    volume = np.zeros((4, 10, 10), np.float32)
    volume[1, :2] = 1.0  # 20 % of the pixels
    volume[2, :5] = 0.5  # 50 %
    volume[3, :] = 0.05  # below a tenth of the maximum
    np.save(tmp_path / 'a.npy', volume)
    assert_images(read_images(ImageSource(tmp_path / 'a.npy', min_tissue=0.3)), [volume[2]])
    assert_images(read_images(ImageSource(tmp_path / 'a.npy', min_tissue=0.2)), [volume[1], volume[2]])
    with pytest.raises(ValueError, match='zero everywhere, image 0'):
        read_images(tmp_path / 'a.npy')
    with pytest.raises(ValueError, match='At least one image'):
        read_images(ImageSource(tmp_path / 'a.npy', min_tissue=0.9))


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (VOLUME * 1j, r'real array.*complex128 of shape \(4, 6, 5\)'),
        (VOLUME[0, 0], r'2 or 3 axes.*\(5,\)'),
        (VOLUME[:0], 'real array'),
        (VOLUME - 150.0, 'non-negative'),
        (VOLUME * np.nan, 'finite'),
        (np.array([['a', 'b']]), 'real array'),
    ],
)
def test_arrays_that_are_no_magnitude_images(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / 'a.npy', array)
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path / 'a.npy')


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='existing file'):
        read_images(tmp_path / 'missing.npy')
    (tmp_path / 'a.txt').write_text('1')
    with pytest.raises(ValueError, match='must end with'):
        read_images(tmp_path / 'a.txt')
    scipy.io.savemat(tmp_path / 'a.mat', {'other': VOLUME})
    with pytest.raises(ValueError, match="key 'image', it has \\['other'\\]"):
        read_images(tmp_path / 'a.mat')
    np.savez(tmp_path / 'a.npz', img=VOLUME)
    with pytest.raises(ValueError, match="key 'images', it has \\['img'\\]"):
        read_images(tmp_path / 'a.npz')
    np.savez(tmp_path / 'b.npz', images=VOLUME, ids=['a', 'b'])
    with pytest.raises(ValueError, match='one id per image'):
        read_images(tmp_path / 'b.npz')


def test_bad_selections(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    np.savez(path, images=VOLUME, ids=['a', 'b', 'c', 'd'])
    np.save(tmp_path / 'a.npy', VOLUME)
    for source, message in [
        (ImageSource(path, ids=['a', 'z']), r"\['z'\] are not"),
        (ImageSource(path, slices=[4]), r'slices must be in \[-4, 4\)'),
        (ImageSource(path, slices=slice(7, 9)), 'selects none'),
        (ImageSource(path, axis=1), 'axis must be 0'),
        (ImageSource(tmp_path / 'a.npy', axis=3), r'axis must be in \[-3, 3\)'),
        (ImageSource(tmp_path / 'a.npy', ids=['a']), 'npz'),
    ]:
        with pytest.raises(ValueError, match=message):
            read_images(source)


@pytest.mark.parametrize('name', ['a.npy', 'a.npz', 'a.mat', 'a.nii.gz'])
@pytest.mark.parametrize(
    'content', [b'', b'text', b'PK\x03\x04', b'\x93NUMPY\x01\x00', b'\x1f\x8b\x08\x00', bytes(400)]
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever the libraries raise is one error that names the file."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f'{name} can not be read'):
        read_images(tmp_path / name)


def test_values_that_overflow(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', np.full((8, 8), 1e300))
    with pytest.raises(ValueError, match='must be finite'):
        read_images(tmp_path / 'a.npy')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'slices': [1], 'ids': ['a']}, 'not both'),
        ({'ids': 'a'}, 'ids must be a list, each text'),
        ({'ids': []}, 'at least one'),
        ({'size': 0}, 'size'),
        ({'min_tissue': 1.0}, 'min_tissue'),
    ],
)
def test_bad_sources(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSource('a.npy', **arguments)
