"""Image quality of TV-Lambda against scalar total variation, on persons that were not used in training.

For each test image and noise level: the zero-filled image, scalar total variation with one weight c * sigma for the
level (tuned on training persons) and with the best weight for the image (chosen with the ground truth, for each metric
on its own), and TV-Lambda, solved to the tolerance of the weights and to a tenth of it. All are limited to the measured
band and scalar total variation is solved to convergence.

    python benchmarks/quality.py --data-root DIR --model tv-variable-density --output FILE.json

`--model` is the name of weights that ship with the package or a file. The scalar results are kept in FILE.scalar.pt and
used again by later runs. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from mrpro_lambda.datasets import (
    AcquisitionSample,
    CartesianSampling,
    CentralBox,
    ImageSource,
    SimulatedAcquisitions,
    VariableDensityRandom,
    read_images,
)
from mrpro_lambda.metrics import foreground_mask, nrmse, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.oracle import best_weight
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from torch.utils.data import default_collate
from tqdm import tqdm

SIZE = 160
METRICS = ('PSNR', 'SSIM', 'NRMSE', 'PSNR foreground', 'SSIM foreground')
HIGHER_IS_BETTER = torch.tensor([1, 1, -1, 1, 1])
WEIGHTS = [0.03 * 1.25**i for i in range(15)]
CARDIAC = 'cardiac-short-axis/images_256x256_uint8.npz'


def acquisition(kind: str) -> tuple[CartesianSampling, tuple[float, float, float]]:
    """Return sampling and noise levels, relative to the root mean square of the image."""
    if kind == 'variable-density':
        return VariableDensityRandom(4.0), (0.05, 0.1, 0.2)
    return CentralBox(0.5), (0.2, 0.35, 0.6)


def images(root: Path, *, test: bool) -> tuple[list[torch.Tensor], list[str]]:
    """Read test images (person 7A, the last six cardiac persons) or images of training persons."""
    ids = np.load(root / CARDIAC)['ids']
    persons = sorted({str(i).split('-IM')[0] for i in ids})
    selected, groups = [], []
    for contrast in ('T1w', 'T2w', 'FLAIR'):
        source = ImageSource(root / f'low-field-brain/{"7A" if test else "6A"}/3T_{contrast}.mat', size=SIZE)
        brains = read_images(source)
        selected += brains if test else brains[1:3]
    groups += ['brain'] * len(selected)
    for person in persons[-6:] if test else persons[:6]:
        frames = read_images(ImageSource(root / CARDIAC, ids=(person,), size=SIZE))
        chosen = np.linspace(0, len(frames) - 1, 3 if test else 1).round().astype(int)
        selected += [frames[i] for i in chosen]
    groups += ['heart'] * (len(selected) - len(groups))
    return selected, groups


def measure(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return all metrics of one image."""
    values = psnr(img, target), ssim(img, target), nrmse(img, target), psnr(img, target, mask), ssim(img, target, mask)
    return torch.stack(values).squeeze(-1)


def simulate(image: torch.Tensor, kind: str, noise: float, seed: int) -> AcquisitionSample:
    """Simulate one acquisition."""
    sample = SimulatedAcquisitions([image], acquisition(kind)[0], noise=noise, crop=SIZE, seed=seed)[0]
    return default_collate([sample])


def scalar_results(selected: list[torch.Tensor], kind: str, noise: float, n_iterations: int, seed: int) -> torch.Tensor:
    """Return the metrics of scalar total variation for all weights, shape (images, weights, metrics)."""
    solver = ADMM(TotalVariation((-2, -1)), n_iterations=n_iterations, penalty_factor=0.25)
    model = LambdaMapModel(None, solver)
    results = []
    for i, image in enumerate(tqdm(selected, desc=f'scalar, noise {noise}')):
        sample = simulate(image, kind, noise, seed + i)
        mask, operator = foreground_mask(sample.img), sample.acquisition_op()
        rows = []
        for weight in WEIGHTS:
            lambda_map = weight * sample.noise_std.item()
            img = model(sample.data, operator, sample.initial_image, lambda_map=lambda_map)
            rows.append(measure(img, sample.img, mask))
        results.append(torch.stack(rows))
    return torch.stack(results)


def oracle(weights: list[float], values: torch.Tensor) -> torch.Tensor:
    """Return the metrics (axis 1), each at the weight (axis 0) that is best for it."""
    return best_weight(torch.tensor(weights), values * HIGHER_IS_BETTER).quality.to(values) * HIGHER_IS_BETTER


