"""The certified gap bounds the distance to the minimum, for each image, whatever the problem and the state."""

import pytest
import torch
from mrpro_lambda.datasets import CartesianLines, simulate_coil_maps
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, PhaseAware, TotalVariation
from mrpro_lambda.solvers import ADMM, FISTA, PDHG, Problem
from mrpro_lambda.solvers.ADMM import ADMMIteration
from mrpro_lambda.solvers.certificate import Bound, certificate, certificate_of_state
from mrpro_lambda.solvers.lower_bound import QUICK, THOROUGH, DualPair, _repaired, _without_residual

from tests.solvers.cases import (
    COILS,
    DICTIONARY,
    TV,
    Case,
    SolverClass,
    create_case,
    get_case,
    mask,
    solve_once,
    solver_case_parameters,
)
from tests.solvers.random_problems import KINDS, RandomProblems, scaled_batch, solvers_of

BOUNDS: tuple[Bound, ...] = ('trivial', 'plain', 'repaired', 'thoroughly repaired')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('seed', range(3))
def test_gap_is_an_upper_bound_on_random_problems(kind: str, seed: int) -> None:
    """From the first iteration on, for each image of batches with scales and weights over many decades."""
    random = RandomProblems(seed)
    case = scaled_batch(random, random.problem(kind, n_batch=6))
    found, smallest = [], torch.tensor(torch.inf)
    for cls in solvers_of(case):
        iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
        state = iteration.owned(iteration.init())
        for done, n_steps in ((0, 1), (1, 9), (10, 40)):
            iteration.run(state, done, n_steps)
            found += [certificate_of_state(iteration, state, bound) for bound in BOUNDS]
        # the lowest of all solvers is the reference, which can only be too high
        iteration.run(state, 50, 200)
        smallest = smallest.minimum(certificate_of_state(iteration, state, 'trivial').objective)
    assert found
    for objective, gap, _, noise in found:
        assert bool((gap >= objective - smallest - 1e-11 * (objective + noise)).all())
        assert bool((gap <= objective).all())


