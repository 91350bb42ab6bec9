"""The solvers of this package and mrpro's, in the one form that all measurements use.

A method is a function that iterates, and asks its monitor when to stop: the monitor names the next iteration that it
wants to see, and says whether to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.algorithms.optimizers.pdhg import PDHGStatus
from mrpro.operators import FiniteDifferenceOp, LinearOperatorMatrix
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda import solvers
from mrpro_lambda.regularizers import TotalVariation

from problems import Problem

TV = TotalVariation((-2, -1))


class Monitor(Protocol):
    """What a method asks."""

    next: int
    """Number of the next iteration that the monitor wants to see."""

    def restart(self, start_up: float = 0.0) -> None:
        """Take note that the iterations start from the beginning, after seconds that do not count."""

    def visit(self, n_iterations: int, image: Callable[[], torch.Tensor]) -> bool:
        """Look at the image after some iterations; returns whether to go on."""


class Fixed:
    """A monitor that stops after a fixed number of iterations."""

    def __init__(self, n_iterations: int) -> None:
        """Initialize."""
        self.next = n_iterations
        self.image: torch.Tensor | None = None

    def restart(self, start_up: float = 0.0) -> None:
        """Do nothing."""

    def visit(self, n_iterations: int, image: Callable[[], torch.Tensor]) -> bool:  # noqa: ARG002
        """Keep the image and stop."""
        self.image = image()
        return False


Method = Callable[[Monitor], None]
SolverOf = Callable[[int], solvers.Solver]
"""A solver of this package with a given number of iterations."""


def image_of(method: Method, n_iterations: int) -> torch.Tensor:
    """Return the image after a number of iterations."""
    monitor = Fixed(n_iterations)
    method(monitor)
    if monitor.image is None:
        raise ValueError(f'The method must show the image after {n_iterations} iterations.')
    return monitor.image


def ours(solver: SolverOf, problem: Problem) -> Method:
    """Call a solver of this package with each number of iterations, its set-up included each time."""

    @torch.no_grad()
    def run(monitor: Monitor) -> None:
        p, proceed = problem, True
        while proceed:
            monitor.restart()
            img = solver(monitor.next)(p.data, p.operator, p.initial_image, p.lambda_map)
            proceed = monitor.visit(monitor.next, img.detach)

    return run


def our_pdhg(problem: Problem, regularizer: TotalVariation = TV) -> Method:
    """Call our `PDHG`."""
    return ours(lambda n: solvers.PDHG(regularizer, n_iterations=n), problem)


def our_admm(problem: Problem, regularizer: TotalVariation = TV, *, penalty_factor: float = 1.0) -> Method:
    """Call our `ADMM`."""
    return ours(lambda n: solvers.ADMM(regularizer, n_iterations=n, penalty_factor=penalty_factor), problem)


def step_size(problem: Problem, norm_squared: float | None = None) -> torch.Tensor:
    """Return balanced steps, 0.97 over the norm of the stacked operator.

    The norm of the gradient squared is 8 (exact for even sizes), that of a Cartesian acquisition is 1 with an
    orthonormal FFT and sensitivities of norm 1; others must be given, see `acquisition_norm_squared`.
    """
    norm = ((1.0 if norm_squared is None else norm_squared) + 8.0) ** 0.5
    # on the CPU also for a GPU: mrpro looks at the sign of the steps in each iteration, which would wait for the GPU
    return torch.tensor(0.97 / norm, dtype=problem.lambda_map.dtype)


def acquisition_norm_squared(problem: Problem) -> float:
    """Estimate the squared norm of the acquisition by mrpro's power iteration, from below by a percent at most."""
    generator = torch.Generator().manual_seed(0)
    img = problem.initial_image
    start = torch.randn(img.shape, generator=generator, dtype=img.dtype).to(img.device)
    return problem.operator.operator_norm(start, dim=None, max_iterations=40).square().item()


def mrpro_solve(
    problem: Problem,
    lambda_map: torch.Tensor,
    step: torch.Tensor | None,
    n_iterations: int,
    callback: Callable[[PDHGStatus], bool] | None = None,
) -> torch.Tensor:
    """Run mrpro's `pdhg`; without a step both steps are mrpro's default, 0.97 over the squared norm.

    The weight of the squared norm gives the factor 1/2, which mrpro's functional lacks.
    """
    f = L2NormSquared(target=problem.data, weight=0.5**0.5) | L1NormViewAsReal(weight=lambda_map)
    gradient = FiniteDifferenceOp(dim=(-2, -1), mode='forward', pad_mode='circular')
    matrix = LinearOperatorMatrix(((problem.operator,), (gradient,)))
    initial = (problem.initial_image,)
    (img,) = pdhg(f, None, matrix, initial, n_iterations, primal_stepsize=step, dual_stepsize=step, callback=callback)
    return img


def mrpro_pdhg(problem: Problem, step: torch.Tensor | None) -> Method:
    """Watch mrpro's `pdhg` through its callback."""

    @torch.no_grad()
    def run(monitor: Monitor) -> None:
        def callback(status: PDHGStatus) -> bool:
            n = status['iteration_number'] + 1
            return n < monitor.next or monitor.visit(n, lambda: status['solution'][0])

        mrpro_solve(problem, problem.lambda_map, step, 10**9, callback)

    return run


def fourier_pair(problem: Problem) -> Method:
    """Transform the image there and back, in place: the least that an iteration for Cartesian data can take."""

    def run(monitor: Monitor) -> None:
        img = problem.initial_image.clone()
        for _ in range(monitor.next):
            torch.fft.ifftn(torch.fft.fftn(img, dim=(-2, -1)), dim=(-2, -1), out=img)
        monitor.visit(monitor.next, lambda: img)

    return run
