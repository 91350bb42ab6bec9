"""A convex reconstruction problem, its objective and its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.regularizers.Regularizer import Regularizer


class Certificate(NamedTuple):
    """How far an image is from the minimizer, at most."""

    objective: float
    r"""Value :math:`F(x)`, summed over the batch."""

    gap: float
    r"""Upper bound of :math:`F(x) - \min F`, summed over the batch."""


@dataclass(frozen=True, eq=False)
class Problem:
    r"""The problem :math:`\min_x F(x) = \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda \cdot K x\|_1`.

    The solvers see the data through the Gram operator :math:`A^H A` and the right-hand side :math:`A^H y` only.
    """

    regularizer: Regularizer
    acquisition_op: LinearOperator
    data: torch.Tensor
    start: torch.Tensor
    gram: LinearOperator
    rhs: torch.Tensor
    threshold: torch.Tensor
    r"""Lambda map in the shape of :math:`K x`."""

    @classmethod
    def create(
        cls,
        regularizer: Regularizer,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor,
    ) -> Self:
        """Check the parts of a problem and put them together.

        Parameters
        ----------
        regularizer
            Regularizer.
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        lambda_map
            A number, one number for each map of the regularizer, or a map, see `Regularizer.lambda_map`.

        Raises
        ------
        ValueError
            If data or initial image hold NaN or Inf, if the data are all zero, if the adjoint of the data has not the
            shape of the initial image, or if the Lambda map is not valid.
        """
        for name, tensor in (('data', data), ('initial_image', initial_image)):
            if not bool(tensor.detach().isfinite().all()):
                n_bad = int((~tensor.detach().isfinite()).sum())
                raise ValueError(f'{name} must be finite, got {n_bad} NaN or Inf in shape {tuple(tensor.shape)}.')
        if not bool(data.detach().any()):
            raise ValueError(f'data must not be all zero, got shape {tuple(data.shape)}.')
        (rhs,) = acquisition_op.adjoint(data)
        if rhs.shape != initial_image.shape:
            raise ValueError(
                f'initial_image must have the shape of A^H data, got {tuple(initial_image.shape)} and '
                f'{tuple(rhs.shape)}.'
            )
        threshold = regularizer.expand(regularizer.lambda_map(lambda_map, initial_image), initial_image)
        gram = gram_operator(acquisition_op)
        return cls(regularizer, acquisition_op, data, initial_image, gram, rhs, threshold)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient with respect to the map, the data or the initial image is wanted."""
        tensors = (self.rhs, self.start, self.threshold)
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    def certificate(self, img: torch.Tensor, dual: torch.Tensor) -> Certificate:
        r"""Evaluate the objective and the bounded gap.

        With the residual :math:`r = A^H (A x - y) + K^H q` of the optimality condition, for any feasible dual :math:`q`

        .. math::

            F(x) - F(x^*) \le \|\Lambda \cdot K x\|_1 - \mathrm{Re} \langle q, K x \rangle
            + \mathrm{Re} \langle x, r \rangle + R \|r\|_1

        for every minimizer :math:`x^*` with :math:`|x^*| \le R` at each point. :math:`R` is 1.5 times the largest
        modulus of :math:`x`: the bound is exact for the problem with this constraint added.

        Parameters
        ----------
        img
            Image :math:`x`.
        dual
            Feasible dual :math:`q`.

        Returns
        -------
            Objective and gap, accumulated in float64.
        """
        coefficients = self.regularizer.transform(img)
        regularization = self.regularizer.value(coefficients, self.threshold)
        difference = self.acquisition_op(img)[0] - self.data
        residual = self.acquisition_op.adjoint(difference)[0] + self.regularizer.transform_adjoint(dual)
        radius = 1.5 * img.abs().amax(dim=(-4, -3, -2, -1), keepdim=True)
        gap = (
            regularization
            - _inner(dual, coefficients)
            + _inner(img, residual)
            + (radius * residual.abs()).sum(dtype=torch.float64)
        )
        objective = 0.5 * _inner(difference, difference) + regularization
        return Certificate(objective.item(), gap.item())


def _inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the real part of the inner product, accumulated in float64."""
    product = a.real * b.real
    if a.is_complex() and b.is_complex():
        product = product + a.imag * b.imag
    return product.sum(dtype=torch.float64)
