"""Certificates of random problems against their minima, and how many iterations they cost on test images.

Small problems of all kinds, as in `gradients.py`, are drawn from a seed in batches, with scales and weights over many
decades. The reference of each is the lowest objective that any solver finds in many iterations in double precision.
From the first iteration on, the gaps that each solver claims, with and without repair of the lower bound, are compared
with the distance of the objective to the reference. A gap below it is false. Every fifth batch of each kind is
solved in single precision.

    python benchmarks/certificates.py [--problems N] [--seed SEED] [--data-root DIR]

Prints the number of false gaps, with the exit code 1 if there are any, and quantiles of gap / distance: how loose the
gaps are. With a data root it prints for test images and shipped weights the iterations until the proven gap is below
the tolerance, beside those until the estimate is, which assumes a size of the minimizer, with the penalty of the
training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from itertools import count
from pathlib import Path

import mrpro_lambda
import torch
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.solvers import ADMM, Problem
from mrpro_lambda.solvers.certificate import Bound, certificate, certificate_of_state
from mrpro_lambda.solvers.Iteration import Iteration
from safetensors import safe_open
from tqdm import tqdm

from quality import images, simulate

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.solvers.cases import Case, SolverClass
from tests.solvers.random_problems import KINDS, RandomProblems, double_precision, scaled_batch, solvers_of

BATCH = 200
CHECKPOINTS = (1, 2, 3, 5, 10, 20, 50, 100, 300)
MODELS = {
    'tv-variable-density': 'variable-density',
    'tv-low-field': 'low-field',
    'cdl-v3': 'variable-density',
    'cdl-v3-low-field': 'low-field',
}


def iteration_of(case: Case, cls: SolverClass) -> Iteration:
    """Bind a solver to a problem."""
    return cls(case.regularizer, n_iterations=1).iteration(case.problem)


def objective(problem: Problem, unknown: torch.Tensor) -> torch.Tensor:
    """Return the objective of each image in the units of the data."""
    zero = torch.zeros_like(problem.regularizer.transform(unknown))
    return certificate(problem, unknown, zero, bound='trivial').objective * problem.scale**2


@torch.no_grad()
def reference(case: Case, n_iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lowest objectives that are found, and the smallest relative gaps."""
    lowest, gap = torch.tensor(torch.inf), torch.tensor(torch.inf)
    for cls in solvers_of(case):
        iteration = iteration_of(case, cls)
        state = iteration.run(iteration.owned(iteration.init()), 0, n_iterations)
        found = certificate_of_state(iteration, state, 'repaired')
        lowest = lowest.minimum(found.objective * iteration.problem.scale**2)
        gap = gap.minimum(found.gap / found.objective.maximum(found.noise))
    return lowest, gap


