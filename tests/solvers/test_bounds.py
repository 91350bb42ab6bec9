"""Step sizes and the system matrix of ADMM come from true upper bounds."""

from collections.abc import Callable

import pytest
import torch
from mrpro.operators import EinsumOp, IdentityOp, LinearOperator, SensitivityOp, ZeroPadOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms.circulant_bound import _sampling_density, circulant_bound
from mrpro_lambda.data_terms.gram_norm import gram_norm
from mrpro_lambda.datasets.radial_acquisition_op import radial_acquisition_op
from mrpro_lambda.operators import (
    CartesianAcquisitionOp,
    FanBeam,
    ParallelBeam,
    RayTransformOp,
    ToeplitzGramOp,
    gram_operator,
)
from mrpro_lambda.operators.acquisition_factors import without_sensitivities
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import FISTA, Problem
from mrpro_lambda.solvers.FISTA import FISTAIteration

from tests.solvers.cases import TV, Case, coil_maps, get_case, mask

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
    """For one coil it is exact; an estimate has a margin of 5 %, and sensitivities of several coils overlap."""
    case = get_case(name)
    largest = torch.linalg.eigvalsh(dense(case.problem.gram, case)).max().item()
    bound = norm_bound(case)
    assert largest * (1 - 1e-12) <= bound
    exact = {'dynamic', 'single coil', 'coil images', 'real denoising', 'dictionary, single coil'}
    assert bound <= largest * (1 + 1e-12 if name in exact else 1.06 if name == 'radial' else 1.5)


def test_norm_of_a_dictionary_behind_an_estimate() -> None:
    """The product of both bounds, from which FISTA has its step size."""
    case = get_case('dictionary, radial')
    problem, synthesis_op = case.problem, case.regularizer.dictionary_op
    assert synthesis_op is not None
    iteration = FISTA(case.regularizer, n_iterations=1).iteration(problem)
    assert isinstance(iteration, FISTAIteration)
    bound = 0.97 / float(iteration.step_size)
    assert problem.dictionary.energy().amax().item() == pytest.approx(bound / norm_bound(case), rel=1e-5)
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
    bound = case.problem.circulant_bound
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
    assert problem.circulant_bound.exact


def test_cases_differ_in_their_gram_operator() -> None:
    """The tests above would be empty if all operators were circulant."""
    exact = {name: get_case(name).problem.circulant_bound.exact for name in CASES}
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


@pytest.mark.parametrize('n', [12, 13], ids=['Toeplitz', 'forward and adjoint'])
@pytest.mark.parametrize('kind', ['radial', 'Cartesian', 'sensitivities only'])
def test_bounds_of_an_image_do_not_depend_on_the_others(kind: str, n: int) -> None:
    """Bit for bit, for all that is chosen here; FFTs of batches round differently, and with them the radial density."""
    rng = RandomGenerator(0)
    csm = rng.complex64_tensor((2, 3, 1, n, n)) * torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1)
    angle = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 0.2, 0.4, 0.6]]).reshape(2, 1, 1, 4, 1)
    k0 = torch.arange(2 * n) - float(n)
    trajectory = torch.stack(torch.broadcast_tensors(0 * angle, angle.sin() * k0, angle.cos() * k0), 1)
    masks = mask((2, 1, 1, n, n)).float() * torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1, 1)
    create: dict[str, Callable[[slice], LinearOperator]] = {
        'radial': lambda images: radial_acquisition_op(trajectory[images], csm[images]),
        'Cartesian': lambda images: CartesianAcquisitionOp(masks[images], csm[images]),
        'sensitivities only': lambda images: SensitivityOp(csm[images]),
    }
    img = rng.randn_tensor((2, 1, 1, n, n), torch.complex64)
    results = []
    for images in (slice(0, 2), slice(0, 1), slice(1, 2)):
        op = create[kind](images)
        problem = Problem.create(TV, *op(img[images]), op, img[images], 0.1)
        norm, bound = gram_norm(problem.gram, problem.rhs), problem.circulant_bound
        results.append((norm, *(x.expand(len(norm), *x.shape[1:]) for x in (bound.transfer, bound.density))))
        assert norm.shape == (len(img[images]), 1, 1, 1, 1)
    (norms, *together), *alone = results
    assert norms[1] > 2 * norms[0]
    for index, (norm, *separate) in enumerate(alone):
        assert torch.equal(norms[index : index + 1], norm)
        for of_both, of_one in zip(together, separate, strict=True):
            difference = (of_both[index : index + 1] - of_one).abs().max()
            assert difference <= (1e-6 * of_one.max() if kind == 'radial' else 0)


