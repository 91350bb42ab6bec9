"""Objective on images of another person beside time: our online dictionary learning, and that of SPORCO.

    python benchmarks/dictionary_learning.py --data-root DIR [--filters 32] [--size 9] [--sparsity 0.04] [--seeds 0 1 2]

Both learn from the images of `training/dictionary.toml` with the same high pass and the same objective, in one thread;
the time is that of the processor, which other load on the machine changes little. SPORCO's `OnlineConvBPDNDictLearn`
takes one whole image in a step, random filters to start from, a penalty and over-relaxation like ours, as many
iterations of the coding, and the step size `a / (20 + step)`, for several `a`. Ours has its defaults.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mrpro_lambda.datasets import ImageSource, read_images
from mrpro_lambda.dictionary import coding_objective, high_pass, learn_dictionary
from mrpro_lambda.training.dictionary import DictionaryConfig
from tqdm import tqdm

from measure import machine, number, spread, table

TEST = [f'low-field-brain/7A/3T_{contrast}.mat' for contrast in ('T1w', 'T2w', 'FLAIR')]
OUR_STEPS = (25, 50, 100, 200, 400)
SPORCO_STEPS = (15, 30, 60, 120)
SPORCO_RATES = (10.0, 50.0, 200.0)

Budget = tuple[int, float, torch.Tensor]
"""Steps so far, seconds so far and filters."""


def ours(images: list[torch.Tensor], args: argparse.Namespace, seed: int) -> Iterator[Budget]:
    """Learn with this package. Longer runs go on from the checkpoints of shorter ones."""
    elapsed = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for i, n_steps in enumerate(OUR_STEPS):
            start = time.process_time()
            filters = learn_dictionary(
                images,
                args.filters,
                args.size,
                sparsity=args.sparsity,
                n_steps=n_steps,
                seed=seed,
                progress=False,
                checkpoint=Path(folder) / 'checkpoint.ckpt',
                resume=i > 0,
            )
            elapsed += time.process_time() - start
            yield n_steps, elapsed, filters


def sporco(images: list[torch.Tensor], args: argparse.Namespace, rate: float, seed: int) -> Iterator[Budget]:
    """Learn with SPORCO. Its filters are those of a convolution, ours those of a correlation."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        fft: Any = import_module('sporco.fft')
        learning: Any = import_module('sporco.dictlrn.onlinecdl')
        fft.pyfftw_threads = 1
        rng = np.random.default_rng(seed)
        coding = {
            'MaxMainIter': 50,
            'RelStopTol': 1e-7,
            'RelaxParam': 1.8,
            'rho': 1 + 40 * args.sparsity,
            'DataType': np.float32,
        }
        options = learning.OnlineConvBPDNDictLearn.Options(
            {'Verbose': False, 'eta_a': rate, 'eta_b': 20.0, 'DataType': np.float32, 'CBPDN': coding}
        )
        start = time.process_time()
        training = [image.numpy() for image in high_pass(images, 4.0)]
        initial = rng.standard_normal((args.size, args.size, args.filters)).astype(np.float32)
        learner = learning.OnlineConvBPDNDictLearn(initial, args.sparsity, options)
        elapsed = time.process_time() - start
        for step in range(1, max(SPORCO_STEPS) + 1):
            start = time.process_time()
            learner.solve(training[rng.integers(len(training))], dimK=0)
            elapsed += time.process_time() - start
            if step in SPORCO_STEPS:
                found = torch.tensor(learner.getdict().squeeze(), dtype=torch.float32)
                filters = found.movedim(-1, 0).flip(-2, -1)
                yield step, elapsed, filters / filters.flatten(1).norm(dim=1)[:, None, None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--filters', type=int, default=32)
    parser.add_argument('--size', type=int, default=9)
    parser.add_argument('--sparsity', type=float, default=0.04)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = DictionaryConfig.from_toml(Path(__file__).parent / 'training' / 'dictionary.toml', args.data_root)
    images = [image for entry in config.images for image in read_images(entry.source) * entry.repeat]
    sets = [
        [image for entry in config.validation_images for image in read_images(entry.source)],
        [image for path in TEST for image in read_images(ImageSource(args.data_root / path, size=160))],
    ]
    methods: dict[str, Callable[[int], Iterator[Budget]]] = {'mrpro_lambda': partial(ours, images, args)}
    for rate in SPORCO_RATES:
        methods[f'sporco, a = {rate:g}'] = partial(sporco, images, args, rate)
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    with tqdm(total=len(args.seeds) * len(methods), disable=not sys.stderr.isatty()) as bar:
        for seed in args.seeds:
            for name, method in methods.items():
                for steps, seconds, filters in method(seed):
                    values = [coding_objective(filters, s, args.sparsity, n_iterations=200) for s in sets]
                    found.setdefault((name, steps), []).append((seconds, *values))
                bar.update()
    rows = []
    for (name, steps), results in found.items():
        times, validation, test = (list(values) for values in zip(*results, strict=True))
        objectives = [f'{statistics.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})' for v in (validation, test)]
        rows.append([name, str(steps), spread(times), *objectives])
    sys.stdout.write(machine('cpu'))
    sys.stdout.write(
        f'\n{args.filters} filters of {args.size} x {args.size}, sparsity {number(args.sparsity)}, {len(args.seeds)} '
        'seeds: mean (range) of the objective.\n\n'
    )
    header = ['method', 'steps', 'CPU seconds, min / median / max', 'objective, 6B FLAIR', 'objective, 7A']
    sys.stdout.write(table(header, rows))


if __name__ == '__main__':
    main()
