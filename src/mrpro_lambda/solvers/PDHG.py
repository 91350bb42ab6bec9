"""Primal-dual hybrid gradient algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.real_parts import contiguous_weights, real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import Backward
from mrpro_lambda.solvers.Iteration import Clip, Gradient, Iteration, pack_signs
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solver


class PDHGState(NamedTuple):
    """State of the primal-dual hybrid gradient algorithm."""

    primal: torch.Tensor
    relaxed: torch.Tensor
    """Extrapolated unknown."""
    residual: torch.Tensor
    r"""The dual variable of the data term as an image, :math:`A^H p`, or its Fourier transform."""
    dual: torch.Tensor
    r"""Dual variable of the regularizer."""


class PDHG(Solver):
    r"""Primal-dual hybrid gradient algorithm for :math:`\min_x \frac{1}{2}\|Ax-y\|_2^2 + \|\Lambda\cdot Kx\|_1`.

    With :math:`\|[A; K]\|^2 \le L^2`, :math:`\sigma \tau L^2 < 1` and :math:`p_0 = q_0 = 0`, [CHA2011]_ [SID2012]_

    .. math::

        p_{n+1} &= (p_n + \sigma (A \bar x_n - y)) / (1 + \sigma) \\
        q_{n+1} &= \mathrm{clip}(q_n + \sigma K \bar x_n, -\Lambda, \Lambda) \\
        x_{n+1} &= x_n - \tau (A^H p_{n+1} + K^H q_{n+1}) \\
        \bar x_{n+1} &= x_{n+1} + \theta (x_{n+1} - x_n)

    For an image that is synthesized, :math:`A S` takes the place of :math:`A`. This is the algorithm of TV-Lambda
    [KOF2023]_. The dual variable :math:`p` is needed as :math:`A^H p` only, so
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

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the unknowns of the regularizer are coefficients of a dictionary.
        """
        super().__init__(regularizer, n_iterations, max_iterations, tolerance, backward)
        check_number('step_ratio', step_ratio, positive=True)
        check_number('relaxation', relaxation, 0, 1)
        self.step_ratio = step_ratio
        self.relaxation = relaxation

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return parameters for the tests."""
        return {'step_ratio': 0.3, 'relaxation': 0.6}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:
        """Tell that the coefficients of a dictionary are not solved for."""
        if regularizer.dictionary_op is not None:
            return f'PDHG solves for an image, got {type(regularizer).__name__}: use ADMM or FISTA.'
        return None

    def iteration(self, problem: Problem) -> PDHGIteration:
        """Bind the algorithm to a problem."""
        return PDHGIteration(problem, self.step_ratio, self.relaxation)


