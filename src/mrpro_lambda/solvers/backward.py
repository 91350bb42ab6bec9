"""Ways to differentiate the iterations of a solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from mrpro_lambda.solvers.Iteration import Gradient, Iteration


class Backward(ABC):
    """A way to differentiate a fixed number of iterations."""

    @abstractmethod
    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations and return the image with its graph.

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
        state = iteration.init()
        for index in range(n_iterations):
            state = iteration.step(state, index)
        return state.primal


class TruncatedBackward(Backward):
    """Back-propagation through the last iterations only: less memory, and a biased gradient."""

    def __init__(self, n_iterations: int) -> None:
        """Initialize.

        Parameters
        ----------
        n_iterations
            Number of iterations with gradient, at the end.
        """
        if n_iterations < 1:
            raise ValueError(f'The number of iterations with gradient must be positive, got {n_iterations=}.')
        self.n_iterations = n_iterations

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        state = iteration.init()
        first = max(0, n_iterations - self.n_iterations)
        if first > 0:
            with torch.no_grad():
                state = iteration.run(iteration.owned(state), 0, first)
        for index in range(first, n_iterations):
            state = iteration.step(state, index)
        return state.primal


class CheckpointedBackward(Backward):
    """Exact back-propagation that keeps the state between segments only and computes each segment twice."""

    def __init__(self, n_segments: int) -> None:
        """Initialize.

        Parameters
        ----------
        n_segments
            Number of segments. The square root of the number of iterations needs the least memory.
        """
        if n_segments < 1:
            raise ValueError(f'The number of segments must be positive, got {n_segments=}.')
        self.n_segments = n_segments

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        state = iteration.init()
        done = 0
        for segment in range(1, self.n_segments + 1):
            start, done = done, n_iterations * segment // self.n_segments
            state = checkpoint(_steps, iteration, state, range(start, done), use_reentrant=False)
        return state.primal


def _steps(iteration: Iteration, state: Any, indices: range) -> Any:  # noqa: ANN401
    """Take steps with autograd."""
    for index in indices:
        state = iteration.step(state, index)
    return state


class ActiveSetBackward(Backward):
    r"""Exact reverse pass from activity patterns: one int8 number for each coefficient and iteration.

    Each step is a linear map followed by a clip. Where the clip was active decides its derivative, so the transposes of
    the steps need this pattern and no iterate. The gradient with respect to the Lambda map, the data and the initial
    image is that of `FullBackward`, in a fraction of its time and memory. It can not be differentiated again. The
    regularizer must be elementwise; the acquisition operator gets no gradient.
    """

    def __call__(self, iteration: Iteration, n_iterations: int) -> torch.Tensor:
        """Run the iterations."""
        problem = iteration.problem
        if not problem.regularizer.elementwise:
            raise ValueError(
                'ActiveSetBackward needs a regularizer that treats each real number on its own, got a grouped norm '
                f'of {type(problem.regularizer).__name__}: use CheckpointedBackward.'
            )
        return _ActiveSet.apply(problem.rhs, problem.start, problem.threshold, iteration, n_iterations)


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
        state = iteration.owned(iteration.init())
        ctx.patterns = [iteration.step_(state, index, record=True) for index in range(n_iterations)]
        ctx.iteration = iteration
        ctx.state_type = type(state)
        ctx.shapes = [(tensor.shape, tensor.dtype) for tensor in state]
        return state.primal

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        gradient = Gradient(ctx.iteration.problem, rhs=ctx.needs_input_grad[0])
        zeros = [torch.zeros(shape, dtype=dtype, device=grad_output[0].device) for shape, dtype in ctx.shapes]
        cotangent = ctx.state_type(*zeros)
        cotangent.primal.copy_(grad_output[0])
        for index in range(len(ctx.patterns) - 1, -1, -1):
            ctx.iteration.transpose_(cotangent, index, ctx.patterns[index], gradient)
        ctx.iteration.transpose_init_(cotangent, gradient)
        return gradient.rhs, gradient.start, gradient.threshold, None, None
