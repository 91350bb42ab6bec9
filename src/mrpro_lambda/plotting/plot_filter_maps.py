"""Figure of what filters of a dictionary do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp, DictionaryBoundary
from mrpro_lambda.plotting.gray_picture import gray_window
from mrpro_lambda.plotting.panels import grid_of_panels, map_limits, one_slice, peak, show, show_map, show_signed
from mrpro_lambda.plotting.plot_filters import filter_indices, filter_planes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_filter_maps(
    img: torch.Tensor,
    filters: torch.Tensor,
    coefficients: torch.Tensor,
    lambda_map: torch.Tensor,
    indices: Sequence[int],
    noise_std: float | None = None,
    *,
    boundary: DictionaryBoundary = 'circular',
    region: tuple[slice, slice] = (slice(None), slice(None)),
) -> Figure:
    r"""Plot what some filters of a dictionary do in one slice, a row for each.

    Filter, magnitude of its coefficients :math:`s_k`, contribution to the image, and Lambda map over the magnitude of
    the image. Of the contribution :math:`d_k \star s_k` the part in phase with the image is shown, which is what it
    changes the magnitude by to first order. All rows have the same windows, apart from that of the filter.

    Parameters
    ----------
    img
        Image, shape `(y, x)`; further axes of size 1 are dropped, here and below.
    filters
        Filters, shape `(n_filters, ky, kx)`.
    coefficients
        Coefficients, shape `(n_filters, y, x)`, see `~mrpro_lambda.solvers.Solution`.
    lambda_map
        Lambda maps of the same shape.
    indices
        Numbers of the filters to show, in this order.
    noise_std
        Noise level that the maps are shown in units of.
    boundary
        Boundary of the convolutions.
    region
        Part of the images that is shown, along y and x.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If shapes differ or are not those of one slice, or if a number is not that of a filter.
    """
    img = one_slice(img, 'img')
    planes = filter_planes(filters)
    for name, tensor in (('coefficients', coefficients), ('lambda_map', lambda_map)):
        if not tensor.ndim or len(tensor) != len(planes):
            raise ValueError(
                f'{name} must have shape (n_filters, y, x) with n_filters={len(planes)}, got shape '
                f'{tuple(tensor.shape)}.'
            )
    rows = filter_indices(indices, len(planes))
    codes = [one_slice(coefficients[k], 'Each of the coefficients') for k in rows]
    if codes[0].shape != img.shape:
        raise ValueError(
            f'The coefficients must have the shape of the image, got {tuple(codes[0].shape)}, {tuple(img.shape)}.'
        )
    phase = img.sgn().conj()
    parts = [
        (ConvolutionalDictionaryOp(planes[k, None], boundary)(code[None])[0] * phase).real
        for k, code in zip(rows, codes, strict=True)
    ]
    maps = [one_slice(lambda_map[k], 'Each of lambda_map') for k in rows]
    limits = map_limits(torch.stack(maps), noise_std)
    largest_code, largest_part = max(gray_window(code) for code in codes), max(gray_window(part) for part in parts)

    titles = ['Coefficients', 'Contribution', None]
    figure, axes = grid_of_panels(img[region].shape, len(rows), 4)
    for row, k, code, part, values in zip(axes, rows, codes, parts, maps, strict=True):
        show_signed(row[0], planes[k].real, f'Filter {k}', peak(planes[k].real))
        show(row[1], code[region].abs(), titles[0] or '', largest_code)
        show_signed(row[2], part[region], titles[1] or '', largest_part)
        show_map(row[3], img, values, noise_std, gray_window(img), titles[2], region, limits)
        titles = ['', '', '']  # columns are named once
    return figure
