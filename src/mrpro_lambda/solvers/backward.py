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
        for _ in range(n_iterations):
            state = iteration.step(state)
        return state.img


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
        if n_iterations > self.n_iterations:
            with torch.no_grad():
                state = iteration.run(iteration.owned(state), n_iterations - self.n_iterations)
        for _ in range(min(n_iterations, self.n_iterations)):
            state = iteration.step(state)
        return state.img


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
            n_steps = n_iterations * segment // self.n_segments - done
            done += n_steps
            state = checkpoint(_steps, iteration, state, n_steps, use_reentrant=False)
        return state.img


def _steps(iteration: Iteration, state: Any, n_steps: int) -> Any:  # noqa: ANN401
    """Take steps with autograd."""
    for _ in range(n_steps):
        state = iteration.step(state)
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
        return _ActiveSet.apply(problem.rhs, problem.initial_image, problem.threshold, iteration, n_iterations)


class _ActiveSet(torch.autograd.Function):
    """Run all iterations in place, keep the patterns, and sweep back."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        rhs: torch.Tensor,  # noqa: ARG004
        initial_image: torch.Tensor,  # noqa: ARG004
        threshold: torch.Tensor,  # noqa: ARG004
        iteration: Iteration,
        n_iterations: int,
    ) -> torch.Tensor:
        state = iteration.owned(iteration.init())
        ctx.patterns = [iteration.step_(state, record=True) for _ in range(n_iterations)]
        ctx.iteration = iteration
        ctx.state_type = type(state)
        ctx.shapes = [(tensor.shape, tensor.dtype) for tensor in state]
        return state.img

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        gradient = Gradient(ctx.iteration.problem)
        zeros = [torch.zeros(shape, dtype=dtype, device=grad_output[0].device) for shape, dtype in ctx.shapes]
        cotangent = ctx.state_type(*zeros)
        cotangent.img.copy_(grad_output[0])
        for pattern in reversed(ctx.patterns):
            ctx.iteration.transpose_(cotangent, pattern, gradient)
        ctx.iteration.transpose_init_(cotangent, gradient)
        return gradient.rhs, gradient.initial_image, gradient.threshold, None, None
