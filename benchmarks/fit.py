"""Maps fitted to the scan itself, against one weight and the weights that ship, on simulated acquisitions.

    python benchmarks/fit.py SECTION --data-root DIR --results FILE.jsonl [--images N] [--settings NAME...]
        [--methods NAME...]

Sections are `ablation` and `unknown` (training persons; the second are acquisitions that no weights ship for), `test`
(persons not used in training, three noise levels), `outside` (these persons and acquisitions that no weights ship
for), `dictionary` (these persons, a dictionary that no weights were trained with), `picture` and `time`; for the raw
brain see `raw_brain.py`. Each image and method is a line that is appended to the file of results, and what is there is
not computed again: a run that was stopped goes on. Prints tables in Markdown: the mean of the first method over the
images, and the paired differences of the others to it with their standard errors. Seconds are those of the processor,
with one thread. The automatic weight is the one that a fit compares its map with.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mrpro_lambda.datasets import (
    AcquisitionFamily,
    CartesianLines,
    CentralBox,
    Radial,
    Sample,
    SimulatedAcquisitions,
    VariableDensityRandom,
)
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.losses import HeldOut, Recorrupted
from mrpro_lambda.metrics import foreground_mask
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import ActivityWeight, FittedToScan, NetworkWeight, Weight
from torch.utils.data import default_collate

from quality import METRICS, SIZE, WEIGHTS, gain_row, images, measure, oracle

DIM = (-2, -1)
AUTOMATIC = 'automatic weight'
DICTIONARY = 'k16-9x9-medium'
"""A dictionary that the weights which ship have not seen."""


class Setting(NamedTuple):
    """An acquisition."""

    sampling: AcquisitionFamily
    noise: float
    n_coils: int = 1
    shipped: str = 'tv-variable-density'
    """The nearest of the weights that ship."""
    group: str | None = None
    """Group of images, `None` for all."""


def points(noise: float, acceleration: float = 4.0, **options: Any) -> Setting:  # noqa: ANN401
    """Return random points of variable density."""
    return Setting(VariableDensityRandom(acceleration), noise, **options)


def box(noise: float) -> Setting:
    """Return the central box."""
    return Setting(CentralBox(0.5), noise, shipped='tv-low-field')


SETTINGS: dict[str, dict[str, Setting]] = {
    'ablation': {'points, R = 4, noise 0.1': points(0.1), 'box, noise 0.35': box(0.35)},
    'test': {
        **{f'points, R = 4, noise {noise}': points(noise) for noise in (0.05, 0.1, 0.2)},
        **{f'box, noise {noise}': box(noise) for noise in (0.2, 0.35, 0.6)},
    },
    'outside': {
        'points, R = 4, noise 0.1, hearts': points(0.1, group='heart'),
        'points, R = 8, noise 0.05': points(0.05, 8.0),
        'points, R = 4, noise 0.6': points(0.6),
        'lines, R = 3, noise 0.05': Setting(CartesianLines(3.0, 16), 0.05),
        'points, R = 4, noise 0.05, 8 coils': points(0.05, n_coils=8),
        'radial, 60 spokes, noise 0.1': Setting(Radial(60), 0.1),
    },
    'dictionary': {'points, R = 4, noise 0.1': points(0.1), 'box, noise 0.35': box(0.35)},
}
SETTINGS['unknown'] = {name: setting for name, setting in SETTINGS['outside'].items() if setting.group is None}


def total_variation(groups: Any = None) -> ADMM:  # noqa: ANN401
    """Return the solver."""
    return ADMM(TotalVariation(DIM, groups=groups), max_iterations=1000, tolerance=1e-2)


def network(n_features: int = 8, initial_scale: float = 0.25) -> NetworkWeight:
    """Return a weight with a small network and random weights."""
    backbone = UNet(2, 1, 1, n_features)
    return NetworkWeight(LambdaNet(backbone, [ImageInput('signal_to_noise')], dim=DIM, initial_scale=initial_scale))


def fitted(
    weight: Weight | None = None,
    solver: ADMM | None = None,
    *,
    phase: bool = True,
    **options: Any,  # noqa: ANN401
) -> LambdaMapModel:
    """Return a model that fits its map to the scan."""
    model = LambdaMapModel(FittedToScan(weight, **{'safeguard': False} | options), solver or total_variation())
    return model.phase_aware() if phase else model


def shipped(name: str, *, phase: bool = True, fit: bool = False) -> LambdaMapModel:
    """Return the weights that ship, or a fit that begins with them."""
    model = load_pretrained(name)
    if fit:
        model = LambdaMapModel(FittedToScan(model.weight, learning_rate=1e-3, safeguard=False), model.solver)
    return model.phase_aware() if phase else model


def dictionary() -> ADMM:
    """Return the solver for a dictionary."""
    return ADMM(DictionarySparsity(load_dictionary(DICTIONARY).filters), max_iterations=300, tolerance=1e-2)


Create = Callable[[Setting], LambdaMapModel]
METHODS: dict[str, dict[str, Create | None]] = {
    'ablation': {
        'fit': lambda _: fitted(),
        '30 steps': lambda _: fitted(n_steps=30),
        '120 steps': lambda _: fitted(n_steps=120),
        '8 iterations': lambda _: fitted(n_iterations=8),
        '32 iterations': lambda _: fitted(n_iterations=32),
        '4 features': lambda _: fitted(network(4)),
        '16 features': lambda _: fitted(network(16)),
        'start at 0.5': lambda _: fitted(network(initial_scale=0.5)),
        'learning rate 1e-2': lambda _: fitted(learning_rate=1e-2),
        'recorrupted': lambda _: fitted(loss=Recorrupted()),
        'recorrupted, a = 1': lambda _: fitted(loss=Recorrupted(1.0)),
        'held out': lambda _: fitted(loss=HeldOut()),
        'a map for each direction': lambda _: fitted(solver=total_variation([(-2,), (-1,)])),
        'formula': lambda _: fitted(ActivityWeight(), learning_rate=0.03),
    },
    'unknown': {
        'fit, phase': lambda _: fitted(safeguard=True),
        'shipped, phase': lambda setting: shipped(setting.shipped),
    },
    'test': {
        'oracle': None,
        'fit, phase': lambda _: fitted(safeguard=True),
        'shipped': lambda setting: shipped(setting.shipped, phase=False),
        'shipped, phase': lambda setting: shipped(setting.shipped),
        'fit': lambda _: fitted(phase=False, safeguard=True),
        'fit from shipped, phase': lambda setting: shipped(setting.shipped, fit=True),
        'fit, phase, twice the steps': lambda _: fitted(n_steps=120),
    },
    'outside': {
        'oracle': None,
        'shipped, phase': lambda setting: shipped(setting.shipped),
        'fit, phase': lambda _: fitted(safeguard=True),
        'fit from shipped, phase': lambda setting: shipped(setting.shipped, fit=True),
    },
    'dictionary': {'oracle': None, 'formula': lambda _: fitted(None, dictionary(), phase=False, n_steps=30)},
}


def simulated(setting: Setting, img: torch.Tensor, seed: int) -> Sample:
    """Simulate an acquisition."""
    data = SimulatedAcquisitions.simulate(
        [img], setting.sampling, noise=setting.noise, n_coils=setting.n_coils, crop=SIZE, seed=seed
    )
    batch: Sample = default_collate([data[0]])
    return batch


def best_of_all(section: str, sample: Sample) -> torch.Tensor:
    """Return the metrics of one weight, the best for each, of the complex image, converged."""
    if section == 'dictionary':
        solver, weights = dictionary().replace(n_iterations=150), WEIGHTS[6:]
    else:
        solver, weights = ADMM(TotalVariation(DIM), n_iterations=500, penalty_factor=0.25), WEIGHTS
    weights = weights if sample.data.shape[-4] == 1 else WEIGHTS[::2]
    model, operator, mask, rows = LambdaMapModel(None, solver), sample.acquisition_op(), foreground_mask(sample.img), []
    for weight in weights:
        img = model(sample.data, operator, sample.initial_image, lambda_map=weight * sample.noise_std.item())
        rows.append(measure(img, sample.img, mask))
    return oracle(weights, torch.stack(rows))


def results(sample: Sample, model: LambdaMapModel) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reconstruct, and yield what is worth to be kept; first of the automatic weight, if there is one."""
    operator, mask, start = sample.acquisition_op(), foreground_mask(sample.img), time.process_time()
    found = model.solve(sample.data, operator, sample.initial_image, sample.noise_std)
    seconds, report = time.process_time() - start, dict(found.report or {})
    if 'one weight' in report:
        weight = report['one weight']['factor'] * sample.noise_std.item()
        img = LambdaMapModel(None, model.solver)(sample.data, operator, sample.initial_image, lambda_map=weight)
        yield AUTOMATIC, {'values': measure(img, sample.img, mask).tolist(), 'factor': report['one weight']['factor']}
    row: dict[str, Any] = {'values': measure(found.img, sample.img, mask).tolist(), 'seconds': seconds}
    if found.solution is not None:
        row |= {'iterations': found.solution.n_iterations, 'gap': found.solution.relative_gap}
    yield '', row | {key: report[key] for key in ('taken', 'compared', 'losses') if key in report}


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells the rows apart."""
    return row['section'], row['setting'], row['image'], row['method']


def rows_of(path: Path, section: str) -> list[dict[str, Any]]:
    """Read the results of a section."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [row for row in map(json.loads, lines) if row['section'] == section]


