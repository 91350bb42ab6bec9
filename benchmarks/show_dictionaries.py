"""Pictures of the dictionaries that ship with the package, and a table of how well they code an image.

    python benchmarks/show_dictionaries.py --output docs/source/_static

Saves one picture for each size of the filters, prints the table in Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mrpro_lambda.dictionary import Dictionary, list_dictionaries, load_dictionary

LEVELS = ('low', 'medium', 'high')
COLUMNS = 16


def montage(filters: torch.Tensor) -> np.ndarray:
    """Put the filters next to each other, each in a gray window of its own in which middle gray is 0."""
    scaled = filters / filters.abs().amax((-2, -1), keepdim=True)
    framed = torch.nn.functional.pad(scaled, (0, 1, 0, 1), value=1.0)
    rows = framed.unflatten(0, (-1, COLUMNS)).permute(0, 2, 1, 3)
    return rows.flatten(2).flatten(0, 1).numpy()


def save_picture(dictionaries: dict[str, Dictionary], size: str, path: Path) -> None:
    """Save the dictionaries with filters of one size."""
    members = {name: d for name, d in dictionaries.items() if f'-{size}-' in name}
    counts = sorted({len(d.filters) for d in members.values()})
    figure, axes = plt.subplots(
        len(counts), len(LEVELS), figsize=(13, 6.2), layout='constrained', height_ratios=[n + 6 for n in counts]
    )
    for n, row in zip(counts, axes, strict=True):
        for level, ax in zip(LEVELS, row, strict=True):
            name = f'k{n}-{size}-{level}'
            ax.imshow(montage(members[name].filters), cmap='gray', vmin=-1, vmax=1)
            ax.set_title(name, fontsize=9)
            ax.axis('off')
    figure.savefig(path, dpi=100)


def main() -> None:
    """Save the pictures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', type=Path, required=True, help='folder for the pictures')
    args = parser.parse_args()
    mpl.use('agg')
    dictionaries = {name: load_dictionary(name) for name in list_dictionaries()}
    for size in ('9x9', '11x11'):
        save_picture(dictionaries, size, args.output / f'dictionaries_{size}.png')
    levels = [f'{level} ({dictionaries[f"k16-9x9-{level}"].sparsity})' for level in LEVELS]
    print(f'| filters | size | {" | ".join(levels)} |\n|---|---|---|---|---|')
    for prefix in dict.fromkeys(name.rsplit('-', 1)[0] for name in dictionaries):
        n, size = prefix[1:].split('-')
        values = (float(dictionaries[f'{prefix}-{level}'].card['validation_objective']) for level in LEVELS)
        print(f'| {n} | {size} | {" | ".join(f"{value:.3f}" for value in values)} |')


if __name__ == '__main__':
    main()
