"""Iterations of the solvers of counts of photons, side by side on a simulated low-dose scan.

    python benchmarks/low_dose_solvers.py --data-root DIR --size 96
    python benchmarks/low_dose_solvers.py --data-root DIR --size 362

For some numbers of iterations: how far the objective is from its minimum, relative to it, and what of that is proven,
without and with the repair of the dual variable. The minimum is the smallest objective of all. The image is a slice of
`ct-heads/CT_pitch.nii.gz`, a head phantom of the training images of `low_dose.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from mrpro_lambda.recipes import LowDoseRecipe
from mrpro_lambda.solvers import PD3O, PreconditionedPDHG, Problem
from mrpro_lambda.solvers.certificate import certificate_of_state
from mrpro_lambda.weighting import NoiseWeight, Scan

from low_dose import images, simulate

SHORT = (20, 30, 40, 50, 60, 70, 85, 100, 120, 140, 170, 200, 240, 280, 340, 400, 500, 700, 1000)
LONG = (100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000, 6000, 8000)


@torch.no_grad()
def main() -> None:
    """Run both solvers and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--size', type=int, default=96)
    parser.add_argument('--angles', type=int, default=60)
    parser.add_argument('--weight', type=float, default=0.0144, help='relative to the noise level')
    parser.add_argument('--longest', type=int, default=8000, help='largest number of iterations of PD3O')
    args = parser.parse_args()
    torch.set_num_threads(1)
    sample = simulate(images(args.data_root, args.size, test=False)[:1], args.angles, 4096, args.size, seed=5000)
    term, regularizer = sample.acquisition_op(), LowDoseRecipe().regularizer()
    solvers = {
        PreconditionedPDHG(regularizer, n_iterations=1): SHORT,
        PD3O(regularizer, n_iterations=1): [n for n in LONG if n <= args.longest],
    }
    rows: list[tuple[str, int, float, float, float, float]] = []
    for solver, numbers in solvers.items():
        scan = Scan(sample.data, term, sample.initial_image, sample.noise_std, solver)
        lambda_map = term.weight_unit(sample.data, sample.img) * NoiseWeight(args.weight)(scan)
        problem = Problem.create(regularizer, sample.data, term, sample.initial_image, lambda_map)
        iteration = solver.iteration(problem)
        state, done, seconds = iteration.owned(iteration.init()), 0, 0.0
        for n in numbers:
            start = time.process_time()
            iteration.run(state, done, n - done)
            seconds, done = seconds + time.process_time() - start, n
            plain = certificate_of_state(iteration, state, 'plain')
            gap = plain.relative_gap
            repaired = gap if gap < 1e-3 else certificate_of_state(iteration, state, 'repaired').relative_gap
            rows.append((type(solver).__name__, n, plain.objective.item(), gap, repaired, seconds))
            print(rows[-1], flush=True)
    smallest = min(row[2] for row in rows)
    print('| solver | iterations | distance | proven | proven, repaired | seconds |\n|---|---|---|---|---|---|')
    for name, n, objective, gap, repaired, seconds in rows:
        distance = objective / smallest - 1
        print(f'| {name} | {n} | {distance:.1e} | {gap:.1e} | {repaired:.1e} | {seconds:.1f} |')


if __name__ == '__main__':
    main()
