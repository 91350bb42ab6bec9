"""Ways to differentiate the iterations of a solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch.utils.checkpoint import checkpoint

from mrpro_lambda.checks import check_number
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.solvers.certificate import certificate_of_state
from mrpro_lambda.solvers.Iteration import Gradient, Iteration


class Backward(ABC):
    """A way to differentiate a fixed number of iterations."""

    @classmethod
    def exact(cls, n_iterations: int) -> Self:  # noqa: ARG003
        """Return one whose gradient of that many iterations is exact, which the tests try."""
        return cls()

    @abstractmethod
    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations and return the image with its graph, without the offset of the problem.

        Parameters
        ----------
        iteration
            Algorithm bound to a problem.
        n_iterations
            Number of iterations.
        """


class FullBackward(Backward):
    """Back-propagation through all iterations by autograd: the reference, with the memory of all iterates."""

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        state = iteration.first()
        for index in range(n_iterations):
            state = iteration.step(state, index)
        return iteration.problem.synthesize(state.primal)


class TruncatedBackward(Backward):
    """Back-propagation through the last iterations only: less memory, and a biased gradient."""

    def __init__(self, n_iterations: int) -> None:
        """Initialize.

        Parameters
        ----------
        n_iterations
            Number of iterations with gradient, at the end.
        """
        check_number('The number of iterations with gradient', n_iterations, 1, integer=True)
        self.n_iterations = n_iterations

    @classmethod
    def exact(cls, n_iterations: int) -> Self:
        """Return one that leaves out no iteration."""
        return cls(n_iterations)

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        state = iteration.first()
        first = max(0, n_iterations - self.n_iterations)
        if first > 0:
            with torch.no_grad():
                state = iteration.run(iteration.owned(state), 0, first)
        for index in range(first, n_iterations):
            state = iteration.step(state, index)
        img = iteration.problem.synthesize(state.primal)
        if first > 0 and iteration.problem.threshold.requires_grad and not img.requires_grad:
            raise ValueError(
                f'The last {self.n_iterations} iteration(s) of {type(iteration).__name__} do not depend on the Lambda '
                'map: TruncatedBackward needs more of them.'
            )
        return img


class CheckpointedBackward(Backward):
    """Exact back-propagation that keeps the state between segments only and computes each segment twice."""

    def __init__(self, n_segments: int) -> None:
        """Initialize.

        Parameters
        ----------
        n_segments
            Number of segments. The square root of the number of iterations needs the least memory.
        """
        check_number('The number of segments', n_segments, 1, integer=True)
        self.n_segments = n_segments

    @classmethod
    def exact(cls, n_iterations: int) -> Self:
        """Return one with several segments."""
        return cls(min(3, n_iterations))

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        state = iteration.first()
        done = 0
        for segment in range(1, self.n_segments + 1):
            start, done = done, n_iterations * segment // self.n_segments
            state = checkpoint(_steps, iteration, state, range(start, done), use_reentrant=False)
        return iteration.problem.synthesize(state.primal)


def _steps(iteration: Iteration, state: Any, indices: range) -> Any:  # noqa: ANN401
    """Take steps with autograd."""
    for index in indices:
        state = iteration.step(state, index)
    return state


class ActiveSetBackward(Backward):
    r"""Exact reverse pass from activity patterns: two bits for each real number and iteration.

    Each step is a linear map followed by a clip. Where the clip was active decides its derivative, so the transposes of
    the steps need this pattern and no iterate. The gradient with respect to the Lambda map, the data and the initial
    image is that of `FullBackward`, in a fraction of its time and memory. It can not be differentiated again. The
    regularizer must be elementwise, and no part of the operators may require a gradient.
    """

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        _check_transposable(self, iteration)
        problem = iteration.problem
        return _ActiveSet.apply(problem.rhs, problem.start, problem.threshold, iteration, n_iterations)


