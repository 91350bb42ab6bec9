"""Image quality of CDL-Lambda against one weight for all filters and TV-Lambda, on persons not used in training.

For each test image and noise level: the zero-filled image; scalar CDL with one weight c * sigma and one low-pass
strength for the level (tuned on brains of training persons) and with the best weight for the image (chosen with the
ground truth, for each metric on its own, at the better of the low-pass strengths); CDL-Lambda with the weights of each
network; TV-Lambda. Dictionaries are those of the weights. All CDL problems take the same number of iterations of ADMM,
and the first image is solved again with ten times as many.

    python benchmarks/dictionary_quality.py --data-root DIR --kind low-field --output FILE.json

The scalar results are kept in FILE.scalar.pt and used again by later runs. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mrpro_lambda.datasets import AcquisitionSample
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.metrics import blur, foreground_mask
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import ADMM
from tqdm import tqdm

import quality
from quality import HIGHER_IS_BETTER, acquisition, gain_row, images, simulate

METRICS = (*quality.METRICS, 'blur', 'blur foreground')
SCALAR_DICTIONARY = 'k32-9x9-medium'
BETAS = (2.0, 4.0, 8.0)
WEIGHTS = [0.35 * 1.4**i for i in range(7)]
ITERATIONS = 100
TRUTH, ZERO_FILLED, TUNED, ORACLE = 'truth', 'zero-filled', 'scalar CDL, tuned', 'scalar CDL, oracle'


def measure(img: torch.Tensor, sample: AcquisitionSample) -> torch.Tensor:
    """Return all metrics of one image; the blur of the foreground is that of the smallest box around it."""
    mask = foreground_mask(sample.img)
    rows, columns = (mask.flatten(0, -3).any(0).any(d).nonzero()[:, 0] for d in (1, 0))
    box = img[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return torch.cat([quality.measure(img, sample.img, mask), blur(img), blur(box)])


def with_iterations(model: LambdaMapModel, n_iterations: int) -> LambdaMapModel:
    """Return the model with a solver that takes a number of iterations."""
    solver = ADMM(model.solver.regularizer, n_iterations=n_iterations, penalty_factor=0.5)
    return LambdaMapModel(model.weight, solver, band_limit=model.band_limit)


def scalar_results(selected: list[torch.Tensor], kind: str, noise: float, seed: int) -> torch.Tensor:
    """Return the metrics of scalar CDL, shape (images, low-pass strengths, weights, metrics)."""
    filters = load_dictionary(SCALAR_DICTIONARY).filters
    solvers = [
        ADMM(DictionarySparsity(filters, beta=beta), n_iterations=ITERATIONS, penalty_factor=0.5) for beta in BETAS
    ]
    results = []
    for i, image in enumerate(tqdm(selected, desc=f'scalar, noise {noise}')):
        sample = simulate(image, kind, noise, seed + i)
        operator, sigma = sample.acquisition_op(), sample.noise_std.item()
        for solver in solvers:
            for weight in WEIGHTS:
                img = solver(sample.data, operator, sample.initial_image, weight * sigma)
                results.append(measure(img, sample))
    return torch.stack(results).unflatten(0, (len(selected), len(BETAS), len(WEIGHTS)))


def oracle(values: torch.Tensor) -> torch.Tensor:
    """Return the best over low-pass strengths and weights (axes 0, 1) for each metric; the blur of the best PSNR."""
    n = len(quality.METRICS)
    refined = torch.stack([quality.oracle(WEIGHTS, v[:, :n]) for v in values]) * HIGHER_IS_BETTER
    flat = values.flatten(0, 1)
    return torch.cat([refined.amax(0) * HIGHER_IS_BETTER, flat[flat[:, 0].argmax(), n:]])


def network_results(
    models: dict[str, LambdaMapModel], selected: list[torch.Tensor], kind: str, noise: float, seed: int
) -> dict[str, torch.Tensor]:
    """Return the metrics of truth, zero-filled image and each model, shape (images, metrics)."""
    results: dict[str, list[torch.Tensor]] = {name: [] for name in (TRUTH, ZERO_FILLED, *models)}
    for i, image in enumerate(tqdm(selected, desc=f'networks, noise {noise}')):
        sample = simulate(image, kind, noise, seed + i)
        operator = sample.acquisition_op()
        results[TRUTH].append(measure(sample.img, sample))
        results[ZERO_FILLED].append(measure(sample.initial_image, sample))
        for name, model in models.items():
            with torch.no_grad():
                img = model(sample.data, operator, sample.initial_image, noise_std=sample.noise_std)
            results[name].append(measure(img, sample))
    return {name: torch.stack(rows) for name, rows in results.items()}


def change_with_more_iterations(model: LambdaMapModel, image: torch.Tensor, kind: str, noise: float) -> float:
    """Return by how many dB the peak signal-to-noise ratio changes with ten times the iterations."""
    sample = simulate(image, kind, noise, 1000)
    values = []
    for n_iterations in (ITERATIONS, 10 * ITERATIONS):
        with torch.no_grad():
            img = with_iterations(model, n_iterations)(
                sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std
            )
        values.append(measure(img, sample)[0].item())
    return values[1] - values[0]


def load(name: str) -> LambdaMapModel:
    """Load weights that ship with the package, or a file."""
    return load_pretrained(name) if name in list_pretrained() else load_weights(name)[0]


def print_means(level: float, results: dict[str, torch.Tensor], tuned: str) -> None:
    """Print the means of all methods at one noise level."""
    print(f'\n**Noise {level}**, {tuned}.\n\n| | {" | ".join(METRICS)} |\n' + '|---' * (len(METRICS) + 1) + '|')
    for name, values in results.items():
        cells = [
            '' if name == TRUTH and not metric.startswith('blur') else f'{mean:.3f}'
            for metric, mean in zip(METRICS, values.mean(0).tolist(), strict=True)
        ]
        print(f'| {name} | {" | ".join(cells)} |')


def main() -> None:
    """Run the evaluation and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--kind', choices=('variable-density', 'low-field'), required=True)
    parser.add_argument('--models', nargs='*', help='names or files of weights, default: all for this sampling')
    parser.add_argument('--output', type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    _, levels = acquisition(args.kind)
    tests, groups = images(args.data_root, test=True)
    n_brains = groups.count('brain')
    tests = tests[:n_brains] + tests[n_brains::3]  # one frame of each heart
    is_brain = torch.arange(len(tests)) < n_brains
    training, training_groups = images(args.data_root, test=False)
    training = training[: training_groups.count('brain')]
    cache = args.output.with_suffix('.scalar.pt')
    if cache.exists():
        scalar = torch.load(cache)
    else:
        scalar = {
            level: [scalar_results(training, args.kind, level, 5000), scalar_results(tests, args.kind, level, 1000)]
            for level in levels
        }
        torch.save(scalar, cache)
    names = [f'cdl-v{i}{purpose}' for purpose in ('', f'-{args.kind}') for i in (1, 2, 3)]
    selected = [name for name in names if name in list_pretrained()] if args.models is None else args.models
    if not selected:
        return
    models = {Path(name).stem: with_iterations(load(name), ITERATIONS) for name in selected}
    tv = f'tv-{args.kind}'
    all_results: dict[float, dict[str, torch.Tensor]] = {}
    for level in levels:
        results = network_results(models | {tv: load_pretrained(tv)}, tests, args.kind, level, 1000)
        tuning, values = scalar[level]
        beta, weight = divmod(int(tuning[..., 0].mean(0).argmax()), len(WEIGHTS))
        results[TUNED] = values[:, beta, weight]
        results[ORACLE] = torch.stack([oracle(v) for v in values])
        all_results[level] = results
        print_means(level, results, f'tuned weight {WEIGHTS[weight]:.2f} sigma, low-pass strength {BETAS[beta]:g}')

    columns = f'\n| | {" | ".join(METRICS)} |\n' + '|---' * (len(METRICS) + 1) + '|'
    print(f'\n**Paired differences**; mean (standard error) over {len(levels) * len(tests)} images.\n{columns}')
    summary = {}
    for name in models:
        for reference in (ORACLE, TUNED, tv):
            gains = {level: r[name] - r[reference] for level, r in all_results.items()}
            print(gain_row(f'{name} over {reference}', torch.cat(list(gains.values()))))
            for group, members in (('brain', is_brain), ('heart', ~is_brain)):
                print(gain_row(f'{name} over {reference}, {group}', torch.cat([g[members] for g in gains.values()])))
            summary[f'{name} over {reference}'] = torch.cat(list(gains.values())).mean(0).tolist()
        for level, r in all_results.items():
            print(gain_row(f'{name} over {ORACLE}, noise {level}', r[name] - r[ORACLE]))
    change = change_with_more_iterations(models[Path(selected[-1]).stem], tests[0], args.kind, levels[1])
    print(f'\nPSNR of the first image with {10 * ITERATIONS} instead of {ITERATIONS} iterations: {change:+.4f} dB')
    args.output.write_text(json.dumps(summary, indent=1))


if __name__ == '__main__':
    main()
