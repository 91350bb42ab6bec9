"""The certified gap bounds the distance to the minimum: what it assumes, where it is refused, and its precision."""

import pytest
import torch
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG, Problem
from mrpro_lambda.solvers.Problem import GapKind

from tests.solvers.cases import (
    COILS,
    TV,
    Case,
    SolverClass,
    create_case,
    get_case,
    mask,
    solve_exactly,
    solver_case_parameters,
)


@solver_case_parameters('single coil', 'dynamic', 'real denoising', 'dictionary, complex filters')
def test_scaled_gap_needs_no_assumption_about_the_size_of_the_minimizer(cls: SolverClass, name: str) -> None:
    """At zero the bounded gap takes the minimizer to be zero as well, and is too small. The scaled one is not."""
    case = get_case(name)
    solution, problem = solve_exactly(cls, name), case.problem
    zero = torch.zeros_like(problem.start)
    dual = case.regularizer.transform(zero)
    bounded, scaled = (problem.certificate(zero, dual, kind) for kind in ('bounded', 'scaled'))
    distance = bounded.objective - solution.objective
    assert distance > 0.1 * solution.objective
    assert bounded.gap == 0
    assert scaled.objective == bounded.objective == pytest.approx(0.5 * problem.data.abs().square().sum().item())
    assert scaled.gap >= distance


@solver_case_parameters('single coil', 'three coils', 'dynamic', 'coil images')
@pytest.mark.parametrize('scale', [0.1, 3.0])
def test_scaled_gap_of_images_far_from_the_minimizer(cls: SolverClass, name: str, scale: float) -> None:
    """Any image and any feasible dual, in particular images that are too dark or too bright, or of wrong mean."""
    case = get_case(name)
    smallest, problem = solve_exactly(cls, name).objective, case.problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 20)
    for img in (scale * state.primal, state.primal + scale, 0 * state.primal + scale):
        for dual in (0 * iteration.dual(state), -iteration.dual(state), 0.5 * iteration.dual(state)):
            value, gap = problem.certificate(img, dual, 'scaled')
            assert gap >= (value - smallest) * (1 - 1e-9)


@solver_case_parameters('three coils', 'dynamic', 'dictionary, three coils')
def test_solve_to_a_scaled_gap(cls: SolverClass, name: str) -> None:
    """The solver stops on the gap that it was asked for; the image is within it."""
    case = get_case(name)
    solution = cls(case.regularizer, max_iterations=3000, tolerance=1e-3, gap='scaled').solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    smallest = solve_exactly(cls, name).objective
    assert 0 <= solution.objective - smallest <= solution.gap <= 1e-3 * solution.objective
    fixed = cls(case.regularizer, n_iterations=solution.n_iterations, gap='scaled').solve(*case[1:])
    assert fixed.gap == solution.gap
    assert fixed.gap != cls(case.regularizer, n_iterations=solution.n_iterations).solve(*case[1:]).gap


def test_scaled_gap_of_a_batch_is_the_sum() -> None:
    """One entry that is far from its minimizer does not spoil the bound of the others."""
    case = get_case('three coils')
    acquisition_op = case.acquisition_op
    assert isinstance(acquisition_op, CartesianAcquisitionOp)
    assert acquisition_op.csm is not None
    iteration = ADMM(TV, n_iterations=1).iteration(case.problem)
    state = iteration.run(iteration.owned(iteration.init()), 0, 30)
    img, dual = state.primal.clone(), iteration.dual(state).clone()
    img[1] *= 5
    dual[:, 1] *= -1
    together = case.problem.certificate(img, dual, 'scaled')
    alone = []
    for i in range(2):
        entry = slice(i, i + 1)
        op = CartesianAcquisitionOp(acquisition_op.mask[entry], acquisition_op.csm[entry])
        part = Case(TV, case.data[entry], op, case.initial_image[entry], case.lambda_map[:, entry])
        alone.append(part.problem.certificate(img[entry], dual[:, entry], 'scaled'))
    assert together == pytest.approx(tuple(sum(values) for values in zip(*alone, strict=True)), rel=1e-10)
    assert alone[0].gap < 0.1 * alone[1].gap