def test_nothing_is_certified_by_coefficients_that_are_all_zero() -> None:
    """A large weight on a smooth image: nothing for ten iterations, although the minimizer is not zero."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing='ij')
    img = ((x**2 + y**2 < 0.6) * (1 + 0.3 * torch.sin(9 * x))).to(torch.complex128)[None, None, None]
    acquisition_op = CartesianAcquisitionOp(mask((1, 1, 1, 32, 32)))
    (data,) = acquisition_op(img)
    (start,) = acquisition_op.adjoint(data)
    problem = Problem.create(DICTIONARY, data, acquisition_op, start, 1.0)
    largest = torch.view_as_real(problem.adjoint(problem.data)).abs().max()
    case = Case(DICTIONARY, data, acquisition_op, start, 0.7 * largest)
    for cls in (ADMM, FISTA):
        iteration = cls(DICTIONARY, n_iterations=1).iteration(case.problem)
        zero = iteration.owned(iteration.init())
        found = certificate_of_state(iteration, zero, 'repaired')
        solution = cls(DICTIONARY, max_iterations=3000, tolerance=1e-6).solve(*case[1:])
        assert solution.coefficients is not None
        assert bool(solution.coefficients.any())
        assert found.gap.item() >= found.objective.item() - solution.objective.item() > 0
        # with the size of the coefficients at hand, nothing seems to be missing
        assert found.estimate.item() == pytest.approx(0, abs=1e-12)


@solver_case_parameters('single coil', 'three coils', 'dynamic', 'coil images', 'dictionary, three coils')
@pytest.mark.parametrize('scale', [0.1, 3.0])
def test_gap_of_images_far_from_the_minimizer(cls: SolverClass, name: str, scale: float) -> None:
    """Any image and any feasible dual, in particular images that are too dark or too bright, or of wrong mean."""
    case = get_case(name)
    smallest, problem = solve_once(name).objective.sum(), case.problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 20)
    dual = iteration.dual(state)
    for unknown in (scale * state.primal, state.primal + scale, 0 * state.primal + scale):
        for q in (None,) if dual is None else (0 * dual, -dual, 0.5 * dual):
            for bound in BOUNDS:
                found = certificate(problem, unknown, q, bound=bound)
                assert found.gap.sum() >= (found.objective.sum() - smallest) * (1 - 1e-9)


@solver_case_parameters(
    *(
        'single coil',
        'three coils',
        'neumann',
        'zero',
        'isotropic complex modulus',
        'radial',
        'fused lasso',
        'smoothed',
    ),
    *('dictionary, three coils', 'dictionary, zero boundary', 'generalized variation', 'phase-aware total variation'),
    *('filters that vanish at other frequencies', 'undecimated wavelets, single coil', 'Tikhonov, single coil'),
)
def test_repair_and_iterations_tighten_the_gap(cls: SolverClass, name: str) -> None:
    """It becomes a small part of the objective, for every problem that a solver takes."""
    case = get_case(name)
    iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 30)
    gaps = [certificate_of_state(iteration, state, bound).gap.sum() for bound in BOUNDS]
    rounding = 1e-9 * certificate_of_state(iteration, state, 'trivial').objective.sum()
    assert gaps[2] < gaps[0] + rounding
    assert gaps[2] < 1.1 * gaps[1] + rounding
    done, gap = 30, gaps[2]
    while done < 1500 and gap >= 0.1 * gaps[2] + rounding:
        iteration.run(state, done, done)
        done += done
        gap = certificate_of_state(iteration, state, 'repaired').gap.sum()
    assert gap < 0.1 * gaps[2] + rounding


@solver_case_parameters('single coil', 'three coils')
def test_repair_where_the_weight_of_one_point_is_small(cls: SolverClass, name: str) -> None:
    """Without it this point alone decides how much of the dual variable is feasible."""
    case = get_case(name)
    lambda_map = case.lambda_map.clone()
    lambda_map[..., 3, 2] *= 1e-3
    iteration = cls(case.regularizer, n_iterations=1).iteration(case._replace(lambda_map=lambda_map).problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 30)
    plain, repaired = (certificate_of_state(iteration, state, bound).gap.sum() for bound in BOUNDS[1:3])
    assert repaired < 0.1 * plain


@solver_case_parameters('single coil', 'three coils', 'dynamic', 'neumann', 'zero', 'dictionary, three coils')
def test_lower_bound_is_that_of_a_dual_pair(cls: SolverClass, name: str) -> None:
    """Moved from anywhere, the pair meets the optimality condition, without which the bound would mean nothing."""
    case = get_case(name)
    problem = case.problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 3)
    for unknown in (state.primal, state.primal + 3):
        before = DualPair.create(problem, problem.forward(unknown) - problem.data, iteration.dual(state))
        for pair in (before, *(_repaired(problem, unknown, before, repair) for repair in (QUICK, THOROUGH))):
            residual = _without_residual(problem, unknown, pair).residual(problem)
            assert residual.norm() < 1e-8 * before.residual(problem).norm()


@pytest.mark.parametrize('regularizer', [TotalVariation((-2, -1)), TotalVariation((-2, -1), boundary='neumann')])
def test_weights_of_zero(regularizer: TotalVariation) -> None:
    """Where nothing is penalized the dual variable vanishes, up to the last bit."""
    case = create_case(regularizer, CartesianAcquisitionOp(mask((1, 1, 1, 8, 7))), (1, 1, 1, 8, 7), torch.complex128)
    lambda_map = case.lambda_map.clone()
    lambda_map[..., 2:4, 1:6] = 0
    solution = ADMM(regularizer, max_iterations=5000, tolerance=1e-4).solve(*case[1:4], lambda_map)
    assert solution.reason == 'tolerance reached'


def small_weights(shape: tuple[int, int], sampled: torch.Tensor, decades: float) -> tuple[torch.Tensor, ...]:
    """Return data, sensitivities and image of four coils in single precision, and weights over some decades."""
    generator = torch.Generator().manual_seed(0)
    img = torch.zeros(1, 1, 1, *shape, dtype=torch.complex64)
    img[..., 5:18, 4:15] = 1
    img[..., 9:13, 8:12] *= 0.5j
    csm = simulate_coil_maps(4, shape, generator)[None]
    (data,) = CartesianAcquisitionOp(sampled, csm)(img)
    data = data + 0.02 * sampled * torch.randn(data.shape, generator=generator, dtype=data.dtype)
    lambda_map = 0.05 * 10 ** (-decades * torch.rand(1, *img.shape, generator=generator))
    return data, csm, img, lambda_map


def test_proof_with_small_weights() -> None:
    """Weights over four decades, half of the lines: the solve stops within a few hundred iterations, with a proof."""
    sampled = CartesianLines(2.0, 6).mask((24, 20), torch.Generator().manual_seed(0))[None, None, None]
    data, csm, _, lambda_map = small_weights((24, 20), sampled, 4)
    acquisition_op = CartesianAcquisitionOp(sampled, csm)
    solver = ADMM(PhaseAware(TV), max_iterations=500)
    solution = solver.solve(data, acquisition_op, acquisition_op.adjoint(data)[0], lambda_map)
    assert solution.reason == 'tolerance reached'


def test_rounding_errors_need_no_weight() -> None:
    """Where all of k-space is sampled, single precision certifies what double precision does, whatever the weights."""
    data, csm, img, lambda_map = small_weights((24, 20), torch.ones(1, 1, 1, 24, 20), 8)
    problem = Problem.create(TV, data, CartesianAcquisitionOp(torch.ones(1, 1, 1, 24, 20), csm), img, lambda_map)
    iteration = ADMMIteration(problem, 1.0, 1.8)
    state = iteration.run(iteration.owned(iteration.init()), 0, 60)
    dual = iteration.dual(state)
    assert isinstance(dual, torch.Tensor)
    found = certificate(problem, state.primal, dual).relative_gap
    unknown, dual = state.primal.to(torch.complex128), dual.to(torch.complex128)
    assert found < 1.1 * (certificate(problem.double, unknown, dual).relative_gap + 1e-6)
    assert found < 1e-2


@solver_case_parameters('three coils', 'dictionary, three coils')
def test_gap_of_each_image_is_that_of_the_image_alone(cls: SolverClass, name: str) -> None:
    """One entry that is far from its minimizer does not spoil the others; dim beside bright ones."""
    case = get_case(name)
    acquisition_op = case.acquisition_op
    assert isinstance(acquisition_op, CartesianAcquisitionOp)
    assert acquisition_op.csm is not None
    factor = torch.tensor([1.0, 1e-3], dtype=torch.float64).reshape(2, 1, 1, 1, 1)
    case = case._replace(
        data=factor * case.data, initial_image=factor * case.initial_image, lambda_map=factor * case.lambda_map
    )
    together = cls(case.regularizer, n_iterations=30).solve(*case[1:])
    assert together.objective.shape == together.gap.shape == (2,)
    for i in range(2):
        entry = slice(i, i + 1)
        op = CartesianAcquisitionOp(acquisition_op.mask[entry], acquisition_op.csm[entry])
        arguments = case.data[entry], op, case.initial_image[entry], case.lambda_map[:, entry]
        alone = cls(case.regularizer, n_iterations=30).solve(*arguments)
        torch.testing.assert_close(together.img[entry], alone.img, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(together.objective[entry], alone.objective, rtol=1e-10, atol=0)
        # the bound is repaired for all images if that of one is not tight enough
        assert bool((together.gap[entry] <= (1 + 1e-6) * alone.gap + 1e-15).all())
    assert together.relative_gap == pytest.approx((together.gap / together.objective).amax().item())


def test_solve_stops_when_the_worst_image_has_reached_the_tolerance() -> None:
    """An easy bright image does not hide that a dim one has not."""
    case = get_case('three coils')
    factor = torch.tensor([1.0, 1e-2], dtype=torch.float64).reshape(2, 1, 1, 1, 1)
    data = (factor * case.data, case.acquisition_op, factor * case.initial_image, factor * case.lambda_map)
    solution = ADMM(TV, max_iterations=3000, tolerance=1e-3).solve(*data)
    assert solution.reason == 'tolerance reached'
    assert bool((solution.gap <= 1e-3 * solution.objective).all())


def nearly_unweighted(
    seed: int, fraction: float
) -> tuple[TotalVariation, torch.Tensor, CartesianAcquisitionOp, torch.Tensor]:
    """Return a low-pass problem with a map that is nearly 0 at some of the voxels.

    It is in single precision, where feasible dual variables and rounding errors are of one size there.
    """
    generator = torch.Generator().manual_seed(seed)
    box = torch.zeros(1, 1, 1, 12, 12)
    box[..., 3:9, 3:9] = 1
    img = torch.zeros(1, 1, 1, 12, 12, dtype=torch.complex64)
    img[..., 4:9, 3:8] = 1
    acquisition_op = CartesianAcquisitionOp(box)
    (data,) = acquisition_op(img + 0.1 * torch.randn(img.shape, generator=generator, dtype=img.dtype))
    lambda_map = torch.where(torch.rand((1, *img.shape), generator=generator) < fraction, 1e-8, 0.1)
    return TotalVariation((-2, -1)), data, acquisition_op, lambda_map


@pytest.mark.parametrize('seed', range(3))
def test_proof_with_a_third_of_the_voxels_nearly_unweighted(seed: int) -> None:
    """The thorough repair finds room at the others."""
    regularizer, data, acquisition_op, lambda_map = nearly_unweighted(seed, 0.3)
    solver = ADMM(regularizer, max_iterations=300)
    solution = solver.solve(data, acquisition_op, acquisition_op.adjoint(data)[0], lambda_map)
    assert solution.reason == 'tolerance reached'


def test_solve_without_proof_ends_by_its_estimate_and_says_so() -> None:
    """Half of the voxels leave no room; not all iterations are spent, and the tolerance is reached but not claimed."""
    regularizer, data, acquisition_op, lambda_map = nearly_unweighted(0, 0.5)
    (initial,) = acquisition_op.adjoint(data)
    solver = ADMM(regularizer, max_iterations=3000, tolerance=1e-2)
    solution = solver.solve(data, acquisition_op, initial, lambda_map)
    assert solution.reason == 'estimate within the tolerance'
    assert solution.relative_estimate <= 1e-2 < solution.relative_gap
    assert solution.n_iterations < 1500
    exact = ADMM(regularizer, n_iterations=1000).solve(data, acquisition_op, initial, lambda_map)
    assert solution.objective <= 1.01 * exact.objective


@pytest.mark.parametrize('cls', [ADMM, PDHG])
def test_estimate_of_an_image_that_is_zero(cls: SolverClass) -> None:
    """Zeros far from the minimizer are not taken for it, although no size is seen in them."""
    case = get_case('single coil')
    iteration = cls(case.regularizer, n_iterations=1).iteration(
        Problem.create(case.regularizer, *case[1:3], torch.zeros_like(case.initial_image), case.lambda_map)
    )
    found = certificate_of_state(iteration, iteration.owned(iteration.init()), 'trivial')
    assert found.estimate > 0.5 * found.objective


def test_images_that_are_coupled_share_a_gap() -> None:
    """Frames by the total variation in time; coils of uncombined images."""
    dynamic = ADMM(get_case('dynamic').regularizer, n_iterations=5).solve(*get_case('dynamic')[1:])
    assert dynamic.gap.shape == (1,)
    coils = get_case('coil images')
    assert coils.initial_image.shape == COILS
    assert ADMM(TV, n_iterations=5).solve(*coils[1:]).gap.shape == (1,)


def test_gap_without_the_zero_frequency() -> None:
    """The mean of the image is free then."""
    hole = mask((1, 1, 1, 8, 7))
    hole[..., 4, 3] = 0
    case = create_case(TV, CartesianAcquisitionOp(hole), (1, 1, 1, 8, 7), torch.complex128)
    solution = PDHG(TV, max_iterations=3000, tolerance=1e-3).solve(*case[1:])
    assert solution.reason == 'tolerance reached'


@solver_case_parameters('single coil', 'dictionary, single coil')
def test_minimum_of_zero(cls: SolverClass, name: str) -> None:
    """A relative gap is never reached then: that of the rounding errors of the data counts."""
    case = get_case(name)
    img = torch.ones_like(case.initial_image)
    (data,) = case.acquisition_op(img)
    is_dictionary = case.regularizer.synthesis_op is not None
    regularizer = DictionarySparsity(DICTIONARY.synthesis_op.filters, beta=0.0) if is_dictionary else TV
    solution = cls(regularizer, max_iterations=3000).solve(data, case.acquisition_op, img, case.lambda_map)
    assert solution.reason == 'tolerance reached'
    assert solution.objective.item() < 1e-15 * data.abs().square().sum().item()


@pytest.mark.parametrize('scale', [1e-30, 1e-22, 1e22, 1e30])
@solver_case_parameters('single coil', 'three coils', 'dictionary, single coil')
def test_extreme_scales(cls: SolverClass, name: str, scale: float) -> None:
    """Data whose squares leave the range of single precision: the image scales with them."""
    case = single_precision(get_case(name))
    reference = cls(case.regularizer, max_iterations=2000, tolerance=1e-3).solve(*case[1:])
    scale = 2.0 ** round(torch.tensor(scale).log2().item())
    scaled = case._replace(
        data=scale * case.data, initial_image=scale * case.initial_image, lambda_map=scale * case.lambda_map
    )
    solution = cls(case.regularizer, max_iterations=2000, tolerance=1e-3).solve(*scaled[1:])
    assert solution.reason == reference.reason == 'tolerance reached'
    torch.testing.assert_close(solution.img / scale, reference.img, rtol=1e-3, atol=1e-3)
    assert solution.relative_gap == pytest.approx(reference.relative_gap, rel=0.1)
    torch.testing.assert_close(solution.objective / scale**2, reference.objective, rtol=1e-3, atol=0)


@solver_case_parameters('single coil', 'three coils')
@pytest.mark.parametrize('weight', [1e-38, 1e-20, 1e9])
def test_extreme_weights(cls: SolverClass, name: str, weight: float) -> None:
    """A tiny weight leaves the data as they are, a huge one only the mean of the image."""
    case = single_precision(get_case(name))
    img = cls(case.regularizer, n_iterations=300)(*case[1:4], weight)
    assert bool(img.isfinite().all())
    if weight < 1:
        residual = case.acquisition_op(img)[0] - case.data
        assert residual.norm() < 0.7 * case.data.norm()
    else:
        variation = (img - img.mean((-2, -1), keepdim=True)).norm()
        assert variation < 1e-2 * img.norm()


def test_weight_that_hides_the_data_is_refused() -> None:
    case = get_case('single coil')
    with pytest.raises(ValueError, match=r'at most 1e\+12 times as large as the data, got a largest value of 1e\+17'):
        ADMM(TV, n_iterations=3)(*case[1:4], 1e17)


def single_precision(case: Case) -> Case:
    """The same problem in single precision. Numbers are rounded first, so that both problems are equal."""
    op = case.acquisition_op
    assert isinstance(op, CartesianAcquisitionOp)
    csm = None if op.csm is None else op.csm.to(torch.complex64)
    regularizer = case.regularizer
    if isinstance(regularizer, DictionarySparsity):
        filters = regularizer.synthesis_op.filters.float()
        regularizer = DictionarySparsity(filters, boundary=regularizer.synthesis_op.boundary)
    data, initial_image = case.data.to(torch.complex64), case.initial_image.to(torch.complex64)
    return Case(regularizer, data, CartesianAcquisitionOp(op.mask.float(), csm), initial_image, case.lambda_map.float())


def double_precision(case: Case) -> Case:
    """The same problem in double precision."""
    op = case.acquisition_op
    assert isinstance(op, CartesianAcquisitionOp)
    csm = None if op.csm is None else op.csm.to(torch.complex128)
    data, initial_image = case.data.to(torch.complex128), case.initial_image.to(torch.complex128)
    op = CartesianAcquisitionOp(op.mask.double(), csm)
    return Case(case.regularizer, data, op, initial_image, case.lambda_map.double())


@solver_case_parameters('single coil', 'three coils')
def test_certificate_of_single_precision(cls: SolverClass, name: str) -> None:
    """Gap and objective are those of double precision, to which the gap of single precision is no guide."""
    case = single_precision(get_case(name))
    solution = cls(case.regularizer, max_iterations=3000, tolerance=3e-6).solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    assert solution.img.dtype == torch.complex64
    reference = double_precision(case)
    smallest = cls(reference.regularizer, max_iterations=9000, tolerance=1e-9).solve(*reference[1:]).objective
    zero = TV.transform(torch.zeros_like(reference.initial_image))
    exact = certificate(reference.problem, solution.img.to(torch.complex128), zero, bound='trivial').objective
    torch.testing.assert_close(solution.objective, exact[..., 0, 0, 0, 0], rtol=1e-12, atol=0)
    assert bool((solution.objective - smallest >= -1e-9 * smallest).all())
    assert bool((solution.objective - smallest <= solution.gap).all())


@solver_case_parameters('dictionary, single coil', 'dictionary, three coils')
def test_certificate_of_a_dictionary_in_single_precision(cls: SolverClass, name: str) -> None:
    """The data without the smooth part are rounded to single precision, so that the problem is almost the same."""
    case = single_precision(get_case(name))
    solution = cls(case.regularizer, max_iterations=3000, tolerance=1e-5).solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    smallest = solve_once(name).objective
    distance = solution.objective - smallest
    assert bool((-3e-7 * smallest <= distance).all())
    assert bool((distance <= solution.gap + 3e-7 * smallest).all())


def test_double_is_the_same_problem() -> None:
    """Also behind sensitivities, and the problem itself stays as it is."""
    case = single_precision(get_case('three coils'))
    problem = case.problem
    (before,) = problem.gram(problem.rhs)
    double = problem.double
    assert double.rhs.dtype == double.data.dtype == double.start.dtype == torch.complex128
    assert double.threshold.dtype == torch.float64
    exact = double_precision(case).problem
    assert isinstance(exact, Problem)
    for found, expected in ((double.gram, exact.gram), (double.acquisition_op, exact.acquisition_op)):
        torch.testing.assert_close(found(exact.rhs), expected(exact.rhs), rtol=1e-13, atol=1e-13)
    assert problem.rhs.dtype == torch.complex64
    assert torch.equal(problem.gram(problem.rhs)[0], before)