def run(section: str, root: Path, path: Path, n_images: int, settings: list[str], methods: list[str]) -> None:
    """Compute what is missing."""
    done = {key_of(row) for row in rows_of(path, section)}
    selected, groups = images(root, test=section not in ('ablation', 'unknown'))
    for i in range(n_images):
        for name in settings:
            setting = SETTINGS[section][name]
            allowed = [k for k, group in enumerate(groups) if setting.group in (None, group)]
            index = allowed[int(i * (len(allowed) - 1) / max(1, n_images - 1))]
            sample = simulated(setting, selected[index], 1000 + index)
            for method in methods:
                head: dict[str, Any] = {'section': section, 'setting': name, 'image': index, 'method': method}
                if key_of(head) in done:
                    continue
                create, start = METHODS[section][method], time.process_time()
                found: list[tuple[str, dict[str, Any]]]
                if create is None:
                    found = [('', {'values': best_of_all(section, sample).tolist()})]
                else:
                    found = list(results(sample, create(setting)))
                for label, values in found:
                    label = f'{label}{", phase" if "phase" in method else ""}' if label else method
                    row: dict[str, Any] = {'seconds': time.process_time() - start, 'group': groups[index]} | values
                    with path.open('a') as file:
                        file.write(json.dumps(head | {'method': label} | row) + '\n')
                    shown = ' '.join(f'{v:.3f}' for v in row['values'])
                    print(f'{name}; image {index}; {label}: {shown}; {row["seconds"]:.0f} s', flush=True)


