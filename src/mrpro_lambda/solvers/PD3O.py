"""Primal-dual three-operator algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class PD3OState(NamedTuple):
    """State of the primal-dual three-operator algorithm."""

    primal: torch.Tensor
    relaxed: torch.Tensor
    """Extrapolated unknown, which may be negative."""
    slope: torch.Tensor
    """Gradient of the data term at the unknown."""
    dual: torch.Tensor
    """Dual variable of the regularizer."""


class PD3O(Solver):
    r"""Primal-dual three-operator algorithm for :math:`\min_x f(x) + \|\Lambda \cdot K x\|_1` with any data term.

    With :math:`\|\nabla f(x) - \nabla f(z)\| \le L \|x - z\|`, :math:`\tau < 2 / L` and
    :math:`\sigma \tau \|K\|^2 \le 1` [YAN2018]_

    .. math::

        q_{n+1} &= \mathrm{clip}(q_n + \sigma K \bar x_n, -\Lambda, \Lambda) \\
        x_{n+1} &= P(x_n - \tau \nabla f(x_n) - \tau K^H q_{n+1}) \\
        \bar x_{n+1} &= 2 x_{n+1} - x_n + \tau (\nabla f(x_n) - \nabla f(x_{n+1}))

    :math:`P` is the projection to :math:`x \ge 0` for data terms with this constraint, such as
    `~mrpro_lambda.data_terms.PoissonCounts`, for which TV-Lambda uses this algorithm [KOF2023]_. The result is
    :math:`x_n`, which is in the constraint, unlike :math:`\bar x_n`. For counts `PreconditionedPDHG` needs far fewer
    iterations, for least squares `ADMM`.

    The reverse pass of `~mrpro_lambda.solvers.ActiveSetBackward` is exact. Of a data term that is no square it keeps
    the iterates, at which the gradient is curved, besides the pattern of the clip; they tell where the projection was
    active as well.

    References
    ----------
    .. [YAN2018] Yan M (2018) A new primal-dual algorithm for minimizing the sum of three functions with a linear
       operator. J Sci Comput 76 https://doi.org/10.1007/s10915-018-0680-3
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
        primal_step: float | None = None,
        dual_step: float = 1.0,
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
        primal_step
            :math:`\tau` relative to :math:`2 / L`, below 1. Default: 0.99, or 0.2 for least squares, where the dual
            variable needs the large steps: a single-coil scan took 281 instead of 2253 iterations to a gap of 1e-9.
        dual_step
            :math:`\sigma` relative to :math:`1 / (\tau \|K\|^2)`, at most 1.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the unknowns of the regularizer are coefficients of a dictionary.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        for name, value in (('primal_step', primal_step), ('dual_step', dual_step)):
            if value is not None:
                check_number(name, value, 0, 1)
                check_number(name, value, positive=True)
        if primal_step == 1:
            raise ValueError(f'primal_step must be below 1, got {primal_step}.')
        self.primal_step = primal_step
        self.dual_step = dual_step

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return parameters for the tests."""
        return {'primal_step': 0.4, 'dual_step': 0.8}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that the coefficients of a dictionary are not solved for."""
        if regularizer.dictionary_op is not None:
            return f'PD3O solves for an image, got {type(regularizer).__name__}: use ADMM or FISTA.'
        return None

    def iteration(self, problem: Problem) -> PD3OIteration:
        """Bind the algorithm to a problem."""
        default = 0.2 if problem.data_term.quadratic else 0.99
        return PD3OIteration(problem, default if self.primal_step is None else self.primal_step, self.dual_step)