def network_results(model: LambdaMapModel, selected: list[torch.Tensor], kind: str, noise: float, seed: int) -> dict:
    """Return the metrics of the zero-filled image and of TV-Lambda at two tolerances, iterations and residuals."""
    solver = model.solver
    names = ('zero-filled', 'TV-Lambda', 'TV-Lambda, tighter', 'iterations', 'gap', 'residual')
    results: dict[str, list] = {name: [] for name in names}
    if not isinstance(solver, ADMM) or solver.max_iterations is None:
        raise ValueError(f'The model must solve to a tolerance with ADMM, got {solver}.')
    tighter = ADMM(
        solver.regularizer,
        max_iterations=10 * solver.max_iterations,
        tolerance=solver.tolerance / 10,
        penalty_factor=solver.penalty_factor,
    )
    for i, image in enumerate(tqdm(selected, desc=f'TV-Lambda, noise {noise}')):
        sample = simulate(image, kind, noise, seed + i)
        mask, operator = foreground_mask(sample.img), sample.acquisition_op()
        results['zero-filled'].append(measure(sample.initial_image, sample.img, mask))
        with torch.no_grad():
            lambda_map = model.estimate(sample.initial_image, sample.noise_std)
        solution = model.solve(sample.data, operator, sample.initial_image, lambda_map=lambda_map).solution
        if solution is None:
            raise ValueError(f'The model must have a certificate, got {model}.')
        results['TV-Lambda'].append(measure(solution.img, sample.img, mask))
        results['gap'].append(solution.relative_gap)
        residual = (operator(solution.img)[0] - sample.data).abs().square().sum() / sample.mask.sum()
        results['residual'].append(residual.sqrt().item() / sample.noise_std.item())
        results['iterations'].append(float(solution.n_iterations))
        img = LambdaMapModel(lambda_map, tighter)(sample.data, operator, sample.initial_image)
        results['TV-Lambda, tighter'].append(measure(img, sample.img, mask))
    return {key: torch.stack(v) if isinstance(v[0], torch.Tensor) else torch.tensor(v) for key, v in results.items()}


def gain_row(name: str, difference: torch.Tensor) -> str:
    """Return a row of a table: paired difference with its standard error for each metric."""
    error = difference.std(0) / math.sqrt(len(difference))
    cells = [f'{m:+.3f} ({e:.3f})' for m, e in zip(difference.mean(0).tolist(), error.tolist(), strict=True)]
    return f'| {name} | ' + ' | '.join(cells) + ' |'


def main() -> None:
    """Run the evaluation and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--kind', choices=('variable-density', 'low-field'), required=True)
    parser.add_argument('--model', help='name or file of the weights; without it only the scalar results are made')
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--iterations', type=int, default=500, help='iterations of scalar total variation')
    args = parser.parse_args()
    torch.set_num_threads(1)
    _, levels = acquisition(args.kind)
    tests, groups = images(args.data_root, test=True)
    cache = args.output.with_suffix('.scalar.pt')
    if cache.exists():
        scalar = torch.load(cache)
    else:
        training, _ = images(args.data_root, test=False)
        scalar = {}
        for level in levels:
            tuning = scalar_results(training, args.kind, level, args.iterations, seed=5000)
            scalar[level] = {'tuning': tuning, 'test': scalar_results(tests, args.kind, level, args.iterations, 1000)}
        torch.save(scalar, cache)
    if args.model is None:
        return
    model = load_pretrained(args.model) if args.model in list_pretrained() else load_weights(args.model)[0]

    header = '| | ' + ' | '.join(METRICS) + ' |\n' + '|---' * (len(METRICS) + 1) + '|'
    is_brain = torch.tensor([g == 'brain' for g in groups])
    all_results, summary = {}, {}
    for level in levels:
        result = network_results(model, tests, args.kind, level, 1000)
        tuned = int(scalar[level]['tuning'][..., 0].mean(0).argmax())
        result['scalar TV, tuned'] = scalar[level]['test'][:, tuned]
        result['scalar TV, oracle'] = torch.stack([oracle(WEIGHTS, values) for values in scalar[level]['test']])
        all_results[level] = result
        print(
            f'\nNoise {level}: means over {len(tests)} images; tuned weight {WEIGHTS[tuned]:.3f} sigma; '
            f'iterations {result["iterations"].min():.0f} to {result["iterations"].max():.0f}, largest certified gap '
            f'{result["gap"].max():.1e}; residual / sigma {result["residual"].mean():.3f}\n'
        )
        print(header)
        for name in ('zero-filled', 'scalar TV, tuned', 'scalar TV, oracle', 'TV-Lambda', 'TV-Lambda, tighter'):
            means = result[name].mean(0).tolist()
            summary[f'{level} {name}'] = dict(zip(METRICS, means, strict=True))
            print(f'| {name} | ' + ' | '.join(f'{m:.3f}' for m in means) + ' |')

    print('\nPaired gain of TV-Lambda over scalar TV at the oracle weight, all levels; mean (standard error)\n')
    print(header)
    gains = {level: r['TV-Lambda'] - r['scalar TV, oracle'] for level, r in all_results.items()}
    for level, gain in gains.items():
        print(gain_row(f'noise {level}', gain))
    everything = torch.cat(list(gains.values()))
    print(gain_row('all', everything))
    for group, selection in (('brain', is_brain), ('heart', ~is_brain)):
        print(gain_row(f'all, {group}', torch.cat([gain[selection] for gain in gains.values()])))
    print(gain_row('over tuned', torch.cat([r['TV-Lambda'] - r['scalar TV, tuned'] for r in all_results.values()])))
    changes = [r['TV-Lambda, tighter'] - r['TV-Lambda'] for r in all_results.values()]
    print(gain_row('tighter minus not', torch.cat(changes)))
    print(
        f'\nImages with a gain in PSNR: {100 * (everything[:, 0] > 0).float().mean():.0f} %, '
        f'in the foreground: {100 * (everything[:, 3] > 0).float().mean():.0f} %'
    )
    summary['gain over oracle'] = dict(zip(METRICS, everything.mean(0).tolist(), strict=True))
    args.output.write_text(json.dumps(summary, indent=1))


if __name__ == '__main__':
    main()
