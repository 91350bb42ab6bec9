"""An algorithm bound to a problem."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Generic, TypeVar

import torch

from mrpro_lambda.norms.Norm import scaled_threshold
from mrpro_lambda.operators.real_parts import contiguous_weights, real_parts, weights_of_parts
from mrpro_lambda.solvers.Problem import Problem

State = TypeVar('State', bound=tuple[torch.Tensor, ...])


class Iteration(ABC, Generic[State]):
    r"""The iteration of a solver for one problem: its constants, and one step in three forms.

    A step consists of linear maps and one projection to the dual ball, the `clip`. `step` is the plain form,
    differentiable by autograd, and all that an algorithm needs. `step_` computes the same in place; it reports on
    request where the clip was active. With this pattern the step is a linear map, and `transpose_` applies its
    transpose to the derivative of a loss with respect to the state after the step. Both are derived from `step` here;
    algorithms override them with faster forms.

    The first entry of a state is the unknown of the problem, `primal`. Steps are numbered from 0, for algorithms with
    a momentum that grows.
    """

    clip: Clip
    """Projection of the steps; `step` calls it once."""

    def __init__(self, problem: Problem) -> None:
        """Bind the algorithm to a problem; here subclasses compute step sizes and other constants, without gradient.

        What depends on the right-hand side of the problem is computed with the gradient mode of the caller.
        """
        self.problem = problem
        self._given: State | None = None

    @abstractmethod
    def init(self) -> State:
        """Return the initial state."""

    def begin(self, state: State) -> None:
        """Begin with a state that was reached for the same scan, in place of `init`. It gets no gradient."""
        self._given = state

    def first(self) -> State:
        """Return the state to begin with."""
        return self.init() if self._given is None else self.resumed(self._given)

    @abstractmethod
    def step(self, state: State, index: int) -> State:
        """Return the next state."""

    @torch.no_grad()
    def step_(self, state: State, index: int, pattern: torch.Tensor | None = None) -> None:
        """Turn the state into the next one in place and write the activity pattern to memory of `new_patterns`."""
        with self.clip.recording(pattern):
            following = self.step(state, index)
        for old, new in zip(state, following, strict=True):
            old.copy_(new)

    def transpose_(self, cotangent: State, index: int, pattern: torch.Tensor, gradient: Gradient) -> None:
        """Turn the cotangent of the next state into that of the state in place, and add to the gradient."""
        rhs, threshold = self.problem.rhs, torch.zeros_like(self.problem.threshold.detach()).requires_grad_()
        with torch.enable_grad(), self.clip.frozen(pattern, threshold):
            # with the pattern the step is affine, so that its derivative is the same everywhere
            state = type(cotangent)(*(torch.zeros_like(part).requires_grad_() for part in cotangent))
            following = self.step(state, index)
        inputs = [*state, threshold, *([rhs] if rhs.requires_grad else [])]
        outputs = [(new, part) for new, part in zip(following, cotangent, strict=True) if new.requires_grad]
        derivatives = torch.autograd.grad(
            [new for new, _ in outputs],
            inputs,
            [part for _, part in outputs],
            retain_graph=True,  # the constants of the algorithm depend on the right-hand side
            allow_unused=True,
            materialize_grads=True,
        )
        for part, derivative in zip(cotangent, derivatives, strict=False):
            part.copy_(derivative)
        gradient.add_threshold_(derivatives[len(cotangent)])
        if rhs.requires_grad:
            gradient.add_rhs_(derivatives[-1], 1.0)

    def transpose_first_(self, cotangent: State, gradient: Gradient) -> None:
        """As `transpose_init_`, without a contribution of a state that was given."""
        if self._given is not None:
            for part in cotangent:
                part.zero_()
        self.transpose_init_(cotangent, gradient)

    def transpose_init_(self, cotangent: State, gradient: Gradient) -> None:
        """Add the contribution of the initial state to the gradient, and bring it to the units of the problem."""
        problem = self.problem
        with torch.enable_grad():
            state = self.init()
        for source, add in ((problem.start, gradient.add_start_), (problem.rhs, gradient.add_rhs_)):
            outputs = [(new, part) for new, part in zip(state, cotangent, strict=True) if new.requires_grad]
            if source.requires_grad and outputs:
                (derivative,) = torch.autograd.grad(
                    [new for new, _ in outputs],
                    source,
                    [part for _, part in outputs],
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                add(derivative, 1.0)

    def dual(self, state: State) -> torch.Tensor | None:  # noqa: ARG002
        """Return the feasible dual variable of the regularizer; `None` if it follows from that of the data term."""
        return None

    def dual_image(self, state: State) -> torch.Tensor | None:  # noqa: ARG002
        """Return an image without the offset whose data are closer to dual feasible than those of the unknown."""
        return None

    def dual_response(self, state: State) -> torch.Tensor | None:  # noqa: ARG002
        """Return the data whose slope is the dual variable of the data term; `None` for those of the unknown."""
        return None

    def new_patterns(self, n_iterations: int) -> torch.Tensor:
        """Return memory for the activity patterns of some iterations, see `pack_signs`."""
        # one array: many small ones, between the temporary arrays of the steps, would tear the memory to pieces
        n, *shape = self.problem.regularizer.transform_op.coefficient_shape(self.problem.rhs.shape)
        n_numbers = math.prod(shape) * (2 if self.problem.start.is_complex() else 1)
        return torch.empty(n_iterations, n, -(-n_numbers // 4), dtype=torch.uint8, device=self.problem.rhs.device)

    def owned(self, state: State) -> State:
        """Return a copy of a state that shares no memory with the problem or within itself, for `step_`."""
        return type(state)(*(tensor.detach().clone() for tensor in state))

    def resumed(self, state: State) -> State:
        """Return a copy of a state to go on from that was reached for the same scan with another Lambda map."""
        return self.owned(state)

    def run(self, state: State, start: int, n_iterations: int) -> State:
        """Take steps in place, on a state that the caller owns."""
        for index in range(start, start + n_iterations):
            self.step_(state, index)
        return state


_ALL = slice(None)


class Gradient:
    """Derivatives of a loss with respect to the parts of a problem, filled by the reverse sweep."""

    def __init__(self, problem: Problem, *, rhs: bool = True) -> None:
        """Start with zeros.

        Parameters
        ----------
        problem
            Problem.
        rhs
            Whether the derivative with respect to the right-hand side is wanted.
        """
        self.wants_rhs = rhs
        self.rhs: torch.Tensor | None = None
        self._problem = problem
        coefficients = problem.regularizer.transform_op.coefficient_shape(problem.rhs.shape)
        self._separate = problem.threshold.ndim > len(coefficients)
        shape = (*coefficients, 2 if problem.start.is_complex() else 1)
        self._threshold = torch.zeros(shape, dtype=problem.threshold.dtype, device=problem.rhs.device)
        self._sign = torch.empty(0, dtype=self._threshold.dtype, device=self._threshold.device)

    @cached_property
    def start(self) -> torch.Tensor:
        """Derivative with respect to the unknown to start from, memory of a solver that has one."""
        return torch.zeros_like(self._problem.start)

    def add_rhs_(self, term: torch.Tensor, alpha: float) -> None:
        """Add a multiple of a term to the derivative with respect to the right-hand side."""
        if not self.wants_rhs:
            return
        if self.rhs is None:
            self.rhs = torch.zeros_like(term)  # in the memory layout of the term
        real_parts(self.rhs).add_(real_parts(term), alpha=alpha)

    def add_start_(self, term: torch.Tensor, alpha: float) -> None:
        """Add a multiple of a term to the derivative with respect to the start."""
        self.start.add_(term, alpha=alpha)

    def add_threshold_(self, term: torch.Tensor) -> None:
        """Add a term to the derivative with respect to the expanded Lambda map."""
        if self._separate:
            self._threshold.add_(term)
        else:
            self._threshold[..., 0].add_(term)

    def clip_transpose_(self, cotangent: torch.Tensor, pattern: torch.Tensor, chunk: slice = _ALL) -> None:
        """Transpose a clip at the threshold: what was clipped moves to the threshold."""
        parts = real_parts(cotangent)
        sign = self._unpack(pattern, parts.shape)
        self._threshold[chunk].addcmul_(parts, sign)
        parts.addcmul_(parts, sign.abs_(), value=-1)

    def shrink_transpose_(self, cotangent: torch.Tensor, pattern: torch.Tensor, chunk: slice = _ALL) -> None:
        """Transpose a shrinkage by the threshold: what is not zero afterwards was moved by it."""
        parts = real_parts(cotangent)
        sign = self._unpack(pattern, parts.shape)
        self._threshold[chunk].addcmul_(parts, sign, value=-1)
        parts.mul_(sign.abs_())

    def _unpack(self, pattern: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Convert a pattern to real numbers, in memory that is used again."""
        if len(self._sign) < len(pattern):
            self._sign = self._sign.new_empty(len(pattern), 4, pattern.shape[1])
        return unpack_signs(pattern, shape, self._sign[: len(pattern)])

    def scale_threshold_(self, factor: torch.Tensor | float) -> None:
        """Account for clips at a multiple of the threshold."""
        self._threshold.mul_(factor.unsqueeze(-1) if isinstance(factor, torch.Tensor) else factor)

    @property
    def threshold(self) -> torch.Tensor:
        """Derivative with respect to the expanded Lambda map."""
        return self._threshold if self._separate else self._threshold.sum(-1)


