"""Cartesian acquisition of batches of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import FastFourierOp, LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


class CartesianAcquisitionOp(LinearOperator):
    r"""Cartesian acquisition :math:`A = M F S` on the full k-space grid.

    :math:`S` are coil sensitivities, :math:`F` the centered orthonormal FFT and :math:`M` a sampling mask; unsampled
    points of k-space are zero. Mask and sensitivities are plain tensors, so that samples with different masks are
    batched by stacking. For measured data use `mrpro.operators.FourierOp`.
    """

    def __init__(self, mask: torch.Tensor, csm: torch.Tensor | None = None, dim: Sequence[int] = (-2, -1)) -> None:
        """Initialize the acquisition.

        Parameters
        ----------
        mask
            Sampling mask of zeros and ones, broadcastable to `(*other, coils, k2, k1, k0)`. The k-space center is at
            index ``n // 2``.
        csm
            Coil sensitivities, shape `(*other, coils, z, y, x)`; `None` for a single coil without sensitivity.
        dim
            Negative axes of the Fourier transform.

        Raises
        ------
        ValueError
            If the mask is complex, negative or not finite, or if an axis is not negative.
        """
        super().__init__()
        if any(d >= 0 for d in dim):
            raise ValueError(f'dim must hold negative axes, got {dim=}.')
        if mask.is_complex() or not bool((mask.isfinite() & (mask >= 0)).all()):
            raise ValueError(f'mask must be real, finite and non-negative, got {mask.dtype}, {tuple(mask.shape)}.')
        self.mask = mask if mask.is_floating_point() else mask.float()
        self.csm = csm
        self.dim = tuple(dim)
        self.fourier_op = FastFourierOp(dim=self.dim)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Acquire an image.

        Parameters
        ----------
        x
            Image, shape `(*other, 1, z, y, x)`.

        Returns
        -------
            k-space, shape `(*other, coils, k2, k1, k0)`.
        """
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Acquire an image. Prefer calling the instance."""
        (y,) = self.fourier_op(x if self.csm is None else self.csm * x)
        return (self.mask * y,)

    def adjoint(self, y: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the adjoint, the zero-filled and coil-combined image.

        Parameters
        ----------
        y
            k-space, shape `(*other, coils, k2, k1, k0)`.

        Returns
        -------
            Image, shape `(*other, 1, z, y, x)`.
        """
        (x,) = self.fourier_op.adjoint(self.mask * y)
        if self.csm is not None:
            x = (self.csm.conj() * x).sum(-4, keepdim=True)
        return (x,)

    @property
    def gram(self) -> CirculantGramOp:
        """Gram operator, without the shifts of the centered FFT."""
        dim = tuple(d for d in self.dim if -d <= self.mask.ndim)
        return CirculantGramOp(torch.fft.ifftshift(self.mask.square(), dim=dim), self.dim, self.csm)
