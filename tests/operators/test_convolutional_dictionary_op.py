"""Tests for the convolutional dictionary in the Fourier domain."""

import importlib
from typing import Literal

import pytest
import torch
from mrpro.operators import ConvSynthesisDictionaryOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import ConvolutionalDictionaryOp, GridDictionary
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test

FILTERS_AND_IMAGE = [
    pytest.param((3, 3, 3), (1, 1, 6, 5), id='2d'),
    pytest.param((2, 5, 1), (2, 3, 1, 5, 4), id='2d, batch and coils, as large as the image'),
    pytest.param((2, 3, 1, 3), (2, 1, 4, 5, 6), id='3d'),
    pytest.param((1, 1, 1), (1, 1, 2, 2), id='one point'),
]
all_shapes = pytest.mark.parametrize(('filters_shape', 'shape'), FILTERS_AND_IMAGE)
all_boundaries = pytest.mark.parametrize('boundary', ['circular', 'zero'])
filter_dtypes = pytest.mark.parametrize('filter_dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
image_dtypes = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real image', 'complex image'])


def create(
    filters_shape: tuple[int, ...],
    shape: tuple[int, ...],
    boundary: DictionaryBoundary,
    filter_dtype: torch.dtype = torch.float64,
    dtype: torch.dtype = torch.complex128,
) -> tuple[ConvolutionalDictionaryOp, torch.Tensor, torch.Tensor]:
    """Draw a dictionary, coefficients and an image."""
    rng = RandomGenerator(0)
    op = ConvolutionalDictionaryOp(rng.randn_tensor(filters_shape, filter_dtype), boundary)
    return op, rng.randn_tensor((filters_shape[0], *shape), dtype), rng.randn_tensor(shape, dtype)


@all_shapes
@all_boundaries
@filter_dtypes
@image_dtypes
@pytest.mark.filterwarnings('ignore:The input tensor is real-valued but the kernel is complex-valued')
def test_equals_mrpro(
    filters_shape: tuple[int, ...],
    shape: tuple[int, ...],
    boundary: DictionaryBoundary,
    filter_dtype: torch.dtype,
    dtype: torch.dtype,
) -> None:
    op, coefficients, img = create(filters_shape, shape, boundary, filter_dtype, dtype)
    pad_mode: Literal['circular', 'constant'] = 'circular' if boundary == 'circular' else 'constant'
    reference = ConvSynthesisDictionaryOp(op.filters, pad_mode)
    torch.testing.assert_close(op(coefficients), reference(coefficients), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(op.adjoint(img), reference.adjoint(img), rtol=1e-12, atol=1e-12)


@all_shapes
@all_boundaries
@filter_dtypes
def test_adjoint(
    filters_shape: tuple[int, ...], shape: tuple[int, ...], boundary: DictionaryBoundary, filter_dtype: torch.dtype
) -> None:
    op, coefficients, img = create(filters_shape, shape, boundary, filter_dtype)
    dotproduct_adjointness_test(op, coefficients, img, 1e-12, 1e-12)
    gradient_of_linear_operator_test(op, coefficients, img, 1e-12, 1e-12)


@all_shapes
@all_boundaries
@filter_dtypes
def test_norm(
    filters_shape: tuple[int, ...], shape: tuple[int, ...], boundary: DictionaryBoundary, filter_dtype: torch.dtype
) -> None:
    """It is the largest singular value for the circular boundary, and above it for zeros beyond the border."""
    op, coefficients, img = create(filters_shape, shape, boundary, filter_dtype)
    basis = torch.eye(coefficients[:, :1, :1].numel(), dtype=torch.complex128)
    columns = [op(column.reshape(coefficients[:, :1, :1].shape))[0].flatten() for column in basis]
    largest = torch.linalg.matrix_norm(torch.stack(columns, -1), 2).square().item()
    norm_squared = op.on_grid(img).energy().amax().item()
    if boundary == 'circular':
        assert norm_squared == pytest.approx(largest, rel=1e-12)
    else:
        assert largest * (1 - 1e-12) <= norm_squared <= 3 * largest


def test_weighted_norm() -> None:
    """It is that of a circulant operator behind the dictionary, with a transfer function that is the square of it."""
    shape = (1, 1, 4, 5)
    op, coefficients, img = create((2, 3, 3), shape, 'circular')
    weight = RandomGenerator(1).float64_tensor((4, 5), 0.0, 2.0)
    basis = torch.eye(coefficients.numel(), dtype=torch.complex128)
    columns = [
        torch.fft.ifftn(weight.sqrt() * torch.fft.fftn(op(column.reshape(coefficients.shape))[0], dim=(-2, -1)))
        for column in basis
    ]
    largest = torch.linalg.matrix_norm(torch.stack([column.flatten() for column in columns], -1) * 20**0.5, 2)
    assert (op.on_grid(img).energy() * weight).amax().item() == pytest.approx(largest.square().item() / 20, rel=1e-12)


@all_boundaries
@pytest.mark.parametrize('chunk', [1, 45, 61, 10**9])
def test_size_of_the_chunks_does_not_matter(
    boundary: DictionaryBoundary, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One filter at a time, some of them with a remainder, and all at once."""
    op, coefficients, img = create((5, 3, 3), (2, 1, 1, 3, 5), boundary)
    expected = op(coefficients), op.adjoint(img)
    monkeypatch.setattr(importlib.import_module(GridDictionary.__module__), '_CHUNK', chunk)
    sizes = {1: [1] * 5, 45: [1] * 5, 61: [2, 2, 1], 10**9: [5]}
    assert [c.stop - c.start for c in op.on_grid(img).chunks] == sizes[chunk]
    torch.testing.assert_close((op(coefficients), op.adjoint(img)), expected, rtol=1e-13, atol=1e-13)


@all_boundaries
def test_batch_entries_are_independent(boundary: DictionaryBoundary) -> None:
    op, coefficients, img = create((2, 3, 3), (3, 2, 1, 4, 5), boundary)
    single = torch.cat([op(entry)[0] for entry in coefficients.split(1, 1)])
    torch.testing.assert_close(op(coefficients)[0], single)
    single = torch.cat([op.adjoint(entry)[0] for entry in img.split(1)], 1)
    torch.testing.assert_close(op.adjoint(img)[0], single)


@all_boundaries
def test_gradient_reaches_the_filters(boundary: DictionaryBoundary) -> None:
    op, coefficients, img = create((2, 3, 3), (1, 1, 3, 4), boundary)

    def both(filters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        op = ConvolutionalDictionaryOp(filters, boundary)
        return *op(coefficients), *op.adjoint(img)

    assert torch.autograd.gradcheck(both, op.filters.clone().requires_grad_())


def test_single_precision_is_kept() -> None:
    op, coefficients, img = create((2, 3, 3), (1, 1, 4, 5), 'circular', torch.float32, torch.complex64)
    assert op(coefficients)[0].dtype == op.adjoint(img)[0].dtype == torch.complex64
    assert op(coefficients.real)[0].dtype == op.adjoint(img.real)[0].dtype == torch.float32


def with_value(value: float) -> torch.Tensor:
    filters = torch.ones(3, 3, 3)
    filters[1, 2, 0] = value
    return filters


@pytest.mark.parametrize(
    ('filters', 'message'),
    [
        (torch.ones(2, 4, 3), r'odd sizes, got shape \(2, 4, 3\)'),
        (torch.ones(2, 3, 4), 'odd sizes'),
        (torch.ones(2, 2, 3, 3), 'odd sizes'),
        (torch.ones(3, 3), 'odd sizes'),
        (torch.ones(1, 1, 1, 3, 3), 'odd sizes'),
        (torch.ones(0, 3, 3), r'must hold numbers, got torch.float32 of shape \(0, 3, 3\)'),
        (torch.ones(2, 3, 3).half(), 'must be float32 or float64, real or complex, got torch.float16'),
        (torch.ones(2, 3, 3, device='meta'), 'must hold numbers'),
        (torch.ones(2, 3, 3, dtype=torch.int64), 'must be float32 or float64, real or complex, got torch.int64'),
        (with_value(float('nan')), r'must be finite, but number \[1\] are not'),
        (with_value(float('inf')), r'must be finite, but number \[1\] are not'),
        (torch.eye(3)[:, :, None] * torch.tensor([1.0, 0.0, 1.0])[:, None, None], r'not be zero, but number \[1\]'),
    ],
    ids=lambda value: value if isinstance(value, str) else tuple(value.shape),
)
def test_invalid_filters(filters: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvolutionalDictionaryOp(filters)


def test_invalid_boundary() -> None:
    with pytest.raises(ValueError, match='boundary must be one of'):
        ConvolutionalDictionaryOp(torch.ones(1, 3, 3), 'reflect')  # type: ignore[arg-type]


@pytest.mark.parametrize('shape', [(1, 1, 4, 5), (1, 1, 5, 4)])
@all_boundaries
def test_filters_larger_than_the_image(shape: tuple[int, ...], boundary: DictionaryBoundary) -> None:
    op = ConvolutionalDictionaryOp(torch.ones(2, 5, 5), boundary)
    for call, x in ((op, torch.ones(2, *shape)), (op.adjoint, torch.ones(shape))):
        with pytest.raises(ValueError, match='must not be larger than the image'):
            call(x)


def test_wrong_number_of_coefficients() -> None:
    with pytest.raises(ValueError, match=r'must hold the 2 filters, got coefficients of shape \(3, '):
        ConvolutionalDictionaryOp(torch.ones(2, 3, 3))(torch.ones(3, 1, 1, 4, 5))


@pytest.mark.cuda
@all_boundaries
def test_cuda(boundary: DictionaryBoundary) -> None:
    op, coefficients, img = create((2, 3, 3), (1, 1, 4, 5), boundary)
    expected = op(coefficients)[0], op.adjoint(img)[0]
    op = op.cuda()
    found = op(coefficients.cuda())[0], op.adjoint(img.cuda())[0]
    assert all(tensor.is_cuda for tensor in found)
    torch.testing.assert_close(tuple(tensor.cpu() for tensor in found), expected)
