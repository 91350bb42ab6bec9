"""Tests of the random variations of images."""

import pytest
import torch
from mrpro_lambda.datasets import augment_image


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disk(n: int, radius: float) -> torch.Tensor:
    r = torch.arange(n) - n // 2
    return (torch.hypot(r[:, None].float(), r.float()) <= radius).float()


@pytest.mark.parametrize('image_shape', [(40, 40), (20, 60), (90, 70)])
@pytest.mark.parametrize('shape', [(32, 32), (24, 36)])
def test_result_is_a_magnitude_image(image_shape: tuple[int, int], shape: tuple[int, int]) -> None:
    image = 7 * torch.rand(image_shape, generator=rng())
    results = [augment_image(image, shape, rng(seed)) for seed in range(12)]
    for result in results:
        assert result.shape == shape
        assert result.isfinite().all()
        assert result.min() >= 0
        assert result.max() == 1
    assert not any(torch.equal(results[0], result) for result in results[1:])
    assert torch.equal(results[3], augment_image(image, shape, rng(3)))


@pytest.mark.parametrize('zoom', [(0.8, 1.15), (0.5, 0.6)])
def test_zoom_is_in_its_range(zoom: tuple[float, float]) -> None:
    """The area of a disk changes by the square of the zoom."""
    results = [augment_image(disk(120, 20), (96, 96), rng(seed), zoom=zoom) for seed in range(60)]
    zooms = (torch.stack([(r > 0.5).sum() for r in results]) / disk(120, 20).sum()).sqrt()
    zooms = zooms[(zooms > zoom[0] - 0.02)]  # the disk may be cut off, if it is at the edge of the window
    assert len(zooms) > 50
    assert zooms.max() < zoom[1] + 0.03
    assert zooms.max() > zoom[1] - 0.05
    assert zooms.min() < zoom[0] + 0.05


def test_gamma_is_in_its_range() -> None:
    """Half of the maximum becomes its power of 0.8 to 1.3."""
    image = torch.ones(60, 60)
    image[:, :30] = 0.5
    values = [augment_image(image, (40, 40), rng(seed), zoom=(1.0, 1.0)) for seed in range(200)]
    gammas = torch.stack([x[x < 0.75].median() for x in values if bool((x < 0.75).sum() > 200)]).log2().neg()
    assert len(gammas) > 100
    assert 0.79 < gammas.min() < 0.83
    assert 1.27 < gammas.max() < 1.31


def test_all_orientations_occur() -> None:
    image = torch.full((40, 40), 0.5)
    image[:20, :20] = 1.0
    image[20:, :20] = 0.7
    corners = set()
    for seed in range(80):
        result = augment_image(image, (40, 40), rng(seed))
        center = result[[16, 16, 23, 23], [16, 23, 16, 23]]
        corners.add(tuple(center.argsort().tolist()))
    n_orientations = len({c[2:] for c in corners})
    assert n_orientations == 8


def test_window_without_signal_is_avoided() -> None:
    image = torch.zeros(200, 200)
    image[5:9, 190:194] = 1
    for seed in range(20):
        assert (augment_image(image, (32, 32), rng(seed)) > 0.5).sum() > 4
