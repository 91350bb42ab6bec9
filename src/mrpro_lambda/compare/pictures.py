"""Pictures of a comparison. They need the extra `plot`."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mrpro_lambda.compare.measures import comparable
from mrpro_lambda.metrics import psnr
from mrpro_lambda.plotting import gray_window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 6
_PANEL = 2.0  # width of an image in inches
_ROWS = 3  # image, zoom, error


def plot_sample(images: Mapping[str, torch.Tensor], target: torch.Tensor) -> Figure:
    """Plot the truth and the images of all methods, a part of each magnified, and the errors in one scale.

    The part is the quarter of the field of view along each axis in which the methods differ the most. Of several
    slices the middle one is shown.

    Parameters
    ----------
    images
        Images by method, shape `(1, 1, z, y, x)`.
    target
        True image.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    pairs = {name: comparable(img, target) for name, img in images.items()}
    middle = target.shape[-3] // 2
    truth = target.cpu()[..., middle, :, :].reshape(target.shape[-2:])
    shown = {name: img[..., middle, :, :].reshape(truth.shape) for name, (img, _) in pairs.items()}
    errors = {name: (img - truth).abs() for name, img in shown.items()}
    white = gray_window(truth)
    levels = sorted(gray_window(error) for error in errors.values())
    brightest = levels[len(levels) // 2] or white
    zoom = _zoom(torch.stack([img.abs() for img in shown.values()]))
    top, left = zoom[0].start, zoom[1].start
    size = (zoom[0].stop - top, zoom[1].stop - left)

    titles = [('Ground truth', truth), *shown.items()]
    n_blocks = -(-len(titles) // _COLUMNS)
    n_columns = min(_COLUMNS, len(titles))
    height = truth.shape[0] / truth.shape[1] * _PANEL
    figure = Figure(
        figsize=(n_columns * _PANEL, n_blocks * (_ROWS * height + 0.55)), layout='constrained', facecolor='white'
    )
    axes = figure.subplots(_ROWS * n_blocks, n_columns, squeeze=False)
    for ax in axes.flat:
        ax.axis('off')
    for i, (name, img) in enumerate(titles):
        block, column = divmod(i, _COLUMNS)
        first, second, third = (axes[_ROWS * block + k, column] for k in range(3))
        gray = {'cmap': 'gray', 'vmin': 0, 'interpolation': 'nearest'}
        first.imshow(img.abs().numpy(), vmax=white, **gray)
        first.add_patch(
            Rectangle((left - 0.5, top - 0.5), size[1], size[0], fill=False, edgecolor='orange', linewidth=1)
        )
        second.imshow(img.abs()[zoom].numpy(), vmax=white, **gray)
        if i == 0:
            first.set_title(name, fontsize=9)
            third.text(
                0.5, 0.5, f'errors,\nwhite: {brightest / white:.2g}\nof the image', ha='center', va='center', fontsize=9
            )
            third.set(xlim=(0, 1), ylim=(0, 1))
            continue
        quality = psnr(*pairs[name]).item()
        first.set_title(f'{textwrap.fill(name, 24)}\n{quality:.2f} dB', fontsize=9)
        third.imshow(errors[name].numpy(), vmax=brightest, **gray)
    return figure


def plot_training(folders: Mapping[str, Path]) -> Figure | None:
    """Plot loss and validation of trainings; `None` if there are no logs.

    Parameters
    ----------
    folders
        Folders of the trainings by method.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure

    curves = {name: read_log(folder) for name, folder in folders.items()}
    if not any(curves.values()):
        return None
    figure = Figure(figsize=(10, 3.6), layout='constrained', facecolor='white')
    for ax, key, label in zip(
        figure.subplots(1, 2),
        ('loss', 'psnr_foreground'),
        ('loss: squared error / that of zero-filling', 'PSNR of the validation, foreground / dB'),
        strict=True,
    ):
        for i, (name, columns) in enumerate(curves.items()):
            points = columns.get(key, {})
            if not points:
                continue
            steps, values = list(points), list(points.values())
            width = max(1, len(values) // 20) if key == 'loss' else 1
            means = [sum(values[j : j + width]) / len(values[j : j + width]) for j in range(0, len(values), width)]
            style = '-' if i < 10 else '--'
            ax.plot(steps[::width], means, style, marker='.' * (key != 'loss'), color=f'C{i % 10}', label=name)
        ax.set(xlabel='step', ylabel=label)
        ax.grid(alpha=0.3)
    figure.axes[0].set_yscale('log')
    figure.axes[1].legend(fontsize=7)
    return figure


def read_log(folder: Path) -> dict[str, dict[int, float]]:
    """Read what a training has logged, over all its parts if it was interrupted.

    Parameters
    ----------
    folder
        Folder of the training.

    Returns
    -------
        For each name, values by step.
    """
    found: dict[str, dict[int, float]] = {}
    logs: Sequence[Path] = [*folder.glob('csv/version_*/metrics.csv')]
    for path in sorted(logs, key=lambda path: int(path.parent.name.removeprefix('version_'))):
        with path.open(newline='', encoding='utf-8') as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if text and name not in ('step', 'epoch'):
                        found.setdefault(name, {})[int(row['step'])] = float(text)
    return {name: dict(sorted(points.items())) for name, points in found.items()}


def _zoom(magnitudes: torch.Tensor) -> tuple[slice, slice]:
    """Return the part in which images differ the most."""
    spread = magnitudes.float().std(0, correction=0)
    size = [max(1, n // 4) for n in spread.shape]
    means = torch.nn.functional.avg_pool2d(spread[None, None], size, stride=1)[0, 0]
    y, x = divmod(int(means.argmax()), means.shape[1])
    return slice(y, y + size[0]), slice(x, x + size[1])
