"""Lower bounds of the minimum of a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Self

import torch

from mrpro_lambda.data_terms.LeastSquares import double_tensor
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.operators.real_parts import weighted
from mrpro_lambda.solvers.CirculantSystem import CirculantSystem
from mrpro_lambda.solvers.Problem import Problem


class Repair(NamedTuple):
    """How much is spent on the repair of a dual pair."""

    n_rounds: int
    """Rounds, at most."""
    n_steps: int
    """Steps of conjugate gradients in each round."""
    cut: float
    """What the weight of a coefficient is multiplied with where the dual variable has left its ball."""


QUICK = Repair(5, 10, 0.05)
"""Repair of a pair that is nearly feasible, at the price of 100 to 250 iterations."""
THOROUGH = Repair(10, 40, 0.5)
"""Repair of the pair of an accurate image, wherever the iterations have the dual variable: of 100 to 900 iterations."""
_LAST_STEPS = 30
"""Steps of conjugate gradients after the rounds, in single and in double precision each."""
_EXCESS = 0.0025
"""How far the repair lets a dual variable leave its ball: the final scaling costs as much of the regularization."""
_SMALLEST = 1e-7
"""Smallest value of the symbol of a transform to invert, relative to the largest: 2e-7 for gradients of 5000 pixels."""
_REFINEMENTS, _EXACT_STEPS = 4, 100
"""The same where no Fourier transform solves the optimality condition, at most."""


class DualPair(NamedTuple):
    """Dual variables of a problem."""

    data: torch.Tensor
    """Dual variable :math:`p` of the data term."""
    regularizer: torch.Tensor
    """Dual variable :math:`q` of the regularizer."""

    @classmethod
    def create(cls, problem: Problem, difference: torch.Tensor, dual: torch.Tensor | None) -> Self:
        """Put a pair together; where the transform is the identity one dual variable follows from the other."""
        if dual is None:
            dual = problem.regularizer.project(-problem.adjoint(difference), problem.threshold)
        return cls(difference, dual)

    def residual(self, problem: Problem) -> torch.Tensor:
        """Return the residual :math:`B^H p + K^H q` of the optimality condition."""
        return problem.adjoint(self.data) + problem.regularizer.transform_adjoint(self.regularizer)

    def to(self, precision: torch.dtype) -> Self:
        """Return the pair in the precision of a real type."""
        return type(self)(*(x.to(precision.to_complex() if x.is_complex() else precision) for x in self))

    def moved(self, problem: Problem, weight: torch.Tensor, solved: torch.Tensor) -> Self:
        """Return :math:`p - B v` and :math:`q - W K v`."""
        dual = self.regularizer - weighted(weight, problem.regularizer.transform(solved))
        return self._replace(data=self.data - problem.forward(solved), regularizer=dual)


def lower_bound(problem: Problem, unknown: torch.Tensor, pair: DualPair, repair: Repair | None = None) -> torch.Tensor:
    r"""Return a lower bound of :math:`\min_u \frac{1}{2} \|B u - y\|_2^2 + \|\Lambda \cdot K u\|_N`, for each image.

    By duality every pair :math:`(p, q)` with :math:`B^H p + K^H q = 0` and a dual norm :math:`\|q\|_* \le \Lambda` at
    each coefficient has

    .. math::

        -\frac{1}{2} \|p\|_2^2 - \mathrm{Re} \langle p, y \rangle \le \min F.

    Nothing is assumed about the minimizer. The pair that an iteration has, :math:`p = B u - y` and its dual variable,
    leaves a residual :math:`r = B^H p + K^H q`. The pair is moved to a vanishing residual, by the correction
    :math:`q - K (K^H K)^+ r` after a shift of :math:`u` along the null space of :math:`K` where one pair of Fourier
    transforms gives it, and by conjugate gradients elsewhere. Then both are multiplied by the largest number for which
    the dual is feasible, or a smaller one if that has the higher bound.

    A single coefficient with a small weight decides about that number. The *repair* moves the pair before that such
    that coefficients with large weights take the correction: it solves
    :math:`(B^H B + K^H W K) v = r` for :math:`p - B v` and :math:`q - W K v` with weights :math:`W \propto \Lambda`,
    clips the dual, lowers the weights where the dual has left its ball, and starts again, until the dual stays in it or
    a number of times. The end is in double precision: rounding errors are more than small weights have room for.

    Parameters
    ----------
    problem
        Problem.
    unknown
        Unknown, for the ratio of the sizes of dual and primal variables.
    pair
        Dual variables, that of the regularizer feasible.
    repair
        How much to spend on a repair of the pair. `None`: none.

    Returns
    -------
        Lower bounds (float64) in the units of the problem, shape `(*other, 1, 1, 1, 1)`, of size 1 along axes that the
        regularizer couples. They are 0 where there is no better one.
    """
    if repair is not None:
        pair = _repaired(problem, unknown, pair, repair)
        problem, unknown = problem.double, double_tensor(unknown)
    pair = _without_residual(problem, unknown, pair)
    norm = problem.regularizer.coefficient_norm
    violation = problem.largest(norm.dual_ratio(pair.regularizer, problem.threshold)).double()
    power = problem.inner(pair.data, pair.data)
    if (conjugate := norm.conjugate(pair.regularizer, problem.threshold)) is not None:  # quadratic, as the power is
        power = power + 2 * problem.total(conjugate)
    correlation = problem.inner(pair.data, problem.data)
    scale = (1 / violation.clamp_min(1)).minimum(-correlation / power.clamp_min(1e-300)).clamp_min(0)
    return (-0.5 * scale.square() * power - scale * correlation).clamp_min(0)


def _repaired(problem: Problem, unknown: torch.Tensor, pair: DualPair, repair: Repair) -> DualPair:
    """Move a pair towards a vanishing residual, with small changes where the weights are small; in double precision."""
    regularizer, threshold = problem.regularizer, problem.threshold
    weight = _weight(problem, unknown)
    running = torch.ones_like(problem.largest(problem.rhs.abs()))
    for _ in range(repair.n_rounds):
        residual = running * pair.residual(problem)  # an image whose pair is good is left alone
        pair = pair.moved(problem, weight, _solve(problem, weight, residual, repair.n_steps))
        outside = regularizer.coefficient_norm.dual_ratio(pair.regularizer, threshold) > 1 + 2 * _EXCESS
        running = problem.largest(outside.to(threshold.dtype))
        if not bool(running.any()):
            break
        weight = torch.where(
            outside.unsqueeze(-1) if weight.ndim > outside.ndim else outside, repair.cut * weight, weight
        )
        projected = regularizer.project(pair.regularizer, (1 + _EXCESS) * threshold)
        pair = pair._replace(regularizer=torch.where(running > 0, projected, pair.regularizer))
    # what is left is not for the transform to spread over all coefficients, as some of them have no room for it: not
    # even for rounding errors of single precision
    for precise in (problem, problem.double):
        pair, weight = pair.to(precise.threshold.dtype), weight.to(precise.threshold.dtype)
        pair = pair.moved(precise, weight, _solve(precise, weight, pair.residual(precise), _LAST_STEPS))
    return pair


def _without_residual(problem: Problem, unknown: torch.Tensor, pair: DualPair) -> DualPair:
    """Move a pair to a vanishing residual of the optimality condition."""
    regularizer = problem.regularizer
    residual = pair.residual(problem)
    transform_op = regularizer.transform_op
    positive = bool((problem.threshold > 0).all())
    if isinstance(transform_op, IdentityTransform) and (positive or regularizer.synthesis_op is not None):
        return pair._replace(regularizer=pair.regularizer - regularizer.transform(residual))
    spatial = {d for d in (-3, -2, -1) if residual.shape[d] > 1}
    null_space = _null_space(problem) if positive and regularizer.has_pseudo_inverse else None
    if null_space == 'none':
        return pair._replace(regularizer=pair.regularizer - transform_op(transform_op.solve_normal(residual))[0])
    if null_space == 'constants' and spatial <= {*regularizer.dim}:
        # the null space are constants, for each part that the transform couples
        axes = tuple(sorted({*regularizer.dim, -3, -2, -1} | ({-4} if problem.rhs.shape[-4] == 1 else set())))
        response = problem.forward(_constants(problem))
        curvature = problem.adjoint(response)
        total = problem.synthesize(curvature).sum(axes, keepdim=True)
        size = problem.circulant_bound.transfer.amax() * problem.rhs.numel() / total.numel()
        if bool((total.abs() > 1e-6 * size).all()):  # there are data at the zero frequency
            shift = -problem.synthesize(residual).sum(axes, keepdim=True) / total
            correction = transform_op(regularizer.solve_normal(residual + shift * curvature))[0]
            return DualPair(pair.data + shift * response, pair.regularizer - correction)
    return _solved_to_rounding(problem.double, double_tensor(unknown), pair.to(torch.float64))


def _null_space(problem: Problem) -> Literal['none', 'constants', 'more']:
    r"""Tell what is in the null space of :math:`K`, or so close to it that its pseudo-inverse is of no use."""
    transform_op = problem.regularizer.transform_op
    if transform_op.n_components is not None:
        image = problem.regularizer.transform(_constants(problem))
        return 'constants' if bool((image.abs() < 1e-6).all()) else 'none'
    symbol = problem.regularizer.symbol(problem.rhs.shape, problem.rhs.device)
    small = symbol.flatten() <= _SMALLEST * symbol.amax()
    if not bool(small.any()):
        return 'none'
    return 'constants' if bool(small[0] & ~small[1:].any()) else 'more'


def _constants(problem: Problem) -> torch.Tensor:
    """Return an unknown whose image is 1 everywhere."""
    img = torch.ones_like(problem.rhs)
    return img if problem.regularizer.synthesis_op is None else problem.analyze(img)


def _solved_to_rounding(problem: Problem, unknown: torch.Tensor, pair: DualPair) -> DualPair:
    """Do so by conjugate gradients; coefficients without weight take nothing of the residual.

    Where they do not converge the pair becomes 0, with a lower bound of 0.
    """
    weight = _weight(problem, unknown)
    parts = weight.ndim > problem.rhs.ndim + 1
    largest = problem.largest(weight.amax(-1)).unsqueeze(-1) if parts else problem.largest(weight)
    weight = torch.where(weight > 0, weight.maximum(1e-3 * largest), 0)
    before = pair.residual(problem)
    for _ in range(_REFINEMENTS):  # the Gram operator may differ from forward and adjoint by the accuracy of a NUFFT
        pair = pair.moved(problem, weight, _solve(problem, weight, pair.residual(problem), _EXACT_STEPS))
        after, part = pair.residual(problem), problem.adjoint(pair.data)
        # 1e-10 of the residual before, or of one of its two parts, is what rounding leaves
        converged = problem.inner(after, after) <= 1e-20 * (problem.inner(before, before) + problem.inner(part, part))
        if bool(converged.all()):
            break
    return DualPair(*(torch.where(converged, x, 0) for x in pair))


def _weight(problem: Problem, unknown: torch.Tensor) -> torch.Tensor:
    r"""Return :math:`\Lambda` divided by the size of the coefficients :math:`K u`, or of those of the adjoint data."""
    threshold = problem.threshold
    count = problem.regularizer.transform(unknown).numel() * (2 if unknown.is_complex() else 1)
    size = torch.ones((), dtype=torch.float64, device=unknown.device)
    for candidate in (problem.adjoint(problem.data), unknown):
        coefficients = problem.regularizer.transform(candidate)
        squared = problem.inner(coefficients, coefficients)
        size = torch.where(squared > 0, (squared * squared.numel() / count).sqrt(), size)
    size = size.to(threshold.dtype)
    return threshold / (size.unsqueeze(-1) if threshold.ndim > problem.rhs.ndim + 1 and size.ndim else size)


def _solve(problem: Problem, weight: torch.Tensor, residual: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Apply the inverse of :math:`B^H B + K^H W K` by preconditioned conjugate gradients, for each image."""
    regularizer = problem.regularizer

    def apply(direction: torch.Tensor) -> torch.Tensor:
        applied = problem.apply_gram(direction)
        return applied + regularizer.transform_adjoint(weighted(weight, regularizer.transform(direction)))

    return conjugate_gradients(problem, apply, _preconditioner(problem, weight), residual, n_steps)


