"""Figure of a sweep of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mrpro_lambda.plotting.panels import PANEL, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_sweep(report: Mapping[str, Any]) -> Figure:
    """Plot what a rule that chooses the weight found: its criterion, and the L-curve, with the weight it chose.

    Parameters
    ----------
    report
        Report of a `~mrpro_lambda.weighting.AutomaticWeight`. Each image of a batch has a curve of its own.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = ('factor', 'criterion', 'residual', 'regularization')
    columns = {name: _rows(report['sweep'][name]) for name in names}
    chosen = torch.tensor(report['factor'], dtype=torch.float64).flatten()
    figure = Figure(figsize=(3 * PANEL, 1.3 * PANEL), layout=ConstrainedLayoutEngine())
    left, right = figure.subplots(1, 2)
    labels = {
        'sure': 'estimated error / noise',
        'discrepancy': 'log (residual / target)',
        'l-curve': 'minus curvature of the L-curve',
    }
    for i, factor in enumerate(chosen):
        color = f'C{i % 10}'
        x, y, residual, regularization = (columns[name][i] for name in names)
        left.plot(x, y, '.-', color=color)
        left.axvline(factor.item(), color=color, linestyle=':')
        right.plot(residual, regularization, '.-', color=color)
        nearest = (x / factor).log().abs().argmin()
        right.plot(residual[nearest], regularization[nearest], 'o', color=color, fillstyle='none', markersize=10)
    if report['rule'] == 'discrepancy':
        left.axhline(0, color='black', linewidth=0.5)
    left.set(xscale='log', xlabel='weight / noise level', ylabel=labels.get(report['rule'], 'criterion'))
    right.set(xscale='log', yscale='log', xlabel='residual / noise', ylabel='regularization')
    title = f'{chosen[0]:.3g} times the noise level' if len(chosen) == 1 else f'{len(chosen)} images'
    left.set_title(f'{report["rule"]}: {title}', fontsize=TITLE_SIZE)
    return figure


def _rows(values: Sequence[Any]) -> torch.Tensor:
    """Return numbers of a report with a row for each image; JSON has null in the place of NaN and Inf."""
    if values and isinstance(values[0], Sequence):
        return torch.cat([_rows(row) for row in values])
    return torch.tensor([[math.nan if value is None else value for value in values]], dtype=torch.float64)
