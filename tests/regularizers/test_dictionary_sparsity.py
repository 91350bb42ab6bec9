"""Sparsity of the coefficients of a dictionary, by its definition."""

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import DictionarySparsity

from tests.regularizers.cases import orthonormal_filters

SHAPE = (2, 1, 1, 4, 5)
FILTERS = orthonormal_filters((3, 3, 3), torch.float64)


@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
def test_value_is_the_definition(dtype: torch.dtype) -> None:
    """The sum of the absolute values of real and imaginary part of each coefficient, with the map of its filter."""
    regularizer = DictionarySparsity(FILTERS)
    rng = RandomGenerator(0)
    coefficients, lambda_map = rng.randn_tensor((3, *SHAPE), dtype), rng.float64_tensor((3, *SHAPE))
    img = torch.zeros(SHAPE, dtype=dtype)
    expected = 0.0
    for weight, c in zip(lambda_map.flatten().tolist(), coefficients.flatten().tolist(), strict=True):
        expected += weight * (abs(complex(c).real) + abs(complex(c).imag))
    value = regularizer.value(coefficients, regularizer.expand(regularizer.lambda_map(lambda_map, img), img))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_unknowns_are_the_coefficients_of_the_image() -> None:
    regularizer = DictionarySparsity(FILTERS, boundary='zero')
    assert regularizer.synthesis_op.boundary == 'zero'
    assert torch.equal(regularizer.synthesis_op.filters, FILTERS)
    assert regularizer.n_maps == 3
    assert regularizer.dim == (-2, -1)
    assert DictionarySparsity(FILTERS[:, None]).dim == (-3, -2, -1)


def test_offset_is_the_smooth_part_along_the_axes_of_the_filters() -> None:
    img = RandomGenerator(0).randn_tensor((1, 1, 3, 4, 5), torch.float64)
    plane, volume = DictionarySparsity(FILTERS, beta=1e12), DictionarySparsity(FILTERS[:, None], beta=1e12)
    mean = img.mean((-2, -1), keepdim=True).expand_as(img)
    torch.testing.assert_close(plane.offset(img), mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(volume.offset(img), img.mean().expand_as(img), rtol=0, atol=1e-10)
    torch.testing.assert_close(DictionarySparsity(FILTERS, beta=0.0).offset(img), img)


@pytest.mark.parametrize('factor', [0.5, 1.001, 2.0])
@pytest.mark.parametrize('index', [0, 2])
def test_filters_of_another_norm(factor: float, index: int) -> None:
    filters = FILTERS.clone()
    filters[index] *= factor
    with pytest.raises(
        ValueError, match=rf'must have unit norm, got norms from {min(factor, 1):g} to {max(factor, 1):g}'
    ):
        DictionarySparsity(filters)


def test_rounding_of_the_norm_is_no_error() -> None:
    assert DictionarySparsity(FILTERS.float()).n_maps == 3


@pytest.mark.parametrize('beta', [-1.0, float('nan')])
def test_invalid_strength(beta: float) -> None:
    with pytest.raises(ValueError, match='beta must be'):
        DictionarySparsity(FILTERS, beta=beta)


@pytest.mark.parametrize(
    'weight', [[0.1], [0.1, 0.1], torch.ones(1, *SHAPE), torch.ones(2, *SHAPE), torch.ones(SHAPE)], ids=str
)
def test_wrong_number_of_maps(weight: list[float] | torch.Tensor) -> None:
    with pytest.raises(ValueError, match='n_maps=3'):
        DictionarySparsity(FILTERS).lambda_map(weight, torch.zeros(SHAPE))


def test_state_moves_with_the_regularizer() -> None:
    """Filters and strength are part of it; tensors that require a gradient stay what the gradient is wanted for."""
    regularizer = DictionarySparsity(FILTERS, beta=2.0)
    assert {key: value.shape for key, value in regularizer.state_dict().items()} == {
        'synthesis_op.filters': FILTERS.shape,
        'low_pass_op.beta': torch.Size([]),
    }
    single = regularizer.float()
    assert single.synthesis_op.filters.dtype == single.low_pass_op.beta.dtype == torch.float32
    assert single.offset(torch.ones(SHAPE)).dtype == torch.float32

    beta, filters = torch.tensor(2.0, requires_grad=True), torch.nn.Parameter(FILTERS.clone())
    learned = DictionarySparsity(filters, beta=beta)
    assert list(learned.parameters()) == [filters]
    assert learned.double().low_pass_op.beta is beta
    learned.offset(RandomGenerator(0).float64_tensor(SHAPE)).sum().backward()
    assert beta.grad is not None


@pytest.mark.parametrize('dtype', [torch.float32, torch.complex64, torch.float64])
def test_result_has_the_precision_of_the_image(dtype: torch.dtype) -> None:
    img = RandomGenerator(0).randn_tensor(SHAPE, dtype)
    regularizer = DictionarySparsity(FILTERS)
    (coefficients,) = regularizer.synthesis_op.adjoint(img)
    assert (
        coefficients.dtype == regularizer.synthesis_op(coefficients)[0].dtype == regularizer.offset(img).dtype == dtype
    )


def test_half_precision_is_refused() -> None:
    regularizer = DictionarySparsity(FILTERS).half()
    with pytest.raises(ValueError, match=r'filters must be float32 or float64, .* got torch.float16'):
        regularizer.synthesis_op.adjoint(torch.ones(SHAPE))
    with pytest.raises(ValueError, match='initial_image must be float32 or float64'):
        regularizer.lambda_map(0.1, torch.ones(SHAPE).half())
