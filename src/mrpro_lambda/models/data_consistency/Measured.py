"""Data of a scan with what the steps of a model need of them."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import torch
from mrpro.operators import SensitivityOp

from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.operators.acquisition_factors import split_coil_maps
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


class Measured:
    r"""Data :math:`y` of a scan and their data term, for all steps of one call of a model."""

    def __init__(self, data: torch.Tensor, data_term: LeastSquares) -> None:
        """Initialize.

        Parameters
        ----------
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        data_term
            Data term.
        """
        self.data = data
        self.data_term = data_term

    @cached_property
    def rhs(self) -> torch.Tensor:
        r"""Adjoint :math:`A^H y` of the data."""
        return self.data_term.acquisition_op.adjoint(self.data)[0]

    @cached_property
    def spectrum(self) -> torch.Tensor:
        """Fourier transform of the adjoint of the data along the axes of a circulant Gram operator."""
        gram = self.data_term.gram
        return torch.fft.fftn(self.rhs, dim=gram.dim) if isinstance(gram, CirculantGramOp) and gram.dim else self.rhs

    def gradient(self, img: torch.Tensor) -> torch.Tensor:
        r"""Return the gradient :math:`A^H (A x - y)` of the data term at an image."""
        return self.data_term.gram(img)[0] - self.rhs

    def norm(self, img: torch.Tensor) -> torch.Tensor:
        r"""Return an upper bound of the norm of :math:`A^H A` for each image, in the precision of the image."""
        return self.data_term.norm(img).to(img.dtype.to_real())

    @cached_property
    def coils(self) -> list[Self]:
        """The data of each coil with its own data term; all in one if there are no sensitivities, or a single coil."""
        encoding_op, csm = split_coil_maps(self.data_term.acquisition_op)
        if csm is None or csm.shape[-4] == 1:
            return [self]
        return [
            type(self)(self.data.narrow(-4, i, 1), LeastSquares(encoding_op @ SensitivityOp(csm.narrow(-4, i, 1))))
            for i in range(csm.shape[-4])
        ]
