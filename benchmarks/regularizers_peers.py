"""Regularizers beside independent solvers of the same problem, one problem each: objective, difference and time.

An image of ellipses with values up to 1 and a smooth phase, noisy samples of a part of its frequencies (one coil,
Cartesian), and a number as the weight. Where a package takes the modulus of complex numbers, so do we. The objective is
ours, in double precision, of the images that both return; ours stops at the tolerance that it proves, the others after
a fixed number of iterations.

    python benchmarks/regularizers_peers.py [--size N] [--tolerance T]

- SigPy: `LinearLeastSquares` (proximal gradient steps, or PDHG where there is a transform), with its own finite
  differences and with the wavelet transform of PyWavelets (``mode='periodization'``).
- mrpro: `pdhg` with its finite differences.
- PyWavelets: thresholds in closed form, for denoising.
- SciPy: conjugate gradients.
- BART: `pics -R W` has random shifts of the wavelets, so that it minimizes something else; `-R T` is in
  `time_to_accuracy.py`.

Prints a Markdown table. Packages that are not installed are named.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pywt
import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import FiniteDifferenceOp, IdentityOp, LinearOperator, LinearOperatorMatrix, ProximableFunctional
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda import regularizers
from mrpro_lambda.operators import CartesianAcquisitionOp, Transform
from mrpro_lambda.regularizers import Regularizer, Sparsity, TotalVariation, WaveletSparsity
from mrpro_lambda.solvers import ADMM, Problem

from problems import ELLIPSES, NOISE_STD

DIM = (-2, -1)
WAVELET, LEVELS = 'db4', 3


class Row(NamedTuple):
    """A regularizer with a solver of another package for the same problem."""

    name: str
    regularizer: Regularizer
    acquisition_op: LinearOperator
    data: torch.Tensor
    weight: float
    peer: str
    missing: str | None
    solve: Callable[[], torch.Tensor]


def image(size: int) -> torch.Tensor:
    """Sum of ellipses with a smooth phase."""
    y, x = torch.meshgrid(*(torch.linspace(-0.5, 0.5, size, dtype=torch.float64),) * 2, indexing='ij')
    img = torch.zeros(size, size, dtype=torch.float64)
    for center_x, center_y, radius_x, radius_y, value in ELLIPSES:
        img += value * (((x - center_x) / radius_x).square() + ((y - center_y) / radius_y).square() < 1)
    return torch.polar(img.clamp_min(0), 2 * x + y.square())[None, None, None]


def sigpy_solve(
    mask: torch.Tensor,
    data: torch.Tensor,
    weight: float,
    transform: Callable[..., object] | None = None,
    prox: object = None,
    n: int = 1000,
) -> torch.Tensor:
    """Solve by SigPy with the modulus of the coefficients of a transform, or with a proximal mapping of the image."""
    import sigpy

    shape = tuple(mask.shape[-2:])
    forward = sigpy.linop.Multiply(shape, mask.reshape(shape).numpy()) * sigpy.linop.FFT(shape)
    arguments: dict[str, object] = {'proxg': prox or sigpy.prox.L1Reg(shape, weight)}
    if transform is not None:
        operator: Any = transform(sigpy.linop, shape)
        arguments = {'proxg': sigpy.prox.L1Reg(operator.oshape, weight), 'G': operator}
    start = np.zeros(shape, np.complex128)
    app = sigpy.app.LinearLeastSquares(
        forward, data.reshape(shape).numpy(), x=start, max_iter=n, show_pbar=False, **arguments
    )
    return torch.from_numpy(app.run()).reshape(mask.shape)


def sigpy_wavelets(mask: torch.Tensor, data: torch.Tensor, weight: float) -> torch.Tensor:
    """Shrink the details of PyWavelets' orthonormal transform in SigPy's proximal gradient steps."""
    import sigpy

    def prox(alpha: float, x: np.ndarray) -> np.ndarray:
        return shrink_details(x, alpha * weight)

    class Details(sigpy.prox.Prox):
        def _prox(self, alpha: float, x: np.ndarray) -> np.ndarray:
            return prox(alpha, x)

    return sigpy_solve(mask, data, weight, prox=Details(tuple(mask.shape[-2:])))


def shrink_details(x: np.ndarray, weight: float) -> np.ndarray:
    """Shrink the moduli of all coefficients but those of the approximation."""
    approximation, *details = pywt.wavedecn(x, WAVELET, 'periodization', LEVELS)
    details = [{key: pywt.threshold(c, weight) for key, c in level.items()} for level in details]
    return pywt.waverecn([approximation, *details], WAVELET, 'periodization')


def mrpro_solve(
    acquisition_op: LinearOperator,
    data: torch.Tensor,
    parts: list[tuple[LinearOperator, ProximableFunctional]],
    norm_squared: float,
    n: int = 2000,
) -> torch.Tensor:
    """Solve by mrpro's PDHG, with one row for the data and one for each part; its power iteration wants float32."""
    rows = [(acquisition_op,), *((operator,) for operator, _ in parts)]
    f: Any = L2NormSquared(target=data, weight=0.5**0.5)
    for _, functional in parts:
        f = f | functional
    step = 0.99 / (1 + norm_squared) ** 0.5
    (img,) = pdhg(f, None, LinearOperatorMatrix(rows), (acquisition_op.adjoint(data)[0],), n, 0, step, step)
    return img


