"""Ratio of the sizes of dual and primal variables."""

from __future__ import annotations

import torch

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.solvers.Problem import Problem


def dual_to_primal_ratio(problem: Problem) -> torch.Tensor:
    r"""Return :math:`\|\Lambda\| / \|K x'\|` for all that regularizer or acquisition couple.

    :math:`x'` is the adjoint of the data, compensated for the sampling density. The data decide, and not where the
    iterations start.

    Parameters
    ----------
    problem
        Problem.
    """
    img = _compensated(problem)
    axes = (0, *problem.coupled_dim)
    coefficients = problem.regularizer.transform(problem.regularizer.start(img))
    threshold = problem.threshold
    if threshold.ndim > coefficients.ndim:
        threshold = threshold.square().sum(-1).sqrt()
    elif img.is_complex():
        threshold = 2**0.5 * threshold
    # those without weight have no dual variable: the approximation of wavelets is most of their norm
    weighted = torch.where(threshold > 0, coefficients, 0)
    threshold_norm, primal_norm = _norm(threshold, axes), _norm(weighted, axes)
    # without regularization or without structure any positive penalty will do
    defined = (threshold_norm > 0) & (primal_norm > 0)
    return torch.where(defined, threshold_norm / primal_norm, 1.0).squeeze(0)


def _compensated(problem: Problem) -> torch.Tensor:
    """Return the adjoint of the data in the size of the minimizer."""
    if not problem.data_term.quadratic:
        return problem.circulant_bound.compensate(problem.adjoint(problem.data.detach()))
    gram, rhs = problem.gram, problem.rhs
    if isinstance(gram, CirculantGramOp) and not gram.circulant:
        transfer = gram.transfer
        if not bool(((transfer == 0) | (transfer == transfer.amax())).all()):
            # the largest weight, of a line with little noise, says nothing about the others: the step of the steepest
            # descent does
            length = problem.inner(rhs, rhs) / problem.inner(rhs, gram(rhs)[0])
            return rhs * torch.where(length.isfinite(), length, 1).to(rhs.dtype.to_real())
    return problem.circulant_bound.compensate(rhs)


def _norm(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Return the Euclidean norm along the first and negative axes."""
    # that of a complex tensor takes a hundred times as long
    dim = (*(d if d >= 0 else d - 1 for d in axes), -1)
    return torch.linalg.vector_norm(real_parts(x), dim=dim, keepdim=True, dtype=torch.float64).squeeze(-1)
