"""FISTA takes the steps of mrpro's proximal gradient algorithm."""

import pytest
import torch
from mrpro.algorithms.optimizers import pgd
from mrpro.operators import ProximableFunctionalSeparableSum
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.solvers import FISTA
from mrpro_lambda.solvers.FISTA import FISTAIteration, FISTAState

from tests.helper import relative_image_difference
from tests.solvers.cases import get_case


@pytest.mark.parametrize('name', ['dictionary, single coil', 'dictionary, three coils', 'dictionary, complex filters'])
def test_iterates_are_those_of_mrpro(name: str) -> None:
    r"""With :math:`a = 3`, the variant of convergent iterates; its momentum starts one iteration later."""
    case = get_case(name)
    problem = case.problem
    synthesis_op = case.regularizer.synthesis_op
    assert synthesis_op is not None
    iteration = FISTA(case.regularizer, n_iterations=20, momentum=3.0).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    solutions: list[torch.Tensor] = []
    pgd(
        # mrpro's squared norm has no factor 1/2, and its weight stands inside of the norm
        f=L2NormSquared(target=problem.data, weight=torch.tensor(0.5, dtype=torch.float64).sqrt())
        @ (case.acquisition_op @ synthesis_op),
        g=ProximableFunctionalSeparableSum(L1NormViewAsReal(weight=problem.threshold)),
        initial_value=(torch.zeros_like(problem.rhs),),
        stepsize=iteration.step_size,
        max_iterations=20,
        convergent_iterates_variant=True,
        callback=lambda status: solutions.append(status['solution'][0].detach()),
    )
    assert len(solutions) == 20
    state = iteration.init()
    for index, coefficients in enumerate(solutions):
        state = iteration.step(state, max(index - 1, 0))
        assert relative_image_difference(state.primal, coefficients) < 1e-12


@pytest.mark.parametrize('momentum', [3.0, 12.0])
def test_iterates_are_those_of_the_definition(momentum: float) -> None:
    """The step with the acquisition itself, and the momentum, which is 0 in the first iteration."""
    case = get_case('dictionary, three coils')
    problem = case.problem
    synthesis_op = case.regularizer.synthesis_op
    assert synthesis_op is not None
    operator = case.acquisition_op @ synthesis_op
    iteration = FISTA(case.regularizer, n_iterations=20, momentum=momentum).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    state = iteration.init()
    old = extrapolated = torch.zeros_like(problem.rhs)
    for n in range(20):
        (gradient,) = operator.adjoint(operator(extrapolated)[0] - problem.data)
        descent = torch.view_as_real(extrapolated - iteration.step_size * gradient)
        threshold = iteration.step_size * problem.threshold.unsqueeze(-1)
        new = torch.view_as_complex(descent.sign() * (descent.abs() - threshold).clamp_min(0))
        extrapolated = new + n / (n + 1 + momentum) * (new - old)
        old = new
        state = iteration.step(state, n)
        assert relative_image_difference(state.primal, new) < 1e-12
        assert relative_image_difference(state.extrapolated, extrapolated) < 1e-12


def test_step_is_below_the_inverse_norm() -> None:
    """The norm of a single-coil acquisition behind a dictionary is known, so 3 % are enough."""
    case = get_case('dictionary, single coil')
    iteration = FISTA(case.regularizer, n_iterations=1).iteration(case.problem)
    assert isinstance(iteration, FISTAIteration)
    basis = torch.eye(case.problem.start.numel(), dtype=torch.complex128)
    matrix = [case.problem.gram(column.reshape(case.problem.start.shape))[0].flatten() for column in basis]
    largest = torch.linalg.eigvalsh(torch.stack(matrix, -1)).max().item()
    assert iteration.step_size == pytest.approx(0.97 / largest, rel=1e-10)


def test_momentum_accelerates() -> None:
    """Without it (always the first index) the same number of iterations ends further from the minimum."""
    case = get_case('dictionary, single coil')
    problem = case.problem
    iteration = FISTA(case.regularizer, n_iterations=1).iteration(problem)
    with_momentum, without = iteration.owned(iteration.init()), iteration.owned(iteration.init())
    for index in range(60):
        iteration.step_(with_momentum, index)
        iteration.step_(without, 0)

    def gap(state: FISTAState) -> float:
        return problem.certificate(state.primal, iteration.dual(state)).gap

    assert gap(with_momentum) < 0.5 * gap(without)
