"""Convolutional synthesis dictionary in the Fourier domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from mrpro.operators import LinearOperator

DictionaryBoundary = Literal['circular', 'zero']

_CHUNK = 2**19
"""Numbers of the coefficients that are treated at once on a CPU, 4 MiB in single precision."""


class ConvolutionalDictionaryOp(LinearOperator):
    r"""Synthesis :math:`D s = \sum_k d_k \star s_k` with convolutional filters.

    The filters follow the convention of `mrpro.operators.ConvSynthesisDictionaryOp`: :math:`\star` is torch's
    convolution, a cross-correlation, and a real filter acts on real and imaginary part of the coefficients alike. The
    results are equal to those of that operator; it is evaluated by FFTs.
    """

    def __init__(self, filters: torch.Tensor, boundary: DictionaryBoundary = 'circular') -> None:
        """Initialize the dictionary.

        Parameters
        ----------
        filters
            Filters, real or complex, shape `(n_filters, ky, kx)` or `(n_filters, kz, ky, kx)`, all sizes odd.
        boundary
            Coefficients beyond the border: those of the other side (`circular`), or 0 (`zero`).

        Raises
        ------
        ValueError
            If a size is even, if a filter is zero, or holds NaN or Inf, or if the boundary is unknown.
        """
        super().__init__()
        what = f'got shape {tuple(filters.shape)}'
        if filters.ndim not in (3, 4) or not len(filters) or any(n % 2 == 0 for n in filters.shape[1:]):
            raise ValueError(f'filters must have shape (n_filters, [kz,] ky, kx) with odd sizes, {what}.')
        if not filters.is_floating_point() and not filters.is_complex():
            raise ValueError(f'filters must be floating-point numbers, got {filters.dtype}, {what}.')
        flat = filters.detach().flatten(1)
        for condition, rule in ((flat.isfinite().all(1), 'be finite'), (flat.any(1), 'not be zero')):
            if not bool(condition.all()):
                bad = (~condition).nonzero()[:, 0].tolist()
                raise ValueError(f'filters must {rule}, but number {bad} are not, {what}.')
        if boundary not in get_args(DictionaryBoundary):
            raise ValueError(f'boundary must be one of {get_args(DictionaryBoundary)}, got {boundary=}.')
        self.filters = filters
        self.boundary = boundary

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes of the image that the filters act along."""
        return tuple(range(1 - self.filters.ndim, 0))

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Synthesize an image of shape `(*other, coils, z, y, x)` of coefficients `(n_filters, *image)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Synthesize an image. Prefer calling the instance."""
        if x.shape[0] != len(self.filters):
            raise ValueError(
                f'The first axis must hold the {len(self.filters)} filters, got coefficients of shape {tuple(x.shape)}.'
            )
        spectrum = self.spectrum(x.shape[1:], x.device)
        y = torch.fft.ifftn(self.synthesize(x, spectrum, self.dim, self.grid(x.shape[1:])), dim=self.dim)
        y = self._crop(y, x.shape[1:])
        return (y if x.is_complex() or self.filters.is_complex() else y.real,)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Analyze an image: coefficients of shape `(n_filters, *image)`."""
        spectrum = self.spectrum(x.shape, x.device)
        s = self.analyze(torch.fft.fftn(x, s=self.grid(x.shape), dim=self.dim), spectrum, self.dim)
        s = self._crop(s, x.shape)
        return (s if x.is_complex() or self.filters.is_complex() else s.real,)

    def grid(self, shape: Sequence[int]) -> list[int]:
        """Return the size of the FFTs for an image of a given shape."""
        margin = [n // 2 if self.boundary == 'zero' else 0 for n in self.filters.shape[1:]]
        return [shape[d] + m for d, m in zip(self.dim, margin, strict=True)]

    def _crop(self, x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Remove the zeros beyond the border."""
        if self.boundary == 'zero':
            for d in self.dim:
                x = x.narrow(d, 0, shape[d])
        return x

    def spectrum(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return the transfer functions of the filters.

        Parameters
        ----------
        shape
            Shape of the image.
        device
            Device of the result.

        Returns
        -------
            Complex tensor, broadcastable to `(n_filters, *image)` with the size of `grid` along `dim`.
        """
        if any(n > shape[d] for n, d in zip(self.filters.shape[1:], self.dim, strict=True)):
            raise ValueError(
                f'filters must not be larger than the image, got filters of shape {tuple(self.filters.shape[1:])} for '
                f'an image of shape {tuple(shape)}.'
            )
        grid = self.grid(shape)
        # a correlation shifts against the offset of a weight, hence the flip; then the center goes to the origin
        padded = torch.zeros(len(self.filters), *grid, dtype=self.filters.dtype, device=device)
        padded[(slice(None), *(slice(n) for n in self.filters.shape[1:]))] = self.filters.to(device).flip(self.dim)
        padded = padded.roll([-(n // 2) for n in self.filters.shape[1:]], self.dim)
        spectrum = torch.fft.fftn(padded, dim=self.dim)
        return spectrum.reshape(len(self.filters), *(1,) * (len(shape) - len(self.dim)), *grid)

    def synthesize(
        self, x: torch.Tensor, spectrum: torch.Tensor, dim: tuple[int, ...], grid: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Return the Fourier transform of the synthesis."""
        terms = (
            (torch.fft.fftn(c, s=grid, dim=dim) * s).sum(0) for c, s in zip(*self._chunks(x, spectrum), strict=True)
        )
        total = next(terms)
        for term in terms:
            total = total + term
        return total

    def analyze(self, image_spectrum: torch.Tensor, spectrum: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
        """Return the coefficients of an image given by its Fourier transform."""
        chunks = spectrum.split(self._chunk_size(image_spectrum))
        return torch.cat([torch.fft.ifftn(image_spectrum * s.conj(), dim=dim) for s in chunks])

    def _chunks(self, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Split coefficients into pieces that fit the cache."""
        size = self._chunk_size(tensors[0][0])
        return (tensor.split(size) for tensor in tensors)

    def _chunk_size(self, img: torch.Tensor) -> int:
        """Return the number of filters to treat at once."""
        return max(1, _CHUNK // img.numel()) if img.device.type == 'cpu' else len(self.filters)

    def norm_squared(self, shape: Sequence[int], weight: torch.Tensor | float = 1.0) -> torch.Tensor:
        r"""Return :math:`\max_\omega w(\omega) \sum_k |\hat d_k(\omega)|^2`.

        Without weight it is :math:`\|D\|_2^2` for the circular boundary, and an upper bound of it for `zero`.
        """
        energy = self.spectrum(shape, self.filters.device).abs().square().sum(0)
        return (energy * weight).amax()
