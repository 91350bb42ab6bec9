"""Base class of the transforms of regularizers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator


class Transform(LinearOperator):
    r"""A linear operator :math:`K` from the unknown of a problem to coefficients, shape `(n_rows, *image)`.

    Besides forward and adjoint, solvers need the norm and a circulant operator that is equal to :math:`K^H K` or above
    it. The unknown is an image, or several of them: `n_components` images along the first axis.
    """

    n_components: int | None = None
    """Number of images that the unknown consists of, along an axis before those of the image; `None`: one image."""

    @property
    @abstractmethod
    def dim(self) -> tuple[int, ...]:
        """Negative axes of the image that :math:`K` couples."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """Size of the first axis of the coefficients."""

    @property
    @abstractmethod
    def circulant(self) -> bool:
        r"""Whether :math:`K^H K` is equal to the operator with the `symbol`."""

    @property
    def mirrored_dim(self) -> tuple[int, ...] | None:
        r"""Axes along which an image has to be continued by its mirror image for :math:`K^H K` to be circulant.

        `None` if that does not make it circulant.
        """
        return () if self.circulant else None

    @abstractmethod
    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        r"""Return the Fourier symbol of a circulant operator that is equal to :math:`K^H K` or above it.

        Parameters
        ----------
        shape
            Shape of the image.
        device
            Device of the result.

        Returns
        -------
            Real symbol (float64) in the order of `torch.fft.fftn`, of size 1 along axes that are not coupled; for an
            unknown of several images a Hermitian matrix (complex128) for each frequency, in the first two axes.

        Raises
        ------
        ValueError
            If there is none.
        """

    @abstractmethod
    def norm(self, shape: Sequence[int]) -> float:
        r"""Return :math:`\|K\|_2`, or an upper bound of it, for images of a given shape."""

    def norm_squared_with(self, data_norm: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        r"""Return an upper bound of :math:`\|B^H B + K^H K\|` for data terms of given squared norms."""
        return data_norm + self.norm(shape) ** 2

    def coefficient_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the coefficients of an image of a given shape."""
        return (self.n_rows, *shape)

    def add_forward_(self, out: torch.Tensor, x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        r"""Add :math:`\alpha K x` to `out` in place."""
        return out.add_(self(x)[0], alpha=alpha)

    def add_adjoint_(self, out: torch.Tensor, q: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        r"""Add :math:`\alpha K^H q` to `out` in place."""
        return out.add_(self.adjoint(q)[0], alpha=alpha)

    def solve_normal(self, x: torch.Tensor) -> torch.Tensor:
        r"""Apply the pseudo-inverse of :math:`K^H K`.

        Raises
        ------
        ValueError
            If there is no direct way to do so, as :math:`K^H K` is not circulant, see `mirrored_dim`.
        """
        mirrored_dim = self.mirrored_dim
        if mirrored_dim is None:
            boundary = getattr(self, 'boundary', None)
            raise ValueError(f'The pseudo-inverse needs another boundary, got {boundary!r} for {type(self).__name__}.')
        sizes = [x.shape[d] for d in mirrored_dim]
        for d in mirrored_dim:
            x = torch.cat((x, x.flip(d)), d)
        if self.n_components is None:
            symbol = self.symbol(x.shape, x.device)
            inverse = torch.where(symbol > 0, 1 / symbol, 0).to(x.dtype.to_real())
            solved = torch.fft.ifftn(torch.fft.fftn(x, dim=self.dim) * inverse, dim=self.dim)
        else:
            symbol = self.symbol(x.shape[1:], x.device)
            inverse = torch.linalg.pinv(symbol.movedim((0, 1), (-2, -1)), hermitian=True, rtol=1e-12)
            inverse = inverse.movedim((-2, -1), (0, 1)).to(x.dtype.to_complex())
            solved = torch.fft.ifftn(matrix_product(inverse, torch.fft.fftn(x, dim=self.dim)), dim=self.dim)
        for d, n in zip(mirrored_dim, sizes, strict=True):
            solved = solved.narrow(d, 0, n)
        return solved if x.is_complex() else solved.real


def matrix_product(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Multiply matrices, shape `(m, n, *image)`, with vectors, shape `(n, *image)`."""
    if not torch.is_grad_enabled():
        out = x.new_empty(len(matrix), *torch.broadcast_shapes(matrix.shape[2:], x.shape[1:]))
        for row, y in zip(matrix, out, strict=True):
            torch.mul(row[0], x[0], out=y)
            for a, b in zip(row[1:], x[1:], strict=True):
                y.addcmul_(a, b)
        return out
    return torch.stack([sum((a * b for a, b in zip(row[1:], x[1:], strict=True)), row[0] * x[0]) for row in matrix])
