"""Over-relaxed linearized ADMM with a circulant Fourier solve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.real_parts import contiguous_weights, real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.CirculantSystem import CirculantSystem
from mrpro_lambda.solvers.DictionaryADMMIteration import DictionaryADMMIteration
from mrpro_lambda.solvers.dual_to_primal_ratio import dual_to_primal_ratio
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration, pack_signs, rounded_penalty
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class ADMMState(NamedTuple):
    """State of the alternating direction method of multipliers."""

    primal: torch.Tensor
    relaxed: torch.Tensor
    r"""Over-relaxed coefficients plus scaled dual, :math:`h`; the split variable is :math:`z = h - u`."""
    dual: torch.Tensor
    r"""Scaled dual :math:`u`, the projection of :math:`h`."""


class ADMM(Solver):
    r"""Over-relaxed linearized ADMM for :math:`\min_x \frac{1}{2}\|Ax-y\|_2^2 + \|\Lambda\cdot Kx\|_1` [BOY2011]_.

    For an image that is synthesized, :math:`A S` takes the place of :math:`A`; the iteration for the coefficients of a
    dictionary is another one, see `DictionaryADMMIteration`. With a circulant :math:`C \ge A^H A` and
    :math:`P = C + \mu L`, where the circulant :math:`L \ge K^H K`,

    .. math::

        x_{n+1} &= x_n - P^{-1} \left( A^H A x_n - A^H y + \mu K^H (K x_n - z_n + u_n) \right) \\
        h_{n+1} &= \alpha K x_{n+1} + (1 - \alpha) z_n + u_n \\
        u_{n+1} &= \mathrm{clip}(h_{n+1}, -\Lambda / \mu, \Lambda / \mu), \qquad z_{n+1} = h_{n+1} - u_{n+1}

    For a single-coil Cartesian acquisition :math:`P` is the whole system matrix and this is the exact ADMM, without a
    Gram operator. For Cartesian acquisitions with several coils :math:`C` is a multiple of the identity, and for
    non-Cartesian ones it follows the sampling density.

    The penalty is scale-free: :math:`\mu = \kappa \|\Lambda\| / \|K x'\|`, an estimate of the ratio of the sizes of
    dual and primal solution, one for all that regularizer or acquisition couple; :math:`x'` is the adjoint of the data,
    compensated for the sampling density. It is not differentiated: the minimizer does not depend on it.

    References
    ----------
    .. [BOY2011] Boyd S, Parikh N, Chu E, et al. (2011) Distributed optimization and statistical learning via the
       alternating direction method of multipliers. Found Trends Mach Learn 3(1) https://doi.org/10.1561/2200000016
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
        penalty_factor: float = 1.0,
        over_relaxation: float = 1.8,
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
        penalty_factor
            :math:`\kappa`. Larger values reach a low objective earlier (1.4), smaller ones an accurate image (0.7).
        over_relaxation
            :math:`\alpha \in (0, 2)`.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        check_number('over_relaxation', over_relaxation, positive=True)
        check_number('penalty_factor', penalty_factor, positive=True)
        if not over_relaxation < 2:
            raise ValueError(f'over_relaxation must be in (0, 2), got {over_relaxation=}.')
        self.penalty_factor = penalty_factor
        self.over_relaxation = over_relaxation

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return parameters for the tests."""
        return {'penalty_factor': 0.4, 'over_relaxation': 1.3}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that there is no circulant operator above the square of the transform."""
        dictionary_op = regularizer.dictionary_op
        if dictionary_op is not None:
            if dictionary_op.boundary != 'circular':
                return f"ADMM needs a dictionary with boundary='circular', got {dictionary_op.boundary!r}: use FISTA."
            return 'ADMM needs a norm that is not smoothed.' if regularizer.coefficient_norm.smoothing else None
        try:
            regularizer.symbol((16,) * max([5, *(-d for d in regularizer.dim)]), torch.device('cpu'))
        except ValueError as error:
            return str(error)
        return None

    def iteration(self, problem: Problem) -> Iteration:
        """Bind the algorithm to a problem."""
        if problem.has_dictionary:
            return DictionaryADMMIteration(problem, self.penalty_factor, self.over_relaxation)
        return ADMMIteration(problem, self.penalty_factor, self.over_relaxation)


