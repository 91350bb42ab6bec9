"""Conjugate gradients for quadratic problems."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mrpro_lambda.norms import SquaredNorm
from mrpro_lambda.operators.real_parts import weighted
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.Iteration import Clip, Iteration
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class ConjugateGradientState(NamedTuple):
    """State of the method of conjugate gradients."""

    primal: torch.Tensor
    residual: torch.Tensor
    r"""Residual :math:`r` of the normal equations."""
    direction: torch.Tensor
    r"""Search direction :math:`d`."""
    power: torch.Tensor
    r""":math:`\|r\|^2`, a number for each image."""


class ConjugateGradient(Solver):
    r"""Conjugate gradients for :math:`\min_x \frac{1}{2} \|Ax-y\|_2^2 + \frac{1}{2} \sum_i \Lambda_i |(Kx)_i|^2`.

    The normal equations :math:`(A^H A + K^H \Lambda K) x = A^H y` are solved [HES1952]_, each image of a batch with
    steps of its own. A fixed number of iterations is a network like those of the other solvers, whose gradient includes
    that of the step sizes.

    References
    ----------
    .. [HES1952] Hestenes M, Stiefel E (1952) Methods of conjugate gradients for solving linear systems. J Res Natl Bur
       Stand 49(6) https://doi.org/10.6028/jres.049.044
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
    ) -> None:
        """Initialize the solver.

        Parameters
        ----------
        regularizer
            Regularizer with a `~mrpro_lambda.norms.SquaredNorm`, such as `~mrpro_lambda.regularizers.Tikhonov`.
        n_iterations
            Fixed number of iterations, as in an unrolled network. Excludes `max_iterations` and `tolerance`.
        max_iterations
            Largest number of iterations of a solve to a tolerance.
        tolerance
            Stop when the certified gap is below `tolerance` times the objective.
        backward
            How to differentiate the iterations, see `mrpro_lambda.solvers.backward`.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that only quadratic problems are solved."""
        if not isinstance(regularizer.coefficient_norm, SquaredNorm):
            name = type(regularizer).__name__
            return f'ConjugateGradient needs a regularizer with a SquaredNorm, got {name}: use another solver.'
        return None

    def iteration(self, problem: Problem) -> ConjugateGradientIteration:
        """Bind the algorithm to a problem."""
        return ConjugateGradientIteration(problem)


class ConjugateGradientIteration(Iteration[ConjugateGradientState]):
    """The iteration of `ConjugateGradient` for one problem."""

    def __init__(self, problem: Problem) -> None:
        """Set up the right-hand side."""
        super().__init__(problem)
        self._rhs = problem.analyze(problem.rhs)
        # a residual of rounding errors, most of it where nothing is sampled, would be followed for ever longer steps
        rounding = max(1e-13, 20 * torch.finfo(self._rhs.dtype).eps)
        self._smallest = rounding**2 * problem.inner(self._rhs.detach(), self._rhs.detach())
        self.clip = Clip(problem)

    def _normal(self, unknown: torch.Tensor) -> torch.Tensor:
        r"""Apply :math:`B^H B + K^H \Lambda K`."""
        problem, regularizer = self.problem, self.problem.regularizer
        coefficients = weighted(problem.threshold, regularizer.transform(unknown))
        return problem.apply_gram(unknown) + regularizer.transform_adjoint(coefficients)

    def init(self) -> ConjugateGradientState:
        """Start from the initial image."""
        return self._from(self.problem.start)

    def resumed(self, state: ConjugateGradientState) -> ConjugateGradientState:
        """Start from the image that was reached: residual and direction are those of another map."""
        return self.owned(self._from(state.primal))

    def _from(self, start: torch.Tensor) -> ConjugateGradientState:
        """Return the state at a value of the unknown."""
        residual = self._rhs - self._normal(start)
        return ConjugateGradientState(start, residual, residual, self.problem.inner(residual, residual))

    def step(self, state: ConjugateGradientState, index: int) -> ConjugateGradientState:  # noqa: ARG002
        """Return the next state; where the residual has vanished, nothing changes."""
        primal, residual, direction, power = state
        applied = self._normal(direction)
        curvature = self.problem.inner(direction, applied)
        running = (power > self._smallest) & (curvature > 0)
        real = primal.dtype.to_real()
        length = torch.where(running, power / torch.where(running, curvature, 1), 0).to(real)
        residual = residual - length * applied
        remaining = self.problem.inner(residual, residual)
        factor = torch.where(running, remaining / torch.where(running, power, 1), 0).to(real)
        return ConjugateGradientState(primal + length * direction, residual, residual + factor * direction, remaining)

    def dual(self, state: ConjugateGradientState) -> torch.Tensor:
        r"""Return the dual variable of the regularizer, :math:`\Lambda K u`."""
        return weighted(self.problem.threshold, self.problem.regularizer.transform(state.primal))
