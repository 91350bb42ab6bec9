"""Lower bounds of the minimum over non-negative images."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mrpro_lambda.operators.real_parts import weighted
from mrpro_lambda.solvers.lower_bound import Repair, conjugate_gradients
from mrpro_lambda.solvers.Problem import Problem

_LIFTS, _SHIFTS = 40, 30
"""Steps of the search for a residual that is nowhere negative, at most."""
_GROWTH = 1.15
"""Growth of these steps: what single pixels lack in the end takes more than what regions lack."""
_DIAGONAL = 0.02
"""Diagonal of the curvature relative to its row sums, for the preconditioner: most of a row is smooth."""


def non_negative_bound(
    problem: Problem,
    unknown: torch.Tensor,
    dual: torch.Tensor,
    repair: Repair | None = None,
    response: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Return a lower bound of :math:`\min_{x \ge 0} h(A x) + \|\Lambda \cdot K x\|_N`, for each image.

    For all data :math:`s` and all :math:`q` with a dual norm of at most :math:`\Lambda`, if
    :math:`r = A^T h'(s) + K^T q \ge 0` at each pixel, convexity and :math:`\langle x, r \rangle \ge 0` give

    .. math::

        h(s) - \langle h'(s), s \rangle \le \min_{x \ge 0} h(A x) + \|\Lambda \cdot K x\|_N

    Nothing is assumed about the minimizer, such as a largest value. At the minimizer :math:`s = A x` makes it an
    equality. An iterate leaves a residual that is negative somewhere. As neither the entries of :math:`A` nor
    :math:`h''` are negative, :math:`s` rises by positive images until there is none; the result is checked as it is.

    What is negative at single pixels would take a large image for that. The *repair* gives it to :math:`q`: it solves
    :math:`(A^T h'' A + K^T W K) v = r` for :math:`s - A v` and :math:`q - W K v` with weights
    :math:`W \propto \Lambda`, projects the dual, lowers the weights where it had left its ball, and starts again.

    Parameters
    ----------
    problem
        Problem whose data term has a constraint.
    unknown
        Image, not negative.
    dual
        Feasible dual variable of the regularizer.
    repair
        How much to spend on a repair. `None`: none.
    response
        Data :math:`s` to begin with, such as those that a dual variable of the data term belongs to. `None`: those of
        the image.

    Returns
    -------
        Lower bounds (float64) of the shape `(*other, 1, 1, 1, 1)`. They are 0 where there is no better one.
    """
    regularizer, data_term, data = problem.regularizer, problem.data_term, problem.data

    def residual(response: torch.Tensor, dual: torch.Tensor) -> torch.Tensor:
        return problem.adjoint(data_term.slope(response, data)) + regularizer.transform_adjoint(dual)

    # that of the minimizer is A x >= 0; negative ones stand for more photons than there are, without limit
    response = problem.forward(unknown) if response is None else response.clamp_min(0)
    if repair is not None:
        response, dual = _repaired(problem, unknown, response, dual, residual, repair)
    ones = problem.forward(torch.ones_like(unknown))
    raised = data_term.curvature(unknown, torch.ones_like(unknown))
    inverse = torch.where(raised > 0, 1 / raised, 0)
    for step in range(_LIFTS):
        missing = (-residual(response, dual)).clamp_min(0)
        if not bool(missing.any()):
            break
        response = response + problem.forward(2 * _GROWTH**step * missing * inverse)
    shift = problem.largest(inverse * (-residual(response, dual)).clamp_min(0))
    for _ in range(_SHIFTS):
        negative = problem.largest((residual(response + shift * ones, dual) < 0).to(shift.dtype))
        if not bool(negative.any()):
            break
        shift = torch.where(negative > 0, 1.3 * shift, shift)
    response = response + shift * ones
    bound = problem.total(data_term.dual_value(response, data))
    if (conjugate := regularizer.coefficient_norm.conjugate(dual, problem.threshold)) is not None:
        bound = bound - problem.total(conjugate)
    valid = (negative == 0) & bound.isfinite()
    return torch.where(valid, bound, 0).clamp_min(0)


def _repaired(
    problem: Problem,
    unknown: torch.Tensor,
    response: torch.Tensor,
    dual: torch.Tensor,
    residual: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    repair: Repair,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move response and dual variable towards a residual that vanishes where it should."""
    regularizer, data_term, threshold = problem.regularizer, problem.data_term, problem.threshold
    coefficients = regularizer.transform(unknown)
    squared = problem.inner(coefficients, coefficients)
    size = (squared * squared.numel() / coefficients.numel()).sqrt().to(threshold.dtype)
    weight = threshold / torch.where(size > 0, size, 1)
    point = unknown
    for _ in range(repair.n_rounds):
        missing = residual(response, dual)
        missing = torch.where((unknown > 0) | (missing < 0), missing, 0)

        def apply(direction: torch.Tensor, point: torch.Tensor = point, weight: torch.Tensor = weight) -> torch.Tensor:
            change = weighted(weight, regularizer.transform(direction))
            return data_term.curvature(point, direction) + regularizer.transform_adjoint(change)

        precondition = _preconditioner(problem, point, weight)
        solved = conjugate_gradients(problem, apply, precondition, missing, repair.n_steps)
        response = (response - problem.forward(solved)).clamp_min(0)
        dual = dual - weighted(weight, regularizer.transform(solved))
        outside = regularizer.coefficient_norm.dual_ratio(dual, threshold) > 1.005
        weight = torch.where(outside, repair.cut * weight, weight)
        dual = regularizer.project(dual, threshold)
        if not bool(outside.any()):
            break
    return response, dual


def _preconditioner(
    problem: Problem, point: torch.Tensor, weight: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the inverse of a circulant operator next to the system, the identity if there is none."""
    try:
        symbol = problem.regularizer.symbol(point.shape, point.device)
    except ValueError:
        return lambda x: x
    rows = problem.total(problem.data_term.curvature(point, torch.ones_like(point)))
    diagonal = _DIAGONAL * rows * rows.numel() / point.numel()
    total = problem.total(weight)
    transfer = (diagonal + total * total.numel() / weight.numel() * symbol).clamp_min(1e-30)
    dim = tuple(d for d in range(-symbol.ndim, 0) if symbol.shape[d] > 1)
    inverse = (1 / transfer).to(point.dtype)
    if not dim:
        return lambda x: inverse * x
    return lambda x: torch.fft.ifftn(torch.fft.fftn(x, dim=dim) * inverse, dim=dim).real
