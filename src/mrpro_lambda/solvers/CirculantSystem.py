"""Solve with a circulant system."""

from __future__ import annotations

import torch

from mrpro_lambda.operators.real_parts import contiguous_weights
from mrpro_lambda.operators.Transform import matrix_product
from mrpro_lambda.solvers.Problem import Problem


class CirculantSystem:
    r"""The operator :math:`S^H C S + w L` with circulant :math:`C` and :math:`L \ge K^H K`, and its inverse.

    For an unknown of several images it is a Hermitian matrix for each frequency, and :math:`C` acts on the first of
    them, the image.
    """

    @torch.no_grad()
    def __init__(self, problem: Problem, transfer: torch.Tensor, weight: torch.Tensor | float = 1.0) -> None:
        """Invert the system.

        Parameters
        ----------
        problem
            Problem.
        transfer
            Transfer function of the circulant operator of images (float64), see `CirculantBound`.
        weight
            Weight of the transform, a number or one for each image.
        """
        regularizer, rhs = problem.regularizer, problem.rhs
        self.dim = tuple(sorted({*regularizer.dim, *problem.circulant_bound.dim}))
        self.matrix = regularizer.transform_op.n_components is not None
        system = weight * regularizer.symbol(rhs.shape, rhs.device)
        if not self.matrix:
            system = transfer + system
            self.positive = bool((system > 0).all())
            inverse = torch.where(system > 0, 1 / system, 0).to(rhs.dtype.to_real())
            self._inverse = contiguous_weights(inverse, torch.empty((), dtype=torch.complex64).expand(inverse.shape))
            return
        system = system.expand(*system.shape[:2], *torch.broadcast_shapes(system.shape[2:], transfer.shape)).clone()
        system[0, 0] += transfer
        matrices = system.movedim((0, 1), (-2, -1))
        smallest, *_, largest = torch.linalg.eigvalsh(matrices).movedim(-1, 0)
        self.positive = bool((smallest > 1e-14 * largest).all())
        inverse = torch.linalg.inv(matrices) if self.positive else torch.linalg.pinv(matrices, hermitian=True)
        self._inverse = inverse.movedim((-2, -1), (0, 1)).to(rhs.dtype.to_complex()).contiguous()

    def solve(self, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Apply the inverse, after a weight of the frequencies."""
        spectrum = torch.fft.fftn(x, dim=self.dim)
        if weight is not None:
            spectrum = spectrum * weight
        if self.matrix:
            spectrum = matrix_product(self._inverse, spectrum)
        elif torch.is_grad_enabled():
            spectrum = spectrum * self._inverse[..., 0]
        else:  # the product of a complex and a real tensor takes twice as long as that of two real ones
            torch.view_as_real(spectrum).mul_(self._inverse)
        y = torch.fft.ifftn(spectrum, dim=self.dim)
        return y if x.is_complex() else y.real
