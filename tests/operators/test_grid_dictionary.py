"""Tests for the dictionary on the grid of an image: it works on Fourier transforms, and equals operators of images."""

from typing import Literal

import pytest
import torch
from mrpro.operators import ConvSynthesisDictionaryOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp, CirculantGramOp, ConvolutionalDictionaryOp, GridDictionary
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary

SHAPE = (2, 1, 3, 5, 4)
all_boundaries = pytest.mark.parametrize('boundary', ['circular', 'zero'])
image_dtypes = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
all_filters = pytest.mark.parametrize(
    ('filters_shape', 'filter_dtype'),
    [((3, 3, 3), torch.float64), ((2, 5, 1), torch.complex128), ((2, 3, 1, 3), torch.float64)],
    ids=['2d', 'complex', '3d'],
)


def create(
    filters_shape: tuple[int, ...],
    filter_dtype: torch.dtype,
    boundary: DictionaryBoundary,
    dtype: torch.dtype,
) -> tuple[ConvolutionalDictionaryOp, GridDictionary, torch.Tensor, torch.Tensor]:
    """Draw a dictionary, coefficients and an image."""
    rng = RandomGenerator(0)
    op = ConvolutionalDictionaryOp(rng.randn_tensor(filters_shape, filter_dtype), boundary)
    img = rng.randn_tensor(SHAPE, dtype)
    return op, op.on_grid(img), rng.randn_tensor((filters_shape[0], *SHAPE), dtype), img


