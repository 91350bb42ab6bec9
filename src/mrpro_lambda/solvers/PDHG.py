"""Primal-dual hybrid gradient algorithm."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.gram_norm import gram_norm
from mrpro_lambda.solvers.Iteration import Gradient, Iteration, active_pattern, as_real, real_bound
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class PDHGState(NamedTuple):
    """State of the primal-dual hybrid gradient algorithm."""

    img: torch.Tensor
    relaxed: torch.Tensor
    """Extrapolated image."""
    residual: torch.Tensor
    r"""The dual variable of the data term in image space, :math:`A^H p`."""
    dual: torch.Tensor


class PDHG(Solver):
    r"""Primal-dual hybrid gradient algorithm for :math:`\min_x \frac{1}{2}\|Ax-y\|_2^2 + \|\Lambda\cdot Kx\|_1`.

    With :math:`\|[A; K]\|^2 \le L^2`, :math:`\sigma \tau L^2 < 1` and :math:`p_0 = q_0 = 0`, [CHA2011]_ [SID2012]_

    .. math::

        p_{n+1} &= (p_n + \sigma (A \bar x_n - y)) / (1 + \sigma) \\
        q_{n+1} &= \mathrm{clip}(q_n + \sigma K \bar x_n, -\Lambda, \Lambda) \\
        x_{n+1} &= x_n - \tau (A^H p_{n+1} + K^H q_{n+1}) \\
        \bar x_{n+1} &= x_{n+1} + \theta (x_{n+1} - x_n)

    This is the algorithm of TV-Lambda [KOF2023]_. The dual variable :math:`p` is needed as :math:`A^H p` only, so
    that the iteration uses the Gram operator and no k-space array; the iterates are the same.

    References
    ----------
    .. [CHA2011] Chambolle A, Pock T (2011) A first-order primal-dual algorithm for convex problems with applications to
       imaging. JMIV 40 https://doi.org/10.1007/s10851-010-0251-1
    .. [SID2012] Sidky E, Jorgensen J, Pan X (2012) Convex optimization problem prototyping for image reconstruction in
       computed tomography with the Chambolle-Pock algorithm. PMB 57 https://doi.org/10.1088/0031-9155/57/10/3065
    .. [KOF2023] Kofler A, et al. (2023) SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
        step_ratio: float = 1.0,
        relaxation: float = 1.0,
    ) -> None:
        r"""Initialize the solver.

        Parameters
        ----------
        regularizer
            Regularizer.
        n_iterations
            Fixed number of iterations, as in an unrolled network. Excludes `max_iterations` and `tolerance`.
        max_iterations
            Largest number of iterations of a solve to a tolerance.
        tolerance
            Stop when the certified gap is below `tolerance` times the objective.
        backward
            How to differentiate the iterations, see `mrpro_lambda.solvers.backward`.
        step_ratio
            :math:`\sqrt{\sigma/\tau}`. The steps are :math:`\sigma = 0.97\, \mathrm{ratio} / L` and
            :math:`\tau = 0.97 / (\mathrm{ratio}\, L)`.
        relaxation
            Extrapolation :math:`\theta \in [0, 1]`.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        if not (math.isfinite(step_ratio) and step_ratio > 0):
            raise ValueError(f'step_ratio must be positive and finite, got {step_ratio=}.')
        if not 0 <= relaxation <= 1:
            raise ValueError(f'relaxation must be in [0, 1], got {relaxation=}.')
        self.step_ratio = step_ratio
        self.relaxation = relaxation

    def iteration(self, problem: Problem) -> PDHGIteration:
        """Bind the algorithm to a problem."""
        return PDHGIteration(problem, self.step_ratio, self.relaxation)


class PDHGIteration(Iteration[PDHGState]):
    """The iteration of `PDHG` for one problem."""

    def __init__(self, problem: Problem, step_ratio: float, relaxation: float) -> None:
        """Compute the step sizes."""
        super().__init__(problem)
        bound = math.sqrt(gram_norm(problem) + problem.regularizer.norm(problem.rhs.shape) ** 2)
        self.dual_step = 0.97 * step_ratio / bound
        self.primal_step = 0.97 / (step_ratio * bound)
        self.relaxation = relaxation
        self._bound = real_bound(problem.threshold, problem.rhs)
        self._lower = -self._bound
        with torch.no_grad():
            self._scaled_rhs = problem.rhs * (self.dual_step / (1 + self.dual_step))

    def init(self) -> PDHGState:
        """Start from the initial image with zero duals."""
        img = self.problem.initial_image
        dual = self.problem.regularizer.transform(torch.zeros_like(img))
        return PDHGState(img, img, torch.zeros_like(img), dual)

    def step(self, state: PDHGState) -> PDHGState:
        """Return the next state."""
        img, relaxed, residual, dual = state
        problem, sigma, tau = self.problem, self.dual_step, self.primal_step
        dual = problem.regularizer.project(dual + sigma * problem.regularizer.transform(relaxed), problem.threshold)
        residual = (residual + sigma * (problem.gram(relaxed)[0] - problem.rhs)) / (1 + sigma)
        img_new = img - tau * (residual + problem.regularizer.transform_adjoint(dual))
        relaxed = img_new + self.relaxation * (img_new - img)
        return PDHGState(img_new, relaxed, residual, dual)

    def step_(self, state: PDHGState, record: bool = False) -> torch.Tensor | None:
        """Turn the state into the next one in place."""
        img, relaxed, residual, dual = state
        problem, sigma, tau = self.problem, self.dual_step, self.primal_step
        self.problem.regularizer.add_transform_(dual, relaxed, sigma)
        pattern = None
        parts = as_real(dual)
        if record:
            pattern = active_pattern(parts, self._lower, self._bound)
        if problem.regularizer.elementwise:
            torch.clamp(parts, self._lower, self._bound, out=parts)
        else:
            dual.copy_(problem.regularizer.project(dual, problem.threshold))
        residual.mul_(1 / (1 + sigma)).sub_(self._scaled_rhs)
        as_real(residual).add_(as_real(problem.gram(relaxed)[0]), alpha=sigma / (1 + sigma))
        relaxed.copy_(img)
        as_real(img).sub_(as_real(residual), alpha=tau)
        self.problem.regularizer.add_transform_adjoint_(img, dual, -tau)
        torch.lerp(as_real(relaxed), as_real(img), 1 + self.relaxation, out=as_real(relaxed))
        return pattern

    def transpose_(self, cotangent: PDHGState, pattern: torch.Tensor, gradient: Gradient) -> None:
        """Transpose one step in place."""
        img, relaxed, residual, dual = cotangent
        sigma, tau, theta = self.dual_step, self.primal_step, self.relaxation
        img.add_(relaxed, alpha=1 + theta)
        self.problem.regularizer.add_transform_(dual, img, -tau)
        gradient.clip_transpose_(dual, pattern)
        residual.sub_(img, alpha=tau).mul_(1 / (1 + sigma))
        gradient.rhs.sub_(residual, alpha=sigma)
        img.sub_(relaxed, alpha=theta)
        torch.mul(self.problem.gram(residual)[0], sigma, out=relaxed)
        self.problem.regularizer.add_transform_adjoint_(relaxed, dual, sigma)

    def transpose_init_(self, cotangent: PDHGState, gradient: Gradient) -> None:
        """Add the initial image, which is both image and extrapolated image."""
        gradient.initial_image.add_(cotangent.img).add_(cotangent.relaxed)

    def dual(self, state: PDHGState) -> torch.Tensor:
        """Return the dual variable of the regularizer."""
        return state.dual
