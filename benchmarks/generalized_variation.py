"""Time of ADMM and PDHG to an objective of total generalized variation.

    python benchmarks/generalized_variation.py [--repeats 3]

One coil with random points at R = 4 and 8 coils with random lines, a brain-like phantom at 160 x 160, maps that are
small at edges. PDHG has the steps that the norm of its operator allows, with several ratios of dual and primal step, of
which the best counts: our own, and mrpro's for the same operators. The reference is the lowest objective of 6000
iterations of ADMM. Prints iterations and seconds (minimum / median / maximum of the repeats) to 1e-2 and 1e-3 above it,
in Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.algorithms.optimizers.pdhg import PDHGStatus
from mrpro.operators import FiniteDifferenceOp, IdentityOp, LinearOperator, LinearOperatorMatrix, RearrangeOp, ZeroOp
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.datasets import VariableDensityRandom
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalGeneralizedVariation
from mrpro_lambda.solvers import ADMM, PDHG, Problem, Solver
from mrpro_lambda.solvers.certificate import certificate

import problems

CHECKS = [*range(10, 200, 10), *range(200, 1000, 40), *range(1000, 6000, 200)]
REGULARIZER = TotalGeneralizedVariation((-2, -1))


def objective(problem: Problem, unknown: torch.Tensor) -> float:
    """Return the objective of an unknown."""
    zero = torch.zeros_like(REGULARIZER.transform(unknown))
    return certificate(problem, unknown, zero, bound='trivial').objective.sum().item()


@torch.no_grad()
def run(solver: Solver, problem: Problem, targets: list[float]) -> list[tuple[int, float] | None]:
    """Return iterations and seconds until the objective is at the targets, set-up included."""
    start = time.perf_counter()
    iteration = solver.iteration(problem)
    state, done, spent = iteration.owned(iteration.init()), 0, time.perf_counter() - start
    reached: list[tuple[int, float] | None] = [None for _ in targets]
    for n in CHECKS:
        start = time.perf_counter()
        iteration.run(state, done, n - done)
        spent, done = spent + time.perf_counter() - start, n
        value = objective(problem, state.primal)
        reached = [
            (n, spent) if found is None and value <= target else found
            for found, target in zip(reached, targets, strict=True)
        ]
        if reached[-1] is not None:
            break
    return reached


@torch.no_grad()
def run_mrpro(
    data: torch.Tensor,
    acquisition_op: LinearOperator,
    start: torch.Tensor,
    weights: torch.Tensor,
    problem: Problem,
    ratio: float,
    targets: list[float],
) -> list[tuple[int, float] | None]:
    """Return the same for mrpro's PDHG, whose objective is that of image and vector field together."""
    single, zero, minus = RearrangeOp('1 ... -> ...'), ZeroOp(keep_shape=True), -1.0 * IdentityOp()
    forward = [single @ FiniteDifferenceOp((d,), 'forward', 'circular') for d in (-2, -1)]
    backward = [single @ FiniteDifferenceOp((d,), 'backward', 'circular') for d in (-2, -1)]
    rows: list[tuple[LinearOperator, ...]] = [
        (acquisition_op, zero, zero),
        (forward[0], minus, zero),
        (forward[1], zero, minus),
        (zero, backward[0], zero),
        (zero, zero, backward[1]),
        (zero, 0.5 * backward[1], 0.5 * backward[0]),
    ]
    first, second = (L1NormViewAsReal(weight=weight) for weight in weights)
    functional = L2NormSquared(target=data, weight=0.5**0.5) | first | first | second | second | second
    norm = float(REGULARIZER.transform_op.norm_squared_with(problem.gram_norm, problem.rhs.shape).sqrt().amax())
    reached: list[tuple[int, float] | None] = [None for _ in targets]
    paused = 0.0
    begin = time.perf_counter()

    def callback(status: PDHGStatus) -> bool:
        nonlocal paused
        now, n = time.perf_counter(), status['iteration_number'] + 1
        if n not in CHECKS:
            return True
        value = objective(problem, torch.stack(status['solution']))
        for i, target in enumerate(targets):
            if reached[i] is None and value <= target:
                reached[i] = (n, now - begin - paused)
        paused += time.perf_counter() - now
        return reached[-1] is None

    initial = (start, torch.zeros_like(start), torch.zeros_like(start))
    steps = 0.97 / (norm * ratio), 0.97 * ratio / norm
    pdhg(functional, None, LinearOperatorMatrix(rows), initial, CHECKS[-1], 0, *steps, callback=callback)
    return reached


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = problems.random_lines(problems.magnitude(160), 8)
    points = problems.random_lines(problems.magnitude(160), 1)
    mask = VariableDensityRandom(4.0).mask((160, 160), torch.Generator().manual_seed(0))
    operator = CartesianAcquisitionOp(mask.reshape(1, 1, 1, 160, 160).float())
    data = operator(points.truth)[0]
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(1), dtype=data.dtype)
    data = data + problems.NOISE_STD * noise * (data != 0)
    cases = {
        '1 coil, points at R = 4': (data, operator, operator.adjoint(data)[0], points.lambda_map),
        '8 coils, lines': (lines.data, lines.operator, lines.initial_image, lines.lambda_map),
    }
    print('| | solver | to 1e-2: iterations | seconds | to 1e-3: iterations | seconds |\n|---|---|---|---|---|---|')
    for name, (y, op, x, weight) in cases.items():
        weights = torch.cat((weight, 1.5 * weight))
        problem = Problem.create(REGULARIZER, y, op, x, weights)
        iteration = ADMM(REGULARIZER, n_iterations=1, penalty_factor=2.0).iteration(problem)
        with torch.no_grad():
            state = iteration.run(iteration.owned(iteration.init()), 0, 6000)
        lowest = objective(problem, state.primal)
        targets = [1.01 * lowest, 1.001 * lowest]
        runners: dict[str, Callable[[], list[tuple[int, float] | None]]] = {
            'ADMM': partial(run, ADMM(REGULARIZER, n_iterations=1), problem, targets)
        }
        for ratio in (1.0, 2.0, 4.0, 8.0):
            solver = PDHG(REGULARIZER, n_iterations=1, step_ratio=ratio)
            runners[f'PDHG, ratio {ratio:g}'] = partial(run, solver, problem, targets)
        for ratio in (1.0, 4.0):
            runners[f'PDHG of mrpro, ratio {ratio:g}'] = partial(run_mrpro, y, op, x, weights, problem, ratio, targets)
        for title, runner in runners.items():
            runs = [runner() for _ in range(args.repeats)]
            cells = []
            for column in zip(*runs, strict=True):
                found = [item for item in column if item is not None]
                if not found:
                    cells += [f'> {CHECKS[-1]}', '-']
                    continue
                seconds = [item[1] for item in found]
                cells += [
                    str(found[0][0]),
                    f'{min(seconds):.2f} / {statistics.median(seconds):.2f} / {max(seconds):.2f}',
                ]
            print(f'| {name} | {title} | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