@pytest.mark.parametrize('name', ['neumann', 'zero'])
def test_scaled_gap_refuses_other_boundaries(name: str) -> None:
    case = get_case(name)
    solver = PDHG(case.regularizer, n_iterations=3, gap='scaled')
    with pytest.raises(ValueError, match=f"The scaled gap needs boundary='circular', got '{name}'"):
        solver.solve(*case[1:])
    assert PDHG(case.regularizer, n_iterations=3).solve(*case[1:]).gap > 0


@pytest.mark.parametrize(('shape', 'dim'), [((1, 1, 2, 8, 7), (-2, -1)), ((1, 1, 1, 8, 7), (-1,))])
def test_scaled_gap_refuses_axes_without_total_variation(shape: tuple[int, ...], dim: tuple[int, ...]) -> None:
    """A stack of slices: the null space of the gradient is larger than the constants."""
    case = create_case(TotalVariation(dim), CartesianAcquisitionOp(mask((1, 1, 1, 8, 7))), shape, torch.complex128)
    solver = PDHG(case.regularizer, n_iterations=3, gap='scaled')
    with pytest.raises(ValueError, match=r'needs a total variation along all axes of the image.*use the bounded gap'):
        solver.solve(*case[1:])


def test_scaled_gap_without_the_zero_frequency() -> None:
    """The mean of the image is free then."""
    hole = mask((1, 1, 1, 8, 7))
    hole[..., 4, 3] = 0
    case = create_case(TV, CartesianAcquisitionOp(hole), (1, 1, 1, 8, 7), torch.complex128)
    solution = PDHG(TV, max_iterations=3000, tolerance=1e-3, gap='scaled').solve(*case[1:])
    assert solution.reason == 'tolerance reached'


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
@pytest.mark.parametrize(('kind', 'tolerance'), [('bounded', 1e-5), ('scaled', 3e-6)])
def test_certificate_of_single_precision(cls: SolverClass, name: str, kind: GapKind, tolerance: float) -> None:
    """Gap and objective are those of double precision, to which the gap of single precision is no guide."""
    case = single_precision(get_case(name))
    solution = cls(case.regularizer, max_iterations=3000, tolerance=tolerance, gap=kind).solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    assert solution.img.dtype == torch.complex64
    reference = double_precision(case)
    problem = reference.problem
    smallest = cls(reference.regularizer, max_iterations=9000, tolerance=1e-9).solve(*reference[1:]).objective

    iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
    with torch.no_grad():
        state = iteration.run(iteration.owned(iteration.init()), 0, solution.n_iterations)
    dual = iteration.dual(state)
    exact = problem.certificate(state.primal.to(torch.complex128), dual.to(torch.complex128), kind)
    assert solution.objective == pytest.approx(exact.objective, rel=1e-12)
    assert solution.gap == pytest.approx(exact.gap, rel=1e-6)
    assert -1e-9 * smallest <= solution.objective - smallest <= solution.gap
    rounded = case.problem.certificate(state.primal, dual, kind)
    assert abs(rounded.gap - exact.gap) > 1e3 * abs(solution.gap - exact.gap)


@solver_case_parameters('dictionary, single coil', 'dictionary, three coils')
def test_certificate_of_a_dictionary_in_single_precision(cls: SolverClass, name: str) -> None:
    """The data without the smooth part are rounded to single precision, so that the problem is almost the same."""
    case = single_precision(get_case(name))
    solution = cls(case.regularizer, max_iterations=3000, tolerance=1e-5).solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    smallest = solve_exactly(cls, name).objective
    assert -3e-7 * smallest <= solution.objective - smallest <= solution.gap + 3e-7 * smallest


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


def test_coil_images_have_a_gap_for_each_coil() -> None:
    """Not coupled: a batch over coils."""
    case = get_case('coil images')
    assert case.initial_image.shape == COILS
    img = case.initial_image.clone()
    dual = TV.transform(torch.zeros_like(img))
    together = case.problem.certificate(img, dual, 'scaled')
    alone = [
        Case(TV, case.data[:, c : c + 1], case.acquisition_op, img[:, c : c + 1], case.lambda_map).problem.certificate(
            img[:, c : c + 1], dual[:, :, c : c + 1], 'scaled'
        )
        for c in range(3)
    ]
    assert together == pytest.approx(tuple(sum(values) for values in zip(*alone, strict=True)), rel=1e-10)
