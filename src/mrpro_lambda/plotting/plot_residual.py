"""Figure of a residual."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mrpro_lambda.plotting.gray_picture import gray_window
from mrpro_lambda.plotting.panels import PANEL, grid_of_panels, one_slice, show, with_aspect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOISE = 4.0  # residual in units of the noise that is shown as white at least


def plot_residual(residual: torch.Tensor, *, aspect: float = 1.0) -> Figure:
    """Plot the magnitude of the residual of one slice in units of the noise.

    White is 4 or, where more than two pixels in a thousand exceed it, their smallest value.

    Parameters
    ----------
    residual
        Residual, see `~mrpro_lambda.reconstruction.residual_image`, shape `(y, x)`; further axes of size 1 are dropped.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If the shape is not that of one slice.
    """
    residual = one_slice(residual, 'residual').abs()
    white = max(_NOISE, gray_window(residual))
    figure, axes = grid_of_panels(residual.shape, 1, 1, panel=1.6 * PANEL, aspect=aspect)
    show(axes[0][0], residual, f'Residual / noise, 0 to {white:.3g}', white)
    return with_aspect(figure, aspect)
