"""Report of a result as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

from mrpro_lambda.plotting import plot_fit, plot_sweep
from mrpro_lambda.reconstruct import Reconstructed
from mrpro_lambda.summary import summary


def write_sweep(folder: Path, result: Reconstructed) -> bool:
    """Write what a weight reports: the weights that a rule tried, `sweep.json` and `sweep.png`, or the loss of a fit.

    That of a fit to the scan is in `fit.json` and `fit.png`. Other weights report nothing.

    Parameters
    ----------
    folder
        Existing folder.
    result
        Result of a reconstruction.

    Returns
    -------
        Whether the figure was written. It is left out if matplotlib is not installed.
    """
    report = result.report['weight']
    if report is None:
        return False
    name, plot = ('fit', plot_fit) if 'losses' in report else ('sweep', plot_sweep)
    (folder / f'{name}.json').write_text(json_text(report), 'utf-8')
    try:
        figure = plot(report)
    except ImportError:
        return False
    figure.savefig(folder / f'{name}.png', dpi=150)
    return True


def write_report(path: Path, result: Reconstructed, seconds: float) -> str:
    """Write the report of a result as JSON, and return a summary for people.

    Parameters
    ----------
    path
        File to write, in the folder of the images.
    result
        Result of a reconstruction.
    seconds
        Duration.
    """
    files = sorted(entry.name + '/' * entry.is_dir() for entry in [*path.parent.iterdir(), path])
    report = result.report | {'notes': result.notes, 'seconds': round(seconds, 2), 'files': files}
    path.write_text(json_text(report), 'utf-8')
    return summary(report)


def json_text(value: object) -> str:
    """Format as JSON, which knows neither NaN nor Inf: there is `null` in their place."""

    def finite(value: object) -> object:
        if isinstance(value, dict):
            return {key: finite(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [finite(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + '\n'