def test_images_that_the_regularizer_couples_share_a_bound() -> None:
    """They share the largest one, and other images keep theirs."""
    scale = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=torch.float64).reshape(2, 2, 1, 1, 1, 1)
    csm = scale * coil_maps((2, 2, 3, 1, 5, 4), torch.complex128)
    op = SensitivityOp(csm)
    img = RandomGenerator(0).randn_tensor((2, 2, 1, 1, 5, 4), torch.complex128)
    for acquisition_op in (op, CartesianAcquisitionOp(torch.ones(5, 4), csm)):
        for dim, expected in (((-2, -1), [[1, 4], [9, 1]]), ((-5, -1), [[4], [9]]), ((-6, -1), [[9, 4]])):
            problem = Problem.create(TotalVariation(dim), *op(img), acquisition_op, img, 0.1)
            bound = problem.circulant_bound
            assert bound.transfer.shape[-4:] == (1, 1, 1, 1)
            torch.testing.assert_close(
                bound.transfer[..., 0, 0, 0, 0], torch.tensor(expected).double(), rtol=0.06, atol=0
            )


def test_images_that_the_operator_couples_share_a_bound() -> None:
    """The difference of two frames has the norm 4, which neither frame has on its own."""
    frame = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.complex64)
    gram = 2 * EinsumOp(frame, 'i j, ... j coils z y x -> ... i coils z y x')
    img = torch.zeros(3, 2, 1, 1, 4, 4, dtype=torch.complex64)
    norm = gram_norm(gram, img)
    assert norm.shape == (1,) * 6
    assert 4 <= norm.item() <= 4.21


def test_margin_covers_what_a_power_iteration_misses() -> None:
    """Many eigenvalues close to the largest one, which is 1, and no closed form."""
    values = torch.linspace(0, 1, 400, dtype=torch.float64).reshape(1, 1, 1, 20, 20)
    gram, img = values * IdentityOp(), torch.zeros_like(values)
    assert gram_norm(gram, img, margin=1.0).item() < 0.99
    assert 1 <= gram_norm(gram, img).item() <= 1.05


def test_bound_of_a_toeplitz_operator_is_proven() -> None:
    """It needs no estimate, and caps one."""
    case = get_case('radial')
    gram = case.problem.gram
    assert isinstance(gram, ToeplitzGramOp)
    largest = torch.linalg.eigvalsh(dense(gram, case)).max().item()
    proven = gram.norm_squared_bound().item()
    assert largest <= proven <= 3 * largest
    assert gram_norm(gram, case.problem.rhs, margin=10.0).item() == pytest.approx(proven)


def test_weakly_sampled_frequencies_do_not_rule_the_bound() -> None:
    """They keep a hundredth of the largest density, and a tenth in the compensation, which divides by nothing less."""
    problem = get_case('radial').problem
    bound = problem.circulant_bound
    non_cartesian = without_sensitivities(problem.acquisition_op)
    assert non_cartesian is not None
    exact = _sampling_density(gram_operator(non_cartesian[0]), problem.rhs, bound.dim)
    torch.testing.assert_close(bound.density, exact + 0.1 * exact.max())
    factor = bound.transfer / (exact + 0.01 * exact.max())
    torch.testing.assert_close(factor, factor[..., :1, :1].expand_as(factor))
    assert factor.max() < 6


@pytest.mark.parametrize('fan', [False, True])
@pytest.mark.parametrize('n_angles', [5, 40])
def test_circulant_bound_of_a_ray_transform(n_angles: int, fan: bool) -> None:
    """Its symbol is even, and all eigenvalues of the difference to the Gram operator are positive."""
    n = 14
    turn = torch.arange(n_angles, dtype=torch.float64) / n_angles
    geometry = FanBeam(2 * torch.pi * turn, 25, 1.4, 30.0, 10.0) if fan else ParallelBeam(torch.pi * turn, 19, 1.1)
    op = RayTransformOp(geometry, (n, n + 1), 1.0).double()
    img = torch.zeros(1, 1, 1, n, n + 1, dtype=torch.float64)
    bound = circulant_bound(op, op.gram, img, (-2, -1))
    assert circulant_bound(op, op.gram, img, ()) is bound
    assert bound.density.amin() > 0
    impulses = torch.eye(n * (n + 1)).double().reshape(-1, 1, 1, n, n + 1)
    matrix = op.gram(impulses)[0].reshape(n * (n + 1), -1)
    applied = torch.fft.ifft2(torch.fft.fft2(impulses) * bound.transfer)
    assert applied.imag.abs().max() < 1e-9 * applied.abs().max()
    values = torch.linalg.eigvals(torch.linalg.solve(applied.real.reshape(n * (n + 1), -1), matrix)).real
    assert 0.8 < values.max() < 1
