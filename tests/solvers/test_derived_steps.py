"""The plain step is all that an algorithm needs: the steps in place and transposed follow from it."""

import pytest
import torch
from mrpro_lambda.norms import HuberNorm, L1Norm, SquaredNorm
from mrpro_lambda.operators import GradientOp
from mrpro_lambda.regularizers import Regularizer
from mrpro_lambda.solvers import (
    ADMM,
    PDHG,
    ActiveSetBackward,
    CheckpointedBackward,
    ConjugateGradient,
    FullBackward,
    Iteration,
)
from mrpro_lambda.solvers.Iteration import Gradient

from tests.solvers.cases import SolverClass, get_case, solver_case_parameters


@solver_case_parameters(
    'single coil', 'three coils', 'dynamic', 'neumann', 'real denoising', 'dictionary, three coils', 'smoothed'
)
def test_derived_steps_are_the_fast_ones(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    data, lambda_map = case.data.clone().requires_grad_(), case.lambda_map.clone().requires_grad_()
    img = case.initial_image.clone().requires_grad_()
    problem = case._replace(data=data, lambda_map=lambda_map, initial_image=img).problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    with torch.no_grad():
        states = [iteration.run(iteration.owned(iteration.init()), 0, 5) for _ in range(2)]
        patterns = iteration.new_patterns(2)
        iteration.step_(states[0], 5, patterns[0])
    Iteration.step_(iteration, states[1], 5, patterns[1])
    for fast, derived in zip(*states, strict=True):
        torch.testing.assert_close(fast, derived, rtol=1e-12, atol=1e-12)
    assert torch.equal(*patterns)

    generator = torch.Generator().manual_seed(0)
    random = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in states[0]]
    gradients = [Gradient(problem), Gradient(problem)]
    cotangents = [type(states[0])(*(x.clone() for x in random)) for _ in range(2)]
    for index in (5, 4):
        with torch.no_grad():
            iteration.transpose_(cotangents[0], index, patterns[0], gradients[0])
        Iteration.transpose_(iteration, cotangents[1], index, patterns[0], gradients[1])
    with torch.no_grad():
        iteration.transpose_init_(cotangents[0], gradients[0])
    Iteration.transpose_init_(iteration, cotangents[1], gradients[1])
    torch.testing.assert_close(gradients[0].threshold, gradients[1].threshold, rtol=1e-10, atol=1e-11)
    # that of frequencies without data is of no meaning
    of_data = [case.acquisition_op(gradient.rhs)[0] for gradient in gradients if gradient.rhs is not None]
    torch.testing.assert_close(*of_data, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(gradients[0].start, gradients[1].start, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize('cls', [ADMM, PDHG])
@pytest.mark.parametrize('smoothing', [1e-3, 1.0])
def test_activity_patterns_of_a_smoothed_norm(cls: SolverClass, smoothing: float) -> None:
    """The gradient from them is that of autograd, as the contraction is a number."""
    case = get_case('three coils')
    regularizer = Regularizer(GradientOp((-2, -1)), HuberNorm(smoothing))
    gradients = []
    for backward in (FullBackward(), ActiveSetBackward()):
        inputs = [x.clone().requires_grad_() for x in (case.data, case.initial_image, case.lambda_map)]
        solver = cls(regularizer, n_iterations=12, backward=backward)
        img = solver(inputs[0], case.acquisition_op, *inputs[1:])
        gradients.append(torch.autograd.grad((img * case.initial_image.conj()).real.sum(), inputs))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('cls', [ADMM, PDHG])
def test_small_smoothing_is_none(cls: SolverClass) -> None:
    case = get_case('single coil')
    images = [
        cls(Regularizer(GradientOp((-2, -1)), norm), max_iterations=5000, tolerance=1e-7)(*case[1:])
        for norm in (L1Norm(), HuberNorm(1e-5))
    ]
    torch.testing.assert_close(*images, rtol=0, atol=1e-4)


@pytest.mark.parametrize('cls', [ADMM, PDHG, ConjugateGradient])
def test_squares_have_a_closed_form(cls: SolverClass) -> None:
    r"""Without sensitivities :math:`(m + \Lambda \hat L) \hat x = \hat y` for a weight that is a number."""
    case = get_case('single coil')
    regularizer = Regularizer(GradientOp((-2, -1)), SquaredNorm())
    solution = cls(regularizer, max_iterations=5000, tolerance=1e-10).solve(*case[1:4], 0.3)
    problem = case.problem
    system = problem.circulant_bound.transfer + 0.3 * regularizer.symbol(problem.rhs.shape, torch.device('cpu'))
    expected = torch.fft.ifft2(torch.fft.fft2(problem.rhs) / system)
    assert solution.reason == 'tolerance reached'
    torch.testing.assert_close(solution.img, expected, rtol=0, atol=1e-4)
    checked = cls(regularizer, n_iterations=9, backward=CheckpointedBackward(3))
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(checked(*case[1:4], weight).abs().sum(), weight)
    assert gradient.isfinite()
