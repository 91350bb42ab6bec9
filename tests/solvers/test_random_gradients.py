"""Gradients of random problems: every way to differentiate a solver gives that of full back-propagation."""

import pytest
from mrpro_lambda.solvers import ActiveSetBackward, Backward, FullBackward, TruncatedBackward

from tests.solvers.cases import BACKWARDS
from tests.solvers.random_problems import (
    KINDS,
    N_ITERATIONS,
    RandomProblems,
    gradient_errors,
    implicit_gradient_errors,
    problem_gradients,
    solvers_of,
)

WAYS: list[type[Backward]] = [way for way in BACKWARDS if way not in (FullBackward, TruncatedBackward)]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('seed', range(8))
def test_gradients_of_random_problems(kind: str, seed: int) -> None:
    case = RandomProblems(seed).problem(kind)
    for cls in solvers_of(case):
        reference = problem_gradients(cls, case, FullBackward())
        for way in WAYS:
            if way is not ActiveSetBackward or case.regularizer.elementwise:
                found = problem_gradients(cls, case, way.exact(N_ITERATIONS))
                assert max(gradient_errors(found, reference)) < 1e-9, (cls, way)


@pytest.mark.parametrize(
    ('kind', 'seed'), [('total variation', 3), ('total variation', 5), ('dictionary', 7), ('dictionary', 14)]
)
def test_implicit_gradients_of_random_problems(kind: str, seed: int) -> None:
    """Of some whose pattern settles in all solvers: the others have nothing to compare."""
    case = RandomProblems(seed).problem(kind)
    for cls in solvers_of(case):
        errors = implicit_gradient_errors(cls, case)
        assert errors
        assert max(errors) < 1e-9
