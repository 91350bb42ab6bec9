"""Denoising of images and series."""

import math
from typing import Any

import pytest
import torch
from mrpro.algorithms.denoiser import total_variation_denoising
from mrpro.data import IData
from mrpro.utils import RandomGenerator
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.reconstruction import adaptive_total_variation_denoising, estimate_image_noise
from mrpro_lambda.weighting import ActivityWeight, FittedToScan, NoiseWeight, Sure

from tests.reconstruction.cases import cartesian_kdata

SERIES = (6, 1, 1, 20, 18)


def moving_box(shape: tuple[int, ...] = SERIES, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    img = torch.zeros(shape, dtype=dtype)
    for i in range(shape[0]):
        value = torch.tensor(1 + 0.5j if dtype.is_complex else 1.0, dtype=dtype)
        img[i, ..., 4 : 10 + min(i, shape[0] - i), 5:13] = value
    return img


def noisy(sigma: float = 0.2, dtype: torch.dtype = torch.complex128, seed: int = 0) -> torch.Tensor:
    img = moving_box(dtype=dtype)
    return img + sigma * RandomGenerator(seed).randn_tensor(img.shape, dtype)


def error(img: torch.Tensor) -> float:
    return (img - moving_box(tuple(img.shape), img.dtype)).norm().item()


@pytest.mark.parametrize('dtype', [torch.complex64, torch.float32], ids=['complex', 'real'])
@pytest.mark.parametrize(
    ('dim', 'weight'), [((-2, -1), (0.1, 0.1)), ((-5, -2, -1), (0.2, 0.1, 0.05)), ((0, 4), (0.1, 0.2))]
)
def test_equals_mrpro(dim: tuple[int, ...], weight: tuple[float, ...], dtype: torch.dtype) -> None:
    """With half the weight, as its data term has no factor 1/2, and its boundary."""
    img = noisy(dtype=dtype)[:4, ..., 2:14, 3:15]
    expected = total_variation_denoising(img, dim, [2 * w for w in weight], max_iterations=600)
    double = img.to(torch.complex128 if dtype.is_complex else torch.float64)
    found = adaptive_total_variation_denoising(
        double, dim, weight, tolerance=1e-5, max_iterations=5000, boundary='zero'
    )
    torch.testing.assert_close(found.to(dtype), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize('sigma', [0.05, 0.3])
@pytest.mark.parametrize('dtype', [torch.complex64, torch.float64], ids=['complex', 'real'])
@pytest.mark.parametrize('shape', [(6, 1, 1, 40, 36), (2, 1, 3, 64, 64), (3, 2, 1, 300, 1)])
def test_noise_of_images(shape: tuple[int, ...], dtype: torch.dtype, sigma: float) -> None:
    """Within 10 %, in spite of edges; pixels that were masked do not count."""
    img = moving_box(shape, dtype)
    img = img + sigma * RandomGenerator(1).randn_tensor(shape, dtype) * (1 if dtype.is_complex else math.sqrt(1.0))
    variance = (img - moving_box(shape, dtype)).abs().square().mean((-3, -2, -1), keepdim=True)
    expected = variance.sqrt()
    img[..., : shape[-2] // 3, :] = 0
    found = estimate_image_noise(img)
    assert found.shape == (*shape[:-3], 1, 1, 1)
    torch.testing.assert_close(found, expected, rtol=0.2, atol=0)
    together = estimate_image_noise(img, (-5, -2, -1))
    assert together.shape == (1, shape[1], 1, 1, 1)
    torch.testing.assert_close(together.mean(), expected.mean(), rtol=0.1, atol=0)
    torch.testing.assert_close(estimate_image_noise(100 * img), 100 * found)


def test_noise_of_an_image_without_any() -> None:
    with pytest.raises(ValueError, match=r'can not be estimated .* got shape \(1, 1, 8, 8\)'):
        estimate_image_noise(torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match='with 2 pixels along y or x'):
        estimate_image_noise(torch.ones(3, 1, 8, 1, 1))


@pytest.mark.parametrize('dtype', [torch.complex128, torch.float64], ids=['complex', 'real'])
@pytest.mark.parametrize(
    'weight',
    [
        None,
        Sure(n_weights=8),
        NoiseWeight([0.5, 0.5]),
        FittedToScan(ActivityWeight(2), n_steps=5, n_iterations=8, safeguard=False),
    ],
    ids=['default', 'SURE', 'noise', 'fitted'],
)
def test_weights_remove_noise(weight: Any, dtype: torch.dtype) -> None:
    """Of a series whose noise level is estimated, and alike in other units."""
    img = noisy(dtype=dtype)
    found = adaptive_total_variation_denoising(img, (-5, -2, -1), weight, boundary=('circular', 'neumann', 'neumann'))
    assert found.dtype == dtype
    assert error(found) < 0.6 * error(img)
    scaled = adaptive_total_variation_denoising(
        1e3 * img, (-5, -2, -1), weight, boundary=('circular', 'neumann', 'neumann')
    )
    torch.testing.assert_close(scaled / 1e3, found, rtol=1e-2, atol=1e-2)


def test_network_and_map() -> None:
    net = LambdaNet(UNet(3, 2, 2, n_features=2), dim=(-5, -2, -1), initial_scale=0.1).double()
    img = noisy()
    with torch.no_grad():
        lambda_map = net(img)
    found = adaptive_total_variation_denoising(img, (-5, -2, -1), net)
    torch.testing.assert_close(found, adaptive_total_variation_denoising(img, (-5, -2, -1), lambda_map), rtol=0, atol=0)
    assert not found.requires_grad


def test_image_data_and_tensors_of_other_shapes() -> None:
    kdata = cartesian_kdata()
    data = RandomGenerator(0).complex64_tensor((2, 1, 1, 12, 10))
    idata = IData.from_tensor_and_kheader(data, kdata.header)
    found = adaptive_total_variation_denoising(idata, (-2, -1), 0.1)
    assert isinstance(found, IData)
    assert found.header is idata.header
    expected = adaptive_total_variation_denoising(data, (-2, -1), 0.1)
    torch.testing.assert_close(found.data, expected, rtol=0, atol=0)
    assert torch.equal(idata.data, data)
    plane = adaptive_total_variation_denoising(data[0, 0, 0], (0, 1), 0.1)
    torch.testing.assert_close(plane, adaptive_total_variation_denoising(data[:1], (-2, -1), 0.1)[0, 0, 0])
    again = adaptive_total_variation_denoising(data, (-2, -1), 0.1, initial_image=torch.zeros_like(data))
    torch.testing.assert_close(again, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ('change', 'error_type', 'message'),
    [
        ({'idata': [1.0]}, TypeError, 'idata must be IData or Tensor, got list'),
        ({'idata': torch.full(SERIES, torch.nan)}, ValueError, r'idata must be finite, got 2160 NaN or Inf'),
        ({'idata': noisy()[:1]}, ValueError, r'need at least two frames, but the axes \[-5\] .* \(1, 1, 1, 20, 18\)'),
        ({'regularization_dim': (-6, -1)}, ValueError, r'must be axes of the image, got regularization_dim=\(-6, -1\)'),
        ({'regularization_dim': (-1, 4)}, ValueError, 'each axis once'),
        ({'regularization_weight': -1.0}, ValueError, 'finite and not negative'),
        ({'regularization_weight': [0.1, 0.2, 0.3, 0.4]}, ValueError, 'must be a number, 2 number'),
        ({'initial_image': torch.zeros(3)}, ValueError, r'initial_image must have the shape of the image, got \(3,\)'),
        ({'noise_std': -1.0, 'regularization_weight': NoiseWeight(1.0)}, ValueError, 'noise_std must be positive'),
        ({'boundary': ('circular', 'neumann')}, ValueError, 'one for each axis of dim'),
    ],
)
def test_invalid_calls(change: dict[str, Any], error_type: type[Exception], message: str) -> None:
    given: dict[str, Any] = {'idata': noisy(), 'regularization_dim': (-5, -2, -1), 'regularization_weight': 0.1}
    with pytest.raises(error_type, match=message):
        adaptive_total_variation_denoising(**given | change)


def test_warning_without_convergence() -> None:
    with pytest.warns(UserWarning, match='has not reached its tolerance: after 3 iterations'):
        adaptive_total_variation_denoising(noisy(), (-5, -2, -1), 1.0, max_iterations=3, tolerance=1e-9)
