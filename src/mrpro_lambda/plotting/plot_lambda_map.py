"""Figure of a Lambda map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mrpro_lambda.plotting.gray_picture import gray_window
from mrpro_lambda.plotting.panels import PANEL, grid_of_panels, one_slice, show_map, with_aspect

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_lambda_map(
    img: torch.Tensor,
    lambda_map: torch.Tensor,
    *,
    noise_std: float | None = None,
    title: str | None = None,
    window: float | None = None,
    aspect: float = 1.0,
) -> Figure:
    """Plot the Lambda map of one slice over the magnitude of the image, with a logarithmic color scale.

    Parameters
    ----------
    img
        Image, shape `(y, x)`; further axes of size 1 are dropped.
    lambda_map
        Lambda map of the same shape.
    noise_std
        Noise level that the map is shown in units of.
    title
        Title. Default: what the map is relative to.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the image.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If shapes differ or are not those of one slice.
    """
    img = one_slice(img, 'img')
    figure, axes = grid_of_panels(img.shape, 1, 1, panel=1.6 * PANEL, aspect=aspect)
    show_map(axes[0][0], img, lambda_map, noise_std, gray_window(img) if window is None else window, title)
    return with_aspect(figure, aspect)
