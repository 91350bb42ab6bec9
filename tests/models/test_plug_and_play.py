"""Plug-and-play reconstructions."""

from typing import Any

import pytest
import torch
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models import DenoisingModel, PlugAndPlayModel, ProximalDenoiser
from mrpro_lambda.models.data_consistency import Landweber, ProximalStep
from mrpro_lambda.nets import ComplexNet, ConvNet, intensity
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import load_pretrained
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


def test_denoiser_that_ships() -> None:
    """It denoises, in any unit, and so does the reconstruction with it, where data are missing too."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 48) for _ in range(2)), indexing='ij')
    magnitude = (y.square() + x.square() < 0.8).float() + (y.abs() < 0.3).float() * (x.abs() < 0.5).float()
    img = torch.polar(magnitude, 1 + y - x)[None, None, None]
    generator = torch.Generator().manual_seed(0)
    noise = 0.2 * torch.randn(img.shape, generator=generator, dtype=torch.complex64)
    model = load_pretrained('plug-and-play-denoiser')
    s, level = intensity(img, DIM), torch.tensor(0.2)
    with torch.no_grad():
        denoised = s * model.denoiser((img + noise) / s, level / s)
    assert psnr(denoised, img) > psnr(img + noise, img) + 4
    mask = (torch.rand(1, 1, 1, 48, 48, generator=generator) < 0.5).float()
    mask[..., 20:28, 20:28] = 1
    acquisition_op = CartesianAcquisitionOp(mask)
    (clean,) = acquisition_op(img)
    data = clean + mask * noise
    (initial_image,) = acquisition_op.adjoint(data)
    with torch.no_grad():
        found = model(data, acquisition_op, initial_image, 0.2)
        scaled = model(1e4 * data, acquisition_op, 1e4 * initial_image, 2e3)
    assert psnr(found, img) > psnr(initial_image, img) + 2
    torch.testing.assert_close(1e-4 * scaled, found, rtol=1e-3, atol=1e-4)


def test_training_of_a_denoiser_goes_on_from_either_model() -> None:
    first, second = (
        ComplexNet(
            ConvNet(2, 3, 2, [4, 4], generator=torch.Generator().manual_seed(seed)), residual=True, noise_level=True
        )
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
