"""Tests of the search for the best weight."""

import math
from typing import Any

import pytest
import torch
from mrpro_lambda.oracle import best_weight, oracle_weight

WEIGHTS = torch.logspace(-2, 1, 7)


def parabola(weights: torch.Tensor, best: float | torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Quality with its maximum of 30 at the best weight, a parabola in the logarithm of the weight."""
    return 30 - curvature * (weights / best).log().square()


@pytest.mark.parametrize('best', [0.02, 0.1, 0.3, 1.7, 5.0])
def test_vertex_of_a_parabola_is_found(best: float) -> None:
    optimum = best_weight(WEIGHTS, parabola(WEIGHTS.double(), best))
    assert optimum.weight.item() == pytest.approx(best, rel=1e-5)
    assert optimum.quality.item() == pytest.approx(30, rel=1e-6)


def test_several_qualities_have_a_weight_each() -> None:
    best = torch.tensor([[0.05, 0.5], [2.0, 0.2]])
    optimum = best_weight(WEIGHTS, parabola(WEIGHTS.double()[:, None, None], best))
    torch.testing.assert_close(optimum.weight, best.double(), rtol=1e-5, atol=0)
    assert optimum.quality.shape == (2, 2)


def test_no_vertex() -> None:
    """An end of the grid is taken as it is, and so is the first of equal values."""
    for best, end in ((1e-4, 0), (1e3, -1)):
        quality = parabola(WEIGHTS.double(), best)
        assert best_weight(WEIGHTS, quality) == (WEIGHTS[end].double(), quality[end])
    equal = best_weight(WEIGHTS, torch.full((7,), 2.0))
    assert (equal.weight, equal.quality) == (WEIGHTS[0].double(), 2)
    plateau = best_weight(WEIGHTS, torch.tensor([0.0, 0, 0, 1, 1, 1, 0]))
    assert WEIGHTS[3] < plateau.weight < WEIGHTS[4]


def test_quality_is_never_below_the_grid() -> None:
    quality = torch.randn(7, 100, generator=torch.Generator().manual_seed(0)).double()
    optimum = best_weight(WEIGHTS, quality)
    assert bool((optimum.quality >= quality.amax(0)).all())
    nearest = quality.argmax(0)
    assert bool(((optimum.weight / WEIGHTS[nearest]).log10().abs() <= 0.25 + 1e-6).all())  # half a step


@pytest.mark.parametrize('best', [0.06, 0.3, 2.0])
def test_search(best: float) -> None:
    """The fine grid is that around the maximum of the coarse one."""
    grids = []

    def quality(weights: torch.Tensor) -> torch.Tensor:
        grids.append(weights)
        return parabola(weights, best) - 0.01 * (weights / best).log().pow(4)

    assert oracle_weight(quality, 0.05, 3.0) == pytest.approx(best, rel=0.01)
    coarse, fine = grids
    assert (len(coarse), len(fine)) == (9, 5)
    assert (coarse[0].item(), coarse[-1].item()) == pytest.approx((0.05, 3))
    assert fine[0] <= best <= fine[-1]


def test_coarse_quality() -> None:
    """It sees the coarse grid only."""
    lengths = []

    def coarse(weights: torch.Tensor) -> torch.Tensor:
        lengths.append(len(weights))
        return parabola(weights, 0.4)

    weight = oracle_weight(lambda w: parabola(w, 0.5), 0.05, 3.0, coarse_quality=coarse, n_coarse=7)
    assert weight == pytest.approx(0.5, rel=1e-3)
    assert lengths == [7]


@pytest.mark.parametrize(
    ('weights', 'quality', 'message'),
    [
        (WEIGHTS[:2], torch.ones(2), 'at least 3 weights'),
        (WEIGHTS, torch.ones(6), r'one quality each, got shape \(7,\) and \(6,\)'),
        (WEIGHTS.flip(0), torch.ones(7), 'equal steps of their logarithm'),
        (torch.linspace(1, 2, 5), torch.ones(5), 'equal steps of their logarithm'),
        (torch.tensor([0.0, 1, 2]), torch.ones(3), 'positive'),
        (WEIGHTS, torch.full((7,), math.nan), 'quality must be finite'),
    ],
)
def test_invalid_grid(weights: torch.Tensor, quality: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_weight(weights, quality)


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        ((0.0, 1.0), {}, 'low must be positive'),
        ((2.0, 1.0), {}, 'low must be below high, got low=2.0 and high=1.0'),
        ((0.1, 1.0), {'n_fine': 2}, 'n_fine must be an integer from 3'),
    ],
)
def test_invalid_range(arguments: tuple[float, float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        oracle_weight(lambda w: w, *arguments, **options)