def conjugate_gradients(
    acquisition_op: LinearOperator, data: torch.Tensor, transform_op: Transform, weight: float
) -> torch.Tensor:
    """Solve the normal equations of the quadratic problem by SciPy."""
    from scipy.sparse.linalg import LinearOperator as Matrix
    from scipy.sparse.linalg import cg

    (rhs,) = acquisition_op.adjoint(data)

    def normal(x: np.ndarray) -> np.ndarray:
        img = torch.from_numpy(x).reshape(rhs.shape)
        gram = acquisition_op.adjoint(acquisition_op(img)[0])[0]
        return (gram + weight * transform_op.adjoint(transform_op(img)[0])[0]).flatten().numpy()

    x, _ = cg(Matrix((rhs.numel(),) * 2, normal, dtype=np.complex128), rhs.flatten().numpy(), rtol=1e-10)
    return torch.from_numpy(x).reshape(rhs.shape)


def rows(size: int) -> Iterator[Row]:
    """Yield a problem for each regularizer."""
    rng = torch.Generator().manual_seed(0)
    img = image(size)
    mask = (torch.rand(img.shape, generator=rng, dtype=torch.float64) < 0.4).double()
    low, high = size // 2 - size // 12, size // 2 + size // 12
    mask[..., low:high, low:high] = 1
    acquisition_op = CartesianAcquisitionOp(mask)
    noise = NOISE_STD * torch.randn(img.shape, generator=rng, dtype=torch.complex128)
    data = acquisition_op(img)[0] + mask * noise
    sigpy = None if importlib.util.find_spec('sigpy') else 'not installed'
    weight = NOISE_STD
    arguments = acquisition_op, data, weight

    modulus = TotalVariation(DIM, complex_modulus=True)
    yield Row(
        'total variation',
        modulus,
        *arguments,
        'SigPy, PDHG',
        sigpy,
        lambda: sigpy_solve(mask, data, weight, lambda linop, shape: linop.FiniteDifference(shape)),
    )

    def gradient(axis: int) -> LinearOperator:
        return FiniteDifferenceOp((axis,), 'forward', 'circular')

    l1 = L1NormViewAsReal(weight=weight)
    yield Row(
        'total variation',
        TotalVariation(DIM),
        *arguments,
        'mrpro, PDHG',
        None,
        lambda: mrpro_solve(acquisition_op, data, [(gradient(d), l1) for d in DIM], 8),
    )

    yield Row(
        'l1 of the image',
        Sparsity(complex_modulus=True),
        *arguments,
        'SigPy, FISTA',
        sigpy,
        lambda: sigpy_solve(mask, data, weight),
    )

    def lasso(linop: ModuleType, shape: tuple[int, int]) -> object:
        n = shape[0] * shape[1]
        differences = linop.Reshape((2 * n,), (2, *shape)) * linop.FiniteDifference(shape)
        return linop.Vstack([differences, linop.Reshape((n,), shape) * linop.Identity(shape)], axis=0)

    yield Row(
        'fused lasso',
        modulus + Sparsity(complex_modulus=True),
        *arguments,
        'SigPy, PDHG',
        sigpy,
        lambda: sigpy_solve(mask, data, weight, lasso),
    )
    yield Row(
        'fused lasso',
        TotalVariation(DIM) + Sparsity(),
        *arguments,
        'mrpro, PDHG',
        None,
        lambda: mrpro_solve(acquisition_op, data, [*((gradient(d), l1) for d in DIM), (IdentityOp(), l1)], 9),
    )
    orthonormal = WaveletSparsity(DIM, WAVELET, LEVELS, maps='one', complex_modulus=True)
    noisy = img + noise
    yield Row(
        'wavelets, denoising',
        orthonormal,
        IdentityOp(),
        noisy,
        weight,
        'PyWavelets, closed form',
        None,
        lambda: torch.from_numpy(shrink_details(noisy[0, 0, 0].numpy(), weight)).reshape(noisy.shape),
    )
    yield Row(
        'wavelets',
        orthonormal,
        *arguments,
        'SigPy, FISTA with PyWavelets',
        sigpy,
        lambda: sigpy_wavelets(mask, data, weight),
    )
    bart = 'minimizes over random shifts' if shutil.which('bart') else 'not installed'
    yield Row('wavelets', orthonormal, *arguments, 'BART, pics -R W', bart, lambda: data)

    undecimated = WaveletSparsity(DIM, WAVELET, LEVELS, undecimated=True, maps='one')
    # the first band, the approximation, has the weight 0
    bands = undecimated.expand(undecimated.lambda_map(weight, img), img)
    yield Row(
        'undecimated wavelets',
        undecimated,
        *arguments,
        'mrpro, PDHG (our transform)',
        None,
        lambda: mrpro_solve(acquisition_op, data, [(undecimated.transform_op, L1NormViewAsReal(weight=bands))], 1),
    )
    if hasattr(regularizers, 'Tikhonov'):
        tikhonov = regularizers.Tikhonov(DIM)
        yield Row(
            'Tikhonov',
            tikhonov,
            *arguments,
            'SciPy, conjugate gradients',
            None,
            lambda: conjugate_gradients(acquisition_op, data, tikhonov.transform_op, weight),
        )


