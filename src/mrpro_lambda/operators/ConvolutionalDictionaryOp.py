"""Convolutional synthesis dictionary in the Fourier domain."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor
from mrpro_lambda.operators.direct_convolution import direct_is_faster
from mrpro_lambda.operators.GridDictionary import GridDictionary

DictionaryBoundary = Literal['circular', 'zero']


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
        check_filters(filters)
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
        check_tensor('coefficients', x, finite=False)
        if x.ndim < self.filters.ndim or x.shape[0] != len(self.filters):
            raise ValueError(
                f'The first axis must hold the {len(self.filters)} filters, got coefficients of shape {tuple(x.shape)}.'
            )
        dictionary = self.on_grid(x[0])
        return (dictionary.image(dictionary.synthesize(x)),)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Analyze an image: coefficients of shape `(n_filters, *image)`."""
        dictionary = self.on_grid(x)
        return (dictionary.analyze(dictionary.transform(x)),)

    def on_grid(self, img: torch.Tensor) -> GridDictionary:
        """Return the transfer functions of the filters for images of the shape, type and device of one.

        Raises
        ------
        ValueError
            If the filters are larger than the image, or if image or filters are not of single or double precision.
        """
        for name, tensor in (('The image of a dictionary', img), ('filters', self.filters)):
            check_tensor(name, tensor, finite=False)
        sizes, dim = self.filters.shape[1:], self.dim
        if img.ndim < len(sizes) or any(n > img.shape[d] for n, d in zip(sizes, dim, strict=True)):
            raise ValueError(
                f'filters must not be larger than the image, got filters of shape {tuple(sizes)} for an image of shape '
                f'{tuple(img.shape)}.'
            )
        margin = [n // 2 if self.boundary == 'zero' else 0 for n in sizes]
        grid = [img.shape[d] + m for d, m in zip(dim, margin, strict=True)]
        # a correlation shifts against the offset of a weight, hence the flip; then the center goes to the origin
        # in the precision of the image, which is that of the result
        precision = img.dtype.to_complex() if self.filters.is_complex() else img.dtype.to_real()
        filters = self.filters.to(img.device, precision)
        padded = torch.zeros(len(filters), *grid, dtype=precision, device=img.device)
        padded[(slice(None), *(slice(n) for n in sizes))] = filters.flip(dim)
        padded = padded.roll([-(n // 2) for n in sizes], dim)
        real = not (img.is_complex() or filters.is_complex())
        spectrum = torch.fft.rfftn(padded, dim=dim) if real else torch.fft.fftn(padded, dim=dim)
        spectrum = spectrum.reshape(len(spectrum), *(1,) * (img.ndim - len(dim)), *spectrum.shape[1:])
        direct = filters if direct_is_faster(filters, img) else None
        return GridDictionary(spectrum, img.shape, dim, grid, real=real, direct_filters=direct)


def check_filters(filters: torch.Tensor) -> None:
    """Raise an error unless filters are numbers of shape `(n_filters, [kz,] ky, kx)` with odd sizes, none of them zero.

    Raises
    ------
    TypeError, ValueError
        If they are not.
    """
    check_tensor('filters', filters, finite=False)
    what = f'got shape {tuple(filters.shape)}'
    if filters.ndim not in (3, 4) or any(n % 2 == 0 for n in filters.shape[1:]):
        raise ValueError(f'filters must have shape (n_filters, [kz,] ky, kx) with odd sizes, {what}.')
    flat = filters.detach().flatten(1)
    for condition, rule in ((flat.isfinite().all(1), 'be finite'), (flat.any(1), 'not be zero')):
        if not bool(condition.all()):
            bad = (~condition).nonzero()[:, 0].tolist()
            raise ValueError(f'filters must {rule}, but number {bad} are not, {what}.')
