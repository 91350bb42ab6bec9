"""Accelerated proximal gradient algorithm."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import torch

from mrpro_lambda.regularizers.Regularizer import Regularizer, real_parts
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.gram_norm import gram_norm
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration, active_pattern
from mrpro_lambda.solvers.Problem import GapKind, Problem
from mrpro_lambda.solvers.Solver import Solver


class FISTAState(NamedTuple):
    """State of the accelerated proximal gradient algorithm."""

    primal: torch.Tensor
    extrapolated: torch.Tensor


class FISTA(Solver):
    r"""Accelerated proximal gradient algorithm for :math:`\min_s \frac{1}{2} \|ADs - y\|_2^2 + \|\Lambda\cdot s\|_1`.

    With :math:`\gamma \|AD\|^2 < 1` and :math:`s_0 = z_0 = 0` [BEC2009]_ [CHA2015]_

    .. math::

        s_{n+1} &= \mathrm{shrink}(z_n - \gamma D^H (A^H A D z_n - A^H y), \gamma \Lambda) \\
        z_{n+1} &= s_{n+1} + \frac{n}{n + 1 + a} (s_{n+1} - s_n)

    This is the algorithm of CDL-Lambda [KOF2025]_. It needs a regularizer whose unknowns are the coefficients
    themselves, such as `~mrpro_lambda.regularizers.DictionarySparsity`.

    References
    ----------
    .. [BEC2009] Beck A, Teboulle M (2009) A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse
       Problems. SIAM J Imaging Sci 2(1) https://doi.org/10.1137/080716542
    .. [CHA2015] Chambolle A, Dossal C (2015) On the Convergence of the Iterates of the "Fast Iterative
       Shrinkage/Thresholding Algorithm". J Optim Theory Appl 166 https://doi.org/10.1007/s10957-015-0746-4
    .. [KOF2025] Kofler A, et al. (2025) EUSIPCO https://arxiv.org/abs/2503.09483
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
        gap: GapKind = 'bounded',
        momentum: float = 3.0,
    ) -> None:
        r"""Initialize the solver.

        Parameters
        ----------
        regularizer
            Synthesis regularizer.
        n_iterations
            Fixed number of iterations, as in an unrolled network. Excludes `max_iterations` and `tolerance`.
        max_iterations
            Largest number of iterations of a solve to a tolerance.
        tolerance
            Stop when the certified gap is below `tolerance` times the objective.
        backward
            How to differentiate the iterations, see `mrpro_lambda.solvers.backward`.
        gap
            Which certified gap, see `Problem.certificate`.
        momentum
            :math:`a > 2`, for which the iterates converge. Larger values accelerate later.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the unknowns of the regularizer are not the coefficients.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward, gap)
        if regularizer.synthesis_op is None:
            raise ValueError(
                f'FISTA needs a synthesis regularizer such as DictionarySparsity, got {type(regularizer).__name__}: '
                'use ADMM or PDHG.'
            )
        if not 2 < momentum < math.inf:
            raise ValueError(f'momentum must be finite and above 2, got {momentum=}.')
        self.momentum = momentum

    def iteration(self, problem: Problem) -> FISTAIteration:
        """Bind the algorithm to a problem."""
        return FISTAIteration(problem, self.momentum)


class FISTAIteration(Iteration[FISTAState]):
    """The iteration of `FISTA` for one problem."""

    @torch.no_grad()
    def __init__(self, problem: Problem, momentum: float) -> None:
        """Compute the step size."""
        super().__init__(problem)
        self.momentum = momentum
        self.step_size = 0.97 / gram_norm(problem.gram, problem.start)
        self._clip = Clip(problem, self.step_size)

    def _extrapolation(self, index: int) -> float:
        """Return the factor of the momentum, which is 0 in the first step."""
        return index / (index + 1 + self.momentum)

    def init(self) -> FISTAState:
        """Start from no coefficients."""
        return FISTAState(self.problem.start, self.problem.start)

    def step(self, state: FISTAState, index: int) -> FISTAState:
        """Return the next state."""
        problem, gamma = self.problem, self.step_size
        descent = state.extrapolated - gamma * (problem.gram(state.extrapolated)[0] - problem.rhs)
        primal = descent - problem.regularizer.project(descent, gamma * problem.threshold)
        return FISTAState(primal, primal + self._extrapolation(index) * (primal - state.primal))

    def step_(self, state: FISTAState, index: int, record: bool = False) -> torch.Tensor | None:
        """Turn the state into the next one in place."""
        primal, extrapolated = state
        parts, next_parts, beta = real_parts(primal), real_parts(extrapolated), self._extrapolation(index)
        (gradient,) = self.problem.gram(extrapolated)
        next_parts.add_(real_parts(gradient), alpha=-self.step_size)
        next_parts.add_(real_parts(self.problem.rhs), alpha=self.step_size)
        self._clip(extrapolated, self._clipped)
        next_parts.sub_(real_parts(self._clipped))  # the new coefficients
        pattern = active_pattern(self._clipped.copy_(extrapolated)) if record else None
        # the new coefficients go to one array, their extrapolation to the other
        torch.lerp(parts, next_parts, 1 + beta, out=real_parts(self._clipped))
        primal.copy_(extrapolated)
        extrapolated.copy_(self._clipped)
        return pattern

    def transpose_(self, cotangent: FISTAState, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:
        """Transpose one step in place."""
        primal, extrapolated = cotangent
        beta = self._extrapolation(index)
        descent = self._clipped
        torch.add(real_parts(primal), real_parts(extrapolated), alpha=1 + beta, out=real_parts(descent))
        torch.mul(real_parts(extrapolated), -beta, out=real_parts(primal))
        gradient.shrink_transpose_(descent, pattern)
        gradient.add_rhs_(descent, self.step_size)
        extrapolated.copy_(descent)
        real_parts(extrapolated).add_(real_parts(self.problem.gram(descent)[0]), alpha=-self.step_size)

    def transpose_init_(self, cotangent: FISTAState, gradient: Gradient) -> None:
        """Add the start, and account for the step size in the threshold."""
        gradient.start.add_(cotangent.primal).add_(cotangent.extrapolated)
        gradient.scale_threshold_(self.step_size)

    def dual(self, state: FISTAState) -> torch.Tensor:
        """Return the negative gradient of the data term, projected to the dual ball."""
        problem = self.problem
        return problem.regularizer.project(problem.rhs - problem.gram(state.primal)[0], problem.threshold)

    @cached_property
    def _clipped(self) -> torch.Tensor:
        """Memory for coefficients."""
        return torch.empty_like(self.problem.rhs)
