"""ADMM-Net begins as ADMM."""

from collections.abc import Callable

import pytest
import torch
from mrpro_lambda.models import ADMMNet
from mrpro_lambda.nets import intensity
from mrpro_lambda.recipes import ADMMNetRecipe
from mrpro_lambda.recipes.ADMMNetRecipe import cosine_filters
from mrpro_lambda.regularizers import FilterSparsity
from mrpro_lambda.solvers import ADMM

from tests.helper import relative_image_difference
from tests.models.acquisitions import Acquired, acquire

PENALTY, THRESHOLD = 0.3, 0.1


def net(n_stages: int, **options: float) -> ADMMNet:
    recipe = ADMMNetRecipe(n_stages=n_stages, penalty=PENALTY, threshold=THRESHOLD, knot_range=5.0, **options)  # type: ignore[arg-type]
    return recipe.build().double()  # type: ignore[return-value]


def soft(x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    parts = torch.view_as_real(x)
    shrunk = parts.sign() * (parts.abs() - threshold.unsqueeze(-1)).clamp_min(0)
    return torch.view_as_complex(shrunk)


def admm(given: Acquired, n_iterations: int, mask: torch.Tensor) -> torch.Tensor:
    """ADMM in the textbook form, with dense matrices that are inverted."""
    filters = cosine_filters(3, 2).double()
    shape = given.img.shape[-2:]
    n = shape[0] * shape[1]
    regularizer = FilterSparsity(filters)
    unit = torch.eye(n, dtype=torch.complex128).reshape(n, 1, 1, *shape)
    transform = regularizer.transform(unit).reshape(len(filters), n, n).movedim(1, -1).reshape(-1, n)
    images = []
    for i in range(2):
        centered = torch.fft.ifftshift(unit, dim=(-2, -1))
        spectra = torch.fft.fftshift(torch.fft.fft2(centered, norm='ortho'), dim=(-2, -1)) * mask[i]
        acquisition = spectra.reshape(n, n).T
        y = given.data[i].flatten()
        system = acquisition.mH @ acquisition + PENALTY * transform.mH @ transform
        z = u = torch.zeros(len(transform), dtype=torch.complex128)
        threshold = THRESHOLD * intensity(given.initial_image[i], (-4, -3, -2, -1)).flatten()
        for _ in range(n_iterations):
            x = torch.linalg.solve(system, acquisition.mH @ y + PENALTY * transform.mH @ (z - u))
            z = soft(transform @ x + u, threshold)
            u = u + transform @ x - z
        images.append(x.reshape(given.img.shape[1:]))
    return torch.stack(images)


def test_stages_are_those_of_admm() -> None:
    """With its initial values, for real and imaginary part; the threshold is at a knot."""
    given = acquire('points', double=True)
    mask = given.acquisition_op.mask
    with torch.no_grad():
        found = net(4)(*given[:3])
    assert isinstance(mask, torch.Tensor)
    assert relative_image_difference(found, admm(given, 5, mask)) < 1e-6


@pytest.mark.parametrize('kind', ['points', 'lines, 3 coils', 'radial, 2 coils'])
def test_many_stages_reach_the_minimizer(kind: str) -> None:
    """Of the convex problem with the l1 norm of the responses, as the solver of the package does."""
    given = acquire(kind, double=True)
    scale = intensity(given.initial_image, (-4, -3, -2, -1))
    weight = PENALTY * THRESHOLD * scale.reshape(1, 2, 1, 1, 1, 1).expand(8, -1, -1, -1, -1, -1)
    solver = ADMM(FilterSparsity(cosine_filters(3, 2).double()), n_iterations=500)
    with torch.no_grad():
        found, expected, other = net(200)(*given[:3]), solver(*given[:3], weight), solver(*given[:3], 1.1 * weight)
    assert relative_image_difference(found, expected) < 3e-3
    assert relative_image_difference(other, expected) > 5e-3


def test_cosine_filters_are_orthonormal_and_of_zero_mean() -> None:
    filters = cosine_filters(3, 2).flatten(1).double()
    torch.testing.assert_close(filters @ filters.T, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-6)
    assert filters.sum(1).abs().max() < 1e-6
    assert cosine_filters(3, 3).shape == (26, 3, 3, 3)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ADMMNet(torch.ones(2, 4, 3)), r'odd size .* \(2, 4, 3\)'),
        (lambda: ADMMNet(torch.ones(2, 3)), r'odd size .* \(2, 3\)'),
        (lambda: ADMMNet(torch.ones(2, 3, 3), n_knots=10), 'n_knots must be odd, got 10'),
        (lambda: ADMMNet(torch.ones(2, 17, 3))(*acquire('points')[:3]), 'not be smaller than the filters'),
    ],
)
def test_errors(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