@all_filters
@all_boundaries
@image_dtypes
@pytest.mark.filterwarnings('ignore:The input tensor is real-valued but the kernel is complex-valued')
def test_equals_mrpro(
    filters_shape: tuple[int, ...], filter_dtype: torch.dtype, boundary: DictionaryBoundary, dtype: torch.dtype
) -> None:
    op, dictionary, coefficients, img = create(filters_shape, filter_dtype, boundary, dtype)
    pad_mode: Literal['circular', 'constant'] = 'circular' if boundary == 'circular' else 'constant'
    reference = ConvSynthesisDictionaryOp(op.filters, pad_mode)
    assert dictionary.real == (not dtype.is_complex and not filter_dtype.is_complex)
    assert dictionary.periodic == (boundary == 'circular')
    synthesized = dictionary.image(dictionary.synthesize(coefficients))
    analyzed = dictionary.analyze(dictionary.transform(img))
    torch.testing.assert_close(synthesized, reference(coefficients)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(analyzed, reference.adjoint(img)[0], rtol=1e-12, atol=1e-12)


@all_filters
@all_boundaries
@image_dtypes
def test_adjoint(
    filters_shape: tuple[int, ...], filter_dtype: torch.dtype, boundary: DictionaryBoundary, dtype: torch.dtype
) -> None:
    """Synthesis and analysis, and the energy is the symbol of one after the other."""
    _, dictionary, coefficients, img = create(filters_shape, filter_dtype, boundary, dtype)
    synthesized = dictionary.image(dictionary.synthesize(coefficients))
    analyzed = dictionary.analyze(dictionary.transform(img))
    torch.testing.assert_close((img.conj() * synthesized).sum(), (analyzed.conj() * coefficients).sum())
    if boundary == 'circular':
        expected = dictionary.energy() * dictionary.transform(img)
        torch.testing.assert_close(dictionary.synthesize(analyzed), expected)


@image_dtypes
def test_transforms_keep_the_norm(dtype: torch.dtype) -> None:
    """As far as they are not half of one."""
    _, dictionary, _, img = create((2, 3, 3), torch.complex128, 'circular', dtype)
    torch.testing.assert_close(torch.linalg.vector_norm(dictionary.transform(img)), torch.linalg.vector_norm(img))
    torch.testing.assert_close(dictionary.image(dictionary.transform(img)), img.to(torch.complex128))


@all_filters
@all_boundaries
@pytest.mark.parametrize('n_coils', [None, 3])
@pytest.mark.parametrize(
    ('mask_shape', 'dim', 'varies_along_z'),
    [
        ((2, 1, 1, 5, 4), (-2, -1), False),
        ((5, 1), (-2, -1), False),
        ((2, 1, 1, 1, 4), (-2, -1), False),
        ((3, 5, 4), (-3, -2, -1), False),
        ((3, 1, 1), (-3,), False),
        ((1,), (-2, -1), False),
        ((3, 5, 4), (-2, -1), True),
    ],
    ids=['mask', 'lines along y', 'lines along x', '3d mask', 'along z only', 'all samples', 'mask for each slice'],
)
def test_gram_is_that_of_the_acquisition(
    filters_shape: tuple[int, ...],
    filter_dtype: torch.dtype,
    boundary: DictionaryBoundary,
    n_coils: int | None,
    mask_shape: tuple[int, ...],
    dim: tuple[int, ...],
    varies_along_z: bool,
) -> None:
    """It is a product if masks differ only for images that the filters do not couple."""
    _, dictionary, _, img = create(filters_shape, filter_dtype, boundary, torch.complex128)
    rng = RandomGenerator(1)
    csm = None if n_coils is None else rng.randn_tensor((2, n_coils, 3, 5, 4), torch.complex128)
    acquisition_op = CartesianAcquisitionOp(rng.float64_tensor(mask_shape, 0.0, 2.0), csm, dim)
    diagonal = boundary == 'circular' and n_coils is None and not (varies_along_z and len(filters_shape) == 4)
    assert dictionary.diagonalizes(acquisition_op.gram) == diagonal
    found = dictionary.image(dictionary.gram(dictionary.transform(img), acquisition_op.gram))
    (expected,) = acquisition_op.adjoint(*acquisition_op(img))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@all_boundaries
@pytest.mark.parametrize('filters_shape', [(2, 3, 3), (2, 3, 3, 3)], ids=['2d', '3d'])
@pytest.mark.parametrize(
    ('transfer_shape', 'dim'),
    [((2, 1, 1, 5, 4), (-2, -1)), ((5, 1), (-2,)), ((4,), (-1,)), ((3, 5, 4), (-3, -2, -1)), ((3, 1, 1), (-3,))],
)
def test_gram_of_real_images(
    boundary: DictionaryBoundary, filters_shape: tuple[int, ...], transfer_shape: tuple[int, ...], dim: tuple[int, ...]
) -> None:
    """It is the real part of the operator, also for a transfer function without symmetry."""
    _, dictionary, _, img = create(filters_shape, torch.float64, boundary, torch.float64)
    transfer = RandomGenerator(1).float64_tensor(transfer_shape, 0.0, 2.0)
    full = torch.fft.ifftn(torch.fft.fftn(img, dim=dim) * transfer, dim=dim)
    assert full.imag.abs().max() > 1e-2
    found = dictionary.image(dictionary.gram(dictionary.transform(img), CirculantGramOp(transfer, dim)))
    torch.testing.assert_close(found, full.real, rtol=1e-12, atol=1e-12)


def test_half_of_complex_images_is_the_transfer_function() -> None:
    _, dictionary, _, _ = create((2, 3, 3), torch.float64, 'circular', torch.complex128)
    transfer = RandomGenerator(1).float64_tensor((5, 4))
    assert torch.equal(dictionary.half(transfer, (-2, -1)), transfer)


@all_boundaries
@pytest.mark.parametrize('dtype', [torch.float32, torch.complex64], ids=['real', 'complex'])
@pytest.mark.parametrize('sizes', [(5, 5), (3, 1), (1, 5)])
@pytest.mark.parametrize('shape', [(2, 1, 3, 37, 20), (1, 1, 1, 5, 5)], ids=['two pieces of rows', 'smallest image'])
def test_direct_convolutions_equal_transforms(
    shape: tuple[int, ...], sizes: tuple[int, int], dtype: torch.dtype, boundary: DictionaryBoundary
) -> None:
    """Of few small filters in single precision: results, and derivatives with respect to the filters."""
    rng = RandomGenerator(0)
    filters = rng.float32_tensor((20, *sizes), low=-1.0, high=1.0)
    img, coefficients = rng.randn_tensor(shape, dtype), rng.randn_tensor((20, *shape), dtype)
    results = []
    for precision in (torch.float32, torch.float64):
        d = filters.to(precision, copy=True).requires_grad_()
        grid_img = img.to(precision.to_complex() if dtype.is_complex else precision)
        dictionary = ConvolutionalDictionaryOp(d, boundary).on_grid(grid_img)
        assert (dictionary.direct_filters is not None) == (precision == torch.float32)
        synthesized = dictionary.image(dictionary.synthesize(coefficients.to(grid_img.dtype)))
        analyzed = dictionary.analyze(dictionary.transform(grid_img))
        loss = (synthesized.conj() * grid_img).real.sum() + (analyzed * coefficients.to(grid_img.dtype)).real.sum()
        loss.backward()
        assert d.grad is not None
        results.append((synthesized.detach(), analyzed.detach(), d.grad))
    for direct, transformed in zip(*results, strict=True):
        scale = transformed.abs().amax().item()
        torch.testing.assert_close(direct, transformed.to(direct.dtype), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize('shape', [(16, 9, 9), (8, 5, 5), (16, 3, 3, 3)], ids=['large', 'few', '3d'])
def test_no_direct_convolutions_if_slower(shape: tuple[int, ...]) -> None:
    filters = RandomGenerator(0).float32_tensor(shape)
    dictionary = ConvolutionalDictionaryOp(filters).on_grid(torch.zeros(1, 1, 16, 16, 16))
    assert dictionary.direct_filters is None