def objective(problem: Problem, img: torch.Tensor) -> float:
    """Evaluate the objective of an image."""
    regularization = problem.regularizer.value(problem.regularizer.transform(img), problem.threshold)
    return (0.5 * (problem.acquisition_op(img)[0] - problem.data).abs().square().sum() + regularization).item()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--tolerance', type=float, default=1e-4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    print(
        '| regularizer | maps | other solver | objective, ours | other | images differ by | proven gap | time, ours | '
        'other |\n|---|---|---|---|---|---|---|---|---|'
    )
    for row in rows(args.size):
        start_image = row.acquisition_op.adjoint(row.data)[0]
        inputs = row.data, row.acquisition_op, start_image, row.weight
        start = time.perf_counter()
        solution = ADMM(row.regularizer, max_iterations=5000, tolerance=args.tolerance).solve(*inputs)
        ours = time.perf_counter() - start
        cells = f'| {row.name} | {row.regularizer.n_maps} | {row.peer} | {solution.objective.item():.4f}'
        gap = f'{solution.relative_gap:.0e} | {ours:.2f} s'
        if row.missing is not None:
            print(f'{cells} | {row.missing} | | {gap} | |')
            continue
        start = time.perf_counter()
        img = row.solve()
        theirs = time.perf_counter() - start
        value = objective(Problem.create(row.regularizer, *inputs), img)
        difference = ((solution.img - img).norm() / img.norm()).item()
        print(f'{cells} | {value:.4f} | {difference:.1e} | {gap} | {theirs:.2f} s |', flush=True)


if __name__ == '__main__':
    main()
