"""Correlations with filters, by SciPy."""

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CorrelationTransform
from scipy.ndimage import correlate

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return RandomGenerator(0).randn_tensor(shape, dtype)


@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128])
@pytest.mark.parametrize(
    ('kernel', 'shape'), [((3, 5), (2, 1, 1, 7, 6)), ((3, 1, 3), (1, 1, 4, 5, 6)), ((9, 9), (1, 1, 1, 4, 5))]
)
def test_responses_are_those_of_scipy(dtype: torch.dtype, kernel: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Circular boundary; a filter that is larger than the image is wrapped around it."""
    filters, img = draw((3, *kernel)), draw(shape, dtype)
    op = CorrelationTransform(filters)
    (found,) = op(img)
    weights = filters.numpy().reshape(3, *(1,) * (len(shape) - len(kernel)), *kernel)
    expected = np.stack([correlate(img.numpy(), weight, mode='wrap') for weight in weights])
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-12)
    other = draw(tuple(found.shape), dtype)
    dotproduct_adjointness_test(op, img, other, 1e-10, 1e-10)
    gradient_of_linear_operator_test(op, img, other, 1e-10, 1e-10)


def test_frequencies_that_no_filter_passes_are_exactly_zero() -> None:
    """Rounding leaves some 1e-17 of the sum of a filter, which would be inverted."""
    filters = torch.tensor([[[0.1, 0.2, -0.3]]], dtype=torch.float64)
    assert filters.sum() != 0
    symbol = CorrelationTransform(filters).symbol((6, 8))
    assert symbol[0, 0] == 0
    assert int((symbol == 0).sum()) == 6  # along y nothing is filtered
    central = CorrelationTransform(torch.tensor([[[-1.0, 0.0, 1.0]]])).symbol((6, 8))
    assert central.nonzero()[:, 1].unique().tolist() == [1, 2, 3, 5, 6, 7]


def test_other_filters_are_not_mixed_up() -> None:
    """Transfer functions are kept, until other filters are loaded, or an image of another kind comes."""
    op, img = CorrelationTransform(draw((2, 3, 3))), draw((5, 6))
    before = op(img)[0]
    assert torch.equal(op(img)[0], before)
    assert op(img.float())[0].dtype == torch.float32
    assert op(draw((7, 6)))[0].shape == (2, 7, 6)
    op.load_state_dict({'filters': 2 * op.filters})
    torch.testing.assert_close(op(img)[0], 2 * before)


@pytest.mark.parametrize(
    ('filters', 'message'),
    [
        (torch.ones(2, 4, 3), 'odd sizes'),
        (torch.zeros(1, 3, 3), 'not be zero'),
        (torch.ones(1, 3, 3) * torch.nan, 'be finite'),
        (torch.ones(1, 3, 3, dtype=torch.complex64), r'must be real, got torch.complex64 of shape \(1, 3, 3\)'),
        (torch.ones(1, 3, 3, requires_grad=True), 'must not require a gradient'),
    ],
)
def test_filters_that_are_refused(filters: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorrelationTransform(filters)


def test_image_with_fewer_axes() -> None:
    with pytest.raises(ValueError, match=r'got filters of shape \(1, 3, 3, 3\) for an image of shape \(5, 5\)'):
        CorrelationTransform(torch.ones(1, 3, 3, 3))(torch.zeros(5, 5))
