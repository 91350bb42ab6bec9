"""Two versions of the package side by side in one run: time and memory of iterations, training steps and solves.

    git worktree add /tmp/old COMMIT
    python benchmarks/versions.py --old /tmp/old/src [--repeats 5] [--threads 1] [--sections time memory]

Each repeat runs every measurement once with each version, in processes of their own that take turns, so that a change
of the machine's speed meets both. The last rows are a whole call of 16 iterations with 8 coils and radial samples,
set-up included, beside mrpro's `pdhg`. Memory is the peak of the resident memory of a fresh process for each case,
above what it holds before the call, set-up included. Prints minimum / median / maximum in milliseconds or megabytes,
and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
MEMORY_PROBLEMS = {
    '1 coil, 320 x 320': (320, 1, 0),
    '8 coils, 256 x 256': (256, 8, 0),
    '32 filters, 160 x 160': (160, 1, 32),
}
"""Size, number of coils and of filters."""
MEMORY_CASES = [
    (algorithm, action, problem)
    for problem, (_, _, n_filters) in MEMORY_PROBLEMS.items()
    for algorithm, actions in {
        'FISTA' if n_filters else 'PDHG': ('32 iterations', '32 iterations and gradient'),
        'ADMM': ('32 iterations', '32 iterations and gradient', 'to 0.01'),
    }.items()
    for action in actions
]
"""Algorithm, what it does, and problem."""


def timed(call: Callable[[], object], n: int = 1) -> float:
    """Return milliseconds of a call, the best of some."""
    call()
    best = float('inf')
    for _ in range(n):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def call(solver: Any, *arguments: Any) -> object:  # noqa: ANN401
    """Solve without gradient."""
    return solver(*arguments)


def train(solver: Any, *arguments: Any) -> None:  # noqa: ANN401
    """Solve and differentiate."""
    solver(*arguments).abs().sum().backward()


def work() -> None:
    """Measure the version that is on the path, and print JSON."""
    from mrpro_lambda.dictionary import load_dictionary
    from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation
    from mrpro_lambda.solvers import ADMM, FISTA, PDHG

    import problems

    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    regularizer = TotalVariation((-2, -1))
    found: dict[str, float] = {}
    image = problems.magnitude(320)
    p = problems.random_lines(image, 1)
    lines = problems.random_lines(problems.magnitude(256), 8)
    for name, problem in (('1 coil, 320 x 320', p), ('8 coils, 256 x 256', lines)):
        arguments = (problem.data, problem.operator, problem.initial_image, problem.lambda_map)
        for cls in (PDHG, ADMM):
            calls = [partial(call, cls(regularizer, n_iterations=n), *arguments) for n in (4, 36)]
            short, long = (timed(c, 3) for c in calls)
            found[f'{cls.__name__}, iteration, {name}'] = (long - short) / 32
            weight = problem.lambda_map.clone().requires_grad_()
            solver = cls(regularizer, n_iterations=32)
            inputs = (*arguments[:3], weight)
            found[f'{cls.__name__}, 32 iterations and gradient, {name}'] = timed(partial(train, solver, *inputs), 2)
        for tolerance in (1e-2, 1e-3):
            exact = ADMM(regularizer, max_iterations=3000, tolerance=tolerance)
            found[f'ADMM to {tolerance:g}, {name}'] = timed(partial(exact.solve, *arguments))
    dictionary = DictionarySparsity(load_dictionary('k32-9x9-medium').filters, beta=4.0)
    small = problems.random_lines(problems.magnitude(160), 1)
    weights = torch.full((), 0.03)
    arguments = (small.data, small.operator, small.initial_image, weights)
    for algorithm in (FISTA, ADMM):
        calls = [partial(call, algorithm(dictionary, n_iterations=n), *arguments) for n in (2, 18)]
        short, long = (timed(c) for c in calls)
        found[f'{algorithm.__name__}, iteration, 32 filters, 160 x 160'] = (long - short) / 16
    radial = problems.radial(problems.magnitude(256))
    solver = ADMM(regularizer, n_iterations=16)
    arguments = (radial.data, radial.operator, radial.initial_image, radial.lambda_map)
    found['radial, 8 coils, whole call of 16 iterations'] = timed(lambda: solver(*arguments))
    try:
        from mrpro_lambda.data_terms import LeastSquares
    except ImportError:
        found['the same, second call on the acquisition'] = found['radial, 8 coils, whole call of 16 iterations']
    else:
        data_term = LeastSquares(radial.operator)
        found['the same, second call on the acquisition'] = timed(
            lambda: solver(radial.data, data_term, radial.initial_image, radial.lambda_map)
        )
    if os.environ.get('WITH_MRPRO'):
        from methods import mrpro_solve

        start = time.perf_counter()
        mrpro_solve(radial, radial.lambda_map, None, 16)
        found['mrpro pdhg, radial, 8 coils, whole call of 16 iterations'] = 1e3 * (time.perf_counter() - start)
    print(json.dumps(found))


def memory_case(algorithm: str, action: str, problem: str) -> Callable[[], object]:
    """Bind a call whose memory is measured."""
    from mrpro_lambda import solvers
    from mrpro_lambda.dictionary import load_dictionary
    from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation

    import problems

    size, n_coils, n_filters = MEMORY_PROBLEMS[problem]
    p = problems.random_lines(problems.magnitude(size), n_coils)
    regularizer: Any = TotalVariation((-2, -1))
    weight = p.lambda_map.clone()
    if n_filters:
        regularizer = DictionarySparsity(load_dictionary(f'k{n_filters}-9x9-medium').filters, beta=4.0)
        weight = torch.full((n_filters, 1, 1, 1, size, size), 0.03)
    solver = getattr(solvers, algorithm)
    arguments = (p.data, p.operator, p.initial_image)
    if action == 'to 0.01':
        return partial(solver(regularizer, max_iterations=3000, tolerance=1e-2).solve, *arguments, weight)
    fixed = solver(regularizer, n_iterations=32)
    if action == '32 iterations':
        return partial(call, fixed, *arguments, weight)
    return partial(train, fixed, *arguments, weight.requires_grad_())


def measure_memory(case: str) -> None:
    """Measure the memory of a case in this process, and print it in JSON."""
    from measure import PeakMemory

    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    run = memory_case(*json.loads(case))
    with PeakMemory('cpu') as memory:
        run()
    print(json.dumps(memory.megabytes))


def spread(values: list[float]) -> str:
    """Format minimum, median and maximum."""
    return f'{min(values):.3g} / {statistics.median(values):.3g} / {max(values):.3g}'


def compare_time(old: Path, repeats: int, threads: int) -> None:
    """Time both versions in turns, and print a table."""
    versions = {'old': old, 'new': HERE.parent / 'src'}
    results: dict[str, dict[str, list[float]]] = {name: {} for name in versions}
    for _ in range(repeats):
        for name, path in versions.items():
            environment = os.environ | {'PYTHONPATH': f'{path}:{HERE}', 'OMP_NUM_THREADS': str(threads)}
            if name == 'new':
                environment['WITH_MRPRO'] = '1'
            command = [sys.executable, str(HERE / 'versions.py'), '--worker']
            output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603
            for key, value in json.loads(output.splitlines()[-1]).items():
                results[name].setdefault(key, []).append(value)
    print('| | old, ms | new, ms | new / old |\n|---|---|---|---|')
    for key, new in results['new'].items():
        cells = [spread(v) for v in (results['old'].get(key), new) if v]
        ratio = statistics.median(new) / statistics.median(results['old'][key]) if key in results['old'] else None
        print(
            f'| {key} | '
            + ' | '.join(cells if ratio else ['', *cells])
            + f' | {"" if ratio is None else f"{ratio:.2f}"} |'
        )
    mrpro = statistics.median(results['new']['mrpro pdhg, radial, 8 coils, whole call of 16 iterations'])
    for key in ('radial, 8 coils, whole call of 16 iterations', 'the same, second call on the acquisition'):
        print(f'\nmrpro / new, {key}: {mrpro / statistics.median(results["new"][key]):.1f}')


def compare_memory(old: Path, repeats: int, threads: int) -> None:
    """Measure the memory of both versions in turns, and print a table."""
    print('\n| | old, MB | new, MB | new / old |\n|---|---|---|---|')
    for case in MEMORY_CASES:
        found: dict[Path, list[float]] = {old: [], HERE.parent / 'src': []}
        for _ in range(repeats):
            for path, values in found.items():
                environment = os.environ | {'PYTHONPATH': f'{path}:{HERE}', 'OMP_NUM_THREADS': str(threads)}
                command = [sys.executable, str(HERE / 'versions.py'), '--memory-of', json.dumps(case)]
                output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603
                values.append(json.loads(output.splitlines()[-1]))
        before, after = found.values()
        ratio = statistics.median(after) / statistics.median(before)
        print(f'| {", ".join(case)} | {spread(before)} | {spread(after)} | {ratio:.2f} |', flush=True)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--old', type=Path, help='folder src of the other version')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--sections', nargs='+', choices=('time', 'memory'), default=('time', 'memory'))
    parser.add_argument('--memory-of', help=argparse.SUPPRESS)
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        measure_memory(args.memory_of)
        return
    if args.worker:
        work()
        return
    if args.old is None:
        parser.error('--old is required')
    if 'time' in args.sections:
        compare_time(args.old, args.repeats, args.threads)
    if 'memory' in args.sections:
        compare_memory(args.old, args.repeats, args.threads)


if __name__ == '__main__':
    main()
