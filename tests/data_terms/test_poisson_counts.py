"""The likelihood of counts of photons, its derivatives, and what is no count."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.operators import ParallelBeam, RayTransformOp
from mrpro_lambda.regularizers import PhaseAware, TotalGeneralizedVariation, TotalVariation
from mrpro_lambda.solvers import PD3O, PreconditionedPDHG
from scipy.special import wrightomega

from tests.solvers.cases import SOLVERS, SolverClass

TV = TotalVariation((-2, -1), boundary='neumann')


def scan(n: int = 8, n_angles: int = 6, **options: Any) -> PoissonCounts:
    """Rays through an image of 26 cm, in double precision."""
    pixel_size = 0.26 / n
    geometry = ParallelBeam.half_turn(n_angles, 12, pixel_size)
    return PoissonCounts(RayTransformOp(geometry, (n, n), pixel_size).double(), **options)


def image(*shape: int) -> torch.Tensor:
    return RandomGenerator(0).float64_tensor(shape, 0.0, 0.5)


@pytest.fixture
def term() -> PoissonCounts:
    return scan()


def test_value_is_the_likelihood_up_to_a_constant(term: PoissonCounts) -> None:
    (response,) = term.acquisition_op(image(1, 1, 1, 8, 8))
    data = response + 0.003 * RandomGenerator(1).randn_tensor(response.shape, torch.float64)
    n, mu = 4096.0, 81.35858
    counts = n * torch.exp(-mu * data)
    poisson = torch.distributions.Poisson(n * torch.exp(-mu * response), validate_args=False)
    expected = -poisson.log_prob(counts)
    at_best = -torch.distributions.Poisson(counts, validate_args=False).log_prob(counts)
    torch.testing.assert_close(term.value(response, data), expected - at_best, rtol=1e-6, atol=1e-8)
    assert bool((term.value(response, data) >= 0).all())
    assert not term.value(data, data).any()
    assert not term.slope(data, data).any()


def test_gradient_and_curvature_are_the_derivatives(term: PoissonCounts) -> None:
    img = image(2, 1, 1, 8, 8).requires_grad_()
    (data,) = term.acquisition_op(image(3, 2, 1, 1, 8, 8)[1])
    (response,) = term.acquisition_op(img)
    (expected,) = torch.autograd.grad(term.value(response, data).sum(), img)
    torch.testing.assert_close(term.gradient(img, term.rhs(data)), expected, rtol=1e-9, atol=1e-8)
    slope = term.acquisition_op.adjoint(term.slope(response, data))[0]
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-8)
    direction = image(5, 2, 1, 1, 8, 8)[4]
    difference = (
        term.gradient(img + 1e-6 * direction, term.rhs(data)) - term.gradient(img - 1e-6 * direction, term.rhs(data))
    ) / 2e-6
    torch.testing.assert_close(term.curvature(img, direction), difference, rtol=1e-5, atol=1e-2)


def test_gradient_is_lipschitz_for_images_that_are_not_negative(term: PoissonCounts) -> None:
    """With a constant that is reached by the image of zeros, which attenuates nothing."""
    bound = term.lipschitz(image(1, 1, 1, 8, 8)).item()
    largest = []
    for img in (torch.zeros(1, 1, 1, 8, 8).double(), image(1, 1, 1, 8, 8)):
        direction = torch.ones_like(img)
        for _ in range(50):
            direction = direction / direction.norm()
            direction = term.curvature(img, direction)
        largest.append(direction.norm().item())
    assert largest[1] < largest[0] <= bound < 1.01 * largest[0]


@pytest.mark.parametrize('step', [1e2, 3e6, 1e12])
def test_proximal_map_of_the_conjugate(term: PoissonCounts, step: float) -> None:
    """Against the Wright omega function, from rays without photons to more than there are; and its derivative."""
    mu, n = term.attenuation, 4096.0
    dual = torch.cat([mu * n * torch.linspace(-40, 2, 300), step / mu * torch.linspace(-30, 50, 300)]).double()
    projected = term.prox_conjugate(dual.requires_grad_(), step)
    expected = -step / mu * wrightomega(np.log(mu**2 * n / step) - mu * dual.detach().numpy() / step)
    np.testing.assert_allclose(projected.detach().numpy(), expected, rtol=1e-12)
    response = term.response(projected.detach())
    torch.testing.assert_close(term.model_slope(response), projected.detach(), rtol=1e-9, atol=1e-18)
    (derivative,) = torch.autograd.grad(projected.sum(), dual)
    torch.testing.assert_close(derivative, term.prox_derivative(projected.detach(), step), rtol=1e-12, atol=0)
    with torch.no_grad():
        change = (1e-7 * dual.abs()).clamp_min(1e-4 * step / mu)  # beyond the rounding of the dual variable
        slope = (term.prox_conjugate(dual + change, step) - term.prox_conjugate(dual - change, step)) / (2 * change)
    torch.testing.assert_close(slope, derivative, rtol=1e-5, atol=1e-6)


def test_dual_value_of_all_responses(term: PoissonCounts) -> None:
    """By definition next to the data, and without rounding errors where no photon would come through."""
    data = torch.tensor(0.02, dtype=torch.float64)
    response = data + torch.linspace(-0.03, 0.05, 81, dtype=torch.float64)
    expected = term.value(response, data) - term.slope(response, data) * response
    torch.testing.assert_close(term.dual_value(response, data), expected, rtol=1e-10, atol=1e-9)
    huge = term.dual_value(torch.tensor([10.0, 1e30, 1e157], dtype=torch.float64), data)
    torch.testing.assert_close(huge, (-term.counts(data) * (1 + term.attenuation * data)).expand(3), rtol=1e-12, atol=0)
    assert bool((term.dual_value(torch.tensor([-1.0, -3.0], dtype=torch.float64), data) < 0).all())


def test_slopes_that_no_counts_have(term: PoissonCounts) -> None:
    """Those that are not negative belong to next to no photons."""
    response = term.response(torch.tensor([-1.0, 0.0, 5.0], dtype=torch.float64))
    assert bool(response.isfinite().all())
    assert response[1] == response[2] > response[0]


@pytest.mark.parametrize('n_photons', [4096.0, torch.tensor([100.0, 4096.0]).reshape(2, 1, 1, 1, 1)])
def test_counts_have_the_mean_and_variance_of_the_scan(n_photons: float | torch.Tensor) -> None:
    term = scan(n_photons=n_photons)
    img = torch.full((2, 1, 1, 8, 8), 0.1, dtype=torch.float64).expand(2, 1, 1, 8, 8)
    mean = term.counts(term.acquisition_op(img)[0])
    draws = torch.stack([term.draw(img, torch.Generator().manual_seed(seed)) for seed in range(400)])
    assert bool(((draws.mean(0) - mean).abs() < 5 * (mean / 400).sqrt()).all())
    assert torch.equal(draws[3], term.draw(img, torch.Generator().manual_seed(3)))
    torch.testing.assert_close(term.counts(term.from_counts(draws[0])), draws[0])


def test_noise_level_is_that_of_the_image() -> None:
    """In the units of the image, and with one over the root of the number of photons."""
    img = image(1, 1, 1, 8, 8)
    levels = []
    for n_photons, unit in ((4096.0, 1.0), (4 * 4096.0, 1.0), (4096.0, 10.0)):
        term = scan(n_photons=n_photons, attenuation=81.35858 / unit)
        (data,) = term.acquisition_op(unit * img)
        levels.append(term.noise_std(data, unit * img).item())
        assert term.weight_unit(data, unit * img).item() == pytest.approx(levels[-1] ** -2)
    assert levels[1] == pytest.approx(levels[0] / 2)
    assert levels[2] == pytest.approx(10 * levels[0])


def test_counts_of_zero_are_explained(term: PoissonCounts) -> None:
    counts = torch.tensor([[[[[0, 4096, 5]]]]])
    with pytest.warns(UserWarning, match='1 of 3 counts are zero: no photon came through'):
        data = term.from_counts(counts)
    torch.testing.assert_close(term.counts(data).flatten(), torch.tensor([0.1, 4096.0, 5.0]))


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        (torch.tensor([3.0, -1.0, -2.0]), r'not negative, got 2 negative ones in shape \(3,\)'),
        (torch.tensor([3.0 + 1j]), 'Counts must be real'),
        (torch.tensor([3.0, float('nan')]), 'counts must be finite'),
    ],
)
def test_counts_that_are_none(term: PoissonCounts, counts: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        term.from_counts(counts)


_WRONG: list[tuple[Callable[[torch.Tensor], torch.Tensor], str]] = [
    (lambda y: 4096 * torch.exp(-81.35858 * y), 'must be post-log.*use PoissonCounts.from_counts'),
    (lambda y: y.to(torch.complex128), 'Counts of photons are real'),
    (lambda y: y[..., 1:], r'must end with the axes \(angles, bins\) = \(6, 12\), got shape \(1, 1, 1, 6, 11\)'),
    (lambda y: y[..., 1:, :], r'must end with the axes \(angles, bins\) = \(6, 12\), got shape \(1, 1, 1, 5, 12\)'),
    (lambda y: y / 0, 'data must be finite'),
    (lambda y: y.float(), 'must be of torch.float64 as the operator, got torch.float32'),
]


@pytest.mark.parametrize(('change', 'message'), _WRONG)
def test_data_that_are_not_of_the_scan(
    term: PoissonCounts, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    img = image(1, 1, 1, 8, 8)
    (data,) = term.acquisition_op(img)
    with pytest.raises(ValueError, match=message):
        PD3O(TV, n_iterations=1)(change(data), term, img, 1.0)


@pytest.mark.parametrize('cls', [cls for cls in SOLVERS if cls not in (PD3O, PreconditionedPDHG)])
def test_other_solvers_say_so(cls: SolverClass, term: PoissonCounts) -> None:
    img = image(1, 1, 1, 8, 8)
    regularizer = next((r for r in (TV,) if cls.refusal(r) is None), None)
    if regularizer is None:
        pytest.skip('it takes no total variation')
    with pytest.raises(ValueError, match='needs least squares, got PoissonCounts: use PreconditionedPDHG'):
        cls(regularizer, n_iterations=1)(*term.acquisition_op(img), term, img, 1.0)


def test_other_regularizers_are_refused(term: PoissonCounts) -> None:
    img = image(1, 1, 1, 8, 8)
    (data,) = term.acquisition_op(img)
    for regularizer in (TotalGeneralizedVariation((-2, -1)), PhaseAware(TV)):
        with pytest.raises(ValueError, match='needs a regularizer of the image itself, got'):
            PD3O(regularizer, n_iterations=1)(data, term, img, 1.0)
    with pytest.raises(ValueError, match='Images of PoissonCounts are real'):
        term.modulated(torch.ones_like(img).to(torch.complex128))


@pytest.mark.parametrize('n_photons', [0.0, torch.tensor([1.0, -1.0]), torch.ones(1, 1, 1, 1, 2)])
def test_numbers_of_photons_that_are_none(n_photons: float | torch.Tensor) -> None:
    with pytest.raises(ValueError, match='n_photons must be positive'):
        PoissonCounts(IdentityOp(), n_photons=n_photons)
