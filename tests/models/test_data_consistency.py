"""Theorems about steps towards the data, which are found by introspection."""

import pytest
import torch
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models import data_consistency
from mrpro_lambda.models.data_consistency import (
    ConjugateGradientSteps,
    DataConsistency,
    Kaczmarz,
    Landweber,
    Measured,
    ProximalStep,
)
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import Tikhonov
from mrpro_lambda.solvers import ConjugateGradient

from tests.models.acquisitions import NAMES, acquire

STEPS = {name: step for cls in DataConsistency.__subclasses__() for name, step in cls.examples().items()}
each_step = pytest.mark.parametrize('name', STEPS)
each_acquisition = pytest.mark.parametrize('kind', NAMES)


def noise_free(kind: str) -> tuple[Measured, torch.Tensor]:
    """Data that an image explains, and the image."""
    given = acquire(kind, double=True)
    (data,) = given.acquisition_op(given.img)
    return Measured(data, LeastSquares(given.acquisition_op)), given.img


def test_all_are_exported() -> None:
    assert {cls.__name__ for cls in DataConsistency.__subclasses__()} <= set(data_consistency.__all__)


@each_step
@each_acquisition
def test_an_image_with_the_data_stays(name: str, kind: str) -> None:
    measured, img = noise_free(kind)
    with torch.no_grad():
        torch.testing.assert_close(STEPS[name](img, measured), img, rtol=1e-5, atol=1e-5)


@each_step
@each_acquisition
def test_steps_go_towards_the_data(name: str, kind: str) -> None:
    """The residual falls, and the image comes closer to each one that has the data."""
    measured, img = noise_free(kind)
    start = img + 0.3 * torch.roll(img, 3, -1)
    residuals, distances = [], []
    with torch.no_grad():
        for x in (start, STEPS[name](start, measured)):
            residuals.append((measured.data_term.acquisition_op(x)[0] - measured.data).norm().item())
            distances.append((x - img).norm().item())
    assert residuals[1] < 0.95 * residuals[0]
    assert distances[1] < distances[0]


@each_acquisition
@pytest.mark.parametrize('weight', [0.05, 2.0])
def test_proximal_step_is_the_minimizer(kind: str, weight: float) -> None:
    r"""It is that of 1/2 |A (z + v) - y|^2 + lambda/2 |v|^2 plus z, by the solver of the package."""
    given = acquire(kind, double=True)
    measured = Measured(given.data, LeastSquares(given.acquisition_op))
    z = 0.5 * given.img
    with torch.no_grad():
        found = ProximalStep(weight, n_steps=60)(z, measured)
        if kind.startswith('radial'):  # one weight for the solver
            return _check_stationary(measured, found, z, weight)
        (predicted,) = given.acquisition_op(z)
        solver = ConjugateGradient(Tikhonov(), n_iterations=80)
        offset = solver(given.data - predicted, given.acquisition_op, torch.zeros_like(z), weight)
    torch.testing.assert_close(found, z + offset, rtol=1e-8, atol=1e-8)
    return None


def _check_stationary(measured: Measured, found: torch.Tensor, z: torch.Tensor, weight: float) -> None:
    gradient = measured.gradient(found) + weight * measured.norm(z) * (found - z)
    assert gradient.norm() < 1e-5 * measured.rhs.norm()


def test_one_coil_on_a_grid() -> None:
    """Landweber, Kaczmarz and conjugate gradients are one projection, to which the proximal step tends."""
    given = acquire('points', double=True)
    measured = Measured(given.data, LeastSquares(given.acquisition_op))
    assert isinstance(given.acquisition_op, CartesianAcquisitionOp)
    mask = given.acquisition_op.mask
    spectrum = torch.fft.fftshift(
        torch.fft.fft2(torch.fft.ifftshift(given.img, dim=(-2, -1)), norm='ortho'), dim=(-2, -1)
    )
    projected = given.data + (1 - mask) * spectrum
    with torch.no_grad():
        for step in (Landweber(), Kaczmarz(), ConjugateGradientSteps(2), ProximalStep(1e-12)):
            (found,) = CartesianAcquisitionOp(torch.ones_like(mask))(step(given.img, measured))
            torch.testing.assert_close(found, projected, rtol=1e-8, atol=1e-8)


def test_conjugate_gradients_reach_the_least_squares_image() -> None:
    """With coils there is one, and n steps for n different eigenvalues suffice."""
    measured, img = noise_free('lines, 3 coils')
    with torch.no_grad():
        found = ConjugateGradientSteps(200)(torch.zeros_like(img), measured)
    torch.testing.assert_close(found, img, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('cls', [Landweber, Kaczmarz])
@pytest.mark.parametrize('step', [0.0, 2.0, -1.0])
def test_steps_out_of_range(cls: type, step: float) -> None:
    with pytest.raises(ValueError, match=f'step must be .*got {step}'):
        cls(step)
    with pytest.raises(ValueError, match='weight must be positive'):
        ProximalStep(-1.0)
