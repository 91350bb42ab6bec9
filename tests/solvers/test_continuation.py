"""Solves of one scan with one weight after the other."""

import pytest
import torch
from mrpro_lambda.solvers import Continuation

from tests.solvers.cases import SolverClass, all_solvers, default_case, get_case, solve_once, solver_case_parameters

WAY = (8.0, 0.2, 1.0)
"""Weights on the way to the one that is compared."""


@solver_case_parameters(
    'single coil', 'three coils', 'dictionary, three coils', 'generalized variation', 'Tikhonov, single coil'
)
def test_way_does_not_matter(cls: SolverClass, name: str) -> None:
    """The last solve has the objective of a cold one, up to the gaps of both."""
    case, expected, tolerance = get_case(name), solve_once(name), 1e-4
    solver = cls(case.regularizer, max_iterations=20_000, tolerance=tolerance)
    way = Continuation(solver, case.data, case.acquisition_op, case.initial_image)
    solutions = [way.solve(factor * case.lambda_map) for factor in WAY]
    last = solutions[-1]
    assert last.relative_gap <= 1.01 * tolerance or last.reason == 'estimate within the tolerance'
    excess = (last.objective - expected.objective) / expected.objective
    assert excess.abs().max() <= 1.1 * tolerance
    # those on the way are others, and their memory is not that of the last
    assert (solutions[0].img - last.img).norm() > 1e-3 * last.img.norm()


@all_solvers
def test_first_solve_is_that_of_the_solver(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, max_iterations=30, tolerance=1e-9)
    way = Continuation(solver, *case[1:4])
    assert torch.equal(way.solve(case.lambda_map).img, solver.solve(*case[1:]).img)
    cold = Continuation(solver, *case[1:4]).solve(case.lambda_map, n_iterations=7)
    assert torch.equal(cold.img, solver.replace(n_iterations=7).solve(*case[1:]).img)
    assert (cold.n_iterations, cold.reason) == (7, 'fixed number of iterations')


@all_solvers
def test_goes_on_from_the_last_state(cls: SolverClass) -> None:
    """The same weight again has nothing left to do, while the same weight from the start has."""
    case = default_case(cls)
    solver = cls(case.regularizer, max_iterations=20_000, tolerance=1e-4)
    way = Continuation(solver, *case[1:4])
    first, second = way.solve(case.lambda_map), way.solve(case.lambda_map)
    assert second.n_iterations == 10 <= first.n_iterations
    assert first.n_iterations > 10 or not case.regularizer.elementwise  # quadratic problems take no more
    image = second.img.clone()
    way.solve(3 * case.lambda_map)
    assert torch.equal(second.img, image)


@all_solvers
def test_without_a_proof(cls: SolverClass) -> None:
    """The objective is close to the minimum, and a fixed number of iterations gives the same image."""
    case = default_case(cls)
    solver = cls(case.regularizer, max_iterations=20_000, tolerance=1e-3)
    expected = solver.solve(*case[1:])
    found = Continuation(solver, *case[1:4]).solve(case.lambda_map, proof=False)
    assert found.reason == 'estimate within the tolerance'
    assert ((found.objective - expected.objective) / expected.objective).abs().max() < 3e-3
    fixed = Continuation(solver, *case[1:4]).solve(case.lambda_map, n_iterations=found.n_iterations, proof=False)
    assert torch.equal(fixed.img, found.img)


def test_type_of_the_solver() -> None:
    case = get_case('single coil')
    with pytest.raises(TypeError, match='solver must be Solver, got TotalVariation'):
        Continuation(case.regularizer, *case[1:4])  # type: ignore[arg-type]