def tables(section: str, path: Path) -> None:
    """Print the tables of a section."""
    rows = rows_of(path, section)
    for name in dict.fromkeys(row['setting'] for row in rows):
        here = [row for row in rows if row['setting'] == name]
        methods = dict.fromkeys(row['method'] for row in here)
        values = {m: {r['image']: torch.tensor(r['values']) for r in here if r['method'] == m} for m in methods}
        first = next((method for method in METHODS[section] if method in values), next(iter(values)))
        common = sorted(set.intersection(*(set(found) for found in values.values())))
        print(f'\n{name}: mean of {first} over {len(common)} images, then differences (standard error)\n')
        print('| | ' + ' | '.join(METRICS) + ' | s |\n|---' + '|---' * (len(METRICS) + 1) + '|')
        for method, found in values.items():
            seconds = [row['seconds'] for row in here if row['method'] == method]
            line = gain_row(method, torch.stack([found[i] - values[first][i] for i in common]))
            if method == first:
                mean = torch.stack([found[i] for i in common]).mean(0)
                line = f'| {method} | ' + ' | '.join(f'{v:.3f}' for v in mean) + ' |'
            print(f'{line} {sum(seconds) / len(seconds):.0f} |')


def times() -> None:
    """Print how long a fit takes for scans of noise and a disk, with the comparison and the solve."""
    print('| scan | fit and all else (s) | fit (s) | iterations | ')
    print('|---|---|---|---|')
    for name, size, n_coils, n_frames in (
        ('160 x 160, one coil', 160, 1, 1),
        ('160 x 160, one coil, 30 frames', 160, 1, 30),
        ('256 x 256, 8 coils', 256, 8, 1),
    ):
        y, x = (torch.arange(size) - size / 2 for _ in range(2))
        disk = ((y[:, None] ** 2 + x**2) < (0.4 * size) ** 2).float() * (1 + 0.3 * torch.sin(x / 9) * (y[:, None] > 0))
        data = SimulatedAcquisitions(
            [disk] * n_frames, VariableDensityRandom(4.0), noise=0.1, n_coils=n_coils, crop=size, seed=1
        )
        sample: Sample = default_collate([data[i] for i in range(n_frames)])
        start, wall = time.process_time(), time.perf_counter()
        model = fitted(safeguard=True)
        found = model.solve(sample.data, sample.acquisition_op(), sample.initial_image, sample.noise_std)
        seconds, report = time.process_time() - start, dict(found.report or {})
        n_iterations = 0 if found.solution is None else found.solution.n_iterations
        print(
            f'| {name} | {seconds:.0f} (wall {time.perf_counter() - wall:.0f}) | {report["seconds"]:.0f} | '
            f'{n_iterations} |',
            flush=True,
        )


