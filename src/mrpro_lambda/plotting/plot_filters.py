"""Figure of the filters of a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from mrpro_lambda.plotting.panels import grid_of_panels, one_slice, peak, show_signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FILTER_PANEL = 0.8  # width of a filter in inches


def plot_filters(filters: torch.Tensor, n_columns: int = 8, *, indices: Sequence[int] | None = None) -> Figure:
    """Plot the filters of a dictionary, each in a gray window of its own that is symmetric: middle gray is 0.

    Parameters
    ----------
    filters
        Filters, shape `(n_filters, ky, kx)`; further axes of size 1 are dropped. Of complex filters, the real part is
        shown.
    n_columns
        Filters in a row.
    indices
        Numbers of the filters to show, in this order, such as those of
        `~mrpro_lambda.interpretation.most_active`. Default: all.

    Returns
    -------
        Figure, with the number of each filter.

    Raises
    ------
    ValueError
        If the filters are not two-dimensional, or if a number is not that of a filter.
    """
    planes = filter_planes(filters)
    shown = range(len(planes)) if indices is None else filter_indices(indices, len(planes))
    if n_columns < 1:
        raise ValueError(f'n_columns must be positive, got {n_columns}.')
    n_columns = min(n_columns, len(shown))
    figure, axes = grid_of_panels(planes.shape[1:], -(-len(shown) // n_columns), n_columns, panel=_FILTER_PANEL)
    panels = [ax for row in axes for ax in row]
    for ax, k in zip(panels, shown, strict=False):
        show_signed(ax, planes[k].real, f'{k}', peak(planes[k].real))
    for ax in panels[len(shown) :]:
        ax.axis('off')
    return figure


def filter_planes(filters: torch.Tensor) -> torch.Tensor:
    """Drop axes of size 1 of filters and move them to the CPU."""
    if filters.ndim < 3 or not len(filters):
        raise ValueError(f'filters must have shape (n_filters, ky, kx), got shape {tuple(filters.shape)}.')
    return torch.stack([one_slice(kernel, 'Each of the filters') for kernel in filters])


def filter_indices(indices: Sequence[int], n_filters: int) -> list[int]:
    """Check numbers of filters."""
    if not indices or any(not 0 <= k < n_filters for k in indices):
        raise ValueError(f'indices must be from 0 to {n_filters - 1}, at least one, got {list(indices)}.')
    return list(indices)
