"""Figure of images beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from mrpro_lambda.metrics import psnr
from mrpro_lambda.plotting.gray_picture import gray_window
from mrpro_lambda.plotting.panels import grid_of_panels, one_slice, show, show_map, with_aspect

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_comparison(
    images: Mapping[str, torch.Tensor],
    target: torch.Tensor | None = None,
    *,
    lambda_map: torch.Tensor | None = None,
    noise_std: float | None = None,
    error_factor: float | None = None,
    window: float | None = None,
    region: tuple[slice, slice] = (slice(None), slice(None)),
    aspect: float = 1.0,
) -> Figure:
    """Plot the magnitudes of images of one slice beside each other, and their errors below.

    All magnitudes have the same gray window, all errors the same scale. The error is the modulus of the complex
    difference if both are complex.

    Parameters
    ----------
    images
        Images by title, each of shape `(y, x)`; further axes of size 1 are dropped.
    target
        True image, shown as the first one. With it, titles state the peak signal-to-noise ratio.
    lambda_map
        Lambda map, shown over the magnitude of the last image: below the target, or without one as a further panel.
    noise_std
        Noise level that the map is shown in units of.
    error_factor
        Factor by which the errors are brightened. If `None`, a round number such that the largest errors of the best
        image are well visible.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the target or of the last image.
    region
        Part of the images that is shown, along y and x. The signal-to-noise ratios are those of the whole images.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If there is no image, or if shapes differ or are not those of one slice.
    """
    if not images:
        raise ValueError('images must hold at least one image, got none.')
    slices = {title: one_slice(img, title) for title, img in images.items()}
    reference = None if target is None else one_slice(target, 'target')
    last = list(slices.values())[-1]
    for title, img in slices.items():
        if img.shape != (last if reference is None else reference).shape:
            raise ValueError(f'All images must have the same shape, got {tuple(img.shape)} for {title!r}.')
    white = gray_window(last if reference is None else reference) if window is None else window

    n_columns = len(slices) + (reference is not None or lambda_map is not None)
    figure, axes = grid_of_panels(last[region].shape, 1 if reference is None else 2, n_columns, aspect=aspect)
    map_ax = axes[-1][-1 if reference is None else 0]
    if lambda_map is not None:
        show_map(map_ax, last, lambda_map, noise_std, white, region=region)
    else:
        map_ax.axis('off')
    if reference is None:
        for ax, (title, img) in zip(axes[0], slices.items(), strict=False):
            show(ax, img[region].abs(), title, white)
        return with_aspect(figure, aspect)

    show(axes[0][0], reference[region].abs(), 'Ground truth', white)
    pairs = {title: _comparable(img, reference) for title, img in slices.items()}
    errors = {title: (img - true).abs() for title, (img, true) in pairs.items()}
    factor = error_factor or _round_factor(white / min(gray_window(error) for error in errors.values()))
    for i, (title, img) in enumerate(slices.items(), start=1):
        quality = psnr(*(x[None, None, None] for x in pairs[title])).item()
        text = 'exact' if quality == math.inf else f'{quality:.2f} dB'
        show(axes[0][i], img[region].abs(), f'{title}\n{text}', white)
        show(axes[1][i], errors[title][region], f'Error × {factor:g}', white / factor)  # noqa: RUF001
    return with_aspect(figure, aspect)


def _comparable(img: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both images in double precision, as magnitudes where one of the two is a magnitude."""
    if img.is_complex() and target.is_complex():
        return img.to(torch.complex128), target.to(torch.complex128)
    return img.abs().double(), target.abs().double()


def _round_factor(factor: float) -> float:
    """Return the largest of the numbers 1, 2, 5, 10, 20, ... that does not exceed a factor."""
    power = 10 ** math.floor(math.log10(max(factor, 1)))
    return max(f for f in (1, 2 * power, 5 * power, power) if f <= max(factor, 1))
