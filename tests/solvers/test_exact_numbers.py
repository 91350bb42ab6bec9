"""Numbers and counts of the solvers that change no theorem, but speed, accuracy, or a message."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, WaveletSparsity
from mrpro_lambda.solvers import ADMM, FISTA, ActiveSetBackward, ImplicitBackward, Problem, TruncatedBackward
from mrpro_lambda.solvers.ADMM import ADMMIteration
from mrpro_lambda.solvers.Iteration import rounded_penalty

from tests.helper import relative_image_difference
from tests.reconstruction.cases import cosine_filters, phantom
from tests.solvers.cases import TV, SolverClass, all_solvers, coil_maps, default_case, get_case


@all_solvers
@pytest.mark.parametrize('n_last', [2, 5])
def test_truncation_takes_exactly_the_last_steps(cls: SolverClass, n_last: int) -> None:
    """The gradient is that of the steps themselves, from a state without history."""
    case = default_case(cls)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, n_iterations=9, backward=TruncatedBackward(n_last))
    img = solver(*case[1:4], lambda_map)
    (found,) = torch.autograd.grad(img.abs().square().sum(), lambda_map)

    iteration = solver.iteration(Problem.create(*case[:4], lambda_map))
    with torch.no_grad():
        state = iteration.run(iteration.owned(iteration.init()), 0, 9 - n_last)
    for index in range(9 - n_last, 9):
        state = iteration.step(state, index)
    img = iteration.problem.image(state.primal)
    (expected,) = torch.autograd.grad(img.abs().square().sum(), lambda_map)
    assert relative_image_difference(found, expected) < 1e-12


@pytest.mark.parametrize('cls', [ADMM, FISTA])
def test_accuracy_of_the_implicit_gradient(cls: SolverClass, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller the change that is asked for, the more steps are taken, and the error follows it."""
    case = get_case('dictionary, three coils')
    n_steps = 0

    def gradient(backward: Any) -> torch.Tensor:
        lambda_map = case.lambda_map.clone().requires_grad_()
        img = cls(case.regularizer, n_iterations=600, backward=backward)(*case[1:4], lambda_map)
        return torch.autograd.grad(img.abs().square().sum(), lambda_map)[0]

    expected = gradient(ActiveSetBackward())
    iteration = type(cls(case.regularizer, n_iterations=1).iteration(case.problem))
    transpose = iteration.transpose_

    def counted(*args: Any) -> None:
        nonlocal n_steps
        n_steps += 1
        transpose(*args)

    monkeypatch.setattr(iteration, 'transpose_', counted)
    counts = []
    for accuracy in (1e-1, 1e-3, 1e-5):
        n_steps = 0
        found = gradient(ImplicitBackward(accuracy=accuracy, max_iterations=20_000))
        counts.append(n_steps)
        assert relative_image_difference(found, expected) < 10 * accuracy
    assert counts == sorted(set(counts))


def test_penalty_has_eight_bits() -> None:
    """So that it is the same in single and double precision: numbers from 1 to 2 become multiples of 1/128."""
    penalty = torch.linspace(1, 2, 10_001, dtype=torch.float64)
    rounded = rounded_penalty(penalty)
    assert torch.equal(rounded.unique(), torch.arange(128, 257) / 128)
    assert (rounded - penalty).abs().max() <= 1 / 256
    scales = torch.tensor([2.0**-40, 2.0**-7, 2.0**5, 2.0**60], dtype=torch.float64)
    assert torch.equal(rounded_penalty(scales[:, None] * penalty), scales[:, None] * rounded)


@pytest.mark.parametrize('weight', [0.05, 0.1])
def test_penalty_of_a_dictionary_is_near_the_best(weight: float) -> None:
    """After some iterations, those with half or twice the penalty are further from the minimum."""
    regularizer = DictionarySparsity(cosine_filters(5, 16, torch.float64), beta=4.0)
    rng = RandomGenerator(0)
    mask = rng.float64_tensor((1, 1, 1, 16, 16)) < 0.5
    mask[..., 5:11, 5:11] = True
    acquisition_op = CartesianAcquisitionOp(mask.double(), coil_maps((1, 3, 1, 16, 16), torch.complex128))
    (data,) = acquisition_op(phantom(1, 16, 16).to(torch.complex128))
    data = data + 0.05 * mask * rng.randn_tensor(data.shape, torch.complex128)
    inputs = data, acquisition_op, acquisition_op.adjoint(data)[0], weight

    def objective(n_iterations: int, factor: float) -> float:
        return ADMM(regularizer, n_iterations=n_iterations, penalty_factor=factor).solve(*inputs).objective.item()

    minimum = objective(600, 1.0)
    half, default, twice = (objective(60, factor) - minimum for factor in (0.5, 1.0, 2.0))
    assert default < 0.9 * min(half, twice)


@pytest.mark.parametrize('undecimated', [False, True])
def test_penalty_does_not_depend_on_coefficients_without_weight(undecimated: bool) -> None:
    """An approximation that is a thousand times as large leaves it as it is."""
    regularizer = WaveletSparsity((-2, -1), 'haar', 2, undecimated=undecimated, maps='one')
    img = RandomGenerator(0).randn_tensor((1, 1, 1, 8, 8), torch.float64)
    constant = torch.full_like(img, 1000.0)  # in the approximation only

    def penalty(data: torch.Tensor) -> torch.Tensor:
        iteration = ADMM(regularizer, n_iterations=1).iteration(
            Problem.create(regularizer, data, IdentityOp(), img, 0.1)
        )
        assert isinstance(iteration, ADMMIteration)
        return iteration.penalty

    assert torch.equal(penalty(img), penalty(img + constant))


def test_large_numbers_are_not_called_infinite() -> None:
    """Finite data whose sum overflows."""
    data = torch.full((1, 1, 1, 4, 4), 1e308, dtype=torch.float64)
    assert not data.sum().isfinite()
    with suppress(ValueError):  # of another rule, as the objective overflows
        Problem.create(TV, data, IdentityOp(), data, 0.1)
        return
    with pytest.raises(ValueError, match=r'^(?!.*NaN or Inf)'):
        Problem.create(TV, data, IdentityOp(), data, 0.1)
