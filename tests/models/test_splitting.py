"""Splitting of a learned regularization from the inversion."""

from typing import Any, get_args

import pytest
import torch
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models import SplittingModel
from mrpro_lambda.models.data_consistency import Measured
from mrpro_lambda.nets import ComplexNet, ConvNet, PatchNet
from mrpro_lambda.operators import CartesianAcquisitionOp, GradientOp
from mrpro_lambda.recipes import SplittingRecipe
from mrpro_lambda.recipes.SplittingRecipe import Network
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM

from tests.helper import relative_image_difference
from tests.models.acquisitions import Acquired, acquire

DIM = (-2, -1)


class Constant(ConvNet):
    """A network that takes every image for zero."""

    def __init__(self) -> None:
        super().__init__(2, 2, 2, [1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def net(*, identity: bool) -> ComplexNet:
    return ComplexNet(Constant(), residual=identity).double()


def measured(given: Acquired) -> Measured:
    return Measured(given.data, LeastSquares(given.acquisition_op))


def objective(given: Acquired, z: torch.Tensor, target: torch.Tensor, mu: float, rho: float, eta: float) -> float:
    """J(z) + rho/2 |t - z|^2 as in the paper, with the total variation of real and imaginary part."""
    residual = (given.acquisition_op(z)[0] - given.data).abs().square().sum()
    variation = torch.view_as_real(GradientOp(DIM)(z)[0]).abs().sum()
    return float(eta * (residual + mu * variation) + rho / 2 * (target - z).abs().square().sum())


@pytest.mark.parametrize('kind', ['points', 'lines, 3 coils'])
@pytest.mark.parametrize(('mu', 'rho', 'eta'), [(0.0, 0.5, 1.0), (0.1, 0.5, 2.0), (0.3, 2.0, 0.7)])
def test_inversion_is_the_minimizer(kind: str, mu: float, rho: float, eta: float) -> None:
    """No change of the image, in the direction of the truth or any other, lowers the functional."""
    given = acquire(kind, double=True)
    model = SplittingModel(net(identity=True), rho=rho, eta=eta, first_mu=2 * mu, decay=0.5, n_iterations=300)
    generator = torch.Generator().manual_seed(0)
    img, dual = (0.5 * torch.randn(given.img.shape, generator=generator, dtype=torch.complex128) for _ in range(2))
    with torch.no_grad():
        z = model.invert(measured(given), img, dual, 1)
        lowest = objective(given, z, img + dual, mu, rho, eta)
        for other in (given.img, img, torch.randn(z.shape, generator=generator, dtype=torch.complex128)):
            for step in (1e-3, -1e-3, 0.1):
                moved = objective(given, z + step * (other - z), img + dual, mu, rho, eta)
                assert moved > lowest - 1e-9 * abs(lowest)


def test_start_is_the_minimizer_of_the_classical_functional() -> None:
    given = acquire('points', double=True)
    model = SplittingModel(net(identity=True), first_mu=0.1, n_iterations=150)
    with torch.no_grad():
        found = model.start(measured(given), given.initial_image)
        expected = ADMM(TotalVariation(DIM), n_iterations=1500)(*given[:3], 0.05)
    assert relative_image_difference(found, expected) < 1e-3


@pytest.mark.parametrize('dual', ['x', 'xhat'])
def test_loops_are_those_of_the_paper(dual: Any) -> None:
    """Written out for one coil without total variation, where the inversion has a closed form."""
    given = acquire('points', double=True)
    rho, eta = 0.7, 1.3
    op = given.acquisition_op
    assert isinstance(op, CartesianAcquisitionOp)
    full = CartesianAcquisitionOp(torch.ones_like(op.mask))
    model = SplittingModel(net(identity=False), 3, rho=rho, eta=eta, first_mu=0.0, dual=dual)
    # f = 0 pulls the image to zero: the scale of the model does not matter, as everything is linear
    x, b = given.initial_image, torch.zeros_like(given.initial_image)
    for _ in range(3):
        k = (2 * eta * op.mask * given.data + rho * full(x + b)[0]) / (2 * eta * op.mask + rho)
        z = full.adjoint(k)[0]
        estimate = torch.zeros_like(x)
        x = (estimate + rho * (z - b)) / (1 + rho)
        b = b + (x if dual == 'x' else estimate) - z
    with torch.no_grad():
        torch.testing.assert_close(model(*given[:3]), x, rtol=1e-9, atol=1e-10)


def test_patches_with_an_identity_are_the_image() -> None:
    """Whatever the overlap, in each of the patches."""
    patches = PatchNet(2, [], patch_size=4, stride=2)
    with torch.no_grad():
        next(patches.parameters()).copy_(torch.eye(32))
    x = torch.randn(2, 2, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(patches(x), x)
    with pytest.raises(ValueError, match=r'multiples of 4, got shape \(2, 2, 8, 10\)'):
        patches(x[..., :10])
    with pytest.raises(ValueError, match='stride must divide patch_size, got stride=3, patch_size=4'):
        PatchNet(patch_size=4, stride=3)


def test_published_networks() -> None:
    """Six convolutions or dense layers, by the sizes of their biases."""
    scae, snlae = (list(SplittingRecipe(network=name).build().parameters())[1::2] for name in get_args(Network)[:2])
    assert [len(bias) for bias in scae] == [32, 64, 128, 64, 32, 2]
    assert [len(bias) for bias in snlae] == [512, 1024, 2048, 1024, 512, 128]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'decay': 0.0}, 'decay must be above 0'),
        ({'dual': 'y'}, "dual must be 'x' or 'xhat', got 'y'"),
        ({'rho': -1.0}, 'rho must be positive'),
        ({'first_mu': -0.1}, 'first_mu must be a finite, non-negative number'),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplittingModel(net(identity=True), **options)
