"""Preconditioned primal-dual hybrid gradient algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.CirculantSystem import CirculantSystem
from mrpro_lambda.solvers.dual_to_primal_ratio import dual_to_primal_ratio
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration, pack_signs, rounded_penalty, unpack_signs
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class PreconditionedPDHGState(NamedTuple):
    """State of the preconditioned primal-dual hybrid gradient algorithm."""

    primal: torch.Tensor
    """Unknown, in the constraint of the data term."""
    free: torch.Tensor
    """Unknown of the iteration, without the constraint."""
    data_dual: torch.Tensor
    """Dual variable of the data term, shape of the data."""
    dual: torch.Tensor
    """Dual variable of the regularizer."""
    constraint: torch.Tensor
    """Dual variable of the constraint; empty without one."""


class PreconditionedPDHG(Solver):
    r"""Over-relaxed PDHG in a circulant metric, :math:`\min_x h(A x) - \langle x, b \rangle + \|\Lambda\cdot Kx\|_1`.

    All parts are dualized, the function :math:`h` of the samples as well. With the steps :math:`s, \sigma, \rho`, a
    circulant :math:`C \ge A^H A`, and :math:`M = s\, C + \sigma L + \rho` with :math:`L \ge K^H K`, one iteration is
    [CHA2011]_ [POC2011]_

    .. math::

        x &\leftarrow x_n - M^{-1} (A^H p_n - b + K^H q_n + r_n), \qquad \bar x = 2 x - x_n \\
        p &\leftarrow \mathrm{prox}_{s h^*} (p_n + s A \bar x) \\
        q &\leftarrow \mathrm{clip}(q_n + \sigma K \bar x, -\Lambda, \Lambda) \\
        r &\leftarrow \min(r_n + \rho \bar x, 0)

    and :math:`(x, p, q, r)_{n+1} = \alpha (x, p, q, r) + (1 - \alpha) (x, p, q, r)_n` with :math:`\alpha < 2`
    [CON2013]_. The image of a problem over :math:`x \ge 0` is :math:`\max(\bar x + r_n / \rho, 0)`; without the
    constraint there is no :math:`r`, and it is :math:`x`.

    For counts of photons, see `~mrpro_lambda.data_terms.PoissonCounts`, this takes some 50 times fewer iterations than
    `PD3O`, for two reasons. The steps of a gradient are bounded by the largest curvature, which is that of rays that
    nothing absorbs, here the curvature is not needed at all: any :math:`s` is allowed. And line integrals blur: what
    :math:`A^T A` does to frequencies falls with their size, which :math:`M` divides out.

    The steps are scale-free. :math:`s` is relative to what :math:`h''` is for most samples, :math:`\sigma` to the ratio
    of dual and primal variables of `ADMM`, :math:`\rho` to the diagonal of :math:`s\, C`. They are not differentiated:
    the minimizer does not depend on them. The reverse pass of `~mrpro_lambda.solvers.ActiveSetBackward` is exact. It
    keeps the pattern of the clip, that of the constraint, and for data terms that are no square :math:`p`, which has
    the derivative of its step. For least squares `ADMM` needs fewer iterations.

    References
    ----------
    .. [CHA2011] Chambolle A, Pock T (2011) A first-order primal-dual algorithm for convex problems with applications to
       imaging. JMIV 40 https://doi.org/10.1007/s10851-010-0251-1
    .. [CON2013] Condat L (2013) A primal-dual splitting method for convex optimization involving Lipschitzian,
       proximable and linear composite terms. J Optim Theory Appl 158 https://doi.org/10.1007/s10957-012-0245-9
    .. [POC2011] Pock T, Chambolle A (2011) Diagonal preconditioning for first order primal-dual algorithms in convex
       optimization. ICCV https://doi.org/10.1109/ICCV.2011.6126441
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
        data_step: float = 0.5,
        penalty_factor: float | None = None,
        constraint_step: float = 0.2,
        over_relaxation: float = 1.7,
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
        data_step
            :math:`s` relative to the curvature of most samples.
        penalty_factor
            :math:`\sigma` relative to the ratio of the sizes of dual and primal solution. Default: 2, or 1 for least
            squares.
        constraint_step
            :math:`\rho` relative to the diagonal of :math:`s\, C`.
        over_relaxation
            :math:`\alpha \in (0, 2)`.

        Raises
        ------
        ValueError
            If a parameter is out of its range, the unknowns of the regularizer are coefficients of a dictionary, or
            there is no circulant operator above the square of its transform.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        steps = (('data_step', data_step), ('penalty_factor', penalty_factor), ('constraint_step', constraint_step))
        for name, value in (*steps, ('over_relaxation', over_relaxation)):
            if value is not None:
                check_number(name, value, positive=True)
        if not over_relaxation < 2:
            raise ValueError(f'over_relaxation must be in (0, 2), got {over_relaxation=}.')
        self.data_step, self.penalty_factor, self.constraint_step = data_step, penalty_factor, constraint_step
        self.over_relaxation = over_relaxation

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return parameters for the tests."""
        return {'data_step': 1.2, 'penalty_factor': 0.7, 'constraint_step': 0.5, 'over_relaxation': 1.3}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that there is a dictionary, or no circulant operator above the square of the transform."""
        if regularizer.dictionary_op is not None:
            return f'PreconditionedPDHG solves for an image, got {type(regularizer).__name__}: use ADMM or FISTA.'
        return ADMM.refusal(regularizer)

    def iteration(self, problem: Problem) -> PreconditionedPDHGIteration:
        """Bind the algorithm to a problem."""
        default = 1.0 if problem.data_term.quadratic else 2.0
        factor = default if self.penalty_factor is None else self.penalty_factor
        return PreconditionedPDHGIteration(problem, self.data_step, factor, self.constraint_step, self.over_relaxation)


