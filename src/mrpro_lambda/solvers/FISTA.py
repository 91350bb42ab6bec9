"""Accelerated proximal gradient algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration, pack_signs
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class FISTAState(NamedTuple):
    """State of the accelerated proximal gradient algorithm."""

    primal: torch.Tensor
    r"""Coefficients :math:`s`, shape `(n_filters, *image)`."""
    extrapolated: torch.Tensor
    r"""Coefficients :math:`z` where the gradient is taken."""
    synthesized: torch.Tensor
    r"""Fourier transform of :math:`D z`."""


class FISTA(Solver):
    r"""Accelerated proximal gradient algorithm for :math:`\min_s \frac{1}{2} \|ADs - y\|_2^2 + \|\Lambda\cdot s\|_1`.

    With :math:`\gamma \|AD\|^2 < 1` and :math:`s_0 = z_0 = 0` [BEC2009]_ [CHA2015]_

    .. math::

        s_{n+1} &= \mathrm{shrink}(z_n - \gamma D^H (A^H A D z_n - A^H y), \gamma \Lambda) \\
        z_{n+1} &= s_{n+1} + \frac{n}{n + 1 + a} (s_{n+1} - s_n)

    This is the algorithm of CDL-Lambda [KOF2025]_. It needs a regularizer of the coefficients of a
    dictionary, such as `~mrpro_lambda.regularizers.DictionarySparsity`.

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
        momentum: float = 3.0,
    ) -> None:
        r"""Initialize the solver.

        Parameters
        ----------
        regularizer
            Regularizer of the coefficients of a dictionary.
        n_iterations
            Fixed number of iterations, as in an unrolled network. Excludes `max_iterations` and `tolerance`.
        max_iterations
            Largest number of iterations of a solve to a tolerance.
        tolerance
            Stop when the certified gap is below `tolerance` times the objective.
        backward
            How to differentiate the iterations, see `mrpro_lambda.solvers.backward`.
        momentum
            :math:`a > 2`, for which the iterates converge. Larger values accelerate later.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the unknowns of the regularizer are no coefficients of a dictionary.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        check_number('momentum', momentum)
        if not momentum > 2:
            raise ValueError(f'momentum must be above 2, got {momentum=}.')
        self.momentum = momentum

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return parameters for the tests."""
        return {'momentum': 12.0}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that only the coefficients of a dictionary are solved for, with a norm that shrinks them."""
        if regularizer.dictionary_op is None:
            return (
                f'FISTA solves for coefficients of a dictionary, got {type(regularizer).__name__} of an image: '
                'use ADMM or PDHG.'
            )
        if regularizer.coefficient_norm.smoothing:
            return 'FISTA needs a norm that is not smoothed.'
        return None

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
        norm_squared = _norm_squared(problem)
        self.step_size = 0.97 / torch.where(norm_squared > 0, norm_squared, 1)  # images without data stay zero
        self.clip = Clip(problem, self.step_size, 1 / self.step_size)
        with torch.enable_grad():
            self._rhs = problem.dictionary.transform(problem.rhs)

    def _extrapolation(self, index: int) -> float:
        """Return the factor of the momentum, which is 0 in the first step."""
        return index / (index + 1 + self.momentum)

    def init(self) -> FISTAState:
        """Start from no coefficients."""
        return FISTAState(self.problem.start, self.problem.start, torch.zeros_like(self._rhs))

    def step(self, state: FISTAState, index: int) -> FISTAState:
        """Return the next state."""
        problem, dictionary, gamma = self.problem, self.problem.dictionary, self.step_size
        residual = self._rhs - dictionary.gram(state.synthesized, problem.gram)
        descent = state.extrapolated + dictionary.analyze(gamma * residual)
        primal = descent - self.clip(descent)
        extrapolated = primal + self._extrapolation(index) * (primal - state.primal)
        return FISTAState(primal, extrapolated, dictionary.synthesize(extrapolated))

    def step_(self, state: FISTAState, index: int, pattern: torch.Tensor | None = None) -> None:
        """Turn the state into the next one in place, some filters at a time."""
        primal, extrapolated, synthesized = state
        dictionary, beta = self.problem.dictionary, self._extrapolation(index)
        residual = self.step_size * (self._rhs - dictionary.gram(synthesized, self.problem.gram))
        synthesized.zero_()
        for chunk in dictionary.chunks:
            s, z = primal[chunk], extrapolated[chunk]
            descent = dictionary.analyze_chunk(residual, chunk)
            real_parts(descent).add_(real_parts(z))
            self.clip.chunk_(descent, z, chunk)
            real_parts(descent).sub_(real_parts(z))  # the new coefficients
            torch.lerp(real_parts(s), real_parts(descent), 1 + beta, out=real_parts(z))
            s.copy_(descent)
            if pattern is not None:
                pack_signs(descent, pattern[chunk])
            synthesized.add_(dictionary.synthesize_chunk(z, chunk))

    def transpose_(self, cotangent: FISTAState, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:
        """Transpose one step in place, some filters at a time."""
        primal, extrapolated, synthesized = cotangent
        dictionary, beta = self.problem.dictionary, self._extrapolation(index)
        residual = torch.zeros_like(synthesized)
        for chunk in dictionary.chunks:
            s, z = primal[chunk], extrapolated[chunk]
            real_parts(z).add_(real_parts(dictionary.analyze_chunk(synthesized, chunk)))
            real_parts(s).add_(real_parts(z), alpha=1 + beta)
            gradient.shrink_transpose_(s, pattern[chunk], chunk)
            descent = s.clone()
            torch.mul(real_parts(z), -beta, out=real_parts(s))
            z.copy_(descent)
            residual.add_(dictionary.synthesize_chunk(descent, chunk))
        residual *= self.step_size
        gradient.add_rhs_(residual, 1.0)
        synthesized.copy_(dictionary.gram(residual, self.problem.gram)).neg_()

    def transpose_init_(self, cotangent: FISTAState, gradient: Gradient) -> None:  # noqa: ARG002
        """Account for the step size in the threshold, and return from the Fourier domain."""
        gradient.scale_threshold_(self.step_size)
        if gradient.rhs is not None:
            gradient.rhs = self.problem.dictionary.image(gradient.rhs)


def _norm_squared(problem: Problem) -> torch.Tensor:
    r"""Return an upper bound of :math:`\|A D\|^2`, which is exact, for each image, if all is circulant."""
    gram, energy = problem.gram, problem.dictionary.energy()
    if isinstance(gram, CirculantGramOp) and problem.dictionary.diagonalizes(gram):
        energy = energy * problem.dictionary.half(gram.transfer, gram.dim)
        return energy.amax((-4, -3, -2, -1), keepdim=True)
    return energy.amax() * problem.least_squares.norm(problem.rhs).to(energy.dtype)