class PD3OIteration(Iteration[PD3OState]):
    """The iteration of `PD3O` for one problem."""

    @torch.no_grad()
    def __init__(self, problem: Problem, primal_step: float, dual_step: float) -> None:
        """Compute the step sizes."""
        super().__init__(problem)
        regularizer, data_term, start = problem.regularizer, problem.data_term, problem.start
        bound = data_term.lipschitz(problem.rhs, regularizer.dim)
        # without any curvature the data say nothing, and each step is allowed
        step = primal_step * 2 / torch.where(bound > 0, bound, 1)
        real_dtype = start.dtype.to_real()
        self.primal_step = step.to(real_dtype)
        norm = regularizer.norm(problem.rhs.shape)
        self.dual_step = (dual_step / (step * max(norm, 1e-30) ** 2)).to(real_dtype)
        self.clip = Clip(problem, step=self.dual_step)

    def init(self) -> PD3OState:
        """Start from the initial image, without what is negative where that is not allowed, with zero dual."""
        primal = self._constrained(self.problem.start)
        return PD3OState(primal, primal, self._slope(primal), self.problem.zero_coefficients())

    def _constrained(self, unknown: torch.Tensor) -> torch.Tensor:
        """Project to the constraint of the data term."""
        return unknown.relu() if self.problem.data_term.non_negative else unknown

    def _slope(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the data term."""
        problem = self.problem
        return problem.analyze(problem.data_term.gradient(problem.synthesize(unknown), problem.rhs))

    def step(self, state: PD3OState, index: int) -> PD3OState:  # noqa: ARG002
        """Return the next state."""
        primal, relaxed, slope, dual = state
        regularizer, tau = self.problem.regularizer, self.primal_step
        dual = self.clip(dual + self.dual_step * regularizer.transform(relaxed))
        following = self._constrained(primal - tau * (slope + regularizer.transform_adjoint(dual)))
        following_slope = self._slope(following)
        relaxed = 2 * following - primal + tau * (slope - following_slope)
        return PD3OState(following, relaxed, following_slope, dual)

    def step_(self, state: PD3OState, index: int, pattern: torch.Tensor | None = None) -> None:
        """Turn the state into the next one in place, and keep the iterate where it is needed."""
        clipped, iterate = (None, None) if pattern is None else self._parts(pattern)
        super().step_(state, index, clipped)
        if iterate is not None:
            iterate.copy_(state.primal)

    def transpose_(self, cotangent: PD3OState, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:  # noqa: ARG002
        """Transpose one step in place."""
        primal, relaxed, slope, dual = cotangent
        problem, regularizer, tau = self.problem, self.problem.regularizer, self.primal_step
        clipped, iterate = self._parts(pattern)
        weighted = tau * relaxed
        slope.sub_(weighted)
        image = problem.synthesize(slope)
        gradient.add_rhs_(image, -1.0)
        point = image if iterate is None else iterate
        primal.add_(relaxed, alpha=2).add_(problem.analyze(problem.data_term.curvature(point, image)))
        if iterate is not None and problem.data_term.non_negative:
            primal.mul_(iterate > 0)
        descent = tau * primal
        primal.sub_(relaxed)
        slope.copy_(weighted.sub_(descent))
        dual.sub_(regularizer.transform(descent))
        gradient.clip_transpose_(dual, clipped)
        if self.clip.smooth:
            dual.mul_(self.clip.contraction)
        relaxed.copy_(regularizer.transform_adjoint(self.dual_step * dual))

    def new_patterns(self, n_iterations: int) -> torch.Tensor:
        """Return memory for the activity patterns, with the iterates before them unless the data term is a square."""
        patterns = super().new_patterns(n_iterations)
        if self.problem.data_term.quadratic:
            return patterns
        n_bytes = self._n_bytes + patterns.shape[1:].numel()
        return torch.empty(n_iterations, n_bytes + -n_bytes % 8, dtype=torch.uint8, device=patterns.device)

    @property
    def _n_bytes(self) -> int:
        """Number of bytes of an iterate."""
        start = self.problem.start
        return start.numel() * start.element_size()

    def _parts(self, pattern: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the memory of the pattern of the clip, and that of the iterate if it is kept."""
        if self.problem.data_term.quadratic:
            return pattern, None
        start = self.problem.start
        iterate = pattern[: self._n_bytes].view(start.dtype).reshape(start.shape)
        n_rows, *shape = self.problem.regularizer.transform_op.coefficient_shape(start.shape)
        n_quarters = -(-torch.Size(shape).numel() * real_parts(start).shape[-1] // 4)
        clipped = pattern[self._n_bytes :][: n_rows * n_quarters].reshape(n_rows, n_quarters)
        return clipped, iterate

    def dual(self, state: PD3OState) -> torch.Tensor:
        """Return the dual variable of the regularizer."""
        return state.dual
