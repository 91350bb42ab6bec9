"""Peers that find sparse coefficients of convolutional filters: SPORCO and SCICO. A missing one is named and skipped.

Both work on real images, or on the parts of complex ones; a mask acts on pixels, so that neither poses the problem of
undersampled k-space as it comes. They are compared on denoising of a real image, of which they get what the smooth part
leaves. SPORCO takes a Lambda map (`L1Weight`), SCICO's norm has one weight: one weight for all.

They count the offsets of a filter from its corner and convolve. Given mirrored filters, their coefficients are ours,
shifted by half of the size of a filter.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch

from cdl_problems import DictionaryProblem

Call = Callable[[int], torch.Tensor]
"""A run with a number of iterations, which returns the coefficients."""


def missing_dictionary_peers(*, gpu: bool) -> dict[str, str]:
    """Tell which peers are left out, and why."""
    reasons = {name: 'not installed' for name in ('sporco', 'scico') if importlib.util.find_spec(name) is None}
    return reasons | (dict.fromkeys(('sporco', 'scico'), 'run on the CPU only here') if gpu else {})


def _shifted(coefficients: np.ndarray, problem: DictionaryProblem) -> torch.Tensor:
    """Bring coefficients of shape (filters, y, x) to our offset and shape."""
    ny, nx = (n // 2 for n in problem.filters.shape[1:])
    moved = torch.from_numpy(np.roll(coefficients, (ny, nx), (-2, -1)).copy())
    return moved.reshape(len(moved), *problem.initial_image.shape)


def _arrays(problem: DictionaryProblem) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mirrored filters, the image without its smooth part, and the weight."""
    target = (problem.data - problem.smooth)[0, 0, 0]
    weight = problem.lambda_map.flatten()[0].item()
    return problem.filters.flip((-2, -1)).numpy(), target.numpy(), weight


def sporco_calls(problem: DictionaryProblem, threads: int) -> dict[str, Call]:
    """Bind SPORCO's two algorithms, without the statistics of each iteration, which take longer than the step.

    The penalty of ADMM is fixed at the value that SPORCO starts from by default: adapting it needs such statistics.
    """
    fft: Any = import_module('sporco.fft')
    fft.pyfftw_threads = threads
    filters, target, weight = _arrays(problem)
    filters = np.moveaxis(filters, 0, -1)
    shared = {'Verbose': False, 'FastSolve': True, 'DataType': np.dtype(np.float32)}
    step = {'L': problem.norm_squared() / 0.97}
    fixed = {'AutoRho': {'Enabled': False}}

    def run(module: str, options: Mapping[str, object], n: int) -> torch.Tensor:
        solver = import_module(module).ConvBPDN
        options = {**shared, **options, 'MaxMainIter': n}
        coefficients = solver(filters, target, weight, solver.Options(options)).solve()
        return _shifted(np.moveaxis(np.squeeze(coefficients), -1, 0), problem)

    return {
        'SPORCO ConvBPDN ADMM': lambda n: run('sporco.admm.cbpdn', fixed, n),
        'SPORCO ConvBPDN PGM': lambda n: run('sporco.pgm.cbpdn', step, n),
    }


def scico_calls(problem: DictionaryProblem) -> dict[str, Call]:
    """Bind SCICO's two algorithms; the penalty of ADMM is that of SPORCO."""
    scico, jnp = import_module('scico'), import_module('jax.numpy')
    linop = import_module('scico.linop')
    optimize = import_module('scico.optimize')
    frequency_solver = import_module('scico.optimize.admm').FBlockCircularConvolveSolver
    filters, target, weight = _arrays(problem)
    shape = (len(filters), *target.shape)
    convolution = linop.CircularConvolve(jnp.asarray(filters), input_shape=shape, input_dtype=np.float32, ndims=2)
    operator = linop.Sum(input_shape=convolution.output_shape, input_dtype=np.float32, axis=0) @ convolution
    loss = scico.loss.SquaredL2Loss(y=jnp.asarray(target), A=operator)
    norm = weight * scico.functional.L1Norm()
    start = jnp.zeros(shape, dtype=np.float32)

    def admm(n: int) -> torch.Tensor:
        solver = optimize.ADMM(
            f=loss,
            g_list=[norm],
            C_list=[linop.Identity(shape)],
            rho_list=[50 * weight + 1],
            alpha=1.8,
            x0=start,
            maxiter=n,
            subproblem_solver=frequency_solver(ndims=2),
            itstat_options={'fields': {}, 'itstat_func': lambda _: ()},
        )
        solver.solve()
        return _shifted(np.asarray(solver.z_list[0]), problem)

    def pgm(n: int) -> torch.Tensor:
        solver = optimize.AcceleratedPGM(
            f=loss,
            g=norm,
            L0=problem.norm_squared() / 0.97,
            x0=start,
            maxiter=n,
            itstat_options={'fields': {}, 'itstat_func': lambda _: ()},
        )
        return _shifted(np.asarray(solver.solve()), problem)

    return {'SCICO ADMM': admm, 'SCICO AcceleratedPGM': pgm}
