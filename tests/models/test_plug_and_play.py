"""Plug-and-play reconstructions."""

from typing import Any

import pytest
import torch
from mrpro_lambda.models import DenoisingModel, PlugAndPlayModel, ProximalDenoiser
from mrpro_lambda.models.data_consistency import Landweber, ProximalStep
from mrpro_lambda.nets import ComplexNet, ConvNet
from mrpro_lambda.regularizers import Regularizer, Sparsity, TotalVariation
from mrpro_lambda.solvers import ADMM

from tests.helper import relative_image_difference
from tests.models.acquisitions import acquire

DIM = (-2, -1)


@pytest.mark.parametrize(
    ('scheme', 'step', 'factor'),
    [('alternating', Landweber(1.5), 1 / 1.5), ('admm', ProximalStep(0.4, n_steps=10), 0.4)],
)
@pytest.mark.parametrize(
    ('kind', 'regularizer', 'n_inner', 'n_outer', 'tolerance'),
    [('points', TotalVariation(DIM), 100, 30, 2e-3), ('lines, 3 coils', Sparsity(), 30, 60, 1e-3)],
)
def test_proximal_denoiser_reaches_the_convex_minimizer(
    kind: str,
    scheme: Any,
    step: Any,
    factor: float,
    regularizer: Regularizer,
    n_inner: int,
    n_outer: int,
    tolerance: float,
) -> None:
    """A step of size gamma and the proximal map of w R have the minimizer of f + (w / gamma) R as fixed point.

    As far as the denoiser, which is an iteration itself, is that proximal map.
    """
    given = acquire(kind, double=True)
    denoiser = ProximalDenoiser(ADMM(regularizer, n_iterations=n_inner), strength=0.8)
    model = PlugAndPlayModel(denoiser, step, n_outer, noise_factor=1.5, scheme=scheme)
    weight = factor * 0.8 * 1.5 * given.noise_std.flatten()[0].item()
    solver = ADMM(regularizer, n_iterations=1000)
    with torch.no_grad():
        found, expected = model(*given[:4]), solver(*given[:3], weight)
        other = solver(*given[:3], 1.1 * weight)
    assert relative_image_difference(found, expected) < tolerance
    assert relative_image_difference(other, expected) > 3 * tolerance


def test_knob_of_the_noise_level() -> None:
    """Twice the factor is twice the level, and the level falls geometrically from the first factor."""
    given, levels = acquire('points'), []

    class Recording(torch.nn.Module):
        def forward(self, img: torch.Tensor, noise_std: torch.Tensor) -> torch.Tensor:
            levels.append(noise_std.flatten()[0].item())
            return img

    PlugAndPlayModel(Recording(), Landweber(), 1)(*given[:4])
    sigma = levels.pop()
    PlugAndPlayModel(Recording(), Landweber(), 3, noise_factor=0.5, first_noise_factor=8.0)(*given[:4])
    assert levels == pytest.approx([8 * sigma, 2 * sigma, 0.5 * sigma])


def test_training_of_a_denoiser_goes_on_from_either_model() -> None:
    first, second = (
        ComplexNet(ConvNet(2, 3, 2, 4, generator=torch.Generator().manual_seed(seed)), residual=True, noise_level=True)
        for seed in (1, 2)
    )
    model = DenoisingModel(first)
    model.start_from(PlugAndPlayModel(second, Landweber()))
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))
    model.start_from(DenoisingModel(second))


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'noise_factor': 0.0}, ValueError, 'noise_factor must be positive'),
        ({'scheme': 'fista'}, ValueError, "scheme must be .* got 'fista'"),
        ({'data_consistency': torch.nn.Identity()}, TypeError, 'must be DataConsistency, got Identity'),
        ({'n_iterations': 0}, ValueError, 'n_iterations must be an integer from 1'),
    ],
)
def test_invalid_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    values: dict[str, Any] = {'denoiser': torch.nn.Identity(), 'data_consistency': Landweber()} | options
    with pytest.raises(error, match=message):
        PlugAndPlayModel(**values)
