"""Gradients of random problems: every way to differentiate a solver beside full back-propagation.

Small problems of all kinds (total variation along any axes with any boundary, grouped norms, dictionaries; one or
several coils, batches, Cartesian acquisitions of this package and of mrpro) are drawn from a seed. For each solver and
each way to differentiate that do not refuse a problem, the derivatives with respect to map, data and start are compared
with those of `FullBackward` in double precision: the norm of the difference relative to that of the derivative.
`ImplicitBackward` differentiates a converged state: it is compared with `FullBackward` through as many steps from
there. In single precision, `ActiveSetBackward` and `FullBackward` are compared with `FullBackward` in double precision.

    python benchmarks/gradients.py [--problems N] [--seed SEED]

Prints how many gradients differ by more than the tolerance, with the exit code 1 if there are any, and the errors.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import torch
from mrpro_lambda.solvers import ActiveSetBackward, FullBackward, TruncatedBackward
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.solvers.cases import BACKWARDS
from tests.solvers.random_problems import (
    KINDS,
    N_ITERATIONS,
    RandomProblems,
    double_precision,
    gradient_errors,
    implicit_gradient_errors,
    problem_gradients,
    solvers_of,
)

TOLERANCE = 1e-9


def quantiles(errors: list[float]) -> str:
    """Return median, 99 % quantile and largest value as cells of a table."""
    values = torch.tensor(errors, dtype=torch.float64).quantile(torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64))
    return ' | '.join(f'{value:.1e}' for value in values.tolist())


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--problems', type=int, default=300)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    single: dict[tuple[str, str], list[float]] = defaultdict(list)
    for i in tqdm(range(args.problems), desc='Problems'):
        kind = KINDS[i % len(KINDS)]
        case = RandomProblems(args.seed + i).problem(kind)
        for cls in solvers_of(case):
            reference = problem_gradients(cls, case, FullBackward())
            for backward in BACKWARDS:
                if backward in (FullBackward, TruncatedBackward):
                    continue
                if backward is ActiveSetBackward and not case.regularizer.elementwise:
                    continue
                found = problem_gradients(cls, case, backward.exact(N_ITERATIONS))
                errors[cls.__name__, backward.__name__] += gradient_errors(found, reference)
            if case.regularizer.elementwise:
                errors[cls.__name__, 'ImplicitBackward'] += implicit_gradient_errors(cls, case)

        dtype = torch.float32 if case.data.dtype == torch.float64 else torch.complex64
        case = RandomProblems(args.seed + i).problem(kind, dtype=dtype)
        for cls in solvers_of(case) if case.regularizer.elementwise else ():
            reference = problem_gradients(cls, double_precision(case), FullBackward())
            for way in (ActiveSetBackward(), FullBackward()):
                found = problem_gradients(cls, case, way)
                single[cls.__name__, type(way).__name__] += gradient_errors(found, reference)

    n_wrong = sum(not error <= TOLERANCE for values in errors.values() for error in values)
    print(
        f'{args.problems} problems, {sum(map(len, errors.values()))} derivatives in double precision, {n_wrong} '
        f'of them further than {TOLERANCE:g} from those of FullBackward.\n'
    )
    print('| solver | way | derivatives | median | 99 % | largest |\n|---|---|---|---|---|---|')
    for (cls_name, way_name), values in errors.items():
        print(f'| {cls_name} | {way_name} | {len(values)} | {quantiles(values)} |')
    print('\nSingle precision, beside FullBackward in double precision:\n')
    print('| solver | way | derivatives | median | 99 % | largest |\n|---|---|---|---|---|---|')
    for (cls_name, way_name), values in single.items():
        print(f'| {cls_name} | {way_name} | {len(values)} | {quantiles(values)} |')
    sys.exit(n_wrong > 0)


if __name__ == '__main__':
    main()
