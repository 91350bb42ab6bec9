"""A training step with a convolutional dictionary: time and peak memory, and how exact the gradient is.

python benchmarks/cdl_training_step.py --job '{"method": "FISTA", "size": 320, "n_iterations": 16, ...}'
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.solvers import ADMM, FISTA, ActiveSetBackward, Backward, FullBackward, Solver

from cdl_problems import WEIGHT, DictionaryProblem, central_box_dictionary
from cdl_reference import mrpro_solve, sparsity
from map_gradient import gradient_errors, gradient_of
from measure import PeakMemory, number, ratio, seconds, spread, table
from problems import magnitude
from training_step import Case, Result, case, failure, measure_cases, values_of

STEPS = ('mrpro pgd, autograd', 'FISTA', 'ADMM', 'network alone')

SOLVERS: dict[str, Callable[[DictionaryProblem, int, Backward], Solver]] = {
    'FISTA': lambda p, n, backward: FISTA(sparsity(p), n_iterations=n, backward=backward),
    'ADMM': lambda p, n, backward: ADMM(sparsity(p), n_iterations=n, backward=backward),
}


def training_step(method: str, problem: DictionaryProblem, n_iterations: int) -> Callable[[], None]:
    """Bind a training step, without the optimizer: the same network, loss and number of iterations for all."""
    unet = UNet(n_dim=2, n_channels_in=2, n_channels_out=len(problem.filters), n_features=16)
    # at this scale a part of the coefficients is not zero, as in training
    net = LambdaNet(unet, initial_scale=WEIGHT).to(problem.data.device)
    # mrpro's result is not limited to the measured band, so ours is not, either
    model = None
    if method in SOLVERS:
        model = LambdaMapModel(net, SOLVERS[method](problem, n_iterations, ActiveSetBackward()), band_limit=False)

    def run() -> None:
        net.zero_grad(set_to_none=True)
        if model is not None:
            img = model(problem.data, problem.operator, problem.initial_image)
        else:
            lambda_map = net(problem.initial_image)
            if method == 'network alone':
                lambda_map.square().mean().backward()
                return
            img, _ = mrpro_solve(problem, lambda_map, n_iterations)
        torch.view_as_real(img - problem.truth).square().mean().backward()

    return run


def filters_of(n_filters: int) -> torch.Tensor:
    """Return the filters of a dictionary that ships with the package which are used most."""
    return load_dictionary('k32-9x9-medium').filters[:n_filters]


def measure(job: Case) -> dict[str, float]:
    """Measure one case: memory of the first call, time of the second."""
    torch.set_num_threads(int(str(job['threads'])))
    device = str(job['device'])
    image = magnitude(int(str(job['size'])), Path(str(job['image'])) if job['image'] else None)
    problem = central_box_dictionary(image, filters_of(int(str(job['n_filters'])))).to(device=device)
    run = training_step(str(job['method']), problem, int(str(job['n_iterations'])))
    if device.startswith('cuda'):
        run()  # the memory of cuDNN and cuFFT workspaces is not that of the method
    with PeakMemory(device) as memory:
        run()
    return {'seconds': seconds(run, device), 'megabytes': memory.megabytes}


def run(args: Namespace) -> str:
    """Return the tables of this section."""
    size, n, longer = (32, 4, 8) if args.quick else (320, 16, 64)
    n_filters, repeats = (4, 1) if args.quick else (32, args.repeats)
    cases = [case(args, method, size, n) | {'n_filters': n_filters} for method in STEPS]
    cases += [case(args, method, size, longer) | {'n_filters': n_filters} for method in SOLVERS]
    results = measure_cases(cases, repeats, Path(__file__))
    rows = []
    for job, values in zip(cases, results, strict=True):
        same = job['n_iterations'] == n and job['method'] != 'network alone'
        rows.append([str(job['method']), str(job['n_iterations']), *_cells(values, results[0] if same else [])])
    header = ['', 'T', 's per step, min / median / max', 'faster than mrpro', 'peak memory, MB', 'smaller']
    text = (
        f'### {size} x {size}, one coil, {n_filters} filters of 9 x 9, U-Net with 16 features\n\n'
        + table(header, rows)
        + (
            '\nNetwork, forward and backward, without the optimizer. FISTA and ADMM with ActiveSetBackward. Memory: '
            + ('peak of the tensors on the GPU' if args.device != 'cpu' else 'peak resident memory of a fresh process')
            + ' minus that before the call, median; time: second call of the process.\n\n'
        )
    )
    return text + _gradients(args)


def _cells(results: list[Result], reference: list[Result]) -> list[str]:
    """Format time and memory of a case, with the ratios to those of the reference."""
    error = failure(results)
    if error is not None:
        return [error, '-', '-', '-']
    times, memory = values_of(results, 'seconds'), values_of(results, 'megabytes')
    faster = ratio(values_of(reference, 'seconds'), times)
    smaller = ratio(values_of(reference, 'megabytes'), memory)
    return [spread(times), faster, number(statistics.median(memory)), smaller]


def _gradients(args: Namespace) -> str:
    """Return the table of the errors of the gradient with respect to the Lambda map."""
    size, n = (32, 8) if args.quick else (96, 32)
    image = magnitude(size, args.image)
    rows = []
    for n_filters in (4,) if args.quick else (4, 8):
        single = central_box_dictionary(image, filters_of(n_filters)).to(device=args.device)
        double = single.to(device=args.device, double=True)
        for name, solver in SOLVERS.items():
            reference = gradient_of(double, solver(double, n, FullBackward()))
            gradients = {
                'ActiveSetBackward, float64': gradient_of(double, solver(double, n, ActiveSetBackward())),
                'ActiveSetBackward, float32': gradient_of(single, solver(single, n, ActiveSetBackward())),
                'FullBackward, float32': gradient_of(single, solver(single, n, FullBackward())),
            }
            rows += [
                [str(n_filters), name, variant, *gradient_errors(gradient, reference)]
                for variant, gradient in gradients.items()
            ]
    header = ['filters', 'solver', 'gradient', 'relative error', '1 - cosine']
    return (
        f'### Gradient with respect to the Lambda map, {size} x {size}, T = {n}; reference: FullBackward in float64\n\n'
        + table(header, rows)
    )


if __name__ == '__main__':
    print(json.dumps(measure(json.loads(sys.argv[2]))))
