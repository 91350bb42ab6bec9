"""Figure of a fit to the scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from mrpro_lambda.plotting.panels import PANEL, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_fit(report: Mapping[str, Any]) -> Figure:
    """Plot the loss of a fit to the scan in each step.

    Parameters
    ----------
    report
        Report of `~mrpro_lambda.weighting.FittedToScan`.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(2 * PANEL, 1.3 * PANEL), layout=ConstrainedLayoutEngine())
    axes = figure.subplots()
    losses = torch.tensor(report['losses'], dtype=torch.float64)
    axes.plot(losses, color='lightgray', label='each step')
    if len(losses) >= (width := 10):
        axes.plot(torch.arange(width - 1, len(losses)), losses.unfold(0, width, 1).mean(1), label='mean of 10 steps')
    for name, values in report.get('compared', {}).items():
        style = '-' if name == report['taken'] else ':'
        axes.axhline(
            sum(values) / len(values), color='black', linestyle=style, linewidth=1, label=f'{name}, at the end'
        )
    axes.set(xlabel='step', ylabel=f'{report["loss"]} loss / noise')
    axes.legend(fontsize='small')
    axes.set_title(f'fitted to the scan: {report["taken"]} taken', fontsize=TITLE_SIZE)
    return figure