class ADMMIteration(Iteration[ADMMState]):
    """The iteration of `ADMM` for one problem, divided by the penalty."""

    @torch.no_grad()
    def __init__(self, problem: Problem, penalty_factor: float, over_relaxation: float) -> None:
        """Choose the circulant bound of the Gram operator and the penalty, and invert the system matrix."""
        super().__init__(problem)
        self.over_relaxation = over_relaxation
        start, regularizer = problem.start, problem.regularizer
        bound = problem.circulant_bound
        self._exact = bound.exact and regularizer.circulant
        ratio = penalty_factor * dual_to_primal_ratio(problem)
        # far from the size of the Gram operator, single precision would lose the constant part or the gradient
        size = bound.transfer.amax(bound.dim, keepdim=True) if bound.dim else bound.transfer
        ratio = ratio.clamp(1e-8 * size, 1e4 * size).to(problem.rhs.dtype.to_real())
        # one penalty for all that the iteration couples, so that it commutes with all operators
        self.penalty = rounded_penalty(ratio)
        self._system = CirculantSystem(problem, bound.transfer / self.penalty.to(torch.float64))
        if not self._system.positive:
            raise ValueError(
                'ADMM needs k-space data at the zero frequency of each image, and at all that the transform does not '
                'pass: use PDHG.'
            )
        # rounding errors at frequencies without data must not reach the solve, which divides by the penalty there
        sampled = (bound.transfer > 0).to(start.dtype.to_real())
        with torch.enable_grad():
            if self._exact:
                self._solved_rhs = self._solve(problem.analyze(problem.rhs), sampled / self.penalty)
            else:
                self._scaled_rhs = problem.rhs / self.penalty
        self._inverse_penalty = contiguous_weights(1 / self.penalty, problem.rhs)
        self.clip = Clip(problem, 1 / self.penalty, self.penalty)
        self._difference = problem.zero_coefficients()

    def _solve(self, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        r"""Apply :math:`\mu P^{-1}`, after a weight of the frequencies."""
        return self._system.solve(x, weight)

    def init(self) -> ADMMState:
        """Start from the initial image with zero split variable and dual."""
        zero = self.problem.zero_coefficients()
        return ADMMState(self.problem.start, zero, zero)

    def step(self, state: ADMMState, index: int) -> ADMMState:  # noqa: ARG002
        """Return the next state."""
        primal, h, u = state
        problem, mu, alpha = self.problem, self.penalty, self.over_relaxation
        regularizer = problem.regularizer
        difference = h - 2 * u
        if self._exact:
            primal = self._solve(regularizer.transform_adjoint(difference)) + self._solved_rhs
        else:
            gradient = problem.analyze(problem.gram(problem.synthesize(primal))[0] / mu - self._scaled_rhs)
            gradient = gradient + regularizer.transform_adjoint(regularizer.transform(primal) - difference)
            primal = primal - self._solve(gradient)
        h = alpha * regularizer.transform(primal) + (1 - alpha) * h + alpha * u
        return ADMMState(primal, h, self.clip(h))

    def step_(self, state: ADMMState, index: int, pattern: torch.Tensor | None = None) -> None:  # noqa: ARG002
        """Turn the state into the next one in place."""
        primal, h, u = state
        problem, regularizer, difference = self.problem, self.problem.regularizer, self._difference
        torch.sub(real_parts(h), real_parts(u), alpha=2, out=real_parts(difference))
        torch.lerp(real_parts(h), real_parts(u), self.over_relaxation, out=real_parts(h))
        if self._exact:
            regularizer.add_transform_adjoint_(primal.zero_(), difference, 1.0)
            torch.add(self._solve(primal), self._solved_rhs, out=primal)
        else:
            regularizer.add_transform_(difference, primal, -1.0)
            (gradient,) = problem.gram(problem.synthesize(primal))
            real_parts(gradient).mul_(self._inverse_penalty)
            gradient = problem.analyze(gradient.sub_(self._scaled_rhs))
            regularizer.add_transform_adjoint_(gradient, difference, -1.0)
            primal.sub_(self._solve(gradient))
        regularizer.add_transform_(h, primal, self.over_relaxation)
        self.clip.into(h, u)
        if pattern is not None:
            clipped = torch.mul(h, self.clip.contraction, out=difference) if self.clip.smooth else h
            pack_signs(torch.sub(clipped, u, out=difference), pattern)

    def transpose_(self, cotangent: ADMMState, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:  # noqa: ARG002
        """Transpose one step in place."""
        primal, h, u = cotangent
        regularizer, alpha, transformed = self.problem.regularizer, self.over_relaxation, self._difference
        gradient.clip_transpose_(u, pattern)
        if self.clip.smooth:
            u.mul_(self.clip.contraction)
        h.add_(u)
        regularizer.add_transform_adjoint_(primal, h, alpha)
        torch.mul(real_parts(h), alpha, out=real_parts(u))
        real_parts(h).mul_(1 - alpha)
        solved = self._solve(primal)
        regularizer.add_transform_(transformed.zero_(), solved, 1.0)
        h.add_(transformed)
        real_parts(u).sub_(real_parts(transformed), alpha=2)
        image = self.problem.synthesize(solved)
        gradient.add_rhs_(image, 1.0)
        if self._exact:
            primal.zero_()
        else:
            real_parts(image).mul_(self._inverse_penalty)
            primal.sub_(self.problem.analyze(self.problem.gram(image)[0]))
            regularizer.add_transform_adjoint_(primal, transformed, -1.0)

    def transpose_init_(self, cotangent: ADMMState, gradient: Gradient) -> None:
        """Add the initial image, and account for the division by the penalty."""
        gradient.start.add_(cotangent.primal)
        gradient.scale_threshold_(1 / self.penalty)
        if gradient.rhs is not None:
            gradient.rhs = gradient.rhs / self.penalty

    def dual(self, state: ADMMState) -> torch.Tensor:
        r"""Return the dual variable of the regularizer, :math:`\mu u`."""
        return self.penalty * state.dual
