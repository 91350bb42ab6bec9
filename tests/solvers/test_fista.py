"""FISTA takes the steps of mrpro's proximal gradient algorithm."""

import pytest
import torch
from mrpro.algorithms.optimizers import pgd
from mrpro.operators import ProximableFunctionalSeparableSum
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.solvers import FISTA, Problem
from mrpro_lambda.solvers.certificate import certificate
from mrpro_lambda.solvers.FISTA import FISTAIteration, FISTAState

from tests.helper import relative_image_difference
from tests.solvers.cases import Case, get_case


@pytest.mark.parametrize('name', ['dictionary, single coil', 'dictionary, three coils', 'dictionary, complex filters'])
def test_iterates_are_those_of_mrpro(name: str) -> None:
    r"""With :math:`a = 3`, the variant of convergent iterates; its momentum starts one iteration later.

    mrpro has one step size, so it is called for each image of the batch with that of ours.
    """
    case = get_case(name)
    problem = case.problem
    synthesis_op = case.regularizer.synthesis_op
    assert synthesis_op is not None
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    iteration = FISTA(case.regularizer, n_iterations=20, momentum=3.0).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    n = len(problem.rhs)
    csm = case.acquisition_op.csm
    solutions: list[list[torch.Tensor]] = []
    for i, step_size in enumerate(torch.as_tensor(iteration.step_size).flatten().expand(n).tolist()):
        entry = slice(i, i + 1)
        acquisition_op = CartesianAcquisitionOp(case.acquisition_op.mask[entry], None if csm is None else csm[entry])
        of_entry: list[torch.Tensor] = []
        pgd(
            # mrpro's squared norm has no factor 1/2, and its weight stands inside of the norm
            f=L2NormSquared(target=problem.data[entry], weight=torch.tensor(0.5, dtype=torch.float64).sqrt())
            @ (acquisition_op @ synthesis_op),
            g=ProximableFunctionalSeparableSum(L1NormViewAsReal(weight=problem.threshold[:, entry])),
            initial_value=(problem.start[:, entry],),
            stepsize=step_size,
            max_iterations=20,
            convergent_iterates_variant=True,
            callback=lambda status, found=of_entry: found.append(status['solution'][0].detach()),  # type: ignore[misc]
        )
        assert len(of_entry) == 20
        solutions.append(of_entry)
    state = iteration.init()
    for index, coefficients in enumerate(zip(*solutions, strict=True)):
        state = iteration.step(state, max(index - 1, 0))
        assert relative_image_difference(state.primal, torch.cat(coefficients, 1)) < 1e-12


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
    old = extrapolated = problem.start
    for n in range(20):
        (gradient,) = operator.adjoint(operator(extrapolated)[0] - problem.data)
        descent = torch.view_as_real(extrapolated - iteration.step_size * gradient)
        threshold = (iteration.step_size * problem.threshold).unsqueeze(-1)
        new = torch.view_as_complex(descent.sign() * (descent.abs() - threshold).clamp_min(0))
        extrapolated = new + n / (n + 1 + momentum) * (new - old)
        old = new
        state = iteration.step(state, n)
        assert relative_image_difference(state.primal, new) < 1e-12
        assert relative_image_difference(state.extrapolated, extrapolated) < 1e-12


@pytest.mark.parametrize(
    ('name', 'exact'),
    [
        ('dictionary, single coil', True),
        ('dictionary, real denoising', True),
        ('dictionary, complex filters', True),
        ('dictionary, frequencies along another axis', True),
        ('dictionary, 3D filters', True),
        ('dictionary, slices with different masks', False),
        ('dictionary, three coils', False),
        ('dictionary, zero boundary', False),
    ],
)
def test_step_is_below_the_inverse_norm(name: str, exact: bool) -> None:
    """The norm of a single-coil acquisition behind a dictionary is known for each image, so 3 % are enough.

    Otherwise it is the product of two bounds.
    """
    case = get_case(name)
    problem = case.problem
    iteration = FISTA(case.regularizer, n_iterations=1).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    step_size = torch.as_tensor(iteration.step_size).flatten().expand(len(problem.rhs))
    for i in range(len(problem.rhs)):
        matrix = dense(case, i)
        largest = torch.linalg.eigvalsh(matrix).max().item()
        if exact:
            assert step_size[i].item() == pytest.approx(0.97 / largest, rel=1e-10)
        else:
            assert 0.1 < step_size[i].item() * largest <= 0.97 * (1 + 1e-12)


def dense(case: Case, entry: int) -> torch.Tensor:
    """Return the matrix of the Gram operator of acquisition and dictionary for one image of a batch."""
    problem = case.problem
    synthesis_op = case.regularizer.synthesis_op
    assert synthesis_op is not None
    selected = torch.zeros_like(problem.start)
    selected[:, entry] = 1
    columns = []
    for index in selected.flatten().nonzero()[:, 0].tolist():
        column = torch.zeros_like(problem.start).flatten()
        column[index] = 1
        (img,) = problem.gram(synthesis_op(column.reshape(problem.start.shape))[0])
        columns.append(synthesis_op.adjoint(img)[0][:, entry].flatten())
    return torch.stack(columns, -1)


def test_images_without_samples_stay_zero() -> None:
    """Next to one with samples, whose coefficients are those that it has alone."""
    case = get_case('dictionary, single coil')
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    mask = torch.cat([case.acquisition_op.mask, torch.zeros_like(case.acquisition_op.mask)])
    data, img = (torch.cat([x, x]) for x in (case.data, case.initial_image))
    together = Problem.create(case.regularizer, data * mask, CartesianAcquisitionOp(mask), img, 0.1)
    alone = Problem.create(*case[:4], 0.1)
    found = []
    for problem in (together, alone):
        iteration = FISTA(case.regularizer, n_iterations=1).iteration(problem)
        found.append(iteration.run(iteration.owned(iteration.init()), 0, 20).primal)
    assert not found[0][:, 1].any()
    assert relative_image_difference(found[0][:, :1], found[1]) < 1e-12


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
        return certificate(problem, state.primal).gap.item()

    assert gap(with_momentum) < 0.5 * gap(without)