class Clip:
    r"""The step of a dual variable, :math:`\alpha\, \mathrm{prox}_{\sigma N^*}(q / \alpha)`: mostly a clamp."""

    @torch.no_grad()
    def __init__(self, problem: Problem, scale: torch.Tensor | float = 1.0, step: torch.Tensor | float = 1.0) -> None:
        r"""Set scale :math:`\alpha` and step size :math:`\sigma`, numbers or one for each image."""
        self.norm = problem.regularizer.coefficient_norm
        self.scale, self.step, self._threshold = scale, step, problem.threshold
        shape = problem.regularizer.transform_op.coefficient_shape(problem.rhs.shape)
        self._like = problem.start.new_empty(()).expand(shape)
        self.contraction = self.norm.contraction(step)
        self._pattern: torch.Tensor | None = None
        self._frozen: torch.Tensor | None = None

    @contextmanager
    def recording(self, pattern: torch.Tensor | None) -> Iterator[None]:
        """Write in each call where it was active."""
        self._pattern = pattern
        yield
        self._pattern = None

    @contextmanager
    def frozen(self, pattern: torch.Tensor, threshold: torch.Tensor) -> Iterator[None]:
        """Be the affine map that it is for this pattern, with other thresholds."""
        self._pattern, self._frozen = pattern, threshold
        yield
        self._pattern = self._frozen = None

    def __call__(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the projection, differentiable."""
        if self._frozen is not None and self._pattern is not None:
            parts = real_parts(coefficients * self.contraction)
            memory = parts.new_empty(len(self._pattern), 4, self._pattern.shape[1])
            sign = unpack_signs(self._pattern, parts.shape, memory)
            bound = weights_of_parts(scaled_threshold(self._frozen, self.scale, coefficients), coefficients)
            clipped = torch.where(sign == 0, parts, sign * bound)
            return torch.view_as_complex(clipped) if coefficients.is_complex() else clipped.squeeze(-1)
        projected = self.norm.prox_conjugate(coefficients, self._threshold, self.step, self.scale)
        if self._pattern is not None:
            pack_signs(coefficients * self.contraction - projected, self._pattern)
        return projected

    @cached_property
    def upper(self) -> torch.Tensor:
        """Upper bound of the real numbers, stored once for all coefficients that share it."""
        shared = self._threshold.detach()
        for dim, stride in enumerate(shared.stride()):
            shared = shared.narrow(dim, 0, 1) if stride == 0 else shared
        return contiguous_weights(scaled_threshold(shared, self.scale, self._like), self._like)

    @cached_property
    def row_bounds(self) -> list[float] | None:
        """Bound of each row of the coefficients where it is a number: a clamp by it takes a quarter of the time."""
        upper = self.upper
        if upper.shape[1:].numel() > upper.shape[-1] or bool((upper != upper[..., :1]).any()):
            return None
        return upper[..., 0].flatten().expand(self._like.shape[0]).tolist()

    @cached_property
    def lower(self) -> torch.Tensor:
        """Lower bound of the real numbers."""
        return -self.upper

    def release(self) -> None:
        """Free the bounds, which are computed again when they are needed."""
        self.__dict__.pop('upper', None)
        self.__dict__.pop('lower', None)
        self.__dict__.pop('row_bounds', None)

    def into(self, coefficients: torch.Tensor, out: torch.Tensor) -> None:
        """Write the projection to `out`, which may be the same memory. Not differentiable."""
        if not self.norm.elementwise:
            out.copy_(self.norm.prox_conjugate(coefficients, self._threshold, self.step, self.scale))
            return
        if self.smooth:
            coefficients = torch.mul(coefficients, self.contraction, out=out)
        if self.row_bounds is None:
            torch.clamp(real_parts(coefficients), self.lower, self.upper, out=real_parts(out))
            return
        for row, bound, clamped in zip(real_parts(coefficients), self.row_bounds, real_parts(out), strict=True):
            torch.clamp(row, -bound, bound, out=clamped)

    @property
    def smooth(self) -> bool:
        """Whether coefficients are contracted before they are clamped."""
        return self.norm.smoothing != 0

    def chunk_(self, coefficients: torch.Tensor, out: torch.Tensor, chunk: slice) -> None:
        """Write the projection of some of the coefficients to `out`, with a lower bound that is not kept."""
        upper = self.upper if len(self.upper) == 1 else self.upper[chunk]
        torch.clamp(real_parts(coefficients), -upper, upper, out=real_parts(out))


def pack_signs(x: torch.Tensor, out: torch.Tensor) -> None:
    """Write the signs of real or complex numbers, four of them in a byte, for each entry along the first axis.

    The quarters of an entry are the digits -1, 0 and 1 of numbers to the base 4, plus 85. Overwrites the numbers.
    """
    signs = real_parts(x).sign_().flatten(1)
    if signs.shape[1] % 4:
        signs = torch.nn.functional.pad(signs, (0, -signs.shape[1] % 4))
    quarters = signs.unflatten(1, (4, -1))
    # sums of real numbers take half the time of those of bytes
    packed = torch.add(quarters[:, 0], quarters[:, 1], alpha=4)
    out.copy_(packed.add_(quarters[:, 2], alpha=16).add_(quarters[:, 3], alpha=64).add_(85))


def unpack_signs(pattern: torch.Tensor, shape: torch.Size, out: torch.Tensor) -> torch.Tensor:
    """Write signs to memory of shape `(n, 4, quarter)` and return them as real numbers of a shape."""
    shift = torch.arange(0, 8, 2, dtype=torch.uint8, device=pattern.device).unsqueeze(-1)
    out.copy_((pattern.unsqueeze(1) >> shift).bitwise_and_(3)).sub_(1)
    return out.flatten(1)[:, : shape[1:].numel()].unflatten(1, shape[1:])


def rounded_penalty(penalty: torch.Tensor) -> torch.Tensor:
    """Round to eight bits, so that it is the same number in single and double precision and with any order of sums."""
    mantissa, exponent = penalty.frexp()
    return ((mantissa * 256).round() / 256).ldexp(exponent)
