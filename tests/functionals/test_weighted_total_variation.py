"""Tests for the weighted total variation as a functional."""

import pytest
import torch
from mrpro.algorithms.optimizers import pgd
from mrpro.operators import IdentityOp, LinearOperator
from mrpro.operators.functionals import L2NormSquared
from mrpro.utils import RandomGenerator
from mrpro_lambda.functionals import WeightedTotalVariation
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM

from tests.helper import relative_image_difference

SHAPE = (2, 1, 3, 4, 5)
all_boundaries = pytest.mark.parametrize('boundary', ['circular', 'neumann', 'zero'])
all_norms = pytest.mark.parametrize(
    ('isotropic', 'complex_modulus'), [(False, False), (False, True), (True, False), (True, True)]
)
real_and_complex = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])


def noisy_box(dtype: torch.dtype = torch.complex128, shape: tuple[int, ...] = (1, 1, 1, 10, 9)) -> torch.Tensor:
    img = 0.1 * RandomGenerator(0).randn_tensor(shape, dtype)
    img[..., 2:6, 3:7] += 1 + 0.5j if dtype.is_complex else 1
    return img


@all_boundaries
@all_norms
@real_and_complex
@pytest.mark.parametrize('dim', [(-2, -1), (-1, -5, -3), (-5, -1)])
def test_value_equals_regularizer(
    boundary: Boundary, isotropic: bool, complex_modulus: bool, dtype: torch.dtype, dim: tuple[int, ...]
) -> None:
    """The regularizer takes one map per group, the functional one per direction."""
    rng = RandomGenerator(0)
    x = rng.randn_tensor(SHAPE, dtype)
    regularizer = TotalVariation(dim, boundary=boundary, isotropic=isotropic, complex_modulus=complex_modulus)
    lambda_map = rng.float64_tensor((regularizer.n_maps, *SHAPE[:-1], 1))
    expected = regularizer.value(regularizer.transform(x), regularizer.expand(lambda_map, x))
    per_direction = lambda_map[[next(g for g, group in enumerate(regularizer.groups) if d in group) for d in dim]]
    functional = WeightedTotalVariation(
        per_direction, dim, boundary=boundary, isotropic=isotropic, complex_modulus=complex_modulus
    )
    torch.testing.assert_close(functional(x)[0], expected)


@all_boundaries
@all_norms
def test_prox_minimizes_its_definition(boundary: Boundary, isotropic: bool, complex_modulus: bool) -> None:
    """A convex objective has its minimum where no step of any kind lowers it."""
    rng = RandomGenerator(1)
    x, weight = rng.randn_tensor(SHAPE, torch.complex128), rng.float64_tensor((1, 1, 1, 4, 5))
    functional = WeightedTotalVariation(
        weight, (-1, -5, -2), boundary=boundary, isotropic=isotropic, complex_modulus=complex_modulus, tolerance=1e-9
    )

    def objective(p: torch.Tensor) -> torch.Tensor:
        return 0.8 * functional(p)[0] + 0.5 * (p - x).abs().square().sum()

    (prox,) = functional.prox(x, 0.8)
    steps = [prox - x, x, prox, torch.ones_like(x), 1j * prox, *(rng.randn_like(x) for _ in range(5))]
    for step in steps:
        for size in (-0.1, -1e-3, 1e-3, 0.1):
            assert objective(prox + size * step) >= objective(prox) * (1 - 1e-9)


@pytest.mark.parametrize('boundary', ['circular', 'neumann'])
@all_norms
def test_strong_denoising_gives_the_mean(boundary: Boundary, isotropic: bool, complex_modulus: bool) -> None:
    """Also in single precision and with thresholds far above the image."""
    x = noisy_box(torch.complex64)
    functional = WeightedTotalVariation(
        1.0, (-2, -1), boundary=boundary, isotropic=isotropic, complex_modulus=complex_modulus
    )
    for sigma in (10.0, 1e4):
        (prox,) = functional.prox(x, sigma)
        torch.testing.assert_close(prox, x.mean().expand(x.shape), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(functional.prox(prox)[0], prox)  # and leaves constant images alone


@pytest.mark.parametrize('tolerance', [1e-2, 1e-4, 1e-6])
def test_tolerance_bounds_the_error(tolerance: float) -> None:
    x = noisy_box()
    (exact,) = WeightedTotalVariation(0.5, (-2, -1), tolerance=1e-14).prox(x)
    (prox,) = WeightedTotalVariation(0.5, (-2, -1), tolerance=tolerance).prox(x)
    error = torch.linalg.vector_norm(prox - exact) / torch.linalg.vector_norm(x)
    assert 0 < error <= (tolerance / 2) ** 0.5


def test_too_few_iterations() -> None:
    functional = WeightedTotalVariation(1.0, (-2, -1), tolerance=1e-9, max_iterations=7)
    with pytest.raises(RuntimeError, match=r'gap of \d\.\de[+-]\d\d after 7 iterations, above tolerance=1.0e-09'):
        functional.prox(noisy_box())


def test_no_iterations_are_needed_without_differences() -> None:
    functional = WeightedTotalVariation(1.0, (-2, -1), max_iterations=1)
    for x in (torch.full((4, 5), 3.0), torch.zeros(4, 5), torch.ones(1, 1)):
        torch.testing.assert_close(functional.prox(x)[0], x)


@pytest.mark.parametrize(
    ('undersampled', 'boundary', 'n_iterations'),
    [(False, 'circular', 2), (False, 'neumann', 2), (True, 'circular', 40)],
)
def test_pgd_reaches_the_minimizer_of_admm(undersampled: bool, boundary: Boundary, n_iterations: int) -> None:
    """Denoising, and a multi-coil acquisition with six of ten lines."""
    truth, rng = noisy_box(), RandomGenerator(2)
    weight = 0.05 + 0.1 * rng.float64_tensor((1, 1, 1, 10, 9))
    op: LinearOperator = IdentityOp()
    if undersampled:
        mask = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0])[:, None]
        csm = torch.nn.functional.normalize(rng.randn_tensor((2, 1, 10, 9), torch.complex128), dim=0)
        op = CartesianAcquisitionOp(mask, csm)
    (data,) = op(truth)
    (initial,) = op.adjoint(data)
    regularizer = TotalVariation((-2, -1), boundary=boundary)
    solution = ADMM(regularizer, max_iterations=20_000, tolerance=1e-9).solve(data, op, initial, weight[None])
    assert solution.reason == 'tolerance reached'

    f = 0.5 * L2NormSquared(data) @ op
    functional = WeightedTotalVariation(weight, (-2, -1), boundary=boundary, tolerance=1e-7)
    (img,) = pgd(f, functional, initial, stepsize=1.0, max_iterations=n_iterations)
    assert relative_image_difference(initial, solution.img) > 0.1
    assert relative_image_difference(img, solution.img) < 1e-3
    assert (f(img)[0] + functional(img)[0]).item() == pytest.approx(solution.objective.sum().item(), rel=1e-5)


