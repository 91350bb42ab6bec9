"""Regularized normal equations, differentiable by all that is in them."""

from __future__ import annotations

import torch

from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.regularizers.Tikhonov import Tikhonov
from mrpro_lambda.solvers.ConjugateGradient import ConjugateGradientIteration
from mrpro_lambda.solvers.Problem import Problem


def solve_normal_equations(measured: Measured, img: torch.Tensor, weight: torch.Tensor, n_steps: int) -> torch.Tensor:
    r"""Solve :math:`(A^H A + \lambda) u = A^H y + \lambda x`.

    Parameters
    ----------
    measured
        Data :math:`y` with their data term.
    img
        Image :math:`x`, which the steps start from.
    weight
        Weight :math:`\lambda` for each image, broadcastable to it.
    n_steps
        Number of steps of conjugate gradients, for acquisitions where there is no closed form.

    Returns
    -------
        Image :math:`u`.
    """
    gram = measured.data_term.gram
    if isinstance(gram, CirculantGramOp) and gram.circulant:
        if not gram.dim:
            return (measured.rhs + weight * img) / (gram.transfer + weight)
        # rounding errors at frequencies without data must not be divided by the weight alone
        spectrum = (gram.transfer > 0) * measured.spectrum + weight * torch.fft.fftn(img, dim=gram.dim)
        return torch.fft.ifftn(spectrum / (gram.transfer + weight), dim=gram.dim)
    return conjugate_gradient_steps(measured, measured.rhs + weight * img, img, weight, n_steps)


def conjugate_gradient_steps(
    measured: Measured, rhs: torch.Tensor, start: torch.Tensor, weight: torch.Tensor, n_steps: int
) -> torch.Tensor:
    r"""Take steps of conjugate gradients for :math:`(A^H A + \lambda) u = b`, of each image of a batch on its own.

    Parameters
    ----------
    measured
        Data with their data term.
    rhs
        Right-hand side :math:`b`, an image.
    start
        Image to start from.
    weight
        Weight :math:`\lambda` for each image, broadcastable to it.
    n_steps
        Number of steps.
    """
    regularizer = Tikhonov()
    threshold = regularizer.expand(weight.expand_as(rhs)[None], rhs)
    problem = Problem(regularizer, measured.data_term, measured.data, start, None, rhs, threshold)
    iteration = ConjugateGradientIteration(problem)
    state = iteration.init()
    for index in range(n_steps):
        state = iteration.step(state, index)
    return state.primal