class PDHGIteration(Iteration[PDHGState]):
    """The iteration of `PDHG` for one problem.

    Where the Gram operator is diagonal in k-space (one coil, Cartesian) the dual variable of the data term is kept
    there, with the unitary FFT.
    """

    @torch.no_grad()
    def __init__(self, problem: Problem, step_ratio: float, relaxation: float) -> None:
        """Compute the step sizes."""
        super().__init__(problem)
        bound = problem.regularizer.transform_op.norm_squared_with(problem.gram_norm, problem.rhs.shape).sqrt()
        # images with operators of one size share numbers, with which sums take less time
        shared = bool((bound == bound.amax()).all())
        steps = (0.97 * step_ratio / bound, 0.97 / (step_ratio * bound))
        self.dual_step, self.primal_step = (
            step.amax().item() if shared else step.to(problem.rhs.dtype.to_real()) for step in steps
        )
        self.relaxation = relaxation
        self.clip = Clip(problem, step=self.dual_step)
        gram = problem.gram
        self._dim: tuple[int, ...] = ()
        if isinstance(gram, CirculantGramOp) and gram.circulant and problem.rhs.is_complex():
            self._dim, self._transfer = gram.dim, gram.transfer.to(problem.rhs.dtype.to_real())
        with torch.enable_grad():
            self._rhs = self._analyze(problem.rhs)
        self._decay = 1 / (1 + self.dual_step)
        self._scaled_rhs = self._rhs * (-self.dual_step * self._decay)
        if self._dim:
            self._scaled_transfer = contiguous_weights(self._transfer * (self.dual_step * self._decay), problem.rhs)
        self._gradient = torch.empty_like(problem.start, memory_format=torch.contiguous_format)

    def _analyze(self, img: torch.Tensor) -> torch.Tensor:
        """Transform an image to the basis of the dual variable of the data term."""
        return torch.fft.fftn(img, dim=self._dim, norm='ortho') if self._dim else img

    def _synthesize(self, residual: torch.Tensor) -> torch.Tensor:
        """Invert `_analyze`."""
        return torch.fft.ifftn(residual, dim=self._dim, norm='ortho') if self._dim else residual

    def init(self) -> PDHGState:
        """Start from the initial image with zero duals."""
        start = self.problem.start
        return PDHGState(start, start, torch.zeros_like(self._rhs), self.problem.zero_coefficients())

    def step(self, state: PDHGState, index: int) -> PDHGState:  # noqa: ARG002
        """Return the next state."""
        primal, relaxed, residual, dual = state
        problem, sigma, tau = self.problem, self.dual_step, self.primal_step
        dual = self.clip(dual + sigma * problem.regularizer.transform(relaxed))
        img = problem.synthesize(relaxed)
        if self._dim:
            forward = self._transfer * self._analyze(img)
        else:
            (forward,) = problem.gram(img)
        residual = (residual + sigma * (forward - self._rhs)) / (1 + sigma)
        gradient = problem.analyze(self._synthesize(residual)) + problem.regularizer.transform_adjoint(dual)
        return PDHGState(primal - tau * gradient, primal - tau * (1 + self.relaxation) * gradient, residual, dual)

    def step_(self, state: PDHGState, index: int, pattern: torch.Tensor | None = None) -> None:  # noqa: ARG002
        """Turn the state into the next one in place."""
        primal, relaxed, residual, dual = state
        problem, regularizer = self.problem, self.problem.regularizer
        self._add_transform_(dual, relaxed, self.dual_step)
        if pattern is not None:
            self.clip.into(dual, self._clipped)
            if self.clip.smooth:
                dual.mul_(self.clip.contraction)
            pack_signs(dual.sub_(self._clipped), pattern)
            dual.copy_(self._clipped)
        else:
            self.clip.into(dual, dual)
        img = problem.synthesize(relaxed)
        parts = real_parts(residual)
        _add_multiple(real_parts(self._scaled_rhs), parts, self._decay, out=parts)
        if self._dim:
            parts.addcmul_(real_parts(self._analyze(img)), self._scaled_transfer)
        else:
            _add_multiple(parts, real_parts(problem.gram(img)[0]), self.dual_step * self._decay, out=parts)
        # an FFT along some of the axes may change the layout of the memory
        if self._dim:
            gradient = problem.analyze(self._synthesize(residual).contiguous())
        else:
            gradient = self._gradient.copy_(problem.analyze(residual))
        regularizer.add_transform_adjoint_(gradient, dual, 1.0)
        step, relaxed_step = -self.primal_step, -self.primal_step * (1 + self.relaxation)
        _add_multiple(real_parts(primal), real_parts(gradient), relaxed_step, out=real_parts(relaxed))
        _add_multiple(real_parts(primal), real_parts(gradient), step, out=real_parts(primal))

    def transpose_(self, cotangent: PDHGState, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:  # noqa: ARG002
        """Transpose one step in place."""
        primal, relaxed, residual, dual = cotangent
        problem, sigma, tau = self.problem, self.dual_step, self.primal_step
        descent = real_parts(self._gradient)
        torch.add(real_parts(primal), real_parts(relaxed), alpha=1 + self.relaxation, out=descent)
        primal.add_(relaxed)
        parts = real_parts(residual)
        _add_multiple(parts, real_parts(self._analyze(problem.synthesize(self._gradient))), -tau, out=parts)
        self._add_transform_(dual, self._gradient, -tau)
        gradient.clip_transpose_(dual, pattern)
        if self.clip.smooth:
            dual.mul_(self.clip.contraction)
        gradient.add_rhs_(residual, -1.0)
        if self._dim:
            scaled = torch.view_as_complex(real_parts(residual) * self._scaled_transfer)
            relaxed.copy_(problem.analyze(self._synthesize(scaled)))
        else:
            relaxed.copy_(problem.analyze(problem.gram(residual)[0]))
            real_parts(relaxed).mul_(_of_parts(sigma * self._decay))
        parts.mul_(_of_parts(self._decay))
        if isinstance(sigma, float):
            problem.regularizer.add_transform_adjoint_(relaxed, dual, sigma)
        else:
            problem.regularizer.add_transform_adjoint_(relaxed, sigma * dual, 1.0)

    def transpose_init_(self, cotangent: PDHGState, gradient: Gradient) -> None:
        """Add the initial image, which is both image and extrapolated image."""
        gradient.start.add_(cotangent.primal).add_(cotangent.relaxed)
        if gradient.rhs is not None:
            gradient.rhs = self._synthesize(gradient.rhs * (self.dual_step * self._decay))

    def _add_transform_(self, out: torch.Tensor, img: torch.Tensor, factor: torch.Tensor | float) -> None:
        """Add a multiple of the transform in place."""
        if isinstance(factor, float):
            self.problem.regularizer.add_transform_(out, img, factor)
        else:
            self.problem.regularizer.add_transform_(out, factor * img, 1.0)

    def dual(self, state: PDHGState) -> torch.Tensor:
        """Return the dual variable of the regularizer."""
        return state.dual

    def residual(self, state: PDHGState) -> torch.Tensor:
        """Return the dual variable of the data term in image space."""
        return self._synthesize(state.residual)

    @cached_property
    def _clipped(self) -> torch.Tensor:
        """Memory for clipped coefficients."""
        return self.problem.zero_coefficients()


def _of_parts(factor: torch.Tensor | float) -> torch.Tensor | float:
    """Return a factor of images for their real and imaginary parts."""
    return factor if isinstance(factor, float) else factor.unsqueeze(-1)


def _add_multiple(a: torch.Tensor, b: torch.Tensor, factor: torch.Tensor | float, *, out: torch.Tensor) -> None:
    """Write the sum of real parts and a multiple of others to memory, which may be that of one of them."""
    if isinstance(factor, torch.Tensor):
        torch.addcmul(a, b, factor.unsqueeze(-1), out=out)
    else:
        torch.add(a, b, alpha=factor, out=out)
