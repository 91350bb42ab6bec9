"""Sparsity of the coefficients of a convolutional dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch

from mrpro_lambda.norms import L1Norm
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp, DictionaryBoundary
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.operators.LowPassOp import LowPassOp
from mrpro_lambda.regularizers.Regularizer import Regularizer


class DictionarySparsity(Regularizer):
    r"""Weighted sparsity :math:`R_\Lambda(s) = \|\Lambda \cdot s\|_1` of an image :math:`x = x_{low} + D s` [KOF2025]_.

    The smooth part :math:`x_{low} = (I + \beta \nabla^H \nabla)^{-1} x_0` is that of the initial image. The unknowns
    are the coefficients :math:`s`, shape `(n_filters, *image)`, and there is one Lambda map for each filter, shape
    `(n_filters, *other, 1, z, y, x)`. Real and imaginary part of complex coefficients are penalized separately, as in
    the reference.

    References
    ----------
    .. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
       for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
    """

    synthesis_op: ConvolutionalDictionaryOp
    """Dictionary."""

    def __init__(
        self, filters: torch.Tensor, *, boundary: DictionaryBoundary = 'circular', beta: float | torch.Tensor = 1.0
    ) -> None:
        r"""Initialize the regularizer.

        Parameters
        ----------
        filters
            Filters of unit norm, shape `(n_filters, [kz,] ky, kx)` with odd sizes, in the convention of
            `~mrpro_lambda.operators.ConvolutionalDictionaryOp`.
        boundary
            Boundary of the convolutions.
        beta
            Strength :math:`\beta` of the low-pass filter of the smooth part.

        Raises
        ------
        ValueError
            If the filters are not valid or not of unit norm.
        """
        synthesis_op = ConvolutionalDictionaryOp(filters, boundary)
        norms = filters.detach().flatten(1).norm(dim=1)
        if bool(((norms - 1).abs() > 1e-4).any()):
            raise ValueError(
                f'filters must have unit norm, got norms from {norms.min():g} to {norms.max():g} for filters of shape '
                f'{tuple(filters.shape)}.'
            )
        n_filters = len(filters)
        super().__init__(IdentityTransform(n_filters, synthesis_op.dim), L1Norm(), range(n_filters), synthesis_op)
        self.low_pass_op = LowPassOp(beta, synthesis_op.dim)

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return two filters, with each boundary."""
        filters = torch.eye(9, dtype=torch.float64)[:2].reshape(2, 3, 3)
        return {f'dictionary, {boundary}': cls(filters, boundary=boundary) for boundary in get_args(DictionaryBoundary)}

    def offset(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the smooth part of the image."""
        return self.low_pass_op(initial_image)[0]

    def start(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return no coefficients, one number in memory."""
        return initial_image.new_zeros(()).expand(self.n_maps, *initial_image.shape)