def conjugate_gradients(
    problem: Problem,
    apply: Callable[[torch.Tensor], torch.Tensor],
    precondition: Callable[[torch.Tensor], torch.Tensor],
    residual: torch.Tensor,
    n_steps: int,
) -> torch.Tensor:
    """Solve a linear system for each image by some steps of conjugate gradients.

    Parameters
    ----------
    problem
        Problem, which tells what belongs to one image.
    apply, precondition
        Operator of the system, and an approximate inverse of it.
    residual
        Right-hand side.
    n_steps
        Number of steps, at most.
    """
    real_dtype = residual.dtype.to_real()
    solution = torch.zeros_like(residual)
    preconditioned = precondition(residual)
    direction = preconditioned
    power = problem.inner(residual, preconditioned)
    smallest = 1e-24 * power
    for _ in range(n_steps):
        if not bool((power > smallest).any()):
            break
        applied = apply(direction)
        curvature = problem.inner(direction, applied)
        running = (power > smallest) & (curvature > 0)
        length = torch.where(running, power / curvature, 0).to(real_dtype)
        solution = solution + length * direction
        residual = residual - length * applied
        preconditioned = precondition(residual)
        previous, power = power, problem.inner(residual, preconditioned)
        direction = preconditioned + torch.where(running, power / previous, 0).to(real_dtype) * direction
    return solution


def _preconditioner(problem: Problem, weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the inverse of the circulant operator next to :math:`B^H B + K^H W K`, the identity if there is none."""
    if weight.ndim > problem.rhs.ndim + 1:
        weight = weight.mean(-1)
    total = problem.total(weight)
    mean = (total * total.numel() / weight.numel()).clamp_min(torch.finfo(torch.float64).tiny)
    if not problem.has_dictionary:
        try:
            return CirculantSystem(problem, problem.circulant_bound.transfer, mean).solve
        except ValueError:
            return lambda x: x
    return lambda x: x
