"""What each filter contributes, by definition and on tiny problems."""

from typing import Any, NamedTuple

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.interpretation import (
    FilterStatistics,
    filter_contributions,
    filter_statistics,
    most_active,
    prune,
    pruning_curve,
)
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NoiseLevelInput
from mrpro_lambda.operators import BandLimitOp, CartesianAcquisitionOp, LowPassOp
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary
from mrpro_lambda.recipes import DictionaryRecipe
from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation
from mrpro_lambda.solvers import ADMM, FISTA, Solution, Solver
from torch.nn.functional import conv2d, pad

from tests.regularizers.cases import orthonormal_filters

K = 4
SHAPE = (2, 1, 1, 7, 8)
WEIGHTS = [0.02, 0.05, 1e3, 0.03]  # the third filter is too expensive to be used
BOUNDARIES: tuple[DictionaryBoundary, ...] = ('circular', 'zero')

all_boundaries = pytest.mark.parametrize('boundary', BOUNDARIES)
all_dtypes = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
all_filter_dtypes = pytest.mark.parametrize(
    'filter_dtype', [torch.float64, torch.complex128], ids=['real filters', 'complex filters']
)


def sparse_coefficients(dtype: torch.dtype, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Draw coefficients of which the first filter has none and the others have more and more."""
    rng = RandomGenerator(0)
    kept = torch.arange(K).reshape(K, *(1,) * len(shape)) / K > rng.float64_tensor((K, *shape))
    return rng.randn_tensor((K, *shape), dtype) * kept


def dictionary(
    boundary: DictionaryBoundary = 'circular', dtype: torch.dtype = torch.float64, **options: Any
) -> DictionarySparsity:
    return DictionarySparsity(orthonormal_filters((K, 3, 3), dtype), boundary=boundary, **options)


def correlate(code: torch.Tensor, kernel: torch.Tensor, boundary: DictionaryBoundary) -> torch.Tensor:
    """Correlate images with a filter by torch's convolution, without FFT."""
    code, kernel = code.to(torch.complex128), kernel.to(torch.complex128)
    padded = pad(code.flatten(0, -3)[:, None], (1, 1, 1, 1), mode='circular' if boundary == 'circular' else 'constant')
    return conv2d(padded, kernel[None, None]).reshape(code.shape)


class Setting(NamedTuple):
    """A model and the arguments of a reconstruction with it."""

    model: LambdaMapModel
    data: torch.Tensor
    acquisition_op: CartesianAcquisitionOp
    initial_image: torch.Tensor
    target: torch.Tensor

    @property
    def regularizer(self) -> DictionarySparsity:
        regularizer = self.model.solver.regularizer
        assert isinstance(regularizer, DictionarySparsity)
        return regularizer

    def solve(self, lambda_map: Any) -> Solution:
        solution = self.model.solve(self.data, self.acquisition_op, self.initial_image, lambda_map=lambda_map).solution
        assert solution is not None
        return solution

    def curve(self, numbers: list[int], lambda_map: Any = WEIGHTS, **options: Any) -> Any:
        return pruning_curve(*self, lambda_map=lambda_map, numbers=numbers, **options)


def setting(net: LambdaNet | None = None, *, solver: Any = ADMM, band_limit: bool = False) -> Setting:
    """Two images of which the center of k-space is measured with noise."""
    rng = RandomGenerator(1)
    img = rng.randn_tensor(SHAPE, torch.complex128)
    img[..., 2:5, 2:6] += 4
    mask = torch.ones(1, 1, 1, *SHAPE[-2:], dtype=torch.float64)
    if band_limit:
        mask[..., [0, 1, -1], :] = 0
    acquisition_op = CartesianAcquisitionOp(mask)
    (data,) = acquisition_op(img)
    data = data + 0.05 * mask * rng.randn_tensor(data.shape, torch.complex128)
    model = LambdaMapModel(
        net, solver(dictionary(beta=0.7), max_iterations=2000, tolerance=1e-5), band_limit=band_limit
    )
    return Setting(model, data, acquisition_op, acquisition_op.adjoint(data)[0], img)


@all_boundaries
@all_dtypes
@all_filter_dtypes
def test_contributions_are_correlations_that_add_up(
    boundary: DictionaryBoundary, dtype: torch.dtype, filter_dtype: torch.dtype
) -> None:
    """Their sum is D s; each is the correlation with its filter."""
    regularizer, coefficients = dictionary(boundary, filter_dtype), sparse_coefficients(dtype)
    contributions = filter_contributions(regularizer, coefficients)
    assert contributions.shape == (K, *SHAPE)
    assert contributions.is_complex() == (dtype.is_complex or filter_dtype.is_complex)
    torch.testing.assert_close(contributions.sum(0), regularizer.synthesis_op(coefficients)[0])
    for contribution, code, kernel in zip(contributions, coefficients, regularizer.synthesis_op.filters, strict=True):
        expected = correlate(code, kernel, boundary)
        torch.testing.assert_close(contribution.to(expected.dtype), expected)


def test_contributions_of_filters_in_space() -> None:
    regularizer = DictionarySparsity(orthonormal_filters((K, 3, 1, 3), torch.float64), boundary='zero')
    coefficients = sparse_coefficients(torch.complex128, (2, 1, 4, 3, 5))
    contributions = filter_contributions(regularizer, coefficients)
    torch.testing.assert_close(contributions.sum(0), regularizer.synthesis_op(coefficients)[0])


def test_contributions_of_some_filters_are_in_the_order_that_is_asked_for() -> None:
    regularizer, coefficients = dictionary(), sparse_coefficients(torch.complex128)
    some = filter_contributions(regularizer, coefficients, [3, 1])
    torch.testing.assert_close(some, filter_contributions(regularizer, coefficients)[[3, 1]], rtol=0, atol=0)


@pytest.mark.parametrize('solver', [ADMM, FISTA])
def test_contributions_and_smooth_part_are_the_image(solver: type[Solver]) -> None:
    """The contributions of a solution are what its image has besides the smooth part."""
    case = setting(solver=solver)
    solution = case.solve(WEIGHTS)
    assert solution.coefficients is not None
    (smooth,) = LowPassOp(0.7, (-2, -1))(case.initial_image)
    torch.testing.assert_close(
        filter_contributions(case.regularizer, solution.coefficients).sum(0), solution.img - smooth
    )


@all_boundaries
@all_dtypes
def test_statistics_are_their_definitions(boundary: DictionaryBoundary, dtype: torch.dtype) -> None:
    regularizer, coefficients = dictionary(boundary), sparse_coefficients(dtype)
    statistics = filter_statistics(regularizer, coefficients)
    for k, (code, kernel) in enumerate(zip(coefficients, regularizer.synthesis_op.filters, strict=True)):
        numbers = [complex(c) for c in code.flatten().tolist()]
        energy = sum(abs(c) ** 2 for c in correlate(code, kernel, boundary).flatten().tolist())
        assert statistics.energy[k].item() == pytest.approx(energy, rel=1e-10, abs=1e-20)
        assert statistics.l1_norm[k].item() == pytest.approx(sum(abs(c.real) + abs(c.imag) for c in numbers))
        assert statistics.active[k].item() == sum(c != 0 for c in numbers) / len(numbers)
    assert statistics.active[0] == 0 < statistics.active[1]


def test_statistics_are_in_double_precision() -> None:
    regularizer = DictionarySparsity(orthonormal_filters((K, 3, 3), torch.float32))
    statistics = filter_statistics(regularizer, sparse_coefficients(torch.complex64))
    assert all(values.shape == (K,) and values.dtype == torch.float64 for values in statistics)


def test_most_active_filters() -> None:
    """In descending order of what is asked for; equal ones keep their order."""
    statistics = FilterStatistics(
        energy=torch.tensor([1.0, 3.0, 0.0, 3.0]), l1_norm=torch.tensor([5.0, 1.0, 7.0, 2.0]), active=torch.ones(4)
    )
    assert most_active(statistics, 4) == most_active(statistics, 4, by='energy') == [1, 3, 0, 2]
    assert most_active(statistics, 3, by='l1_norm') == [2, 0, 3]
    assert most_active(statistics, 0) == []


@all_boundaries
def test_pruned_dictionary_is_the_sum_over_the_filters_that_are_kept(boundary: DictionaryBoundary) -> None:
    regularizer, coefficients = dictionary(boundary, beta=0.3), sparse_coefficients(torch.complex128)
    keep = [3, 0, 2]
    pruned = prune(regularizer, keep)
    assert pruned.n_maps == 3
    assert pruned.synthesis_op.boundary == boundary
    expected = filter_contributions(regularizer, coefficients, keep).sum(0)
    torch.testing.assert_close(pruned.synthesis_op(coefficients[keep])[0], expected)
    img = coefficients[3]
    torch.testing.assert_close(pruned.offset(img), regularizer.offset(img), rtol=0, atol=0)


def test_pruning_nothing_changes_nothing() -> None:
    regularizer = dictionary('zero')
    assert torch.equal(prune(regularizer, range(K)).synthesis_op.filters, regularizer.synthesis_op.filters)
    case = setting()
    (step,) = case.curve([K])
    expected = psnr(case.solve(WEIGHTS).img, case.target)
    assert torch.equal(step.psnr_left_out, expected)
    assert torch.equal(step.psnr_solved, expected)
    assert sorted(step.keep) == list(range(K))
    assert step.n_filters == K


def test_without_filters_the_smooth_part_is_left() -> None:
    case = setting()
    (step,) = case.curve([0])
    assert step.keep == ()
    expected = psnr(case.regularizer.offset(case.initial_image), case.target)
    torch.testing.assert_close(step.psnr_left_out, expected)
    torch.testing.assert_close(step.psnr_solved, expected)


def test_filter_that_is_not_used_costs_nothing() -> None:
    """A filter with zero coefficients comes last; without it the image is the same, left out or solved again."""
    case = setting()
    coefficients = case.solve(WEIGHTS).coefficients
    assert coefficients is not None
    assert not coefficients[2].any()
    assert all(coefficients[k].any() for k in (0, 1, 3))
    without, full = case.curve([K - 1, K])
    assert full.keep[-1] == 2
    assert without.keep == full.keep[:-1]
    torch.testing.assert_close(without.psnr_left_out, full.psnr_left_out)
    torch.testing.assert_close(without.psnr_solved, full.psnr_solved, rtol=0, atol=1e-2)


@pytest.mark.parametrize('solver', [ADMM, FISTA])
@pytest.mark.parametrize('band_limit', [False, True])
def test_curve_is_its_definition(solver: type[Solver], *, band_limit: bool) -> None:
    """Filters by energy; PSNR of what is left of the solution, and of the solution that is left."""
    case = setting(solver=solver, band_limit=band_limit)
    lambda_map = torch.tensor(WEIGHTS).reshape(K, 1, 1, 1, 1, 1) * (
        0.5 + RandomGenerator(2).float64_tensor((K, *SHAPE))
    )
    coefficients = case.solve(lambda_map).coefficients
    assert coefficients is not None
    contributions = filter_contributions(case.regularizer, coefficients)
    order = contributions.abs().square().flatten(1).sum(1).argsort(descending=True).tolist()
    mask = case.target.abs() > 1
    numbers = [2, 1]
    steps = case.curve(numbers, lambda_map, mask=mask)
    assert [step.n_filters for step in steps] == numbers
    for step in steps:
        keep = order[: step.n_filters]
        assert list(step.keep) == keep
        left_out = case.regularizer.offset(case.initial_image) + contributions[keep].sum(0)
        if band_limit:
            band_limit_op = BandLimitOp.from_gram(case.acquisition_op.gram, (-2, -1))
            assert band_limit_op is not None
            (left_out,) = band_limit_op(left_out)
        torch.testing.assert_close(step.psnr_left_out, psnr(left_out, case.target, mask))
        regularizer = DictionarySparsity(case.regularizer.synthesis_op.filters[keep], beta=0.7)
        smaller = LambdaMapModel(
            None, ADMM(regularizer, max_iterations=2000, tolerance=1e-5), band_limit=band_limit
        ).solve(*case[1:4], lambda_map=lambda_map[keep])
        torch.testing.assert_close(step.psnr_solved, psnr(smaller.img, case.target, mask), rtol=0, atol=1e-2)


def test_curve_leaves_the_model_as_it_is() -> None:
    case = setting()
    solver, regularizer = case.model.solver, case.regularizer
    case.curve([1])
    assert case.model.solver is solver
    assert solver.regularizer is regularizer
    assert regularizer.n_maps == K


def test_curve_with_the_map_of_a_network() -> None:
    """Each map of the network stays with its filter."""
    inputs = [ImageInput(), NoiseLevelInput()]
    net = LambdaNet(UNet(2, 3, K, n_features=2).double(), inputs, padding=4, initial_scale=0.5).double()
    case = setting(net)
    with torch.no_grad():
        lambda_map = case.model.estimate(case.initial_image, 0.05)
    steps = case.curve([2, K], None, noise_std=0.05)
    for step, expected in zip(steps, case.curve([2, K], lambda_map), strict=True):
        assert step.keep == expected.keep
        assert torch.equal(step.psnr_left_out, expected.psnr_left_out)
        assert torch.equal(step.psnr_solved, expected.psnr_solved)


def test_network_that_sees_each_filter_by_itself_gives_the_maps_of_those_that_are_kept() -> None:
    """Of such a network (V3), the curve is the model of the smaller dictionary, and the whole one at its end."""
    config = DictionaryRecipe(
        responses='each',
        features='signal_to_noise',
        noise_level=True,
        image_channel=True,
        n_features=2,
        padding=4,
        initial_scale=0.5,
        filters_at_once=3,
        beta=0.7,
        tolerance=1e-6,
    )
    case, noise_std = setting(), 0.05
    filters = case.regularizer.synthesis_op.filters
    case = case._replace(model=config.build(filters=filters, inference=True).double())
    for step in case.curve([2, K], None, noise_std=noise_std):
        smaller = config.build(filters=filters[sorted(step.keep)], inference=True).double()
        expected = psnr(smaller.solve(*case[1:4], noise_std=noise_std).img, case.target)
        torch.testing.assert_close(step.psnr_solved, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('shape', [(), (K,), (K, 8), (K - 1, *SHAPE), SHAPE], ids=str)
def test_coefficients_of_another_dictionary(shape: tuple[int, ...]) -> None:
    coefficients = torch.zeros(shape)
    for function in (filter_contributions, filter_statistics):
        with pytest.raises(ValueError, match=r'coefficients must have shape \(n_filters, \*image\) with n_filters=4'):
            function(dictionary(), coefficients)


def test_filters_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match='must not be larger than the image'):
        filter_statistics(dictionary(), torch.zeros(K, 1, 1, 1, 2, 8))


@pytest.mark.parametrize('indices', [[], [0, 0], [K], [-1]], ids=str)
def test_filters_that_do_not_exist(indices: list[int]) -> None:
    with pytest.raises(ValueError, match='keep must be numbers of filters from 0 to 3'):
        prune(dictionary(), indices)
    with pytest.raises(ValueError, match='filters must be numbers of filters from 0 to 3'):
        filter_contributions(dictionary(), sparse_coefficients(torch.float64), indices)


def test_invalid_order() -> None:
    statistics = filter_statistics(dictionary(), sparse_coefficients(torch.float64))
    for n in (-1, K + 1):
        with pytest.raises(ValueError, match=r'n must be (an integer )?from 0'):
            most_active(statistics, n)
    with pytest.raises(ValueError, match=r"by must be one of .*, got 'active'"):
        most_active(statistics, 1, by='active')  # type: ignore[arg-type]


def test_invalid_arguments_of_the_curve() -> None:
    case = setting()
    for numbers in ([1, K + 1], [-1]):
        with pytest.raises(ValueError, match='numbers must be from 0 to the number of filters, 4'):
            case.curve(numbers)
    with pytest.raises(ValueError, match='target must have the shape of initial_image'):
        case._replace(target=case.target[0]).curve([1])
    with pytest.raises(ValueError, match='mask must have the shape of initial_image'):
        case.curve([1], mask=torch.ones(8, 8))
    with pytest.raises(ValueError, match='n_maps=4'):
        case.curve([1], [0.1, 0.1])
    with pytest.raises(ValueError, match='needs lambda_map'):
        case.curve([1], None)
    total_variation = LambdaMapModel(None, ADMM(TotalVariation((-2, -1)), n_iterations=2))
    with pytest.raises(ValueError, match='must have a dictionary, got TotalVariation'):
        case._replace(model=total_variation).curve([1], 0.1)
