"""Maps fitted to the scan itself, against one weight and the weights that ship, on simulated and raw acquisitions.

    python benchmarks/fit.py SECTION --data-root DIR --results FILE.jsonl [--images N] [--methods NAME...]

Sections are `ablation` (training persons), `coils` (training persons, several coils), `test` (persons not used in
training, three noise levels), `outside` (acquisitions that no weights ship for), `raw` (a brain with 16 coils, its own
noise and maps) and `time`. Each image and method is one line that is appended to the file of the results, and what is
there is not computed again: a run that was stopped goes on. Prints tables in Markdown: means over the images, and
paired differences to the first method with their standard errors. Seconds are those of the processor, with one thread.
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
    AcquisitionSample,
    CartesianSampling,
    CentralBox,
    Radial,
    RadialSample,
    SimulatedAcquisitions,
    VariableDensityRandom,
    acquisition_op,
)
from mrpro_lambda.losses import HeldOut, Recorrupted, UnbiasedRisk
from mrpro_lambda.metrics import foreground_mask
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets.inputs import ImageInput
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import ActivityWeight, FittedToScan, NetworkWeight, Sure
from torch.utils.data import default_collate

from quality import METRICS, SIZE, gain_row, images, measure, oracle

WEIGHTS = [0.05 * 1.4**i for i in range(10)]
"""Weights that the oracle chooses from, in units of the noise."""
Sample = AcquisitionSample | RadialSample


class Setting(NamedTuple):
    """An acquisition."""

    sampling: CartesianSampling | Radial
    noise: float
    n_coils: int = 1
    shipped: str = 'tv-variable-density'
    """Weights that ship, the nearest ones."""


def total_variation(groups: Any = ((-2, -1),)) -> ADMM:  # noqa: ANN401
    """Return the solver."""
    return ADMM(TotalVariation((-2, -1), groups=groups), max_iterations=1000, tolerance=1e-2)


def network(n_features: int = 8, initial_scale: float = 0.25, n_resolutions: int = 3, n_maps: int = 1) -> NetworkWeight:
    """Return a weight with a small network."""
    inputs = [ImageInput('signal_to_noise')]
    backbone = UNet(2, sum(len(i.channel_names) for i in inputs), n_maps, n_features, n_resolutions=n_resolutions)
    return NetworkWeight(LambdaNet(backbone, inputs, dim=(-2, -1), initial_scale=initial_scale))


def fitted(weight: Any = None, *, phase: bool = True, solver: ADMM | None = None, **options: Any) -> LambdaMapModel:  # noqa: ANN401
    """Return a model that fits its map to the scan, without the comparison with one weight."""
    model = LambdaMapModel(FittedToScan(weight, **{'safeguard': False} | options), solver or total_variation())
    return model.phase_aware() if phase else model


EACH_DIRECTION = ((-2,), (-1,))
ABLATION: dict[str, Callable[[], LambdaMapModel]] = {
    'as it was': lambda: fitted(n_steps=100, n_iterations=32),
    '50 steps': lambda: fitted(n_steps=50),
    '200 steps': lambda: fitted(n_steps=200),
    '16 iterations': lambda: fitted(n_iterations=16),
    '64 iterations': lambda: fitted(n_iterations=64),
    '4 features': lambda: fitted(network(4)),
    '16 features': lambda: fitted(network(16)),
    'start at 0.1': lambda: fitted(network(initial_scale=0.1)),
    'start at 0.5': lambda: fitted(network(initial_scale=0.5)),
    'learning rate 1e-2': lambda: fitted(learning_rate=1e-2),
    'recorrupted, a = 1': lambda: fitted(loss=Recorrupted(1.0)),
    'risk estimate': lambda: fitted(loss=UnbiasedRisk()),
    'held out': lambda: fitted(loss=HeldOut(0.1)),
    'recorrupted + held out': lambda: fitted(loss=Recorrupted() + HeldOut(0.1)),
    'a map for each direction': lambda: fitted(solver=total_variation(EACH_DIRECTION)),
    'formula': lambda: fitted(ActivityWeight(), learning_rate=0.02),
    'without phase': lambda: fitted(phase=False),
    'sure': lambda: LambdaMapModel(Sure(), total_variation()).phase_aware(),
    'sure, without phase': lambda: LambdaMapModel(Sure(), total_variation()),
}
SETTINGS: dict[str, dict[str, Setting]] = {
    'ablation': {
        'points, R = 4, noise 0.1': Setting(VariableDensityRandom(4.0), 0.1),
        'points, R = 4, noise 0.2': Setting(VariableDensityRandom(4.0), 0.2),
        'box, noise 0.35': Setting(CentralBox(0.5), 0.35, shipped='tv-low-field'),
    },
}
METHODS = {'ablation': ABLATION}


def simulated(setting: Setting, img: torch.Tensor, seed: int) -> Sample:
    """Simulate an acquisition."""
    data = SimulatedAcquisitions(
        [img], setting.sampling, noise=setting.noise, n_coils=setting.n_coils, crop=SIZE, seed=seed
    )
    return default_collate([data[0]])


def best_of_all(sample: Sample) -> torch.Tensor:
    """Return the metrics of the weight that is best for each, of converged complex total variation."""
    model = LambdaMapModel(None, ADMM(TotalVariation((-2, -1)), n_iterations=500, penalty_factor=0.25))
    operator, mask, rows = acquisition_op(sample), foreground_mask(sample.img), []
    for weight in WEIGHTS:
        img = model(sample.data, operator, sample.initial_image, lambda_map=weight * sample.noise_std.item())
        rows.append(measure(img, sample.img, mask))
    return oracle(WEIGHTS, torch.stack(rows))


def record(sample: Sample, create: Callable[[], LambdaMapModel] | None) -> dict[str, Any]:
    """Reconstruct with a method, and return what is worth to be kept; `None` is the oracle."""
    start = time.process_time()
    if create is None:
        return {'values': best_of_all(sample).tolist(), 'seconds': time.process_time() - start}
    model, operator = create(), acquisition_op(sample)
    found = model.solve(sample.data, operator, sample.initial_image, sample.noise_std)
    values = measure(found.img, sample.img, foreground_mask(sample.img)).tolist()
    row: dict[str, Any] = {'values': values, 'seconds': time.process_time() - start}
    if found.solution is not None:
        row |= {'iterations': found.solution.n_iterations, 'gap': found.solution.relative_gap}
    report = dict(found.report or {})
    return row | {key: report[key] for key in ('taken', 'compared', 'losses') if key in report}


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells the rows apart."""
    return row['section'], row['setting'], row['image'], row['method']