@torch.no_grad()
def claims(
    case: Case, cls: SolverClass, lowest: torch.Tensor
) -> list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return kind of bound, gap, distance to the reference, size of rounding errors and estimate, at checkpoints."""
    iteration = iteration_of(case, cls)
    problem = iteration.problem
    single = problem.threshold.dtype == torch.float32
    state, done = iteration.owned(iteration.init()), 0
    rows: list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for n in CHECKPOINTS:
        iteration.run(state, done, n - done)
        done = n
        exact = objective(problem.double, state.primal.to(problem.double.rhs.dtype))
        bounds: tuple[Bound, ...] = ('plain', 'repaired')
        for bound in bounds:
            found = certificate_of_state(iteration, state, bound)
            # of sums of the size of the objective, and of the energy of the data
            rounding = (1e-6 if single else 1e-11) * exact + problem.scale**2 * found.noise
            gap, estimate = (problem.scale**2 * x for x in (found.gap, found.estimate))
            rows.append((bound, gap, exact - lowest, rounding, estimate))
    return rows


def random_problems(n_problems: int, seed: int, n_iterations: int) -> int:
    """Compare gaps of random problems with their references, and return how many are false."""
    looseness: dict[tuple[str, str], list[torch.Tensor]] = defaultdict(list)
    n_claims, n_false, n_images, n_estimates, n_too_small, references = 0, 0, 0, 0, 0, []
    bar = tqdm(total=n_problems, desc='Problems')
    for i in count():
        if n_images >= n_problems:
            break
        kind, dtype = KINDS[i % len(KINDS)], torch.complex64 if i // len(KINDS) % 5 == 4 else None
        random = RandomProblems(seed + i)
        case = scaled_batch(random, random.problem(kind, n_batch=BATCH, dtype=dtype))
        lowest, gap = reference(double_precision(case), n_iterations)
        references.append(gap.flatten())
        n_images += lowest.numel()
        bar.update(lowest.numel())
        for cls in solvers_of(case):
            for bound, claimed, distance, rounding, estimate in claims(case, cls, lowest):
                n_claims += claimed.numel()
                false = ~(claimed >= distance - rounding)
                n_false += int(false.sum())
                clear = (distance > 1e-4 * lowest) & (distance > 1e3 * rounding)
                looseness[kind, bound].append((claimed / distance)[clear])
                if case.regularizer.synthesis_op is None and bound == 'plain':
                    within = estimate <= 1e-2 * lowest
                    n_estimates += int(within.sum())
                    n_too_small += int((within & (distance - rounding > 1e-2 * lowest)).sum())
    bar.close()
    print(
        f'{n_images} problems in batches of {BATCH}, {n_claims} gaps, {n_false} of them false. Certified relative '
        f'gap of the references: {100 * (torch.cat(references) < 1e-8).double().mean():.1f} % below 1e-8, '
        f'{100 * (torch.cat(references) < 1e-4).double().mean():.1f} % below 1e-4.\n'
        f'Of {n_estimates} estimates for total variation below 1e-2 of the minimum, {n_too_small} belong to a larger '
        'distance.\n'
    )
    print(
        '| regularizer | lower bound | gaps | smallest gap / distance | 10 % | median | 90 % |\n'
        '|---|---|---|---|---|---|---|'
    )
    levels = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64)
    for (kind, bound), ratios in looseness.items():
        values = torch.cat(ratios)
        print(f'| {kind} | {bound} | {len(values)} | ' + ' | '.join(f'{q:.3g}' for q in values.quantile(levels)) + ' |')
    return n_false


def iterations_on_images(root: Path, noise_levels: dict[str, float]) -> None:
    """Print how many iterations the tolerance takes on test images."""
    selected, groups = images(root, test=True)
    chosen = [0, 5, len(selected) - 9, len(selected) - 1]
    print('\n| weights | image | iterations, proven gap | iterations, estimate | ratio |\n|---|---|---|---|---|')
    for name, kind in MODELS.items():
        model = load_pretrained(name)
        solver = model.solver
        with safe_open(str(Path(mrpro_lambda.__file__).parent / 'weights' / f'{name}.safetensors'), 'pt') as file:
            penalty_factor = json.loads(file.metadata()['config'])['penalty_factor']
        if solver.max_iterations is None:
            raise TypeError(f'The weights must be solved to a tolerance, got {solver}.')
        as_trained = ADMM(
            solver.regularizer,
            max_iterations=solver.max_iterations,
            tolerance=solver.tolerance,
            penalty_factor=penalty_factor,
        )
        for i in chosen:
            sample = simulate(selected[i], kind, noise_levels[kind], 1000 + i)
            operator = sample.acquisition_op()
            with torch.no_grad():
                lambda_map = model.estimate(sample.initial_image, sample.noise_std)
                arguments = sample.data, operator, sample.initial_image
                iteration = as_trained.iteration(Problem.create(solver.regularizer, *arguments, lambda_map))
                state, done = iteration.owned(iteration.init()), 0
                while done < solver.max_iterations:
                    n_steps = min(max(10, done // 10), solver.max_iterations - done)
                    iteration.run(state, done, n_steps)
                    done += n_steps
                    # with coefficients that are still zero it means nothing
                    found = certificate_of_state(iteration, state, 'trivial')
                    if found.relative_estimate <= solver.tolerance and bool(state.primal.any()):
                        break
                n = model.solve(*arguments, lambda_map=lambda_map).solution.n_iterations
            print(f'| {name} | {groups[i]} {i} | {n} | {done} | {n / done:.2f} |', flush=True)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--problems', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--iterations', type=int, default=5000, help='iterations of the references')
    parser.add_argument('--data-root', type=Path, help='folder of images, for the iterations on test images')
    args = parser.parse_args()
    torch.set_num_threads(1)
    n_false = random_problems(args.problems, args.seed, args.iterations) if args.problems else 0
    if args.data_root is not None:
        iterations_on_images(args.data_root, {'variable-density': 0.1, 'low-field': 0.35})
    sys.exit(n_false > 0)


if __name__ == '__main__':
    main()
