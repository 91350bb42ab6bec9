"""Peers that solve a total variation problem: SigPy, deepinv and BART. A missing one is named and skipped.

What they minimize is not always what we do:

- deepinv `PDCP` is given our gradient (circular), the l1 prior, the closed-form proximal mapping of its `MRI` physics
  and a Lambda map: our objective.
- SigPy `TotalVariationRecon` has circular differences, one weight, and the modulus of complex differences of each
  direction: our `TotalVariation(complex_modulus=True)` with a number. Its steps are its own (sigma = 1, tau from a
  power iteration of 30 steps).
- BART `pics -R T` has one weight and the joint norm of directions and complex parts: our
  `TotalVariation(isotropic=True, complex_modulus=True)` with a number. That norm depends on whether differences are
  taken forward or backward, and BART takes them backward: it is given the mirrored problem. It is a program that reads
  and writes files, so the time of a run with one iteration is taken off, and `-i` counts its inner conjugate gradient
  iterations.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from methods import Method, Monitor
from problems import Problem


def missing(*, gpu: bool) -> dict[str, str]:
    """Tell which peers are left out, and why."""
    reasons = {name: 'not installed' for name in ('sigpy', 'deepinv') if importlib.util.find_spec(name) is None}
    if shutil.which('bart') is None:
        reasons['bart'] = 'not installed'
    if gpu:
        reasons |= dict.fromkeys(('sigpy', 'bart'), 'run on the CPU only here')
    return reasons


def deepinv_pdcp(problem: Problem, step: float) -> Method:
    """Bind deepinv's Chambolle-Pock algorithm to a problem with one coil; the dual step is the primal one."""
    import deepinv

    def gradient(x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x.roll(-1, -2) - x, x.roll(-1, -1) - x), dim=1)

    def adjoint(q: torch.Tensor) -> torch.Tensor:
        along_y, along_x = q.chunk(2, dim=1)
        return along_y.roll(1, -2) - along_y + along_x.roll(1, -1) - along_x

    def channels(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(x.flatten(0, -3)).moveaxis(-1, 1).contiguous()

    data, start = channels(problem.data), channels(problem.initial_image)
    # real: mask of the one problem that has a single coil and a Cartesian operator
    mask = getattr(problem.operator, 'mask').flatten(0, -3)[:, None].expand_as(data).contiguous()  # noqa: B009
    physics = deepinv.physics.MRI(mask=mask, img_size=data.shape[1:], device=data.device)
    lambda_map = problem.lambda_map[0].flatten(0, -3)[:, None]

    def run(monitor: Monitor) -> None:
        model = deepinv.optim.PDCP(
            K=gradient,
            K_adjoint=adjoint,
            data_fidelity=deepinv.optim.data_fidelity.L2(sigma=1.0),
            prior=deepinv.optim.prior.L1Prior(),
            lambda_reg=lambda_map,
            stepsize=step,
            stepsize_dual=step,
            g_first=True,
            custom_init=lambda *_: {'est': (start, start, torch.zeros_like(gradient(start)))},
            max_iter=10**9,
            early_stop=True,
        )

        def stop(it: int, _: object, x: dict[str, tuple[torch.Tensor, ...]]) -> bool:
            def image() -> torch.Tensor:
                img = x['est'][0].moveaxis(1, -1).contiguous()
                return torch.view_as_complex(img).reshape(problem.initial_image.shape)

            return it + 1 >= monitor.next and not monitor.visit(it + 1, image)

        # its check of convergence is the only place where it hands out iterates and can be stopped
        model.fixed_point.check_conv_fn = stop
        model(data, physics)

    return run


def sigpy_tv(problem: Problem, weight: float) -> Method:
    """Bind SigPy's total variation reconstruction to a Cartesian problem with one coil."""
    from sigpy.mri.app import TotalVariationRecon

    data = problem.data[0, :, 0].numpy()
    coils = np.ones_like(data)
    mask = getattr(problem.operator, 'mask')[0, 0].numpy()  # noqa: B009
    shape = problem.initial_image.shape

    def run(monitor: Monitor) -> None:
        start = problem.initial_image[0, 0, 0].numpy().copy()  # it works on this array
        app = TotalVariationRecon(data, coils, weight, weights=mask, x=start, max_iter=10**9, show_pbar=False)
        n, proceed = 0, True
        while proceed:
            while n < monitor.next:
                app.alg.update()
                n += 1
            proceed = monitor.visit(n, lambda: torch.from_numpy(app.alg.x.copy()).reshape(shape))

    return run


class Bart:
    """Runs of BART's `pics` on a Cartesian problem."""

    def __init__(self, problem: Problem, weight: float, threads: int) -> None:
        """Write the mirrored data in BART's format."""
        self._folder = tempfile.TemporaryDirectory()
        atexit.register(self._folder.cleanup)
        self._weight = weight
        self._shape = problem.initial_image.shape
        self._environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
        csm = getattr(problem.operator, 'csm', None)
        self._write('data', problem.data[0])
        self._write('csm', torch.ones_like(problem.data[0]) if csm is None else csm[0])

    def _write(self, name: str, x: torch.Tensor) -> None:
        """Write an array of shape (coils, z, y, x)."""
        path = Path(self._folder.name) / name
        sizes = [*x.shape[::-1], *(1,) * 12]
        path.with_suffix('.hdr').write_text('# Dimensions\n' + ' '.join(map(str, sizes)) + '\n')
        _mirrored(x).to(torch.complex64).numpy().tofile(path.with_suffix('.cfl'))

    def pics(self, n_iterations: int) -> None:
        """Run a number of conjugate gradient iterations, at most 10 for each step of ADMM; `-w 1` keeps the units."""
        options = ['-S', '-w', '1', '-m', '-R', f'T:3:0:{self._weight}', '-i', str(n_iterations)]
        command = [str(shutil.which('bart')), 'pics', *options, 'data', 'csm', 'img']
        subprocess.run(command, cwd=self._folder.name, env=self._environment, check=True, capture_output=True)  # noqa: S603

    def image(self) -> torch.Tensor:
        """Read the last image."""
        img = np.fromfile(Path(self._folder.name) / 'img.cfl', dtype=np.complex64)
        return _mirrored(torch.from_numpy(img).reshape(self._shape))


def _mirrored(x: torch.Tensor) -> torch.Tensor:
    """Mirror an image or a k-space at its center, the index n // 2; the centered transform commutes with this."""
    return torch.roll(x.flip((-2, -1)), (1, 1), (-2, -1))


def bart_method(problem: Problem, weight: float, threads: int) -> Method:
    """Run BART with each number of iterations; the time to start it is taken off by a later start of the clock."""
    bart = Bart(problem, weight, threads)

    def run(monitor: Monitor) -> None:
        bart.pics(1)
        start = time.perf_counter()
        bart.pics(1)
        start_up = time.perf_counter() - start
        proceed = True
        while proceed:
            monitor.restart(start_up)
            bart.pics(monitor.next)
            proceed = monitor.visit(monitor.next, bart.image)

    return run
