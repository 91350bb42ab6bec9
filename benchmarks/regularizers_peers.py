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
- deepinv: `TVDenoiser`, for a real image. Its `TGVDenoiser` takes the full Jacobian of the vector field where the
  problem here has the symmetrized one, so that it minimizes something else.
- SciPy: least squares by LSQR; NumPy: closed form in Fourier space.
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
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pywt
import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import (
    FiniteDifferenceOp,
    IdentityOp,
    LinearOperator,
    LinearOperatorMatrix,
    ProximableFunctional,
    RearrangeOp,
    ZeroOp,
)
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.operators import CartesianAcquisitionOp, Transform
from mrpro_lambda.regularizers import (
    Regularizer,
    Sparsity,
    Tikhonov,
    TotalGeneralizedVariation,
    TotalVariation,
    WaveletSparsity,
)
from mrpro_lambda.solvers import ADMM, ConjugateGradient, Problem, Solver

from problems import ELLIPSES, NOISE_STD

DIM = (-2, -1)
WAVELET, LEVELS = 'db4', 3


class Row(NamedTuple):
    """A regularizer with a solver of another package for the same problem."""

    name: str
    regularizer: Regularizer
    acquisition_op: LinearOperator
    data: torch.Tensor
    weight: float | list[float]
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


def sigpy_generalized(mask: torch.Tensor, data: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """Solve for image and vector field by SigPy, whose differences are backward ones."""
    import sigpy
    from sigpy import linop

    shape = tuple(mask.shape[-2:])
    unknown = (3, *shape)
    img, *field = (linop.Slice(unknown, i) for i in range(3))
    backward = [linop.Identity(shape) - linop.Circshift(shape, [1], axes=[d]) for d in (0, 1)]
    forward = [linop.Circshift(shape, [-1], axes=[d]) * backward[d] for d in (0, 1)]
    rows = [difference * img - v for difference, v in zip(forward, field, strict=True)]
    symmetrized = [backward[0] * field[0], backward[1] * field[1]]
    symmetrized.append(0.5 * (backward[0] * field[1] + backward[1] * field[0]))
    # one weight for all rows, the ratio of the two is part of the operator
    rows += [weights[1] / weights[0] * row for row in symmetrized]
    operator = linop.Vstack([linop.Reshape((1, *shape), shape) * row for row in rows], axis=0)
    acquisition = linop.Multiply(shape, mask.reshape(shape).numpy()) * linop.FFT(shape) * img
    app = sigpy.app.LinearLeastSquares(
        acquisition,
        data.reshape(shape).numpy(),
        x=np.zeros(unknown, np.complex128),
        proxg=sigpy.prox.L1Reg(operator.oshape, weights[0]),
        G=operator,
        max_iter=2000,
        show_pbar=False,
    )
    return torch.from_numpy(app.run()).reshape(3, *mask.shape)


def mrpro_solve(
    acquisition_op: LinearOperator,
    data: torch.Tensor,
    parts: list[tuple[Sequence[LinearOperator], ProximableFunctional]],
    norm_squared: float,
    n: int = 2000,
    step_ratio: float = 1.0,
) -> torch.Tensor:
    """Solve by mrpro's PDHG, with one row for the data, which the first unknown makes, and one for each part.

    Its power iteration wants float32, so that the steps are given, the dual one `step_ratio` times the primal one.
    """
    n_more = len(parts[0][0]) - 1
    rows = [(acquisition_op, *(ZeroOp(keep_shape=True) for _ in range(n_more))), *(tuple(row) for row, _ in parts)]
    f: Any = L2NormSquared(target=data, weight=0.5**0.5)
    for _, functional in parts:
        f = f | functional
    step = 0.99 / (1 + norm_squared) ** 0.5
    (start,) = acquisition_op.adjoint(data)
    initial = (start, *(torch.zeros_like(start) for _ in range(n_more)))
    found = pdhg(f, None, LinearOperatorMatrix(rows), initial, n, 0, step / step_ratio**0.5, step * step_ratio**0.5)
    return torch.stack(found) if n_more else found[0]


def mrpro_generalized(
    acquisition_op: LinearOperator, data: torch.Tensor, weights: list[float], norm_squared: float
) -> torch.Tensor:
    """Solve for image and vector field by mrpro's PDHG."""
    single = RearrangeOp('1 ... -> ...')
    forward = [single @ FiniteDifferenceOp((d,), 'forward', 'circular') for d in DIM]
    backward = [single @ FiniteDifferenceOp((d,), 'backward', 'circular') for d in DIM]
    zero, minus = ZeroOp(keep_shape=True), -1.0 * IdentityOp()
    first, second = (L1NormViewAsReal(weight=weight) for weight in weights)
    parts: list[tuple[Sequence[LinearOperator], ProximableFunctional]] = [
        ((forward[0], minus, zero), first),
        ((forward[1], zero, minus), first),
        ((zero, backward[0], zero), second),
        ((zero, zero, backward[1]), second),
        ((zero, 0.5 * backward[1], 0.5 * backward[0]), second),
    ]
    # with equal steps the image is off by 1.5e-3 after 3000 iterations (48 x 48)
    return mrpro_solve(acquisition_op, data, parts, norm_squared, 3000, step_ratio=10.0)


def deepinv_solve(data: torch.Tensor, weight: float) -> torch.Tensor:
    """Denoise a real image by deepinv."""
    from deepinv.models import TVDenoiser

    denoiser = TVDenoiser(n_it_max=5000, crit=1e-9)
    return denoiser(data[0], torch.tensor(weight, dtype=data.dtype))[None]


def tikhonov_solve(mask: torch.Tensor, data: torch.Tensor, weight: float) -> torch.Tensor:
    """Divide by the eigenvalues of the system, by NumPy; the frequencies of samples are centered."""
    shape = tuple(mask.shape[-2:])
    squares = [(2 * np.sin(np.pi * np.fft.fftshift(np.fft.fftfreq(n)))) ** 2 for n in shape]
    system = mask.reshape(shape).numpy() + weight * (squares[0][:, None] + squares[1])
    spectrum = np.fft.ifftshift(data.reshape(shape).numpy() / system)
    return torch.from_numpy(np.fft.fftshift(np.fft.ifftn(spectrum, norm='ortho'))).reshape(mask.shape)


def least_squares(
    acquisition_op: LinearOperator, data: torch.Tensor, transform_op: Transform, weight: float
) -> torch.Tensor:
    """Solve the stacked least-squares problem by LSQR of SciPy."""
    from scipy.sparse.linalg import LinearOperator as Matrix
    from scipy.sparse.linalg import lsqr

    (rhs,) = acquisition_op.adjoint(data)
    rows = transform_op(rhs)[0].shape
    n, root = data.numel(), weight**0.5

    def forward(x: np.ndarray) -> np.ndarray:
        img = torch.from_numpy(x.ravel()).reshape(rhs.shape)
        return torch.cat([acquisition_op(img)[0].flatten(), root * transform_op(img)[0].flatten()]).numpy()

    def adjoint(z: np.ndarray) -> np.ndarray:
        first, second = torch.from_numpy(z.ravel()).tensor_split((n,))
        img = acquisition_op.adjoint(first.reshape(data.shape))[0]
        return (img + root * transform_op.adjoint(second.reshape(rows))[0]).flatten().numpy()

    size = n + rows.numel()
    matrix = Matrix((size, rhs.numel()), forward, rmatvec=adjoint, dtype=np.complex128)
    x = lsqr(matrix, torch.cat([data.flatten(), data.new_zeros(rows.numel())]).numpy(), atol=1e-10, btol=1e-10)[0]
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
        lambda: mrpro_solve(acquisition_op, data, [((gradient(d),), l1) for d in DIM], 8),
    )

    real = (img + noise).real.clone()
    yield Row(
        'total variation, denoising',
        TotalVariation(DIM, boundary='neumann', isotropic=True),
        IdentityOp(),
        real,
        weight,
        'deepinv, TVDenoiser',
        None if importlib.util.find_spec('deepinv') else 'not installed',
        lambda: deepinv_solve(real, weight),
    )
    weights = [weight, 1.5 * weight]
    yield Row(
        'generalized variation',
        TotalGeneralizedVariation(DIM, complex_modulus=True),
        acquisition_op,
        data,
        weights,
        'SigPy, PDHG',
        sigpy,
        lambda: sigpy_generalized(mask, data, weights),
    )
    generalized = TotalGeneralizedVariation(DIM)
    yield Row(
        'generalized variation',
        generalized,
        acquisition_op,
        data,
        weights,
        'mrpro, PDHG',
        None,
        lambda: mrpro_generalized(acquisition_op, data, weights, generalized.norm(data.shape) ** 2),
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
        lambda: mrpro_solve(acquisition_op, data, [*(((gradient(d),), l1) for d in DIM), ((IdentityOp(),), l1)], 9),
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
        lambda: mrpro_solve(acquisition_op, data, [((undecimated.transform_op,), L1NormViewAsReal(weight=bands))], 1),
    )
    tikhonov = Tikhonov(DIM)
    peers = {
        'NumPy, closed form': lambda: tikhonov_solve(mask, data, weight),
        'SciPy, LSQR': lambda: least_squares(acquisition_op, data, tikhonov.transform_op, weight),
    }
    for peer, solve in peers.items():
        yield Row('Tikhonov', tikhonov, *arguments, peer, None, solve)


