"""Convolutional dictionary for images of one shape, in the Fourier domain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.direct_convolution import PIECE, direct_analysis, direct_synthesis

_CHUNK = 2**18
"""Numbers of the coefficients that are treated at once on a CPU, 2 MiB in single precision."""


class GridDictionary:
    r"""Transfer functions :math:`\hat d_k` of filters on the grid of an image.

    Solvers work on the Fourier transform of the synthesized image, and on some filters at a time: coefficients that
    stay in the cache take half of the time. All transforms are orthonormal.
    """

    def __init__(
        self,
        spectrum: torch.Tensor,
        shape: Sequence[int],
        dim: tuple[int, ...],
        grid: Sequence[int],
        *,
        real: bool,
        direct_filters: torch.Tensor | None = None,
    ) -> None:
        """Initialize.

        Parameters
        ----------
        spectrum
            Transfer functions, shape `(n_filters, *1, *grid)`; half of the last axis for real images.
        shape
            Shape of the image.
        dim
            Axes that the filters act along.
        grid
            Sizes of the Fourier transforms, at least those of the image.
        real
            Whether filters and images are real.
        direct_filters
            Filters, if they are applied by direct convolutions instead of their transfer functions.
        """
        self.spectrum = spectrum
        self.shape = tuple(shape)
        self.dim = dim
        self.grid = tuple(grid)
        self.real = real
        self.direct_filters = direct_filters

    @cached_property
    def chunks(self) -> list[slice]:
        """Filters to treat at once."""
        n, size = len(self.spectrum), len(self.spectrum)
        if self.spectrum.device.type == 'cpu':
            size = max(1, _CHUNK // max(1, torch.Size(self.shape).numel()))
            if self.direct_filters is not None:
                size = max(size, PIECE)
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    @property
    def periodic(self) -> bool:
        """Whether the grid is that of the image, so that the operator is circulant."""
        return self.grid == tuple(self.shape[d] for d in self.dim)

    def transform(self, img: torch.Tensor) -> torch.Tensor:
        """Return the Fourier transform of images or coefficients."""
        if self.real:
            return torch.fft.rfftn(img, s=self.grid, dim=self.dim, norm='ortho')
        return torch.fft.fftn(img, s=self.grid, dim=self.dim, norm='ortho')

    def image(self, image_spectrum: torch.Tensor) -> torch.Tensor:
        """Return the images or coefficients of a Fourier transform, without what is beyond the border."""
        if self.real:
            img = torch.fft.irfftn(image_spectrum, s=self.grid, dim=self.dim, norm='ortho')
        else:
            img = torch.fft.ifftn(image_spectrum, dim=self.dim, norm='ortho')
        if not self.periodic:
            for d in self.dim:
                img = img.narrow(d, 0, self.shape[d])
        return img

    def synthesize(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the Fourier transform of the image that is synthesized."""
        # a split, unlike slices, has a derivative that is put together once
        parts = coefficients.split([chunk.stop - chunk.start for chunk in self.chunks])
        terms = [self.synthesize_chunk(part, chunk) for part, chunk in zip(parts, self.chunks, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def analyze(self, image_spectrum: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of an image given by its Fourier transform."""
        return torch.cat([self.analyze_chunk(image_spectrum, chunk) for chunk in self.chunks])

    def synthesize_chunk(self, coefficients: torch.Tensor, chunk: slice) -> torch.Tensor:
        """Return what the coefficients of some filters contribute to the Fourier transform of the image."""
        if self.direct_filters is not None:
            filters = self.direct_filters[chunk]
            return self.transform(direct_synthesis(coefficients, filters, periodic=self.periodic))
        return (self.transform(coefficients) * self.spectrum[chunk]).sum(0)

    def analyze_chunk(self, image_spectrum: torch.Tensor, chunk: slice) -> torch.Tensor:
        """Return the coefficients of some filters of an image given by its Fourier transform."""
        if self.direct_filters is not None:
            filters = self.direct_filters[chunk]
            return direct_analysis(self.image(image_spectrum), filters, periodic=self.periodic)
        return self.image(image_spectrum * self.spectrum[chunk].conj())

    def energy(self) -> torch.Tensor:
        r"""Return :math:`\sum_k |\hat d_k|^2`."""
        return torch.view_as_real(self.spectrum).square().sum((0, -1))

    def diagonalizes(self, gram: CirculantGramOp) -> bool:
        """Tell whether a Gram operator multiplies Fourier transforms, apart from axes without filters.

        It does not if images along an axis of the filters are sampled differently, such as slices of 3D filters.
        """
        differs = (d not in gram.dim and -d <= gram.transfer.ndim and gram.transfer.shape[d] > 1 for d in self.dim)
        return gram.circulant and self.periodic and not any(differs)

    def gram(self, image_spectrum: torch.Tensor, acquisition_gram: LinearOperator) -> torch.Tensor:
        """Apply the Gram operator of an acquisition to an image given by its Fourier transform.

        A circulant one needs no transforms, apart from those along axes that the filters do not act along.
        """
        if not (isinstance(acquisition_gram, CirculantGramOp) and self.diagonalizes(acquisition_gram)):
            return self.transform(acquisition_gram(self.image(image_spectrum))[0])
        dim = tuple(d for d in acquisition_gram.dim if d not in self.dim)
        y = torch.fft.fftn(image_spectrum, dim=dim) if dim else image_spectrum
        y = y * self.half(acquisition_gram.transfer, acquisition_gram.dim)
        return torch.fft.ifftn(y, dim=dim) if dim else y

    def half(self, transfer: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
        """Return the part of the transfer function of a circulant operator that acts on the transform of real images.

        That is half of the last axis, of the symmetric part, as the result of the operator is real. For complex images
        it is the transfer function itself.

        Parameters
        ----------
        transfer
            Transfer function in the order of `torch.fft.fftn`.
        dim
            Axes along which it varies.
        """
        if not self.real or not dim:
            return transfer
        flipped = transfer
        for d in dim:
            flipped = flipped.flip(d).roll(1, d)
        symmetric = 0.5 * (transfer + flipped)
        n = symmetric.shape[self.dim[-1]]
        return symmetric.narrow(self.dim[-1], 0, n // 2 + 1) if n > 1 else symmetric