def test_sigma_of_each_image() -> None:
    x, sigma = noisy_box(shape=(2, 1, 1, 6, 8)), torch.tensor([0.1, 0.4]).reshape(2, 1, 1, 1, 1)
    functional = WeightedTotalVariation(1.0, (-2, -1), tolerance=1e-12)
    (prox,) = functional.prox(x, sigma)
    for i in range(2):
        torch.testing.assert_close(prox[i], functional.prox(x[i], sigma[i])[0], atol=1e-5, rtol=1e-5)


def test_gradient_of_value() -> None:
    x = RandomGenerator(0).randn_tensor((3, 4), torch.complex128).requires_grad_()
    weight = RandomGenerator(1).float64_tensor((2, 3, 1)).requires_grad_()
    torch.autograd.gradcheck(lambda x, weight: WeightedTotalVariation(weight, (-2, -1))(x)[0], (x, weight))
    (gradient,) = torch.autograd.grad(WeightedTotalVariation(1.0, (-1,), isotropic=True)(0 * x)[0], x)
    assert not gradient.any()


def test_prox_is_not_differentiable() -> None:
    x, sigma = noisy_box(), torch.tensor(0.5)
    functional = WeightedTotalVariation(torch.tensor(0.5), (-2, -1))
    (expected,) = functional.prox(x, sigma)
    trainable = WeightedTotalVariation(torch.tensor(0.5, requires_grad=True), (-2, -1))
    with_gradient = [
        (functional, x.clone().requires_grad_(), sigma),
        (functional, x, sigma.clone().requires_grad_()),
        (trainable, x, sigma),
    ]
    for f, img, s in with_gradient:
        for mapping in (f.prox, f.prox_convex_conj):
            if mapping == f.prox_convex_conj and s.requires_grad:
                continue  # does not depend on sigma
            with pytest.raises(ValueError, match='not differentiable'):
                mapping(img, s)
        with torch.no_grad():
            torch.testing.assert_close(f.prox(img, s)[0], expected)


@pytest.mark.parametrize('weight', [-1.0, float('nan'), torch.tensor(1j), torch.tensor([1.0, float('inf')])])
def test_invalid_weight(weight: float | torch.Tensor) -> None:
    with pytest.raises(ValueError, match='weight must be real'):
        WeightedTotalVariation(weight, (-1,))


@pytest.mark.parametrize('shape', [(5,), (6, 1), (3, 1, 1), (1, 2, 1, 1), (2, 6, 4)])
def test_weight_that_does_not_match_the_image(shape: tuple[int, ...]) -> None:
    functional = WeightedTotalVariation(torch.ones(shape), (-2, -1))
    for function in (functional.forward, functional.prox):
        with pytest.raises(ValueError, match='weight must be a number or have the axes'):
            function(torch.ones(4, 5))


def test_isotropic_weight_must_be_that_of_its_group() -> None:
    weight = torch.tensor([1.0, 2.0, 2.0]).reshape(3, 1, 1, 1, 1, 1)
    assert WeightedTotalVariation(weight, (-5, -2, -1), isotropic=True)(torch.ones(SHAPE))[0] == 0
    with pytest.raises(ValueError, match='share an isotropic norm'):
        WeightedTotalVariation(weight, (-2, -1, -5), isotropic=True)(torch.ones(SHAPE))


@pytest.mark.parametrize('sigma', [torch.ones(5), torch.ones(2, 1, 1), torch.tensor(float('inf')), torch.ones(3, 1)])
def test_sigma_that_does_not_match_the_image(sigma: torch.Tensor) -> None:
    with pytest.raises(ValueError, match='sigma must be finite and broadcast'):
        WeightedTotalVariation(1.0, (-1,)).prox(torch.ones(4, 5), sigma)


def test_invalid_arguments() -> None:
    with pytest.raises(ValueError, match='negative axes'):
        WeightedTotalVariation(1.0, (0,))
    for tolerance, max_iterations in ((0.0, 1), (float('nan'), 1), (1.0, 0)):
        with pytest.raises(ValueError, match=r'must be (positive|an integer from 1 on)'):
            WeightedTotalVariation(1.0, (-1,), tolerance=tolerance, max_iterations=max_iterations)
    with pytest.raises(ValueError, match='image must be finite'):
        WeightedTotalVariation(1.0, (-1,)).prox(torch.tensor([1.0, float('nan')]))
