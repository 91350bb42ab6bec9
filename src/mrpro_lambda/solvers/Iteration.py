"""An algorithm bound to a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch

from mrpro_lambda.solvers.Problem import Problem

State = TypeVar('State', bound=tuple[torch.Tensor, ...])


class Iteration(ABC, Generic[State]):
    r"""The iteration of a solver for one problem: its constants, and one step in three forms.

    A step consists of linear maps and one projection to the dual ball. `step` is the plain form, differentiable by
    autograd. `step_` computes the same in place, without temporaries where it can; it reports on request where the
    projection was active. With this pattern the step is a linear map, and `transpose_` applies its transpose to the
    derivative of a loss with respect to the state after the step.
    """

    def __init__(self, problem: Problem) -> None:
        """Bind the algorithm to a problem; here subclasses compute step sizes and other constants, without gradient."""
        self.problem = problem

    @abstractmethod
    def init(self) -> State:
        """Return the initial state."""

    @abstractmethod
    def step(self, state: State) -> State:
        """Return the next state."""

    @abstractmethod
    def step_(self, state: State, record: bool = False) -> torch.Tensor | None:
        """Turn the state into the next one in place and return the activity pattern (int8: -1, 0 or 1) if asked to."""

    @abstractmethod
    def transpose_(self, cotangent: State, pattern: torch.Tensor, gradient: Gradient) -> None:
        """Turn the cotangent of the next state into that of the state in place, and add to the gradient."""

    @abstractmethod
    def transpose_init_(self, cotangent: State, gradient: Gradient) -> None:
        """Add the contribution of the initial state to the gradient."""

    @abstractmethod
    def dual(self, state: State) -> torch.Tensor:
        """Return the feasible dual variable of the regularizer."""

    def owned(self, state: State) -> State:
        """Return a copy of a state that shares no memory with the problem or within itself, for `step_`."""
        return type(state)(*(tensor.detach().clone() for tensor in state))

    def run(self, state: State, n_iterations: int) -> State:
        """Take steps in place, on a state that the caller owns."""
        for _ in range(n_iterations):
            self.step_(state)
        return state


class Gradient:
    """Derivatives of a loss with respect to the parts of a problem, filled by the reverse sweep."""

    def __init__(self, problem: Problem) -> None:
        """Start with zeros."""
        self.rhs = torch.zeros_like(problem.rhs)
        self.initial_image = torch.zeros_like(problem.initial_image)
        shape = (*problem.threshold.shape, 2 if problem.rhs.is_complex() else 1)
        self._threshold = torch.zeros(shape, dtype=problem.threshold.dtype, device=problem.rhs.device)

    def clip_transpose_(self, cotangent: torch.Tensor, pattern: torch.Tensor) -> None:
        """Transpose a clip at the threshold: what was clipped moves to the threshold."""
        parts = as_real(cotangent)
        sign = pattern.to(parts.dtype)
        moved = parts * sign
        self._threshold.add_(moved)
        parts.addcmul_(moved, sign, value=-1)

    def scale_threshold_(self, factor: torch.Tensor) -> None:
        """Account for clips at a multiple of the threshold."""
        self._threshold.mul_(factor.unsqueeze(-1))

    @property
    def threshold(self) -> torch.Tensor:
        """Derivative with respect to the expanded Lambda map."""
        return self._threshold.sum(-1)


def as_real(x: torch.Tensor) -> torch.Tensor:
    """View real and imaginary part as a last axis, of size 1 for real tensors."""
    return torch.view_as_real(x) if x.is_complex() else x.unsqueeze(-1)


@torch.no_grad()
def real_bound(threshold: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
    """Copy a threshold for the real numbers of the coefficients of an image to contiguous memory."""
    return threshold.unsqueeze(-1).expand(*threshold.shape, 2 if img.is_complex() else 1).contiguous()


def active_pattern(parts: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Return where a clip is active, as int8: 1 above, -1 below and 0 inside."""
    return (parts > upper).view(torch.int8).sub_((parts < lower).view(torch.int8))
