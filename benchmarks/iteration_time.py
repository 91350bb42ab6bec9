"""Time per iteration on the same problem, one coil Cartesian and eight coils radial."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from measure import alternate, number, ratio, spread, table
from methods import (
    Fixed,
    Method,
    acquisition_norm_squared,
    fourier_pair,
    image_of,
    mrpro_pdhg,
    our_admm,
    our_pdhg,
    step_size,
)
from peers import Bart, deepinv_pdcp, missing, sigpy_tv
from problems import Problem, central_box, magnitude, radial

WEIGHT = 0.05


def run(args: Namespace) -> str:
    """Return the tables of this section."""
    device, quick = args.device, args.quick
    size = 32 if quick else 320
    n = 8 if quick else 128
    problem = central_box(magnitude(size, args.image)).to(device=device)
    step = step_size(problem)
    skipped = missing(gpu=device != 'cpu')
    methods: dict[str, Method] = {
        'mrpro pdhg': mrpro_pdhg(problem, step),
        'PDHG': our_pdhg(problem),
        'ADMM': our_admm(problem),
    }
    if 'deepinv' not in skipped:
        methods['deepinv PDCP, Lambda map'] = deepinv_pdcp(problem, step.item())
    if 'sigpy' not in skipped:
        methods['SigPy TotalVariationRecon, one weight'] = sigpy_tv(problem, WEIGHT)
    methods['one pair of FFTs'] = fourier_pair(problem)
    calls = {name: call_of(method) for name, method in methods.items()}
    if 'bart' not in skipped:
        bart = Bart(problem, WEIGHT, args.threads)
        calls['BART pics ADMM, one weight, per CG iteration'] = bart.pics

    text = f'### {size} x {size}, complex64, one coil, Cartesian; T = {n}\n\n'
    text += _agreement(methods, n) + _table(calls, n, args.repeats, device)
    text += ''.join(f'- {name}: skipped, {reason}.\n' for name, reason in skipped.items())
    text += '\n' + _radial(args)
    if device.startswith('cuda'):
        text += '\n' + _throughput(size, n, args)
    return text


def call_of(method: Method) -> Callable[[int], object]:
    """Make a function of the number of iterations."""
    return lambda n: method(Fixed(n))


def _agreement(methods: dict[str, Method], n: int) -> str:
    """Compare the images of the two that compute the same iterates."""
    reference, img = image_of(methods['mrpro pdhg'], n), image_of(methods['PDHG'], n)
    difference = ((img - reference).norm() / reference.norm()).item()
    return f'Relative difference of the images of PDHG and mrpro pdhg after T iterations: {difference:.1e}.\n\n'


def time_iterations(
    calls: dict[str, Callable[[int], object]], n: int, repeats: int, device: str
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Time T / 4 and T iterations in turns; returns seconds per iteration, by their difference and of whole calls."""
    short = max(1, n // 4)
    functions: dict[str, Callable[[], object]] = {}
    for name, call in calls.items():
        functions[name + ' short'] = partial(call, short)
        functions[name] = partial(call, n)
    times = alternate(functions, repeats, device)
    slopes, whole = {}, {}
    for name in calls:
        pairs = zip(times[name + ' short'], times[name], strict=True)
        slopes[name] = [(long - brief) / (n - short) for brief, long in pairs]
        whole[name] = [t / n for t in times[name]]
    return slopes, whole


def _table(calls: dict[str, Callable[[int], object]], n: int, repeats: int, device: str) -> str:
    """Time T / 4 and T iterations of each method in turns."""
    slopes, whole = time_iterations(calls, n, repeats, device)
    rows = []
    reference, reference_whole = slopes['mrpro pdhg'], whole['mrpro pdhg']
    for name in calls:
        faster = ratio(reference, slopes[name]), ratio(reference_whole, whole[name])
        rows.append([name, spread(slopes[name], 1e3), faster[0], spread(whole[name], 1e3), faster[1]])
    header = [
        '',
        'ms per iteration, min / median / max',
        'faster than mrpro',
        'whole call over T, ms',
        'faster than mrpro',
    ]
    return table(header, rows) + (
        f'\nPer iteration: difference of {n} and {max(1, n // 4)} iterations. Whole call: set-up included (norms, '
        'inverses; process start for BART). Ratios are of medians.\n'
    )


def _radial(args: Namespace) -> str:
    """Return the table for radial data; the Toeplitz kernel and norms are set-up."""
    size, spokes, n = (32, 16, 8) if args.quick else (256, 128, 16)
    problem = radial(magnitude(size, args.image), spokes).to(device=args.device)
    step = step_size(problem, acquisition_norm_squared(problem))
    calls = {
        'mrpro pdhg': call_of(mrpro_pdhg(problem, step)),
        'PDHG': call_of(our_pdhg(problem)),
        'ADMM': call_of(our_admm(problem)),
    }
    text = f'### {size} x {size}, complex64, 8 coils, {spokes} radial spokes, FourierOp @ SensitivityOp; T = {n}\n\n'
    return text + _table(calls, n, args.repeats, args.device)


def _throughput(size: int, n: int, args: Namespace) -> str:
    """Reconstruct batches, images per second."""
    batches = (1, 4) if args.quick else (1, 64)
    image = magnitude(size, args.image)
    problems = {batch: central_box(image, batch=batch).to(device=args.device) for batch in batches}
    rows = []
    for batch, problem in problems.items():
        calls: dict[str, Callable[[], object]] = {}
        for name, method in _batched(problem).items():
            calls[name] = partial(call_of(method), n)
        times = alternate(calls, args.repeats, args.device)
        for name, values in times.items():
            rates = [batch / t for t in values]
            rows.append([name, str(batch), spread(rates), number(statistics.median(values) * 1e3)])
    header = ['', 'batch', 'images per second, min / median / max', 'ms per call, median']
    return f'### Throughput, {size} x {size}, one coil, T = {n}\n\n' + table(header, rows)


def _batched(problem: Problem) -> dict[str, Method]:
    """Return the methods that take batches."""
    return {
        'mrpro pdhg': mrpro_pdhg(problem, step_size(problem)),
        'PDHG': our_pdhg(problem),
        'ADMM': our_admm(problem),
    }