def rows_of(path: Path, section: str) -> list[dict[str, Any]]:
    """Read the results of a section."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [row for row in map(json.loads, lines) if row['section'] == section]


def run(section: str, root: Path, path: Path, n_images: int, chosen: list[str]) -> None:
    """Compute what is missing."""
    done = {key_of(row) for row in rows_of(path, section)}
    selected, groups = images(root, test=section not in ('ablation', 'coils'))
    for index, method in ((i, m) for i in spread(len(selected), n_images) for m in chosen):
        for name, setting in SETTINGS[section].items():
            head = {'section': section, 'setting': name, 'image': index, 'method': method}
            if key_of(head) in done:
                continue
            sample = simulated(setting, selected[index], 1000 + index)
            row = head | {'group': groups[index]} | record(sample, METHODS[section][method])
            with path.open('a') as file:
                file.write(json.dumps(row) + '\n')
            print(
                name, index, method, ' '.join(f'{v:.2f}' for v in row['values']), f'{row["seconds"]:.0f} s', flush=True
            )


def spread(n: int, n_images: int) -> Iterator[int]:
    """Return indices of some of the images, spread over all of them."""
    return iter(torch.linspace(0, n - 1, min(n, n_images)).round().int().tolist())


def tables(section: str, path: Path) -> None:
    """Print the tables of a section."""
    rows = rows_of(path, section)
    for name in dict.fromkeys(row['setting'] for row in rows):
        here = [row for row in rows if row['setting'] == name]
        first = here[0]['method']
        values = {
            m: {r['image']: torch.tensor(r['values']) for r in here if r['method'] == m}
            for m in dict.fromkeys(r['method'] for r in here)
        }
        print(f'\n{name}: {len(values[first])} images; mean of {first}, then paired differences (standard error)\n')
        print('| | ' + ' | '.join(METRICS) + ' | s |\n|---' + '|---' * (len(METRICS) + 1) + '|')
        for method, found in values.items():
            seconds = [r['seconds'] for r in here if r['method'] == method]
            if method == first:
                mean = torch.stack(list(found.values())).mean(0)
                line = f'| {method} | ' + ' | '.join(f'{v:.3f}' for v in mean) + ' |'
            else:
                both = [i for i in found if i in values[first]]
                line = gain_row(method, torch.stack([found[i] - values[first][i] for i in both]))
            print(f'{line} {sum(seconds) / len(seconds):.0f} |')


def main() -> None:
    """Run a section and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('section', choices=list(METHODS))
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--results', type=Path, required=True, help='rows of results (JSON lines), appended to')
    parser.add_argument('--images', type=int, default=3, help='number of images')
    parser.add_argument('--methods', nargs='+', help='default: all')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    run(args.section, args.data_root, args.results, args.images, args.methods or list(METHODS[args.section]))
    tables(args.section, args.results)


if __name__ == '__main__':
    main()
