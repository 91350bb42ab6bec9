"""From counts to an image in one call."""

from collections.abc import Callable

import pytest
import torch
from mrpro_lambda.metrics import psnr
from mrpro_lambda.operators import FanBeam, ParallelBeam, RayTransformOp, ScanGeometry
from mrpro_lambda.recipes import LowDoseRecipe
from mrpro_lambda.reconstruction import AdaptiveLowDoseReconstruction

N = 24
WIDTH = 0.26 / N
GEOMETRIES: list[ScanGeometry] = [
    ParallelBeam.half_turn(30, 36, WIDTH),
    FanBeam(torch.arange(40) * (2 * torch.pi / 40), 50, 1.5 * WIDTH, 0.5, 0.2),
]


def phantom() -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, N),) * 2, indexing='ij')
    return (0.2 * (y.hypot(x) < 0.8) + 0.3 * (y.hypot(x - 0.3) < 0.3))[None, None]


@pytest.mark.parametrize('geometry', GEOMETRIES, ids=lambda geometry: type(geometry).__name__)
def test_from_counts_to_an_image(geometry: ScanGeometry) -> None:
    """It is better than the filtered back projection, and its distance to the minimum is certified."""
    operator = RayTransformOp(geometry, (N, N), WIDTH)
    reconstruction = AdaptiveLowDoseReconstruction(operator, n_photons=1000, tolerance=0.1)
    img = phantom()
    counts = reconstruction.data_term.draw(img, torch.Generator().manual_seed(0))
    data = reconstruction.from_counts(counts)
    found = reconstruction.solve(data)
    assert found.solution is not None
    assert found.solution.reason == 'tolerance reached'
    assert found.lambda_map is not None
    assert psnr(found.img, img) > psnr(reconstruction.initial_image(data), img) + 3
    assert torch.equal(reconstruction(data), found.img)


def test_with_a_model() -> None:
    operator = RayTransformOp(GEOMETRIES[0], (N, N), WIDTH)
    model = LowDoseRecipe(n_features=2, n_resolutions=2, padding=3, tolerance=0.5).build(inference=True)
    reconstruction = AdaptiveLowDoseReconstruction(operator, model=model)
    (data,) = operator(phantom())
    found = reconstruction.solve(data)
    assert found.lambda_map is not None
    assert found.lambda_map.shape == (1, 1, 1, N, N)
    with pytest.raises(ValueError, match='Give either model or regularization_weight'):
        AdaptiveLowDoseReconstruction(operator, model=model, regularization_weight=1.0)


def test_weights_that_ship() -> None:
    """They are better than the filtered back projection, and say what scans they are not made for."""
    operator = RayTransformOp(GEOMETRIES[0], (N, N), WIDTH)
    reconstruction = AdaptiveLowDoseReconstruction(operator, model='ct-tv')
    img = phantom()
    data = reconstruction.from_counts(reconstruction.data_term.draw(img, torch.Generator().manual_seed(0)))
    assert psnr(reconstruction(data), img) > psnr(reconstruction.initial_image(data), img) + 3
    few = RayTransformOp(ParallelBeam.half_turn(7, 36, WIDTH), (N, N), WIDTH)
    with pytest.warns(UserWarning, match='ct-tv is not made for this scan: 50 photons .*, 7 angles instead of'):
        AdaptiveLowDoseReconstruction(few, n_photons=50, model='ct-tv')
    with pytest.raises(ValueError, match="need weights with the method 'ct-tv', got 'tv-low-field'"):
        AdaptiveLowDoseReconstruction(operator, model='tv-low-field')
    with pytest.raises(ValueError, match="There are no weights 'ct'"):
        AdaptiveLowDoseReconstruction(operator, model='ct')


def test_tolerance_missed() -> None:
    operator = RayTransformOp(GEOMETRIES[0], (N, N), WIDTH)
    reconstruction = AdaptiveLowDoseReconstruction(operator, max_iterations=2, tolerance=1e-6)
    data = reconstruction.from_counts(reconstruction.data_term.draw(phantom(), torch.Generator().manual_seed(0)))
    with pytest.warns(UserWarning, match='has not reached its tolerance: after 2 iterations'):
        reconstruction(data)


_WRONG: list[tuple[Callable[[torch.Tensor], torch.Tensor], str]] = [
    (lambda y: y[0, 0], r'data must have shape.*give data\[None, None\]'),
    (lambda y: y[:, :, 1:], r'\(angles, bins\) = \(30, 36\), got shape \(1, 1, 29, 36\)'),
    (lambda y: y * float('nan'), 'data must be finite, got 1080 NaN or Inf'),
    (lambda y: 4096 * (-81.35858 * y).exp(), 'use PoissonCounts.from_counts for counts'),
]


@pytest.mark.parametrize(('change', 'message'), _WRONG)
def test_data_that_are_none(change: Callable[[torch.Tensor], torch.Tensor], message: str) -> None:
    operator = RayTransformOp(GEOMETRIES[0], (N, N), WIDTH)
    (data,) = operator(phantom())
    with pytest.raises(ValueError, match=message):
        AdaptiveLowDoseReconstruction(operator)(change(data))
