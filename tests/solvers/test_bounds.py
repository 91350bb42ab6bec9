"""Step sizes and the system matrix of ADMM come from true upper bounds."""

import pytest
import torch
from mrpro.operators import LinearOperator, ZeroPadOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.solvers import FISTA
from mrpro_lambda.solvers.circulant_bound import _sampling_density, circulant_bound
from mrpro_lambda.solvers.FISTA import FISTAIteration
from mrpro_lambda.solvers.gram_norm import gram_norm

from tests.solvers.cases import TV, Case, get_case, mask

CASES = ['single coil', 'three coils', 'coil images', 'real denoising', 'dynamic', 'oversampled readout', 'radial']
CASES += ['dictionary, single coil', 'dictionary, three coils']


def norm_bound(case: Case) -> float:
    return gram_norm(case.problem.gram, case.problem.rhs).amax().item()


def dense(op: LinearOperator, case: Case) -> torch.Tensor:
    """Matrix of an operator of images, by its columns."""
    shape, dtype = case.problem.rhs.shape, case.problem.rhs.dtype
    basis = torch.eye(shape.numel(), dtype=dtype)
    return torch.stack([op(column.reshape(shape))[0].flatten() for column in basis], -1)


@pytest.mark.parametrize('name', CASES)
def test_gram_norm_is_an_upper_bound(name: str) -> None:
    """For one coil it is exact; power iteration has a margin of 5 %, and sensitivities of several coils overlap."""
    case = get_case(name)
    largest = torch.linalg.eigvalsh(dense(case.problem.gram, case)).max().item()
    bound = norm_bound(case)
    assert largest * (1 - 1e-12) <= bound
    exact = {'dynamic', 'single coil', 'coil images', 'real denoising', 'dictionary, single coil'}
    assert bound <= largest * (1 + 1e-12 if name in exact else 1.06 if name == 'radial' else 1.5)


def test_norm_of_a_dictionary_behind_a_power_iteration() -> None:
    """The product of both bounds, from which FISTA has its step size."""
    case = get_case('dictionary, radial')
    problem, synthesis_op = case.problem, case.regularizer.synthesis_op
    assert synthesis_op is not None
    iteration = FISTA(case.regularizer, n_iterations=1).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    bound = 0.97 / float(iteration.step_size)
    assert synthesis_op.norm_squared(problem.rhs.shape).item() == pytest.approx(bound / norm_bound(case), rel=1e-5)
    coefficients = RandomGenerator(0).randn_tensor(problem.start.shape, problem.start.dtype)
    for _ in range(20):
        (img,) = problem.gram(synthesis_op(coefficients / coefficients.norm())[0])
        (coefficients,) = synthesis_op.adjoint(img)
    assert 0.1 * bound < coefficients.norm() <= bound


def test_gram_norm_of_sensitivities_in_any_unit() -> None:
    case = get_case('three coils')
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    assert case.acquisition_op.csm is not None
    scaled_op = CartesianAcquisitionOp(case.acquisition_op.mask, 3 * case.acquisition_op.csm)
    assert norm_bound(case._replace(acquisition_op=scaled_op)) == pytest.approx(9 * norm_bound(case))


def test_gram_norm_of_power_iteration_scales_with_the_operator() -> None:
    case = get_case('radial')
    largest = torch.linalg.eigvalsh(dense(case.problem.gram, case)).max().item()
    bound = norm_bound(case._replace(acquisition_op=0.1 * case.acquisition_op))
    assert 0.01 * largest <= bound <= 0.0106 * largest


@pytest.mark.parametrize('name', CASES)
def test_circulant_of_admm_is_an_upper_bound_of_the_gram_operator(name: str) -> None:
    """Where ADMM takes it as equal, it is; where frames with different masks are coupled, it is above all of them."""
    case = get_case(name)
    bound = circulant_bound(case.problem)
    transfer, dim, exact = bound.transfer, bound.dim, bound.exact
    shape = case.problem.rhs.shape
    basis = torch.eye(shape.numel(), dtype=torch.complex128).reshape(-1, *shape)
    spectrum = transfer * (torch.fft.fftn(basis, dim=dim) if dim else basis)
    circulant = (torch.fft.ifftn(spectrum, dim=dim) if dim else spectrum).flatten(1).mT
    above = torch.linalg.eigvalsh(circulant - dense(case.problem.gram, case).to(torch.complex128))
    assert above.min() > (-1e-5 if case.single_precision else -1e-12)
    assert exact == bool(above.max() < 1e-12)


def test_unregularized_axes_may_have_different_masks() -> None:
    """A batch of masks that the regularizer does not couple is exact."""
    acquisition_op = CartesianAcquisitionOp(mask((3, 1, 1, 6, 6)))
    case = get_case('dynamic')
    problem = case._replace(regularizer=TV, lambda_map=case.lambda_map[:1], acquisition_op=acquisition_op).problem
    assert circulant_bound(problem).exact


def test_cases_differ_in_their_gram_operator() -> None:
    """The tests above would be empty if all operators were circulant."""
    exact = {name: circulant_bound(get_case(name).problem).exact for name in CASES}
    expected = {'single coil', 'coil images', 'real denoising', 'dictionary, single coil'}
    assert {name for name, is_exact in exact.items() if is_exact} == expected


@pytest.mark.parametrize('shape', [(1, 1, 1, 4, 5), (2, 1, 1, 5, 4)])
def test_sampling_density_is_the_closest_circulant(shape: tuple[int, ...]) -> None:
    """By definition, its entries are the means of the Toeplitz matrix over the diagonals that wrap around."""
    n_y, n_x = shape[-2:]
    rng = RandomGenerator(0)
    acquisition_op = CartesianAcquisitionOp(rng.float64_tensor((shape[0], 1, 1, 2 * n_y, 2 * n_x), low=0.0))
    crop = ZeroPadOp((-2, -1), (n_y, n_x), (2 * n_y, 2 * n_x))
    toeplitz = crop.H @ acquisition_op.gram @ crop
    density = _sampling_density(toeplitz, torch.zeros(shape, dtype=torch.complex128), (-2, -1))

    basis = torch.eye(n_y * n_x, dtype=torch.complex128).reshape(-1, 1, 1, 1, n_y, n_x)
    for entry in range(shape[0]):
        columns = torch.stack([toeplitz(b.expand(shape))[0][entry, 0, 0] for b in basis])
        wrapped = [c.roll((-(i // n_x), -(i % n_x)), (0, 1)) for i, c in enumerate(columns)]
        kernel = torch.stack(wrapped).mean(0)
        torch.testing.assert_close(density[entry, 0, 0], torch.fft.fftn(kernel).real.clamp_min(0))
