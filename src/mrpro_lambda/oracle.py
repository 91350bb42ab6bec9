"""The best weight for an image, found with the true image, which is not known in practice."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number, check_tensor


class Optimum(NamedTuple):
    """Weight of the highest quality."""

    weight: torch.Tensor
    """Weight, shape `other`."""
    quality: torch.Tensor
    """Quality there, shape `other`."""


def best_weight(weights: torch.Tensor, quality: torch.Tensor) -> Optimum:
    """Return the weight of the highest quality, refined by the vertex of a parabola in the logarithm of the weight.

    The parabola goes through the best weight of the grid and its neighbors. At an end of the grid there is none, and
    the best weight is that end.

    Parameters
    ----------
    weights
        Positive weights in ascending order, in equal steps of their logarithm, shape `(n,)` with `n` of at least 3.
    quality
        Quality at each of them, the higher the better, shape `(n, *other)`.

    Raises
    ------
    ValueError
        If the weights are not such a grid, or if there are not as many qualities.
    """
    check_tensor('weights', weights)
    check_tensor('quality', quality)
    weights, quality = weights.double(), quality.double()
    what = f'got shape {tuple(weights.shape)}'
    if weights.ndim != 1 or len(weights) < 3 or quality.ndim < 1 or len(quality) != len(weights):
        raise ValueError(f'There must be at least 3 weights with one quality each, {what} and {tuple(quality.shape)}.')
    steps = weights.log().diff()
    if not bool((weights > 0).all() and (steps > 0).all() and ((steps / steps[0] - 1).abs() < 1e-3).all()):
        raise ValueError(f'weights must be positive and rise in equal steps of their logarithm, {what}: {weights}.')
    index = quality.argmax(0)
    inner = index.clamp(1, len(weights) - 2)
    below, best, above = (quality.gather(0, (inner + k)[None])[0] for k in (-1, 0, 1))
    curvature = below - 2 * best + above
    has_vertex = (index == inner) & (curvature < 0)
    offset = torch.where(has_vertex, 0.5 * (below - above) / torch.where(has_vertex, curvature, 1), 0)
    step = torch.where(has_vertex, (weights[inner + 1] / weights[inner]).log(), 0)
    gain = torch.where(has_vertex, 0.25 * (above - below) * offset, 0)
    return Optimum(weights[index] * (offset * step).exp(), quality.gather(0, index[None])[0] + gain)


def oracle_weight(
    quality: Callable[[torch.Tensor], torch.Tensor],
    low: float,
    high: float,
    *,
    coarse_quality: Callable[[torch.Tensor], torch.Tensor] | None = None,
    n_coarse: int = 9,
    n_fine: int = 5,
) -> float:
    """Return the weight of the highest quality: a coarse grid, a fine one around its maximum, then `best_weight`.

    Parameters
    ----------
    quality
        Quality at each of some weights, the higher the better, for example the PSNR of the images of a batch. It is
        given the grid, shape `(n,)`, and returns as many numbers.
    low, high
        Smallest and largest weight.
    coarse_quality
        Faster function for the coarse grid. Default: `quality`.
    n_coarse, n_fine
        Number of weights of the two grids.

    Raises
    ------
    ValueError
        If the range is not one of positive weights, or if a grid has less than 3 weights.
    """
    for name, value in (('low', low), ('high', high)):
        check_number(name, value, positive=True)
    for name, number in (('n_coarse', n_coarse), ('n_fine', n_fine)):
        check_number(name, number, 3, integer=True)
    if low >= high:
        raise ValueError(f'low must be below high, got {low=} and {high=}.')
    weights = torch.tensor([low, high]).log10()
    weights = torch.logspace(weights[0].item(), weights[1].item(), n_coarse)
    i = int((quality if coarse_quality is None else coarse_quality)(weights).argmax().clamp(1, n_coarse - 2))
    weights = torch.logspace(weights[i - 1].log10().item(), weights[i + 1].log10().item(), n_fine)
    return best_weight(weights, quality(weights)).weight.item()
