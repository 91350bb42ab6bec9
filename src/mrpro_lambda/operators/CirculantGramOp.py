"""Gram operator of a Cartesian acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mrpro.operators import LinearOperator, ZeroPadOp
from mrpro.utils import reduce_repeat

from mrpro_lambda.checks import check_axes, check_tensor, check_type
from mrpro_lambda.operators.coil_by_coil import coil_by_coil
from mrpro_lambda.operators.largest_of_images import largest_of_images


class CirculantGramOp(LinearOperator):
    r"""Gram operator :math:`S^H Z^T F^{-1} \mathrm{diag}(m)\, F Z S` of a Cartesian acquisition.

    The transfer function :math:`m` tells which frequencies are sampled, :math:`S` are the coil sensitivities and
    :math:`Z` zero-pads to the encoded field of view, where that is larger (oversampled readout). The
    centered FFT of an acquisition shifts image and k-space. Both shifts cancel in the Gram operator, because a
    circulant operator commutes with shifts, so the transforms here need none. Along axes where :math:`m` is constant
    (the readout of Cartesian lines) no transform is needed either.
    """

    def __init__(
        self,
        transfer: torch.Tensor,
        dim: Sequence[int],
        csm: torch.Tensor | None = None,
        pad_op: ZeroPadOp | None = None,
    ) -> None:
        """Initialize the Gram operator.

        Parameters
        ----------
        transfer
            Real, non-negative transfer function in the order of `torch.fft.fftn`, broadcastable to the coil images. A
            number, of shape `()`, goes with images on any device.
        dim
            Negative axes of the Fourier transform.
        csm
            Coil sensitivities, shape `(*other, coils, z, y, x)`; `None` for a single coil without sensitivity. A
            single coil with a sensitivity of 1 everywhere is taken as none.
        pad_op
            Zero-padding between image and encoded field of view; `None` if they are the same.
        """
        super().__init__()
        check_type('transfer', transfer, torch.Tensor)
        if transfer.is_floating_point() or not transfer.numel():
            check_tensor('transfer', transfer)
        check_axes('dim', dim)
        if csm is not None:
            if not getattr(csm, 'is_meta', False):  # where there are no numbers, none can be wrong
                check_tensor('csm', csm)
            if csm.ndim < 4:
                raise ValueError(f'csm must have shape (*other, coils, z, y, x), got shape {tuple(csm.shape)}.')
        self.transfer: torch.Tensor = reduce_repeat(transfer, tol=0.0, dim=tuple(d for d in dim if -d <= transfer.ndim))
        self.dim = tuple(d for d in dim if -d <= self.transfer.ndim and self.transfer.shape[d] > 1)
        self.csm = None if csm is not None and csm.shape[-4] == 1 and bool((csm == 1).all()) else csm
        self.pad_op = pad_op
        self._cache: Any = None

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the Gram operator to an image of shape `(*other, 1, z, y, x)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the Gram operator. Prefer calling the instance."""
        same_for_coils = self.transfer.ndim < 4 or self.transfer.shape[-4] == 1
        in_place = self.pad_op is None and same_for_coils and x.is_complex() and not torch.is_grad_enabled()
        if self.csm is not None and in_place:
            return (self._in_chunks(x, self.csm),)
        y = x if self.csm is None else self.csm * x
        if self.pad_op is not None:
            (y,) = self.pad_op(y)
        if self.dim:
            y = torch.fft.ifftn(torch.fft.fftn(y, dim=self.dim) * self.transfer, dim=self.dim)
        else:
            y = y * self.transfer
        if self.pad_op is not None:
            (y,) = self.pad_op.adjoint(y)
        if self.csm is not None:
            y = (self.csm.conj() * y).sum(-4, keepdim=True)
        return (y if x.is_complex() or self.csm is not None else y.real,)

    def _in_chunks(self, x: torch.Tensor, csm: torch.Tensor) -> torch.Tensor:
        """Apply the operator to some coils at a time, in place."""
        csm, transfer, axis = self._arranged(csm)
        dim = tuple(-1 if d == axis else d for d in self.dim)

        def gram(y: torch.Tensor) -> torch.Tensor:
            if not dim:
                torch.view_as_real(y).mul_(transfer)
                return y
            spectrum = torch.fft.fftn(y, dim=dim)
            torch.view_as_real(spectrum).mul_(transfer)
            return torch.fft.ifftn(spectrum, dim=dim)

        return coil_by_coil(x.transpose(axis, -1).contiguous(), csm, gram).transpose(axis, -1).contiguous()

    def _arranged(self, csm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return sensitivities and transfer function (for real and imaginary part) with a transformed axis at the end.

        The FFT along another axis only changes the layout of the memory, and all that follows becomes slow.
        """
        if self._cache is None or self._cache[0] is not csm or self._cache[1] is not self.transfer:
            axis = -1 if -1 in self.dim or not self.dim else self.dim[-1]
            arranged = csm.transpose(axis, -1).contiguous()
            transfer = self.transfer.reshape(*(1,) * (4 - self.transfer.ndim), *self.transfer.shape)
            transfer = transfer.transpose(axis, -1).unsqueeze(-1)
            transfer = transfer.expand(*transfer.shape[:-1], 2).to(csm.device, csm.dtype.to_real()).contiguous()
            self._cache = (csm, self.transfer, (arranged, transfer, axis))
        return self._cache[2]

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the operator itself, which is self-adjoint."""
        return self.forward(x)

    @property
    def circulant(self) -> bool:
        """Whether the operator itself is circulant: neither coil sensitivities nor padding."""
        return self.csm is None and self.pad_op is None

    def norm_squared_bound(self) -> torch.Tensor:
        r"""Return the upper bound :math:`\max m \cdot \max \sum_c |S_c|^2` of the norm of this Gram operator.

        It is a number for each image, broadcastable to `(*other, 1, 1, 1, 1)`.
        """
        bound = largest_of_images(self.transfer, self.dim)
        if self.csm is not None:
            bound = bound * largest_of_images(self.csm.abs().square().sum(-4, keepdim=True), self.dim)
        return bound
