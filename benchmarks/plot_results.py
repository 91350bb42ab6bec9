"""Pictures at the top of the results page, drawn from the tables of that page.

    python benchmarks/plot_results.py [--page docs/source/results.md] [--output docs/source/_static]

Paired gains with their standard errors over images, of Lambda maps over one weight and of the methods beside TV-Lambda.
Run it again when the tables have changed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SECTIONS = {
    'R = 4, random samples': (
        'Variable-density random sampling, acceleration 4',
        'Variable density, R = 4',
        (0.05, 0.1, 0.2),
        '',
    ),
    'central box': (
        'Low-field box: the central half of k-space along both axes',
        'Low-field box',
        (0.2, 0.35, 0.6),
        '-low-field',
    ),
}
"""Headings of the tables of image quality and of variants, levels of noise, and what the names of weights end with."""
COLORS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7')
COLUMNS = {'whole image': 'PSNR', 'foreground': 'PSNR foreground'}


class Gain(NamedTuple):
    """A paired difference."""

    mean: float
    error: float
    """Standard error."""


def gain(page: str, heading: str, row: str, column: str) -> Gain:
    """Read a number with its standard error from the tables below all headings of a text.

    Raises
    ------
    ValueError
        If no table has the row.
    """
    for section in re.split(r'^(?=#+ )', page, flags=re.MULTILINE):
        if section.partition('\n')[0].lstrip('# ') != heading:
            continue
        names: list[str] = []
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
            if not line.startswith('|'):
                names = []
            elif not names:
                names = cells
            elif cells[0] == row and (found := re.fullmatch(r'([+-][\d.]+) \(([\d.]+)\)', cells[names.index(column)])):
                return Gain(*(float(value) for value in found.groups()))
    raise ValueError(f'There is no row {row!r} below the heading {heading!r}.')


def draw(ax: Axes, page: str, rows: dict[str, tuple[str, str]], levels: tuple[float, ...]) -> None:
    """Draw the gains of methods at all levels of noise: bars for the foreground, marks for the whole image.

    A method is a heading of the page, and a row of the tables below it.
    """
    width = 0.8 / len(rows)
    for i, (name, (heading, row)) in enumerate(rows.items()):
        places = [k + (i - (len(rows) - 1) / 2) * width for k in range(len(levels))]
        values = {
            label: [gain(page, heading, row.format(level), column) for level in levels]
            for label, column in COLUMNS.items()
        }
        inside, whole = values['foreground'], values['whole image']
        ax.bar(
            places,
            [v.mean for v in inside],
            0.9 * width,
            yerr=[v.error for v in inside],
            color=COLORS[i],
            label=name,
            error_kw={'lw': 0.8},
        )
        ax.plot(places, [v.mean for v in whole], 'o', color='black', markerfacecolor='white', markersize=4)
    ax.axhline(0, color='black', linewidth=0.8)
    ax.set_xticks(range(len(levels)), [f'{level:g}' for level in levels])
    ax.grid(axis='y', alpha=0.3)
    ax.set_axisbelow(True)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    docs = Path(__file__).parents[1] / 'docs/source'
    parser.add_argument('--page', type=Path, default=docs / 'results.md')
    parser.add_argument('--output', type=Path, default=docs / '_static')
    args = parser.parse_args()
    page = args.page.read_text()
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.2), sharey='row', layout='constrained')
    for column, (title, (quality, variants, levels, suffix)) in enumerate(SECTIONS.items()):
        rows = {'TV-Lambda over scalar TV': (quality, 'noise {:g}')} | {
            f'CDL-Lambda V{k} over scalar CDL': (quality, f'cdl-v{k}{suffix} over scalar CDL, oracle, noise {{:g}}')
            for k in (1, 2, 3)
        }
        draw(axes[0, column], page, rows, levels)
        row = 'TV-Lambda, phase-aware, noise {:g}'
        phases = {
            'phase-aware, smooth phases': (variants, row),
            'phase-aware, phases of raw scans': (f'{variants}, phases of raw scans', row),
        }
        draw(axes[1, column], page, phases, levels)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel('noise, relative to the root mean square of the image')
    axes[0, 0].set_ylabel('gain over the best weight in dB')
    axes[1, 0].set_ylabel('gain over TV-Lambda in dB')
    for row in axes:
        row[1].legend(fontsize=8, frameon=False)
    figure.savefig(args.output / 'results.png', dpi=110)


if __name__ == '__main__':
    main()
