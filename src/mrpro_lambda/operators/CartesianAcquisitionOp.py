"""Cartesian acquisition of batches of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import FastFourierOp, LinearOperator

from mrpro_lambda.checks import check_axes, check_broadcast, check_tensor
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
            If a mask is not real or a point of it neither 0 nor from 1e-15 to 1e15, so that its square is a number of
            single precision, if the sensitivities are not finite or have less than four axes, or if an axis of `dim` is
            not negative or is repeated.
        """
        super().__init__()
        check_axes('dim', dim)
        if not len(dim) or len(set(dim)) != len(dim):
            raise ValueError(f'dim must hold negative axes, each once, got {dim=}.')
        if isinstance(mask, torch.Tensor) and not (mask.is_floating_point() or mask.is_complex()):
            mask = mask.to(torch.float32)
        check_tensor('mask', mask)
        if mask.is_complex() or not bool(((mask == 0) | ((mask >= 1e-15) & (mask <= 1e15))).all()):
            raise ValueError(
                'mask must be real, with 0 or a weight from 1e-15 to 1e15 at each point, got '
                f'{mask.dtype}, shape {tuple(mask.shape)}, moduli from {mask.abs().min():g} to {mask.abs().max():g}.'
            )
        if csm is not None:
            check_tensor('csm', csm)
            if csm.ndim < 4:
                raise ValueError(f'csm must have shape (*other, coils, z, y, x), got shape {tuple(csm.shape)}.')
        self.mask = mask
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
        self._check_axes('image', x)
        if self.csm is not None:
            check_broadcast(image=x, csm=self.csm)
            x = self.csm * x
        (y,) = self.fourier_op(x)
        check_broadcast(kspace=y, mask=self.mask)
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
        self._check_axes('kspace', y)
        check_broadcast(kspace=y, mask=self.mask)
        (x,) = self.fourier_op.adjoint(self.mask * y)
        if self.csm is not None:
            check_broadcast(image=x, csm=self.csm)
            x = (self.csm.conj() * x).sum(-4, keepdim=True)
        return (x,)

    def _check_axes(self, name: str, x: torch.Tensor) -> None:
        """Raise an error unless an array can be transformed along the axes."""
        check_tensor(name, x, finite=False)
        if x.ndim < max(-d for d in self.dim):
            raise ValueError(f'{name} must have the axes dim={self.dim}, got shape {tuple(x.shape)}.')

    @property
    def gram(self) -> CirculantGramOp:
        """Gram operator, without the shifts of the centered FFT."""
        dim = tuple(d for d in self.dim if -d <= self.mask.ndim)
        return CirculantGramOp(torch.fft.ifftshift(self.mask.square(), dim=dim), self.dim, self.csm)
