"""Tests for the Gram operator of an acquisition behind a dictionary."""

import pytest
import torch
from mrpro.operators import LinearOperator
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import (
    CartesianAcquisitionOp,
    CirculantGramOp,
    ConvolutionalDictionaryOp,
    DictionaryGramOp,
    gram_operator,
)
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary

SHAPE = (2, 1, 3, 5, 4)
CASES = {
    'mask': (None, (-2, -1)),
    'lines along y': ((2, 1, 1, 5, 1), (-2, -1)),
    'lines along x': ((2, 1, 1, 1, 4), (-2, -1)),
    '3d mask': ((3, 5, 4), (-3, -2, -1)),
    'phase encoding along z only': ((3, 1, 1), (-3,)),
    'all samples': ((1,), (-2, -1)),
}
all_acquisitions = pytest.mark.parametrize(('mask_shape', 'dim'), CASES.values(), ids=CASES)
all_boundaries = pytest.mark.parametrize('boundary', ['circular', 'zero'])
filter_dtypes = pytest.mark.parametrize('filter_dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])


def create(
    mask_shape: tuple[int, ...] | None,
    dim: tuple[int, ...],
    boundary: DictionaryBoundary,
    filter_dtype: torch.dtype,
    n_coils: int | None,
) -> tuple[ConvolutionalDictionaryOp, LinearOperator, torch.Tensor]:
    """Draw a dictionary, an acquisition and coefficients."""
    rng = RandomGenerator(0)
    mask = rng.bool_tensor(mask_shape or (2, 1, 1, 5, 4)).double()
    mask.view(-1)[0] = 1
    csm = None if n_coils is None else rng.randn_tensor((2, n_coils, 3, 5, 4), torch.complex128)
    dictionary_op = ConvolutionalDictionaryOp(rng.randn_tensor((2, 3, 3), filter_dtype), boundary)
    return dictionary_op, CartesianAcquisitionOp(mask, csm, dim), rng.randn_tensor((2, *SHAPE), torch.complex128)


@all_acquisitions
@all_boundaries
@filter_dtypes
@pytest.mark.parametrize('n_coils', [None, 3])
def test_equals_adjoint_of_forward(
    mask_shape: tuple[int, ...] | None,
    dim: tuple[int, ...],
    boundary: DictionaryBoundary,
    filter_dtype: torch.dtype,
    n_coils: int | None,
) -> None:
    dictionary_op, acquisition_op, x = create(mask_shape, dim, boundary, filter_dtype, n_coils)
    gram = DictionaryGramOp(dictionary_op, gram_operator(acquisition_op), SHAPE)
    op = acquisition_op @ dictionary_op
    expected = op.adjoint(*op(x))
    torch.testing.assert_close(gram(x), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gram.adjoint(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('n_coils', [None, 1, 2])
@all_boundaries
def test_norm_bound(boundary: DictionaryBoundary, n_coils: int | None) -> None:
    """Exact where all is circulant. For a random dictionary and acquisition the product of bounds is far above."""
    dictionary_op, acquisition_op, _ = create((5, 4), (-2, -1), boundary, torch.float64, n_coils)
    shape = (1, 1, 1, 5, 4)
    if isinstance(acquisition_op, CartesianAcquisitionOp) and acquisition_op.csm is not None:
        acquisition_op = CartesianAcquisitionOp(acquisition_op.mask, acquisition_op.csm[:1, :, :1])
    gram = DictionaryGramOp(dictionary_op, gram_operator(acquisition_op), shape)
    basis = torch.eye(40, dtype=torch.complex128)
    matrix = torch.stack([gram(column.reshape(2, *shape))[0].flatten() for column in basis], -1)
    largest = torch.linalg.eigvalsh(matrix).max().item()
    bound = gram.norm_squared_bound()
    assert bound is not None
    if boundary == 'circular' and n_coils is None:
        assert bound.item() == pytest.approx(largest, rel=1e-12)
    else:
        assert largest <= bound.item() <= 10 * largest


def test_no_bound_without_one_of_the_acquisition() -> None:
    dictionary_op, acquisition_op, _ = create((5, 4), (-2, -1), 'circular', torch.float64, None)
    gram = acquisition_op.H @ acquisition_op
    assert not isinstance(gram, CirculantGramOp)
    assert DictionaryGramOp(dictionary_op, gram, SHAPE).norm_squared_bound() is None


def test_real_coefficients_stay_real() -> None:
    dictionary_op, _, x = create(None, (-2, -1), 'circular', torch.float64, None)
    gram = DictionaryGramOp(dictionary_op, CirculantGramOp(torch.ones(1), ()), SHAPE)
    expected = dictionary_op.adjoint(*dictionary_op(x.real))
    assert not expected[0].is_complex()
    torch.testing.assert_close(gram(x.real), expected, rtol=1e-12, atol=1e-12)


def test_of_other_precision() -> None:
    """The spectrum of the filters goes along."""
    dictionary_op, acquisition_op, x = create(None, (-2, -1), 'circular', torch.float64, None)
    gram = DictionaryGramOp(dictionary_op, gram_operator(acquisition_op), SHAPE)
    expected = gram(x)[0]
    gram._apply(lambda tensor: tensor.to(torch.complex64 if tensor.is_complex() else torch.float32))
    (single,) = gram(x.to(torch.complex64))
    assert single.dtype == torch.complex64
    torch.testing.assert_close(single.to(expected.dtype), expected, rtol=1e-5, atol=1e-4)