class PreconditionedPDHGIteration(Iteration[PreconditionedPDHGState]):
    """The iteration of `PreconditionedPDHG` for one problem."""

    @torch.no_grad()
    def __init__(
        self,
        problem: Problem,
        data_step: float,
        penalty_factor: float,
        constraint_step: float,
        over_relaxation: float,
    ) -> None:
        """Choose the steps and invert the metric."""
        super().__init__(problem)
        self.over_relaxation = over_relaxation
        bound, term, real_dtype = problem.circulant_bound, problem.data_term, problem.rhs.dtype.to_real()
        curvature = torch.as_tensor(term.sample_curvature(problem.data.detach())).to(bound.density)
        curvature = curvature.reshape((1,) * (problem.rhs.ndim - curvature.ndim) + curvature.shape)
        coupled = tuple(d for d in problem.coupled_dim if d < -4)
        step = data_step * (curvature.amax(coupled, keepdim=True) if coupled else curvature)
        transfer = step * bound.transfer
        # that of the circulant operator and its diagonal, one for all that the iteration couples
        diagonal = transfer.mean(tuple(d for d in problem.coupled_dim if -d <= transfer.ndim), keepdim=True)
        size = transfer.amax(bound.dim, keepdim=True) if bound.dim else transfer
        ratio = (penalty_factor * dual_to_primal_ratio(problem)).clamp(1e-8 * size, 1e4 * size)
        self.data_step, self.dual_step, self.constraint_step = (
            rounded_penalty(value.to(real_dtype)) for value in (step, ratio, constraint_step * diagonal)
        )
        self.constrained = term.non_negative
        transfer = self.data_step.double() * bound.transfer
        if self.constrained:
            transfer = transfer + self.constraint_step.double()
        self._system = CirculantSystem(problem, transfer, self.dual_step.double())
        if not self._system.positive:
            raise ValueError(
                'PreconditionedPDHG needs k-space data at the zero frequency of each image, and at all that the '
                'transform does not pass: use PDHG.'
            )
        self.clip = Clip(problem, step=self.dual_step)

    def init(self) -> PreconditionedPDHGState:
        """Start from the initial image, without what is negative where that is not allowed, and what it has as data."""
        problem = self.problem
        start = problem.start.relu() if self.constrained else problem.start
        constraint = torch.zeros_like(start) if self.constrained else start.new_zeros(0)
        slope = problem.data_term.model_slope(problem.forward(start))
        return PreconditionedPDHGState(start, start, slope, problem.zero_coefficients(), constraint)

    def step(self, state: PreconditionedPDHGState, index: int) -> PreconditionedPDHGState:  # noqa: ARG002
        """Return the next state."""
        return self._advanced(state)[0]

    def _advanced(
        self, state: PreconditionedPDHGState
    ) -> tuple[PreconditionedPDHGState, torch.Tensor, torch.Tensor | None]:
        """Return the next state, the dual variable of the data before the over-relaxation, and what is constrained."""
        _, free, data_dual, dual, constraint = state
        problem, regularizer, alpha = self.problem, self.problem.regularizer, self.over_relaxation
        gradient = problem.analyze(problem.acquisition_op.adjoint(data_dual)[0] - problem.rhs)
        gradient = gradient + regularizer.transform_adjoint(dual)
        if self.constrained:
            gradient = gradient + constraint
        moved = free - self._system.solve(gradient)
        relaxed = 2 * moved - free
        forward = problem.forward(relaxed)
        projected = problem.data_term.prox_conjugate(data_dual + self.data_step * forward, self.data_step)
        clipped = self.clip(dual + self.dual_step * regularizer.transform(relaxed))
        primal, raised = moved, None
        if self.constrained:
            raised = constraint + self.constraint_step * relaxed
            primal = raised.relu() / self.constraint_step
            constraint = _extrapolated(constraint, -(-raised).relu(), alpha)
        following = PreconditionedPDHGState(
            primal,
            _extrapolated(free, moved, alpha),
            _extrapolated(data_dual, projected, alpha),
            _extrapolated(dual, clipped, alpha),
            constraint,
        )
        return following, projected, raised

    @torch.no_grad()
    def step_(self, state: PreconditionedPDHGState, index: int, pattern: torch.Tensor | None = None) -> None:  # noqa: ARG002
        """Turn the state into the next one in place, and keep what the reverse pass needs."""
        parts = None if pattern is None else self._parts(pattern)
        with self.clip.recording(None if parts is None else parts[0]):
            following, projected, raised = self._advanced(state)
        for old, new in zip(state, following, strict=True):
            old.copy_(new)
        if parts is not None:
            _, kept, signs = parts
            if kept is not None:
                kept.copy_(projected)
            if raised is not None and signs is not None:
                pack_signs(raised.flatten()[None], signs)

    def transpose_(
        self,
        cotangent: PreconditionedPDHGState,
        index: int,  # noqa: ARG002
        pattern: torch.Tensor,
        gradient: Gradient,
    ) -> None:
        """Transpose one step in place."""
        primal, free, data_dual, dual, constraint = cotangent
        problem, regularizer, alpha = self.problem, self.problem.regularizer, self.over_relaxation
        term = problem.data_term
        clipped, kept, signs = self._parts(pattern)
        projected = alpha * data_dual * term.prox_derivative(data_dual if kept is None else kept, self.data_step)
        data_dual.mul_(1 - alpha).add_(projected)
        passed = alpha * dual
        gradient.clip_transpose_(passed, clipped)
        if self.clip.smooth:
            passed.mul_(self.clip.contraction)
        dual.mul_(1 - alpha).add_(passed)
        relaxed = problem.adjoint(self.data_step * projected) + regularizer.transform_adjoint(self.dual_step * passed)
        moved = alpha * free
        if signs is None:
            moved += primal
        else:
            sign = self._signs(signs)
            raised = alpha * constraint * (sign < 0) + primal / self.constraint_step * (sign > 0)
            constraint.mul_(1 - alpha).add_(raised)
            relaxed = relaxed + self.constraint_step * raised
        moved += 2 * relaxed
        free.mul_(1 - alpha).sub_(relaxed).add_(moved)
        solved = self._system.solve(moved)
        gradient.add_rhs_(problem.synthesize(solved), 1.0)
        data_dual.sub_(problem.forward(solved))
        dual.sub_(regularizer.transform(solved))
        if signs is not None:
            constraint.sub_(solved)
        primal.zero_()

    def new_patterns(self, n_iterations: int) -> torch.Tensor:
        """Return memory for the activity patterns, and for the dual variable of data that are no square."""
        patterns = super().new_patterns(n_iterations)
        if self.problem.data_term.quadratic:
            return patterns
        n_bytes = self._n_bytes + patterns.shape[1:].numel() + self._n_sign_bytes
        return torch.empty(n_iterations, n_bytes + -n_bytes % 8, dtype=torch.uint8, device=patterns.device)

    @property
    def _n_bytes(self) -> int:
        """Number of bytes of the data."""
        data = self.problem.data
        return data.numel() * data.element_size()

    @property
    def _n_sign_bytes(self) -> int:
        """Number of bytes of the pattern of the constraint."""
        return -(-self.problem.start.numel() // 4) if self.constrained else 0

    def _parts(self, pattern: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return the memory of the pattern of the clip, of the dual variable of the data, and of the constraint."""
        problem = self.problem
        if problem.data_term.quadratic:
            return pattern, None, None
        data, start = problem.data, problem.start
        n_rows, *shape = problem.regularizer.transform_op.coefficient_shape(start.shape)
        n_quarters = -(-torch.Size(shape).numel() * real_parts(start).shape[-1] // 4)
        sizes = [self._n_bytes, n_rows * n_quarters, self._n_sign_bytes]
        kept, clipped, signs = pattern[: sum(sizes)].split(sizes)
        kept = kept.view(data.dtype).reshape(data.shape)
        return clipped.reshape(n_rows, n_quarters), kept, signs[None] if self.constrained else None

    def _signs(self, pattern: torch.Tensor) -> torch.Tensor:
        """Unpack the pattern of the constraint."""
        start = self.problem.start
        memory = start.new_empty(1, 4, pattern.shape[1])
        return unpack_signs(pattern, torch.Size((1, start.numel())), memory).reshape(start.shape)

    def dual(self, state: PreconditionedPDHGState) -> torch.Tensor:
        """Return the dual variable of the regularizer, which the over-relaxation may have moved out of its ball."""
        return self.problem.regularizer.project(state.dual, self.problem.threshold)

    def dual_response(self, state: PreconditionedPDHGState) -> torch.Tensor | None:
        """Return the data that the dual variable of the data term belongs to."""
        return self.problem.data_term.response(state.data_dual) if self.constrained else None


def _extrapolated(old: torch.Tensor, new: torch.Tensor, alpha: float) -> torch.Tensor:
    """Go further than from an old to a new value."""
    return old + alpha * (new - old)