def picture(root: Path, path: Path) -> None:
    """Write a test image, one weight for it, and the map that is fitted to the scan, with a detail of each."""
    import matplotlib.pyplot as plt

    sample = simulated(points(0.1), images(root, test=True)[0][5], 1005)
    model, operator, mask = fitted(safeguard=True), sample.acquisition_op(), foreground_mask(sample.img)
    found = model.solve(sample.data, operator, sample.initial_image, sample.noise_std)
    report = dict(found.report or {})
    weight = report['one weight']['factor'] * sample.noise_std.item()
    one = LambdaMapModel(None, model.solver)(sample.data, operator, sample.initial_image, lambda_map=weight)
    shown = {
        'truth': sample.img,
        'zero-filled': sample.initial_image,
        'one weight, automatic': one,
        'fitted to the scan': found.img,
    }
    fig, axes = plt.subplots(2, 5, figsize=(12, 5.2), layout='constrained')
    detail = (slice(60, 110), slice(50, 100))
    options: dict[str, Any] = {'cmap': 'gray', 'vmin': 0, 'vmax': 0.9 * sample.img.abs().max().item()}
    for (name, img), column in zip(shown.items(), axes.T, strict=False):
        print(name, ' '.join(f'{value:.3f}' for value in measure(img, sample.img, mask)))
        column[0].set_title(name)
        column[0].imshow(img.abs().squeeze(), **options)
        column[1].imshow(img.abs().squeeze()[detail], **options)
    if found.lambda_map is None:
        raise ValueError('The model must have a map.')
    ratio = (found.lambda_map / sample.noise_std).expand(1, *sample.img.shape).squeeze()
    drawn = axes[0, 4].imshow(ratio)
    axes[0, 4].set_title(r'map $\Lambda / \sigma$')
    axes[1, 4].imshow(ratio[detail], vmin=ratio.min().item(), vmax=ratio.max().item())
    fig.colorbar(drawn, ax=axes[0, 4], shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    fig.savefig(path, dpi=80)


def main() -> None:
    """Run a section and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('section', choices=[*METHODS, 'picture', 'time'])
    parser.add_argument('--data-root', type=Path)
    parser.add_argument('--results', type=Path, help='rows of results (JSON lines), appended to; PNG of the picture')
    parser.add_argument('--images', type=int, default=3, help='number of images')
    parser.add_argument('--settings', nargs='+', help='default: all of the section')
    parser.add_argument('--methods', nargs='+', help='default: all of the section')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    if args.section == 'time':
        times()
        return
    if args.data_root is None or args.results is None:
        parser.error('this section needs --data-root and --results')
    if args.section == 'picture':
        picture(args.data_root, args.results)
        return
    settings, methods = args.settings or list(SETTINGS[args.section]), args.methods or list(METHODS[args.section])
    run(args.section, args.data_root, args.results, args.images, settings, methods)
    tables(args.section, args.results)


if __name__ == '__main__':
    main()
