"""Wavelet transforms are tight frames of images of any size, and those of PyWavelets where that has them."""

import numpy as np
import pytest
import pywt
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import (
    OrthonormalWaveletTransform,
    UndecimatedWaveletTransform,
    WaveletTransform,
    orthogonal_wavelet,
)

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test

TRANSFORMS = [OrthonormalWaveletTransform, UndecimatedWaveletTransform]
transforms = pytest.mark.parametrize('cls', TRANSFORMS)
wavelets = pytest.mark.parametrize('wavelet', ['haar', 'db2', 'db4', 'sym8', 'coif2'])
SIZES = [((-1,), (2, 16), 2), ((-2, -1), (16, 24), 3), ((-3, -2, -1), (1, 8, 16, 12), 2), ((-3, -1), (8, 3, 12), 2)]


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return RandomGenerator(0).randn_tensor(shape, dtype)


@wavelets
@pytest.mark.parametrize(('dim', 'shape', 'levels'), SIZES)
@pytest.mark.filterwarnings('ignore:Level value of')
def test_orthonormal_coefficients_are_those_of_pywavelets(
    wavelet: str, dim: tuple[int, ...], shape: tuple[int, ...], levels: int
) -> None:
    img = draw(shape)
    (found,) = OrthonormalWaveletTransform(dim, wavelet, levels)(img)
    coefficients = pywt.wavedecn(img.numpy(), wavelet, mode='periodization', level=levels, axes=dim)
    expected, _ = pywt.coeffs_to_array(coefficients, axes=dim)
    torch.testing.assert_close(found, torch.from_numpy(expected)[None], rtol=0, atol=1e-12)


@wavelets
@pytest.mark.parametrize(('dim', 'shape', 'levels'), SIZES)
def test_undecimated_coefficients_are_those_of_pywavelets(
    wavelet: str, dim: tuple[int, ...], shape: tuple[int, ...], levels: int
) -> None:
    img = draw(shape)
    (found,) = UndecimatedWaveletTransform(dim, wavelet, levels)(img)
    approximation, *details = pywt.swtn(img.numpy(), wavelet, levels, axes=dim, norm=True, trim_approx=True)
    expected = np.stack([approximation, *(level[key] for level in details for key in sorted(level))])
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-12)


@transforms
@wavelets
@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128])
@pytest.mark.parametrize('shape', [(2, 1, 1, 7, 9), (1, 1, 5, 13, 4), (16, 16), (4, 4)])
def test_isometry_of_any_size(
    cls: type[WaveletTransform], wavelet: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    r"""The adjoint inverts it: :math:`W^H W = I`; for the orthonormal one :math:`W W^H = I` as well."""
    op = cls((-2, -1), wavelet, 2)
    img = draw(shape, dtype)
    (coefficients,) = op(img)
    assert coefficients.shape == op.coefficient_shape(shape)
    torch.testing.assert_close(op.adjoint(coefficients)[0], img, rtol=0, atol=1e-11)
    other = draw(tuple(coefficients.shape), dtype)
    dotproduct_adjointness_test(op, img, other, 1e-10, 1e-10)
    gradient_of_linear_operator_test(op, img, other, 1e-10, 1e-10)
    if cls is OrthonormalWaveletTransform:
        torch.testing.assert_close(op(op.adjoint(other)[0])[0], other, rtol=0, atol=1e-11)


@transforms
def test_constants_are_in_the_approximation(cls: type[WaveletTransform]) -> None:
    """Filters of details have zero mean; for sizes that are halved without rest."""
    op = cls((-2, -1), 'db4', 2)
    (coefficients,) = op(torch.ones(12, 8, dtype=torch.float64))
    band = coefficients[0, :3, :2] if cls is OrthonormalWaveletTransform else coefficients[0]
    torch.testing.assert_close(band.square().sum(), coefficients.square().sum())
    assert band.square().sum() == pytest.approx(96)


def test_undecimated_transform_commutes_with_shifts() -> None:
    op, img = UndecimatedWaveletTransform((-2, -1), 'db2', 2), draw((7, 9))
    torch.testing.assert_close(op(img.roll((2, 3), (0, 1)))[0], op(img)[0].roll((2, 3), (1, 2)))


@transforms
def test_bands_are_counted_from_the_coarsest(cls: type[WaveletTransform]) -> None:
    """Weights that select a band select its place: details of the finest level, low along y and high along x."""
    op = cls((-2, -1), 'haar', 2)
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    weights = op.weights([one if band == 4 else zero for band in range(op.n_bands)], (8, 12))
    expected = torch.zeros(op.coefficient_shape((8, 12)))
    if cls is OrthonormalWaveletTransform:
        expected[0, :4, 6:] = 1
    else:
        expected[4] = 1
    assert torch.equal(weights, expected)


@pytest.mark.parametrize(('n_y', 'n_x'), [(8, 12), (7, 9), (5, 6)])
def test_weights_are_means_of_the_pixels_below(n_y: int, n_x: int) -> None:
    """Pairs of pairs; the last element of an odd number stands for itself."""
    op, weight = OrthonormalWaveletTransform((-2, -1), 'haar', 2), draw((n_y, n_x)).abs()

    def halved(x: np.ndarray) -> np.ndarray:
        pairs = [x[i : i + 2].mean(0) for i in range(0, len(x), 2)]
        return np.stack(pairs)

    found = op.weights([weight] * 7, (n_y, n_x))[0].numpy()
    first = halved(halved(weight.numpy()).T).T
    second = halved(halved(first).T).T
    (m_y, m_x), (l_y, l_x) = first.shape, second.shape
    np.testing.assert_allclose(found[:m_y, m_x:], first[:, : n_x // 2])
    np.testing.assert_allclose(found[m_y:, :m_x], first[: n_y // 2])
    np.testing.assert_allclose(found[:l_y, :l_x], second)
    np.testing.assert_allclose(found[l_y:m_y, l_x:m_x], second[: m_y // 2, : m_x // 2])


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('db99', "discrete wavelet of PyWavelets such as 'db4', got 'db99'"),
        ('morl', "discrete wavelet of PyWavelets such as 'db4', got 'morl'"),
        ('bior2.2', "must be orthogonal, .* got 'bior2.2'"),
        ('dmey', 'low-pass filter is 2.2e-03 off'),
    ],
)
def test_wavelets_that_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        orthogonal_wavelet(name)


@transforms
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (((-2, -2),), 'each axis once'),
        (((),), 'at least one axis'),
        (((1,),), 'negative axes'),
        (((-1,), 'db4', 0), 'levels must be an integer from 1'),
    ],
)
def test_invalid_parameters(cls: type[WaveletTransform], arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(*arguments)


@transforms
@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        (
            (7, 8),
            r'2\*\*levels elements, got levels=3 and sizes \(7, 8\) along \(-2, -1\) of an image of shape \(7, 8\)',
        ),
        ((8,), r'dim must be axes of the image, got dim=\(-2, -1\) for an image of shape \(8,\)'),
    ],
)
def test_images_that_are_too_small(cls: type[WaveletTransform], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls((-2, -1), 'db4', 3)(torch.zeros(shape))
