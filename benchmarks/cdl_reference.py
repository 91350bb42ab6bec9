"""The reference for a convolutional dictionary, in mrpro's operators and optimizers, and our solvers beside it.

The reference is the algorithm of CDL-Lambda [KOF2025]_: conjugate gradients for the smooth part, then the accelerated
proximal gradient descent of mrpro, which differentiates the data term by autograd.

References
----------
.. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
   for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mrpro.algorithms.optimizers import cg, pgd
from mrpro.algorithms.optimizers.pgd import PGDStatus
from mrpro.operators import (
    CartesianMaskingOp,
    ConvSynthesisDictionaryOp,
    FastFourierOp,
    FiniteDifferenceOp,
    IdentityOp,
    LinearOperator,
)
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda import solvers
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers.certificate import certificate_of_state

from cdl_problems import DictionaryProblem
from methods import Method, Monitor, SolverOf

LOW_PASS_STEPS = 12
"""Conjugate gradient steps of the reference for the smooth part."""


def acquisition(problem: DictionaryProblem) -> LinearOperator:
    """Return the acquisition operator made of mrpro's operators."""
    mask = getattr(problem.operator, 'mask', None)
    return IdentityOp() if mask is None else CartesianMaskingOp(mask) @ FastFourierOp(dim=(-2, -1))


def low_pass(problem: DictionaryProblem, n_steps: int = LOW_PASS_STEPS) -> torch.Tensor:
    """Return the smooth part by conjugate gradients; the more steps, the closer to that of the problem."""
    gradient = FiniteDifferenceOp(dim=(-2, -1), mode='forward', pad_mode='circular')
    system = IdentityOp() + problem.beta * gradient.gram
    (smooth,) = cg(system, problem.initial_image, max_iterations=n_steps, tolerance=0.0)
    return smooth


def mrpro_solve(
    problem: DictionaryProblem,
    lambda_map: torch.Tensor,
    n_iterations: int,
    callback: Callable[[PGDStatus], bool] | None = None,
    smooth: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run mrpro's `pgd`; returns image and coefficients. The norm of the operator is given.

    The weight of the squared norm gives the factor 1/2, which mrpro's functional lacks.
    """
    smooth = low_pass(problem) if smooth is None else smooth
    operator, dictionary = acquisition(problem), ConvSynthesisDictionaryOp(problem.filters)
    data = problem.data - operator(smooth)[0]
    f = L2NormSquared(target=data, weight=0.5**0.5) @ (operator @ dictionary)
    start = smooth.new_zeros(len(problem.filters), *smooth.shape)
    (coefficients,) = pgd(
        f,
        L1NormViewAsReal(weight=lambda_map),
        start,
        stepsize=0.97 / problem.norm_squared(),
        max_iterations=n_iterations,
        convergent_iterates_variant=True,
        callback=callback,
    )
    return smooth + dictionary(coefficients)[0], coefficients


def mrpro_pgd(problem: DictionaryProblem) -> Method:
    """Watch mrpro's `pgd` through its callback; the monitor sees the coefficients."""

    @torch.no_grad()
    def run(monitor: Monitor) -> None:
        def callback(status: PGDStatus) -> bool:
            n = status['iteration_number'] + 1
            return n < monitor.next or monitor.visit(n, lambda: status['solution'][0])

        mrpro_solve(problem, problem.lambda_map, 10**9, callback)

    return run


def sparsity(problem: DictionaryProblem) -> DictionarySparsity:
    """Return our regularizer with the filters of a problem."""
    return DictionarySparsity(problem.filters, beta=problem.beta)


def our_fista(problem: DictionaryProblem) -> Method:
    """Call our `FISTA`."""
    return _ours(lambda n: solvers.FISTA(sparsity(problem), n_iterations=n), problem)


def our_admm(problem: DictionaryProblem, *, penalty_factor: float = 1.0) -> Method:
    """Call our `ADMM`."""
    return _ours(lambda n: solvers.ADMM(sparsity(problem), n_iterations=n, penalty_factor=penalty_factor), problem)


def _ours(solver: SolverOf, problem: DictionaryProblem) -> Method:
    """Call a solver with each number of iterations, its set-up included; the monitor sees the coefficients.

    The steps are those of a call of the solver, which returns the image that is synthesized here last.
    """

    @torch.no_grad()
    def run(monitor: Monitor) -> None:
        proceed = True
        while proceed:
            monitor.restart()
            n = monitor.next
            coefficients = coefficients_of(solver(n), problem, n)
            sparsity(problem).synthesis_op(coefficients)
            proceed = monitor.visit(n, coefficients.detach)

    return run


def coefficients_of(
    solver: solvers.Solver, problem: DictionaryProblem, n_iterations: int, *, idle_step: bool = False
) -> torch.Tensor:
    """Return the coefficients after a number of iterations, see `certified_coefficients`."""
    return certified_coefficients(solver, problem, n_iterations, idle_step=idle_step, certify=False)[0]


@torch.no_grad()
def certified_coefficients(
    solver: solvers.Solver,
    problem: DictionaryProblem,
    n_iterations: int,
    *,
    idle_step: bool = False,
    certify: bool = True,
) -> tuple[torch.Tensor, float]:
    """Return the coefficients after a number of iterations and their certified relative gap.

    With an idle step the momentum starts again after the first one, as that of mrpro's `pgd` does: 0, 0, 1/5, 2/6...
    """
    p = problem
    bound = solvers.Problem.create(solver.regularizer, p.data, p.operator, p.initial_image, p.lambda_map)
    iteration = solver.iteration(bound)
    state = iteration.owned(iteration.init())
    if idle_step:
        state, n_iterations = iteration.run(state, 0, 1), n_iterations - 1
    state = iteration.run(state, 0, n_iterations)
    gap = certificate_of_state(iteration, state, 'repaired').relative_gap if certify else float('nan')
    return state.primal, gap