class ImplicitBackward(Backward):
    r"""Gradient of the solution, whose memory and time do not depend on the number of iterations.

    The solution is a fixed point of a step. With the activity pattern there, the step is a linear map, whose transpose
    is applied until the sum of its powers has converged. The gradient is that of the minimizer, and means nothing
    before the iterations have converged: then it is refused. The minimizer does not depend on the unknown to
    start from, which therefore gets no gradient. The regularizer must be elementwise, and the gradient can not be
    differentiated again.
    """

    def __init__(self, tolerance: float = 1e-3, *, max_iterations: int = 5000, accuracy: float = 1e-3) -> None:
        """Initialize.

        Parameters
        ----------
        tolerance
            Largest certified gap, relative to the objective, for which a gradient is given.
        max_iterations
            Largest number of transposed steps.
        accuracy
            Stop when the last tenth of the steps has changed the gradients with respect to the map and to the data by
            less than this, relative to their norms.
        """
        check_number('tolerance', tolerance, positive=True)
        check_number('accuracy', accuracy, positive=True)
        check_number('max_iterations', max_iterations, 1, integer=True)
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.accuracy = accuracy

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations and differentiate their limit."""
        with torch.no_grad():
            state = iteration.run(iteration.owned(iteration.first()), 0, n_iterations)
        return self.at_solution(iteration, state)

    def at_solution(self, iteration: Iteration, state: Any) -> torch.Tensor:  # noqa: ANN401
        """Return the image of a converged state with its graph, without the offset of the problem.

        Parameters
        ----------
        iteration
            Algorithm bound to a problem.
        state
            State that the iterations have reached.

        Raises
        ------
        ValueError
            If the certified gap of an image is above the tolerance, or the regularizer is not elementwise.
        """
        _check_transposable(self, iteration)
        with torch.no_grad():
            gap = certificate_of_state(iteration, state, 'plain').relative_gap
            for bound in ('repaired', 'thoroughly repaired'):
                if not gap <= self.tolerance:
                    gap = min(gap, certificate_of_state(iteration, state, bound).relative_gap)
        if not gap <= self.tolerance:
            raise ValueError(
                f'ImplicitBackward needs a converged solution, with a certified gap below {self.tolerance:g} of the '
                f'objective, got {gap:g}: take more iterations or ActiveSetBackward.'
            )
        problem = iteration.problem
        return _Implicit.apply(problem.rhs, problem.threshold, iteration, state, self)


def _check_transposable(backward: Backward, iteration: Iteration) -> None:
    """Raise an error where the transposed steps would not give the whole gradient."""
    problem, name = iteration.problem, type(backward).__name__
    if not problem.regularizer.elementwise:
        raise ValueError(
            f'{name} needs a regularizer that treats each real number on its own, got a grouped norm of '
            f'{type(problem.regularizer).__name__}: use CheckpointedBackward.'
        )
    # mrpro's operators hold tensors that require a gradient as plain attributes
    of_data = problem.gram if problem.data_term.quadratic else problem.acquisition_op
    operators = [op for op in (of_data, problem.regularizer.synthesis_op) if op is not None]
    modules = [module for op in operators for module in op.modules()]
    tensors = [
        value
        for module in modules
        for value in (*module.parameters(recurse=False), *module.buffers(recurse=False), *vars(module).values())
    ]
    if any(isinstance(tensor, torch.Tensor) and tensor.requires_grad for tensor in tensors):
        raise ValueError(
            f'{name} gives no gradient with respect to filters, coil sensitivities or other parts of the operators, '
            'but one of them requires it: use CheckpointedBackward.'
        )


class _Implicit(torch.autograd.Function):
    """Sum the powers of the transposed step at a fixed point."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        rhs: torch.Tensor,  # noqa: ARG004
        threshold: torch.Tensor,  # noqa: ARG004
        iteration: Iteration,
        state: Any,  # noqa: ANN401
        backward: ImplicitBackward,
    ) -> torch.Tensor:
        img = iteration.problem.synthesize(state.primal).clone()
        # at index 0 there is no momentum, so that all steps are the same
        (ctx.pattern,) = iteration.new_patterns(1)
        iteration.step_(state, 0, ctx.pattern)
        ctx.iteration, ctx.settings, ctx.state = iteration, backward, state
        return img

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        iteration, settings = ctx.iteration, ctx.settings
        # the derivative with respect to the right-hand side shows what has not reached the map yet
        gradient = Gradient(iteration.problem)
        cotangent = type(ctx.state)(*(torch.zeros_like(tensor) for tensor in ctx.state))
        iteration.problem.analyze_(grad_output[0], cotangent.primal)
        done, change = 0, float('inf')
        previous: list[torch.Tensor] | None = None
        while change > settings.accuracy:
            if done >= settings.max_iterations:
                raise RuntimeError(
                    f'The implicit gradient has not converged after {done} transposed steps (relative change '
                    f'{change:g}, accuracy {settings.accuracy:g}): raise max_iterations or use ActiveSetBackward.'
                )
            n_steps = min(max(10, done // 10), settings.max_iterations - done)
            for _ in range(n_steps):
                iteration.transpose_(cotangent, 0, ctx.pattern, gradient)
            done += n_steps
            rhs = torch.zeros_like(cotangent.primal) if gradient.rhs is None else gradient.rhs
            current = [gradient.threshold, rhs.clone()]
            if previous is not None:
                change = max(_relative_change(c, p) for c, p in zip(current, previous, strict=True))
            previous = current
        iteration.transpose_first_(cotangent, gradient)
        return gradient.rhs if ctx.needs_input_grad[0] else None, gradient.threshold, None, None, None


def _relative_change(current: torch.Tensor, previous: torch.Tensor) -> float:
    """Return the norm of the change relative to that of the current value, 0 if both are zero."""
    norm = torch.linalg.vector_norm(real_parts(current))
    return (torch.linalg.vector_norm(real_parts(current - previous)) / norm).item() if norm > 0 else 0.0


class _ActiveSet(torch.autograd.Function):
    """Run all iterations in place, keep the patterns, and sweep back."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        rhs: torch.Tensor,  # noqa: ARG004
        start: torch.Tensor,  # noqa: ARG004
        threshold: torch.Tensor,  # noqa: ARG004
        iteration: Iteration,
        n_iterations: int,
    ) -> torch.Tensor:
        state = iteration.owned(iteration.first())
        patterns = iteration.new_patterns(n_iterations)
        for index in range(n_iterations):
            iteration.step_(state, index, patterns[index])
        ctx.save_for_backward(patterns)  # saved tensors are released after the reverse sweep, before the network's
        iteration.clip.release()  # the reverse sweep has the patterns
        ctx.iteration = iteration
        ctx.state_type = type(state)
        ctx.shapes = [(tensor.shape, tensor.dtype) for tensor in state]
        # the coefficients of a dictionary, and later their cotangent, are in memory only once
        return iteration.problem.synthesize(state.primal)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        problem = ctx.iteration.problem
        gradient = Gradient(problem, rhs=ctx.needs_input_grad[0])
        zeros = [torch.zeros(shape, dtype=dtype, device=grad_output[0].device) for shape, dtype in ctx.shapes]
        cotangent = ctx.state_type(*zeros)
        problem.analyze_(grad_output[0], cotangent.primal)
        (patterns,) = ctx.saved_tensors
        for index in range(len(patterns) - 1, -1, -1):
            ctx.iteration.transpose_(cotangent, index, patterns[index], gradient)
        ctx.iteration.transpose_first_(cotangent, gradient)
        start = gradient.start if ctx.needs_input_grad[1] else None
        return gradient.rhs, start, gradient.threshold, None, None
