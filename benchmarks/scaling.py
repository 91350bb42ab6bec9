"""Growth of time per iteration and of training memory with pixels, coils, iterations and batch."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from measure import alternate, number, spread, table
from methods import Fixed, Method, our_admm, our_pdhg
from problems import Problem, central_box, magnitude, random_lines
from training_step import Result, case, failure, measure_cases, values_of

SOLVERS: dict[str, Callable[[Problem], Method]] = {'PDHG': our_pdhg, 'ADMM': our_admm}


@dataclass(frozen=True)
class Point:
    """One acquisition and number of iterations."""

    size: int
    n_coils: int = 1
    n_iterations: int = 128
    batch: int = 1


def run(args: Namespace) -> Iterator[str]:
    """Yield a table for each axis."""
    if args.quick:
        start = Point(32, n_iterations=4)
        axes = {'size': [48], 'n_coils': [2], 'n_iterations': [8], 'batch': [2]}
    else:
        start = Point(320)
        axes = {
            'size': [128, 192, 256, 320, 384, 512],
            'n_coils': [1, 4, 8, 16],
            'n_iterations': [32, 64, 128, 256, 512, 1024],
            'batch': [1, 2, 4, 8, 16],
        }
    for axis, values in axes.items():
        # many coils with fewer iterations: the time per iteration and the memory of a pattern do not depend on it
        base = start if args.quick or axis != 'n_coils' else replace(start, n_iterations=32)
        yield _axis(axis, [replace(base, **{axis: value}) for value in values], base, args)


def _axis(axis: str, points: list[Point], base: Point, args: Namespace) -> str:
    """Measure all points of an axis."""
    calls: dict[str, Callable[[], object]] = {}
    for point in points:
        image = magnitude(point.size, args.image)
        if axis == 'n_coils':
            problem = random_lines(image, point.n_coils, batch=point.batch).to(device=args.device)
        else:
            problem = central_box(image, batch=point.batch).to(device=args.device)
        for name, method_of in SOLVERS.items():
            method = method_of(problem)
            calls[f'{name} {getattr(point, axis)}'] = partial(method, Fixed(point.n_iterations))
    times = alternate(calls, args.repeats, args.device)

    lines = axis == 'n_coils'
    cases = [
        case(args, name, p.size, p.n_iterations, batch=p.batch, n_coils=p.n_coils, lines=lines)
        for p in points
        for name in SOLVERS
    ]
    results = dict(zip(calls, measure_cases(cases, 1 if args.quick else min(2, args.repeats)), strict=True))
    rows = []
    for point in points:
        value = getattr(point, axis)
        row = [f'{value} x {value}' if axis == 'size' else str(value)]
        pixels = point.size**2 * point.n_coils * point.batch
        for name in SOLVERS:
            key = f'{name} {value}'
            per_iteration = [t / point.n_iterations for t in times[key]]
            row += [spread(per_iteration, 1e3), number(statistics.median(per_iteration) / pixels * 1e9)]
            row += _training(results[key])
        rows.append(row)
    header = [axis]
    for name in SOLVERS:
        header += [f'{name}, ms per iteration', 'ns per pixel', 'training step, s', 'memory, MB']
    fixed = {'size': f'{base.size} x {base.size}', 'n_coils': f'{base.n_coils} coil'}
    fixed |= {'n_iterations': f'T = {base.n_iterations}', 'batch': f'batch {base.batch}'}
    title = ', '.join(text for key, text in fixed.items() if key != axis)
    sampling = ', random lines' if lines else ', central box'
    return (
        f'### {axis} ({title}{sampling})\n\n'
        + table(header, rows)
        + (
            '\nMilliseconds: whole call over T, minimum / median / maximum. Nanoseconds: per pixel, coil and image. '
            'Training with U-Net, forward and backward, medians.\n'
        )
    )


def _training(results: list[Result]) -> list[str]:
    """Format the medians of time and memory."""
    error = failure(results)
    if error is not None:
        return [error, '-']
    return [number(statistics.median(values_of(results, key))) for key in ('seconds', 'megabytes')]
