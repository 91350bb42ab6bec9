"""Coil images of the center of k-space, of the scan itself or of calibration data."""

import pytest
import torch
from mrpro.data import Rotation, SpatialDimension
from mrpro_lambda.coil_maps import calibration_images, center_images, windowed
from mrpro_lambda.raw_data import standardize, upsample

from tests.coil_maps.cases import N, coil_images, kspace, radial_scan, scan
from tests.helper import relative_image_difference


def center_of(images: torch.Tensor, width: int) -> torch.Tensor:
    """Images of the central square of k-space."""
    part = slice(N // 2 - width // 2, N // 2 - width // 2 + width)
    mask = torch.zeros(N, N)
    mask[part, part] = 1
    return _images(kspace(images) * mask)


def _images(k: torch.Tensor) -> torch.Tensor:
    """Images of k-space on its grid."""
    return torch.fft.fftshift(
        torch.fft.ifftn(torch.fft.ifftshift(k, dim=(-2, -1)), dim=(-2, -1), norm='ortho'), dim=(-2, -1)
    )


@pytest.mark.parametrize('width', [12, 15, N])
def test_images_have_the_center_and_nothing_else(width: int) -> None:
    images = coil_images()
    found = center_images(scan(images), SpatialDimension(1, width, width))
    torch.testing.assert_close(found.data, center_of(images, width), atol=1e-4, rtol=0)


def test_repeated_lines_are_averaged() -> None:
    images = coil_images()
    found = center_images(scan(images, [*range(-8, 8), -1, 0, 0]), SpatialDimension(1, 16, 16))
    torch.testing.assert_close(found.data, center_of(images, 16), atol=1e-4, rtol=0)


def test_center_of_spokes_is_that_of_the_image() -> None:
    images = coil_images(3)
    found = center_images(radial_scan(images, 40), SpatialDimension(1, 16, 16))
    inner = slice(N // 2 - 6, N // 2 + 6)
    difference = relative_image_difference(kspace(found.data)[..., inner, inner], kspace(images)[..., inner, inner])
    assert difference < 0.02


@pytest.mark.parametrize(('width', 'oversampling'), [(16, 1), (16, 2), (0, 2)])
def test_calibration_of_another_matrix_gives_the_center_of_the_scan(width: int, oversampling: int) -> None:
    images = coil_images()
    found, widths = calibration_images(
        scan(images, width=width, oversampling=oversampling), scan(images, range(-16, 16, 3))
    )
    assert widths.zyx == (1, width or N, width or N)
    difference = relative_image_difference(found.data, center_of(images, width or N))
    assert difference < (0.05 if oversampling > 1 else 1e-4)  # samples between those of the image


def test_calibration_is_on_the_refined_grid_of_the_scan() -> None:
    images = coil_images()
    found, widths = calibration_images(scan(images, width=16), upsample(scan(images, range(-16, 16, 3)), 2))
    assert widths.zyx == (1, 16, 16)
    coarse = 2 * found.data[..., ::2, ::2]  # the same voxels, as both grids have their center at n // 2
    torch.testing.assert_close(coarse, center_of(images, 16), atol=1e-4, rtol=0)


def test_oversampling_of_the_scan_may_be_removed_or_not() -> None:
    images = coil_images()
    calibration = scan(images, range(-8, 8), oversampling=2)
    kdata = scan(images, range(-16, 16, 3), oversampling=2)
    found, _ = calibration_images(calibration, kdata)
    removed, _ = calibration_images(standardize(calibration), standardize(kdata))
    assert relative_image_difference(removed.data, found.data) < 1e-3


def test_slices_are_matched_by_position() -> None:
    images = torch.cat([coil_images(seed=s) * (s + 1) for s in range(3)])
    order = [2, 0, 1]
    calibration = scan(images[order], width=16, positions=[0.01 * i for i in order])
    found, _ = calibration_images(calibration, scan(images, range(-16, 16, 3)))
    torch.testing.assert_close(found.data, center_of(images, 16), atol=1e-4, rtol=0)


def test_slices_without_positions_are_matched_by_their_counter() -> None:
    images = torch.cat([coil_images(seed=s) * (s + 1) for s in range(3)])
    kdata = scan(images, range(-16, 16, 3), positions=[0.0] * 3)
    found, _ = calibration_images(scan(images, width=16, positions=[0.0] * 3), kdata)
    torch.testing.assert_close(found.data, center_of(images, 16), atol=1e-4, rtol=0)


def test_all_contrasts_of_a_slice_get_its_calibration() -> None:
    images = coil_images()
    kdata = scan(torch.cat([images, 2 * images]), range(-16, 16, 3), positions=[0.0, 0.0])
    found, _ = calibration_images(scan(images, width=16), kdata)
    torch.testing.assert_close(found.data, center_of(images, 16).expand(2, -1, -1, -1, -1), atol=1e-4, rtol=0)


def test_calibration_of_other_data_is_refused() -> None:
    images = coil_images()
    kdata = scan(images, range(-16, 16, 3))
    with pytest.raises(ValueError, match='the 6 coils of the scan, got 5'):
        calibration_images(scan(images[:, :5]), kdata)
    with pytest.raises(ValueError, match=r'field of view of the scan.*0.25'):
        calibration_images(scan(images, fov=0.25), kdata)
    with pytest.raises(ValueError, match=r'positions of the scan.*0.02'):
        calibration_images(scan(images, positions=[0.02]), kdata)
    turned = Rotation.from_euler('x', torch.tensor([0.3]), degrees=False).reshape(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match='orientation of the scan'):
        calibration_images(scan(images, orientation=turned), kdata)
    with pytest.raises(ValueError, match='at least 8 samples'):
        calibration_images(scan(images, width=6), kdata)
    with pytest.raises(ValueError, match='finite'):
        calibration_images(scan(images * torch.nan), kdata)
    with pytest.raises(ValueError, match='all zero'):
        calibration_images(scan(images * 0), kdata)


def test_window_is_smooth_and_keeps_full_axes() -> None:
    images = windowed(center_images(scan(coil_images()), SpatialDimension(1, 12, N)), SpatialDimension(1, 12, N))
    ratio = kspace(images.data) / kspace(coil_images())
    weight = torch.cos(torch.pi * torch.arange(-6, 6) / 13).square()
    expected = weight.expand(N, 12).mT + 0j
    torch.testing.assert_close(ratio[0, 0, 0, N // 2 - 6 : N // 2 + 6], expected, atol=1e-2, rtol=0)
    torch.testing.assert_close(ratio[0, 0, 0, : N // 2 - 6].abs().max(), torch.tensor(0.0), atol=1e-2, rtol=0)
