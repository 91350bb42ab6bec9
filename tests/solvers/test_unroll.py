"""Solves that begin with a state."""

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.solvers import Backward, FullBackward, TruncatedBackward

from tests.helper import relative_image_difference
from tests.solvers.cases import BACKWARDS, SolverClass, all_solvers, default_case

N = 9


def gradient(cls: SolverClass, backward: Backward) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and gradient of a few iterations from a state."""
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=N, backward=backward)
    state = solver.advance(case.problem, n_iterations=12)
    lambda_map = case.lambda_map.clone().requires_grad_()
    img = solver.unroll(case._replace(lambda_map=lambda_map).problem, state)
    direction = RandomGenerator(5).randn_tensor(img.shape, img.dtype)
    (found,) = torch.autograd.grad((direction.conj() * img).real.sum(), lambda_map)
    return img.detach(), found


@all_solvers
def test_a_state_is_nearer_to_the_minimizer_and_stays_as_it_is(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=N)
    exact = solver.replace(n_iterations=3000)(*case[1:])
    state = solver.advance(case.problem, n_iterations=40)
    before = [part.clone() for part in state]
    first, second = solver.unroll(case.problem), solver.unroll(case.problem, state)
    assert relative_image_difference(second, exact) < 0.5 * relative_image_difference(first, exact)
    assert all(torch.equal(*parts) for parts in zip(state, before, strict=True))
    assert torch.equal(second, solver.unroll(case.problem, state))


@pytest.mark.parametrize('backward', [way for way in BACKWARDS if way not in (FullBackward, TruncatedBackward)])
@all_solvers
def test_all_ways_give_the_gradient_from_a_state(cls: SolverClass, backward: type[Backward]) -> None:
    """That of the iterations that follow: the state is a constant."""
    expected = gradient(cls, FullBackward())
    if backward.__name__ == 'ActiveSetBackward' and not default_case(cls).regularizer.elementwise:
        pytest.skip('refused')
    for found, value in zip(gradient(cls, backward.exact(N)), expected, strict=True):
        assert relative_image_difference(found, value) < 1e-9
