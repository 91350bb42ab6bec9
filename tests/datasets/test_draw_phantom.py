"""Tests of random objects for computed tomography."""

import pytest
import torch
from mrpro_lambda.datasets import draw_phantom
from torch.nn.functional import max_pool2d


def phantoms(n: int, size: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([draw_phantom(size, generator) for _ in range(n)])


@pytest.mark.parametrize('size', [16, 47])
def test_attenuation(size: int) -> None:
    """Not negative, with a maximum of 1; each is another one, and the seed decides."""
    images = phantoms(12, size)
    assert images.shape == (12, size, size)
    assert bool((images >= 0).all())
    assert bool((images.amax((1, 2)) == 1).all())
    assert not any(torch.equal(images[0], other) for other in images[1:])
    assert torch.equal(images, phantoms(12, size))


def test_thin_structures_in_air() -> None:
    """An opening with 5 pixels removes bright structures of most objects, next to which there is air."""
    images = phantoms(20)[:, None]
    opened = max_pool2d(-max_pool2d(-images, 5, 1, 2), 5, 1, 2)
    thin = images - opened > 0.1
    air = -max_pool2d(-images, 5, 1, 2) < 0.02
    assert ((thin & air).sum((1, 2, 3)) > 10).float().mean() > 0.8
