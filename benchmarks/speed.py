"""Time per iteration of PDHG for TV-Lambda beside mrpro's `pdhg`, on the same problem in the same run.

    python benchmarks/speed.py [--size 320] [--iterations 128] [--repeats 7] [--threads 2]

Both take the same steps from the same start, and the results are compared before they are timed. The two take turns, so
that a change of the machine's speed meets both. Prints milliseconds per iteration as minimum, median and maximum.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import FiniteDifferenceOp, LinearOperator, LinearOperatorMatrix
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.datasets import SimulatedAcquisitions, VariableDensityRandom, acquisition_op
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG
from torch.utils.data import default_collate


def problem(size: int) -> tuple[torch.Tensor, LinearOperator, torch.Tensor, torch.Tensor]:
    """Simulate an acquisition of disks and make a smooth Lambda map."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    disks = torch.stack(
        [((y - cy) ** 2 + (x - cx) ** 2 < r**2).float() for cy, cx, r in ((0, 0, 0.8), (0.2, 0.3, 0.2))]
    ).sum(0)
    sample = default_collate([SimulatedAcquisitions([disks], VariableDensityRandom(4.0), noise=0.1)[0]])
    lambda_map = 0.2 * sample.noise_std * (1 + 0.5 * torch.cos(6 * x) * torch.cos(5 * y))[None, None, None]
    return sample.data, acquisition_op(sample), sample.initial_image, lambda_map[None]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=320)
    parser.add_argument('--iterations', type=int, default=128)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data, operator, initial_image, lambda_map = problem(args.size)
    n = args.iterations
    regularizer = TotalVariation((-2, -1))

    ours = PDHG(regularizer, n_iterations=n)
    step = 0.97 / (1 + regularizer.norm(initial_image.shape) ** 2) ** 0.5
    f = L2NormSquared(target=data, weight=0.5**0.5) | L1NormViewAsReal(weight=lambda_map)
    gradient = FiniteDifferenceOp(dim=(-2, -1), mode='forward', pad_mode='circular')
    matrix = LinearOperatorMatrix(((operator,), (gradient,)))

    def mrpro_pdhg() -> torch.Tensor:
        (img,) = pdhg(f, None, matrix, (initial_image,), n, primal_stepsize=step, dual_stepsize=step)
        return img

    def frequencies() -> torch.Tensor:
        img = initial_image.clone()
        for _ in range(n):
            torch.fft.ifftn(torch.fft.fftn(img, dim=(-2, -1)), dim=(-2, -1), out=img)
        return img

    methods: dict[str, Callable[[], torch.Tensor]] = {
        'mrpro pdhg': mrpro_pdhg,
        'PDHG': lambda: ours(data, operator, initial_image, lambda_map),
        'ADMM': lambda: ADMM(regularizer, n_iterations=n)(data, operator, initial_image, lambda_map),
        'one pair of FFTs': frequencies,
    }
    with torch.no_grad():
        reference, img = mrpro_pdhg(), methods['PDHG']()
        difference = ((img - reference).norm() / reference.norm()).item()
        times: dict[str, list[float]] = {name: [] for name in methods}
        for repeat in range(args.repeats + 1):
            for name, method in methods.items():
                start = time.perf_counter()
                method()
                if repeat:  # the first is a warm-up
                    times[name].append((time.perf_counter() - start) / n * 1e3)
    print(f'{args.size} x {args.size}, complex64, {n} iterations, {args.threads} thread(s), torch {torch.__version__}')
    print(f'relative difference of the images of PDHG and mrpro pdhg: {difference:.1e}\n')
    print('| | ms per iteration: min | median | max | median relative to mrpro pdhg |\n|---|---|---|---|---|')
    medians = {name: sorted(t)[len(t) // 2] for name, t in times.items()}
    for name, t in times.items():
        ratio = medians['mrpro pdhg'] / medians[name]
        print(f'| {name} | {min(t):.2f} | {medians[name]:.2f} | {max(t):.2f} | {ratio:.1f} x faster |')


if __name__ == '__main__':
    main()
