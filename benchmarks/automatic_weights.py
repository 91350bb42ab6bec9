"""Rules that find one weight on the scan itself, against the best weight for each image.

For each image, acquisition and noise level: the loss of PSNR of each rule against the weight that is best for the
image, found with the ground truth (`mrpro_lambda.oracle.best_weight`, of a grid in steps of 1.35), in the whole image
and, against the best weight there, in the foreground; and the duration of the choice.

    python benchmarks/automatic_weights.py --data-root DIR --regularizer tv --output FILE.json

Images are those of persons that were not used in training, every `--every`-th of them, or with `--training` those of
training persons. Images of total variation are solved for to a certified gap of 1 %, those of the dictionary to 2 % or
80 iterations, those of wavelets and generalized variation with 80 and 100 iterations for each weight. With `--grid`,
for all but total variation, all rules look at one sweep over the grid of the best weight, and qualities between its
weights are interpolated. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.datasets import AcquisitionSample
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.metrics import foreground_mask, psnr
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.oracle import best_weight
from mrpro_lambda.recipes import CERTIFYING_PENALTY_FACTOR
from mrpro_lambda.regularizers import DictionarySparsity, TotalGeneralizedVariation, TotalVariation, WaveletSparsity
from mrpro_lambda.solvers import ADMM, Solver
from mrpro_lambda.weighting import AutomaticWeight, Discrepancy, LCurve, NoiseWeight, Scan, Sure, Sweep, Weight
from scipy.interpolate import CubicSpline

from quality import acquisition, images, simulate

KINDS = ('variable-density', 'low-field')
LIMITS: dict[str, Any] = {'max_iterations': 150}
RULES: dict[str, Callable[[], AutomaticWeight]] = {
    'Sure': lambda: Sure(**LIMITS),
    'Discrepancy': lambda: Discrepancy(**LIMITS),
    'Discrepancy, classical': lambda: Discrepancy(correction=False, **LIMITS),
    'LCurve': lambda: LCurve(low=0.05, **LIMITS),
}
# one number for everything, the geometric mean of the best on training persons, and the grid of the best weight
CONSTANTS = {'tv': 0.27, 'tgv': 0.26, 'wavelet': 0.65, 'dictionary': 0.6}
LOWEST = {'tv': 0.1, 'tgv': 0.1, 'wavelet': 0.25, 'dictionary': 0.3}


def create_solver(name: str) -> Solver:
    """Return the solver of a regularizer by its name."""
    if name == 'dictionary':
        regularizer = DictionarySparsity(load_dictionary('k16-9x9-medium').filters, beta=4.0)
        return ADMM(regularizer, max_iterations=80, tolerance=2e-2, penalty_factor=CERTIFYING_PENALTY_FACTOR)
    if name == 'tv':
        return ADMM(TotalVariation((-2, -1)), max_iterations=500, tolerance=1e-2)
    # for a grid: each weight goes on from the last one, and a proof would take longer than the iterations
    if name == 'tgv':
        return ADMM(TotalGeneralizedVariation((-2, -1)), n_iterations=100)
    return ADMM(WaveletSparsity((-2, -1), maps='one'), n_iterations=80, penalty_factor=0.25)


class Scene:
    """One acquisition with its ground truth."""

    def __init__(self, sample: AcquisitionSample, solver: Solver, *, band_limit: bool) -> None:
        """Set the scene up."""
        self.sample, self.solver, self.band_limit = sample, solver, band_limit
        self.operator, self.mask = sample.acquisition_op(), foreground_mask(sample.img)

    def quality(self, weight: Weight) -> tuple[torch.Tensor, float]:
        """Return the PSNR in the whole image and in the foreground, and the duration of the choice."""
        sample, model = self.sample, LambdaMapModel(weight, self.solver, band_limit=self.band_limit)
        arguments = sample.data, self.operator, sample.initial_image, sample.noise_std
        start = time.perf_counter()
        choice = model.choose(*arguments)
        seconds = time.perf_counter() - start
        img = model(*arguments, lambda_map=choice.lambda_map)
        return torch.cat([psnr(img, sample.img), psnr(img, sample.img, self.mask)]), seconds

    def on_grid(self, low: float, names: Sequence[str], constant: float) -> dict[str, list[float]]:
        """Return losses and duration as they follow from one sweep, with PSNR between its weights by splines."""
        sample = self.sample
        scan = Scan(sample.data, self.operator, sample.initial_image, sample.noise_std, self.solver)
        start = time.perf_counter()
        sweep = Sweep(scan, self.solver, [1.0] * self.solver.regularizer.n_maps, degrees=True, seed=0)
        limit_op = LeastSquares(self.operator).band_limit_op(self.solver.regularizer.dim) if self.band_limit else None
        factors, values = low * 1.35 ** np.arange(7), []
        for factor in factors[::-1]:
            img = sweep.solve(float(factor)).img
            img = img if limit_op is None else limit_op(img)[0]
            values.append(torch.cat([psnr(img, sample.img), psnr(img, sample.img, self.mask)]).numpy())
        seconds = time.perf_counter() - start
        curve = CubicSpline(np.log(factors), values[::-1])
        best = curve(np.linspace(np.log(low), np.log(factors[-1]), 400)).max(0)
        found = {}
        for name in names:
            factor = RULES[name]().best(sweep.points).item() if name in RULES else constant
            found[name] = [*(best - curve(np.log(factor))).tolist(), seconds if name in RULES else 0.0]
        return found

    def best(self, low: float) -> torch.Tensor:
        """Return the highest PSNR of one weight, in the whole image and in the foreground."""
        factors = low * 1.35 ** torch.arange(7, dtype=torch.float64)
        values = torch.stack([self.quality(NoiseWeight(factor.item()))[0] for factor in factors])
        return best_weight(factors, values).quality


def main() -> None:
    """Run the comparison and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--regularizer', choices=tuple(CONSTANTS), required=True)
    parser.add_argument('--rules', nargs='+', choices=tuple(RULES), default=tuple(RULES))
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS)
    parser.add_argument('--levels', nargs='+', type=int, choices=range(3), default=range(3), help='of noise')
    parser.add_argument('--training', action='store_true', help='take images of training persons')
    parser.add_argument('--every', type=int, default=1, help='take every n-th image')
    parser.add_argument('--grid', action='store_true', help='one sweep for all rules and the best weight')
    parser.add_argument('--output', type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    selected, groups = images(args.data_root, test=not args.training)
    chosen = range(0, len(selected), args.every)
    solver, band_limit = create_solver(args.regularizer), args.regularizer != 'dictionary'
    constant = CONSTANTS[args.regularizer]
    names = [*args.rules, f'{constant:g} sigma']
    rows: dict[str, dict[str, list[list[float]]]] = {}
    for kind in args.kinds:
        for level in args.levels:
            noise = acquisition(kind)[1][level]
            found = rows.setdefault(f'{kind}, {noise:g}', {name: [] for name in names})
            for i in chosen:
                sample = simulate(selected[i], kind, noise, (5000 if args.training else 1000) + i)
                scene = Scene(sample, solver, band_limit=band_limit)
                if args.grid:
                    on_grid = scene.on_grid(LOWEST[args.regularizer], names, constant)
                    for name in names:
                        found[name].append(on_grid[name])
                    args.output.write_text(json.dumps(rows, indent=1))
                    continue
                best = scene.best(LOWEST[args.regularizer])
                for name in names:
                    weight = RULES[name]() if name in RULES else NoiseWeight(constant)
                    values, seconds = scene.quality(weight)
                    found[name].append([*(best - values).tolist(), seconds])
                args.output.write_text(json.dumps(rows, indent=1))
    n_brains = sum(groups[i] == 'brain' for i in chosen)
    print(f'\n{args.regularizer}: {len(chosen)} images ({n_brains} brains); loss of PSNR in dB, mean / worst\n')
    print('| rule | ' + ' | '.join(rows) + ' | all | foreground | seconds |')
    print('|---' * (len(rows) + 4) + '|')
    for name in names:
        losses = [torch.tensor(found[name], dtype=torch.float64) for found in rows.values()]
        everything = torch.cat(losses)
        cells = [f'{x.mean():.2f} / {x.max():.2f}' for x in (*(values[:, 0] for values in losses), *everything.T[:2])]
        print(f'| {name} | ' + ' | '.join(cells) + f' | {everything[:, 2].mean():.1f} |')


if __name__ == '__main__':
    main()
