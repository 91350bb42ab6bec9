"""Images and maps in the panels of figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PANEL = 2.6
"""Width of an image in inches."""
TITLE_SIZE = 11
"""Size of titles in points."""


def grid_of_panels(
    shape: torch.Size, n_rows: int, n_columns: int, panel: float = PANEL, *, aspect: float = 1.0
) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure without the global state of pyplot."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    height = panel * aspect * shape[0] / shape[1]
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.01, hspace=0.01)
    figure = Figure(figsize=(n_columns * panel, n_rows * (height + 0.45)), layout=layout)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False).tolist()


def with_aspect(figure: Figure, aspect: float) -> Figure:
    """Give all images of a figure the aspect of their pixels."""
    for ax in figure.axes:
        if ax.images:
            ax.set_aspect(aspect)
    return figure


def show(ax: Axes, img: torch.Tensor, title: str, white: float) -> AxesImage:
    """Show a magnitude in a gray window."""
    shown = ax.imshow(img.numpy(), cmap='gray', vmin=0, vmax=white, interpolation='nearest')
    ax.set_title(title, fontsize=TITLE_SIZE)
    ax.axis('off')
    return shown


def show_signed(ax: Axes, img: torch.Tensor, title: str, peak: float) -> None:
    """Show real numbers in a gray window that is symmetric."""
    show(ax, img, title, peak).set_clim(-peak, peak)


def show_map(
    ax: Axes,
    img: torch.Tensor,
    lambda_map: torch.Tensor,
    noise_std: float | None,
    white: float,
    title: str | None = None,
    region: tuple[slice, slice] = (slice(None), slice(None)),
    limits: tuple[float, float] | None = None,
) -> None:
    """Show a map over a gray image, with its color bar inside."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullLocator

    values = one_slice(lambda_map, 'lambda_map').double()
    if values.shape != img.shape:
        raise ValueError(f'The map must have the shape of the image, got {tuple(values.shape)}, {tuple(img.shape)}.')
    if noise_std is not None:
        values = values / noise_std
    low, high = map_limits(values, None) if limits is None else limits
    if title is None:
        title = 'Λ map' if noise_std is None else 'Λ map / noise level'
    show(ax, img[region].abs(), title, white)
    norm = LogNorm(low, high, clip=True)
    overlay = ax.imshow(
        values.clamp_min(low)[region].numpy(), cmap='viridis', norm=norm, alpha=0.6, interpolation='nearest'
    )
    inset = ax.inset_axes((0.06, 0.045, 0.88, 0.04))
    bar = ax.figure.colorbar(overlay, cax=inset, orientation='horizontal')
    bar.solids.set_alpha(1)  # type: ignore[union-attr]
    ticks = _ticks(low, high)
    bar.set_ticks(ticks, labels=[f'{t:g}' for t in ticks])
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_ticks_position('top')
    bar.ax.tick_params(labelsize=8, colors='white', length=2, pad=1)
    bar.outline.set_visible(False)


def map_limits(values: torch.Tensor, noise_std: float | None) -> tuple[float, float]:
    """Return the range of colors of a map, relative to the noise level."""
    values = values.double().flatten() if noise_std is None else values.double().flatten() / noise_std
    positive = values[values > 0]
    low, high = (positive.quantile(torch.tensor([0.005, 0.995]).double()).tolist()) if len(positive) else (0.1, 1.0)
    if high < 2 * low:  # a nearly constant map should look like one
        low, high = low / 2, high * 2
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers in a range."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    coarse = [t for t in fine if f'{t:e}'.startswith('1')]
    return coarse if len(fine) > 5 and len(coarse) > 1 else fine


def one_slice(img: torch.Tensor, name: str) -> torch.Tensor:
    """Drop leading axes of size 1 and move to the CPU."""
    img = img.detach().cpu()
    if img.ndim < 2 or math.prod(img.shape[:-2]) != 1:
        raise ValueError(f'{name} must be one slice of shape (y, x), got shape {tuple(img.shape)}.')
    return img.reshape(img.shape[-2:])


def peak(img: torch.Tensor) -> float:
    """Return the largest magnitude, 1 if all is zero."""
    return img.abs().max().item() or 1.0