def objective(problem: Problem, unknown: torch.Tensor) -> float:
    """Evaluate the objective of an unknown."""
    regularization = problem.regularizer.value(problem.regularizer.transform(unknown), problem.threshold)
    return (0.5 * (problem.forward(unknown) - problem.data).abs().square().sum() + regularization).item()


def create_solver(regularizer: Regularizer, tolerance: float) -> Solver:
    """Return our solver, with the penalties that reach a proof early."""
    if isinstance(regularizer, Tikhonov):
        return ConjugateGradient(regularizer, max_iterations=5000, tolerance=tolerance)
    factor = 0.4 if isinstance(regularizer, TotalGeneralizedVariation) else 1.0
    return ADMM(regularizer, max_iterations=5000, tolerance=tolerance, penalty_factor=factor)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--tolerance', type=float, default=1e-4)
    parser.add_argument('--only', nargs='+', help='names of regularizers')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    print(
        '| regularizer | maps | other solver | objective, ours | other | images differ by | proven gap | time, ours | '
        'other |\n|---|---|---|---|---|---|---|---|---|'
    )
    for row in rows(args.size):
        if args.only and row.name not in args.only:
            continue
        start_image = row.acquisition_op.adjoint(row.data)[0]
        inputs = row.data, row.acquisition_op, start_image, row.weight
        start = time.perf_counter()
        solution = create_solver(row.regularizer, args.tolerance).solve(*inputs)
        ours = time.perf_counter() - start
        cells = f'| {row.name} | {row.regularizer.n_maps} | {row.peer} | {solution.objective.item():.4f}'
        gap = f'{solution.relative_gap:.0e} | {ours:.2f} s'
        if row.missing is not None:
            print(f'{cells} | {row.missing} | | {gap} | |')
            continue
        start = time.perf_counter()
        unknown = row.solve()
        theirs = time.perf_counter() - start
        problem = Problem.create(row.regularizer, *inputs)
        value, img = objective(problem, unknown), problem.image(unknown)
        difference = ((solution.img - img).norm() / img.norm()).item()
        print(f'{cells} | {value:.4f} | {difference:.1e} | {gap} | {theirs:.2f} s |', flush=True)


if __name__ == '__main__':
    main()
