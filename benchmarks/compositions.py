"""Time per iteration of ADMM with mrpro's compositions of a Cartesian acquisition, beside our own operator.

All are the same acquisition of random lines; 320 x 320 voxels, one coil and eight coils, complex64. They are timed in
turns in one process, by blocks of iterations after the set-up.

    python benchmarks/compositions.py [--size 320] [--iterations 20] [--repeats 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FastFourierOp, FourierOp, LinearOperator, SensitivityOp
from mrpro.operators.CartesianSamplingOp import CartesianMaskingOp, CartesianSamplingOp
from mrpro_lambda import solvers
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalVariation

from measure import alternate, machine, number, table
from problems import Problem, magnitude, random_lines


def compositions(problem: Problem) -> dict[str, LinearOperator]:
    """Return the acquisition of a problem as users of mrpro may write it."""
    own = problem.operator
    assert isinstance(own, CartesianAcquisitionOp)
    n_y, n_x = problem.truth.shape[-2:]
    lines = own.mask[0, 0, 0, :, 0].nonzero().flatten() - n_y // 2
    ky, kx = lines.reshape(1, 1, 1, -1, 1), (torch.arange(n_x) - n_x // 2).reshape(1, 1, 1, 1, -1)
    trajectory = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky.float(), kx.float())
    matrix = SpatialDimension(1, n_y, n_x)
    fourier_op = FourierOp(matrix, matrix, trajectory)
    sampling_op = CartesianSamplingOp(matrix, trajectory)
    mask_op, fft_op = CartesianMaskingOp(own.mask), FastFourierOp((-2, -1))
    ones = torch.ones(n_y, 1)
    if own.csm is None:
        return {
            'FourierOp': fourier_op,
            'CartesianMaskingOp @ FastFourierOp': mask_op @ fft_op,
            'CartesianSamplingOp @ FastFourierOp': sampling_op @ fft_op,
            'weight * (CartesianMaskingOp @ FastFourierOp)': ones * (mask_op @ fft_op),
            '1j * FourierOp': 1j * fourier_op,
        }
    csm_op = SensitivityOp(own.csm)
    return {
        'FourierOp @ SensitivityOp': fourier_op @ csm_op,
        '(CartesianMaskingOp @ FastFourierOp) @ SensitivityOp': (mask_op @ fft_op) @ csm_op,
        'CartesianMaskingOp @ (FastFourierOp @ SensitivityOp)': mask_op @ (fft_op @ csm_op),
        'CartesianSamplingOp @ FastFourierOp @ SensitivityOp': sampling_op @ fft_op @ csm_op,
        'weight * (CartesianMaskingOp @ FastFourierOp @ SensitivityOp)': ones * (mask_op @ fft_op @ csm_op),
        '(weight * CartesianMaskingOp) @ (FastFourierOp @ SensitivityOp) * 1j': (ones * mask_op)
        @ (fft_op @ csm_op)
        * 1j,
    }


def iterations(problem: Problem, operator: LinearOperator, n: int) -> Callable[[], object]:
    """Set ADMM up and return a function that does iterations."""
    (data,) = operator(problem.truth)
    solver = solvers.ADMM(TotalVariation((-2, -1)), n_iterations=n)
    iteration = solver.iteration(
        solvers.Problem.create(solver.regularizer, data, operator, problem.initial_image, problem.lambda_map)
    )
    state = iteration.owned(iteration.init())
    return partial(iteration.run, state, 0, n)


@torch.no_grad()
def main() -> None:
    """Print one table for one coil and one for eight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=320)
    parser.add_argument('--iterations', type=int, default=20)
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine('cpu'))
    for n_coils in (1, 8):
        problem = random_lines(magnitude(args.size), n_coils)
        operators = {'CartesianAcquisitionOp': problem.operator, **compositions(problem)}
        functions = {name: iterations(problem, operator, args.iterations) for name, operator in operators.items()}
        times = alternate(functions, args.repeats, 'cpu')
        own = statistics.median(times['CartesianAcquisitionOp'])
        rows = []
        for name, values in times.items():
            statistic = (statistics.median(values), min(values), max(values))
            rows.append([name, *(number(1e3 * t / args.iterations) for t in statistic), f'{statistic[0] / own:.3f}'])
        print(f'### {args.size} x {args.size}, {n_coils} coil(s), ms per iteration\n')
        print(table(['', 'median', 'min', 'max', 'ratio'], rows))


if __name__ == '__main__':
    main()
