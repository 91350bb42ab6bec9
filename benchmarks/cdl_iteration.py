"""Time per iteration and peak memory of a call with a convolutional dictionary, and the peers on denoising.

python benchmarks/cdl_iteration.py --job '{"method": "FISTA", "size": 320, "n_iterations": 16, "n_filters": 32, ...}'
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.solvers import FISTA

from cdl_peers import missing_dictionary_peers, scico_calls, sporco_calls
from cdl_problems import DictionaryProblem, central_box_dictionary, denoising, random_filters
from cdl_reference import coefficients_of, low_pass, mrpro_pgd, mrpro_solve, our_admm, our_fista, sparsity
from iteration_time import call_of, time_iterations
from measure import PeakMemory, number, ratio, seconds, spread, table
from methods import Method, image_of
from problems import magnitude
from training_step import Case, case, failure, measure_cases, values_of

METHODS: dict[str, Callable[[DictionaryProblem], Method]] = {
    'mrpro pgd': mrpro_pgd,
    'FISTA': our_fista,
    'ADMM': our_admm,
}

DICTIONARIES = ((16, 9, 32), (32, 9, 32), (64, 9, 8), (64, 11, 8), (128, 11, 4))
"""Number of filters, their size, and number of iterations."""


def measure(job: Case) -> dict[str, float]:
    """Measure the memory of the first call of a method, and the time of the second."""
    torch.set_num_threads(int(str(job['threads'])))
    device, n = str(job['device']), int(str(job['n_iterations']))
    image = magnitude(int(str(job['size'])), Path(str(job['image'])) if job['image'] else None)
    filters = random_filters(int(str(job['n_filters'])), int(str(job['kernel'])))
    run = call_of(METHODS[str(job['method'])](central_box_dictionary(image, filters).to(device=device)))
    if device.startswith('cuda'):
        run(n)  # the memory of cuDNN and cuFFT workspaces is not that of the method
    with PeakMemory(device) as memory:
        run(n)
    return {'seconds': seconds(lambda: run(n), device), 'megabytes': memory.megabytes}


def run(args: Namespace) -> str:
    """Return the tables of this section."""
    size = 32 if args.quick else 320
    dictionaries = ((4, 5, 8),) if args.quick else DICTIONARIES
    image = magnitude(size, args.image)
    text = f'### {size} x {size}, complex64, one coil, central box, random filters\n\n'
    text += _agreement(central_box_dictionary(image, random_filters(*dictionaries[0][:2])).to(device=args.device))
    rows = []
    for n_filters, kernel, n in dictionaries:
        problem = central_box_dictionary(image, random_filters(n_filters, kernel)).to(device=args.device)
        calls = {name: call_of(method(problem)) for name, method in METHODS.items()}
        slopes, _ = time_iterations(calls, n, args.repeats, args.device)
        cases = [case(args, name, size, n) | {'n_filters': n_filters, 'kernel': kernel} for name in METHODS]
        memory = measure_cases(cases, 1, Path(__file__))
        for name, results in zip(METHODS, memory, strict=True):
            megabytes, first = values_of(results, 'megabytes'), values_of(memory[0], 'megabytes')
            used = number(megabytes[0]) if megabytes else str(failure(results))
            faster = ratio(slopes['mrpro pgd'], slopes[name])
            title = f'{n_filters}, {kernel} x {kernel}'
            rows.append([title, name, spread(slopes[name], 1e3), faster, used, ratio(first, megabytes)])
    header = ['filters', '', 'ms per iteration, min / median / max', 'faster than mrpro', 'peak memory, MB', 'smaller']
    text += table(header, rows)
    steps = ', '.join(f'{n} for {n_filters} filters of {kernel} x {kernel}' for n_filters, kernel, n in dictionaries)
    text += (
        f'\nPer iteration: difference of T and T / 4 iterations, T = {steps}. Ratios are of medians. Memory: that of '
        'one call with T iterations without gradient, set-up included, in a fresh process. What the process has freed '
        'before the call is used again unseen, so that small numbers are too small.\n\n'
    )
    return text + '\n'.join(_peers(image, n_filters, args) for n_filters in ((4,) if args.quick else (16, 32)))


def _agreement(problem: DictionaryProblem) -> str:
    """Compare FISTA with the reference, iterate by iterate."""
    n = 32

    def difference(a: torch.Tensor, b: torch.Tensor) -> str:
        return f'{((a - b).norm() / b.norm()).item():.1e}'

    with torch.no_grad():
        _, reference = mrpro_solve(problem, problem.lambda_map, n, smooth=problem.smooth)
    solver = FISTA(sparsity(problem), n_iterations=n)
    same = coefficients_of(solver, problem, n, idle_step=True)
    ours, theirs = (problem.objective(s) for s in (coefficients_of(solver, problem, n), reference))
    return (
        f'Relative difference of the coefficients of FISTA and mrpro pgd after {n} iterations: '
        f'{difference(same, reference)}, with the smooth part given and the idle first step of mrpro, whose momentum '
        f'is 0, 0, 1/5, 2/6... Without that step the objective of FISTA is {1 - ours / theirs:.1e} lower, relatively. '
        f'12 conjugate gradient steps leave an error of {difference(low_pass(problem), problem.smooth)} in the smooth '
        'part, which is exact here.\n\n'
    )


def _peers(image: torch.Tensor, n_filters: int, args: Namespace) -> str:
    """Compare with the peers on denoising of a real image."""
    n = 8 if args.quick else 64
    filters = random_filters(n_filters, 5) if args.quick else load_dictionary(f'k{n_filters}-9x9-medium').filters
    problem = denoising(image, filters).to(device=args.device)
    skipped = missing_dictionary_peers(gpu=args.device != 'cpu')
    methods = {name: method(problem) for name, method in METHODS.items()}
    calls: dict[str, Callable[[int], object]] = {name: call_of(method) for name, method in methods.items()}
    coefficients = {name: image_of(method, n) for name, method in methods.items()}
    peers = {} if 'sporco' in skipped else sporco_calls(problem, args.threads)
    peers |= {} if 'scico' in skipped else scico_calls(problem)
    coefficients |= {name: call(n) for name, call in peers.items()}
    slopes, whole = time_iterations(calls | peers, n, args.repeats, args.device)
    objectives = {name: problem.objective(s) for name, s in coefficients.items()}
    lowest = min(objectives.values())
    rows = [
        [
            name,
            spread(slopes[name], 1e3),
            ratio(slopes['mrpro pgd'], slopes[name]),
            spread(whole[name], 1e3),
            f'{objectives[name] / lowest - 1:.1e}',
        ]
        for name in slopes
    ]
    header = [
        '',
        'ms per iteration, min / median / max',
        'faster than mrpro',
        'whole call over T, ms',
        'objective over the lowest',
    ]
    text = f'### Denoising of a real image, {image.shape[0]} x {image.shape[1]}, {n_filters} filters; T = {n}\n\n'
    text += table(header, rows) + (
        '\nOne weight, all of the image measured; SPORCO and SCICO get the image without its smooth part. Neither '
        'takes undersampled k-space of a complex image as it comes: SPORCO works on real images and its mask acts on '
        'pixels, and the Fourier solver of SCICO needs a data term that is convolutions and a sum. Last column: '
        'objective after T iterations, relative to the lowest of them.\n'
    )
    return text + ''.join(f'- {name}: skipped, {reason}.\n' for name, reason in skipped.items())


if __name__ == '__main__':
    print(json.dumps(measure(json.loads(sys.argv[2]))))
