"""ADMM of a dictionary takes the steps of its definition, with dense matrices, and their gradient."""

import importlib

import pytest
import torch
from mrpro.operators import LinearOperator
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp, GridDictionary
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import ADMM, FISTA, ActiveSetBackward, Backward, FullBackward, Problem, TruncatedBackward
from mrpro_lambda.solvers.DictionaryADMMIteration import DictionaryADMMIteration

from tests.helper import relative_image_difference
from tests.solvers.cases import Case, SolverClass, get_case, solver_case_parameters

solvers = pytest.mark.parametrize('cls', [ADMM, FISTA])


def matrix(op: LinearOperator, shape: torch.Size) -> torch.Tensor:
    """Matrix of an operator, by its columns."""
    columns = torch.eye(shape.numel(), dtype=torch.complex128)
    return torch.stack([op(column.reshape(shape))[0].flatten() for column in columns], -1)


def clip(x: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Clip real and imaginary part."""
    return torch.complex(x.real.clamp(-bound, bound), x.imag.clamp(-bound, bound))


@pytest.mark.parametrize(
    ('name', 'exact'),
    [
        ('dictionary, single coil', True),
        ('dictionary, complex filters', True),
        ('dictionary, frequencies along another axis', True),
        ('dictionary, three coils', False),
        ('dictionary, slices with different masks', False),
    ],
)
def test_step_solves_the_linear_system(name: str, exact: bool) -> None:
    r"""The matrix :math:`D^H C D + \mu` is inverted as a whole, and the data come from the acquisition itself."""
    case, alpha = get_case(name), 1.7
    problem = case.problem
    synthesis_op = case.regularizer.synthesis_op
    assert synthesis_op is not None
    iteration = ADMM(case.regularizer, n_iterations=1, over_relaxation=alpha).iteration(problem)
    assert isinstance(iteration, DictionaryADMMIteration)
    bound = problem.circulant_bound
    assert bound.exact == exact
    shape = problem.rhs.shape
    basis = torch.eye(shape.numel(), dtype=torch.complex128).reshape(-1, *shape)
    axes = bound.dim or (-1,)
    circulant = torch.fft.ifftn(torch.fft.fftn(basis, dim=axes) * bound.transfer, dim=axes).flatten(1).mT
    synthesis = matrix(synthesis_op, problem.start.shape)
    gram = synthesis.mH @ matrix(case.acquisition_op.H @ case.acquisition_op, shape) @ synthesis
    rhs = synthesis.mH @ case.acquisition_op.adjoint(problem.data)[0].flatten()
    penalty = iteration.penalty.expand(problem.start.shape).flatten()
    circulant = synthesis.mH @ circulant @ synthesis
    threshold = problem.threshold.flatten() / penalty
    s, z, u = (torch.zeros_like(rhs) for _ in range(3))
    state = iteration.init()
    for index in range(6):
        # for C = A^H A the terms with s drop out
        right = circulant @ s - gram @ s + rhs + penalty * (z - u)
        s = torch.linalg.solve(circulant + penalty.diag(), right)
        h = alpha * s + (1 - alpha) * z + u
        u = clip(h, threshold)
        z = h - u
        state = iteration.step(state, index)
        assert relative_image_difference(state.dual.flatten(), u) < 1e-10
        torch.testing.assert_close(state.primal.flatten(), z, rtol=0, atol=1e-10)
    assert bool(z.any())


@pytest.mark.parametrize('chunk', [1, 200, 10**9])
@solver_case_parameters('dictionary, complex filters', 'dictionary, three coils', 'dictionary, real denoising')
def test_size_of_the_chunks_does_not_matter(
    cls: SolverClass, name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the image nor for its gradients."""
    case = get_case(name)
    expected = gradients(cls, case, ActiveSetBackward())
    monkeypatch.setattr(importlib.import_module(GridDictionary.__module__), '_CHUNK', chunk)
    n_chunks = len(case.problem.dictionary.chunks)
    assert n_chunks == {1: case.regularizer.n_maps, 10**9: 1}.get(chunk, n_chunks)
    for value, reference in zip(gradients(cls, case, ActiveSetBackward()), expected, strict=True):
        assert relative_image_difference(value, reference) < 1e-12


def gradients(cls: SolverClass, case: Case, backward: Backward, n_iterations: int = 13) -> tuple[torch.Tensor, ...]:
    """Image, and derivatives with respect to map, data, initial image and the strength of the low-pass filter."""
    regularizer = case.regularizer
    assert isinstance(regularizer, DictionarySparsity)
    beta = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    op = regularizer.synthesis_op
    regularizer = DictionarySparsity(op.filters, boundary=op.boundary, beta=beta)
    data, img, lambda_map = (x.detach().clone().requires_grad_() for x in (case.data, *case[3:]))
    output = cls(regularizer, n_iterations=n_iterations, backward=backward)(data, case.acquisition_op, img, lambda_map)
    direction = RandomGenerator(5).randn_tensor(output.shape, output.dtype)
    loss = (direction.conj() * output).real.sum()
    return output.detach(), *torch.autograd.grad(loss, (lambda_map, data, img, beta))


@solver_case_parameters(
    'dictionary, single coil',
    'dictionary, three coils',
    'dictionary, 3D filters',
    'dictionary, slices with different masks',
)
def test_gradient_with_respect_to_everything(cls: SolverClass, name: str) -> None:
    """The smooth part depends on beta, and the coefficients through the data that it leaves."""
    case = get_case(name)
    reference = gradients(cls, case, FullBackward())
    for backward in (ActiveSetBackward(), TruncatedBackward(13)):
        for value, expected in zip(gradients(cls, case, backward), reference, strict=True):
            assert relative_image_difference(value, expected) < 1e-9


@solver_case_parameters('dictionary, single coil', 'dictionary, three coils')
def test_truncation_goes_on_from_a_detached_state(cls: SolverClass, name: str) -> None:
    """With the index of the iteration, so that the momentum is that of the whole run."""
    case = get_case(name)
    lambda_map = case.lambda_map.clone().requires_grad_()
    problem = Problem.create(*case[:4], lambda_map)
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.init()
    for index in range(9):
        state = iteration.step(state, index)
    state = type(state)(*(tensor.detach() for tensor in state))
    for index in range(9, 13):
        state = iteration.step(state, index)
    (expected,) = torch.autograd.grad(problem.image(state.primal).abs().square().sum(), lambda_map)
    img = cls(case.regularizer, n_iterations=13, backward=TruncatedBackward(4))(*case[1:4], lambda_map)
    (found,) = torch.autograd.grad(img.abs().square().sum(), lambda_map)
    assert relative_image_difference(found, expected) < 1e-12


@solvers
def test_images_with_different_masks_are_independent(cls: SolverClass) -> None:
    """Each image of a batch, and its gradient, are those that it has alone: also step size and penalty are its own."""
    case = get_case('dictionary, 3D filters')
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    mask, dim = case.acquisition_op.mask, case.acquisition_op.dim
    assert not torch.equal(mask[0], mask[1])

    def image_and_gradient(entry: slice) -> tuple[torch.Tensor, torch.Tensor]:
        lambda_map = case.lambda_map[:, entry].clone().requires_grad_()
        acquisition_op = CartesianAcquisitionOp(mask[entry], dim=dim)
        solver = cls(case.regularizer, n_iterations=12)
        img = solver(case.data[entry], acquisition_op, case.initial_image[entry], lambda_map)
        return img.detach(), torch.autograd.grad(img.abs().square().sum(), lambda_map)[0]

    img, gradient = image_and_gradient(slice(None))
    for i in range(2):
        alone, gradient_alone = image_and_gradient(slice(i, i + 1))
        assert relative_image_difference(img[i : i + 1], alone) < 1e-12
        assert relative_image_difference(gradient[:, i : i + 1], gradient_alone) < 1e-12
