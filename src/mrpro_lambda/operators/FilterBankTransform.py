"""Filters of an image in the Fourier domain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_tensor
from mrpro_lambda.operators.Transform import Transform


class FilterBankTransform(Transform):
    r"""Base class of the transforms :math:`(K x)_k = F^{-1} (t_k \cdot F x)` with real filters, without downsampling.

    The boundary is circular, so that :math:`K^H K` has the symbol :math:`\sum_k |t_k|^2`.
    """

    def __init__(self) -> None:
        """Initialize the transform."""
        super().__init__()
        self._found: tuple[tuple, torch.Tensor] | None = None

    @abstractmethod
    def transfer_functions(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return the transfer functions for images of a given shape.

        Parameters
        ----------
        shape
            Shape of the image.
        device
            Device of the result.

        Returns
        -------
            Hermitian functions (complex128) in the order of `torch.fft.fftn`, shape `(n_rows, *image)`, of size 1 along
            axes that are not filtered.
        """

    @property
    def circulant(self) -> bool:
        r"""Whether :math:`K^H K` is circulant, which it is."""
        return True

    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return the sum of the squared transfer functions."""
        return self.transfer_functions(shape, device).abs().square().sum(0)

    def norm(self, shape: Sequence[int]) -> float:
        """Return the root of the largest value of the symbol."""
        return self.symbol(shape).amax().sqrt().item()

    def _transfer(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Return the transfer functions in a precision, kept for the next call; half of them for real images."""
        key = (tuple(shape), like.dtype, like.device)
        if self._found is None or self._found[0] != key:
            transfer = self.transfer_functions(shape, like.device)
            if not like.is_complex():
                transfer = transfer.narrow(self._axes[-1], 0, shape[self._axes[-1]] // 2 + 1)
            self._found = key, transfer.to(like.dtype.to_complex()).contiguous()
        return self._found[1]

    def forget(self) -> None:
        """Drop the transfer functions that were kept."""
        self._found = None

    @property
    def _axes(self) -> tuple[int, ...]:
        """Axes of the Fourier transform, in the order of the memory; a real one halves the last."""
        return tuple(sorted(self.dim))

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Filter an image, real or complex: responses of shape `(n_rows, *image)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Filter an image. Prefer calling the instance."""
        check_tensor('image', x, finite=False)
        transfer, axes = self._transfer(x.shape, x), self._axes
        if x.is_complex():
            return (torch.fft.ifftn(transfer * torch.fft.fftn(x, dim=axes), dim=axes),)
        spectrum = transfer * torch.fft.rfftn(x, dim=axes)
        return (torch.fft.irfftn(spectrum, s=[x.shape[d] for d in axes], dim=axes),)

    def adjoint(self, q: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the adjoint to responses.

        Raises
        ------
        ValueError
            If the first axis does not hold one entry for each filter.
        """
        check_tensor('responses', q, finite=False)
        if q.ndim < 2 or q.shape[0] != self.n_rows:
            raise ValueError(f'The first axis must hold the {self.n_rows} filters, got shape {tuple(q.shape)}.')
        transfer, axes = self._transfer(q.shape[1:], q), self._axes
        if q.is_complex():
            return (torch.fft.ifftn((transfer.conj() * torch.fft.fftn(q, dim=axes)).sum(0), dim=axes),)
        spectrum = (transfer.conj() * torch.fft.rfftn(q, dim=axes)).sum(0)
        return (torch.fft.irfftn(spectrum, s=[q.shape[d] for d in axes], dim=axes),)
