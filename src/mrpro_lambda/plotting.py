"""Figures of reconstructions and Lambda maps. They need the extra `plot` and no display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from mrpro_lambda.metrics import psnr
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp, DictionaryBoundary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_PANEL = 2.6  # width of an image in inches
_FILTER_PANEL = 0.8  # width of a filter in inches
_TITLE_SIZE = 11
_PICTURE = 256  # smallest side of a picture in pixels
_NOISE = 4.0  # residual in units of the noise that is shown as white at least


def plot_comparison(
    images: Mapping[str, torch.Tensor],
    target: torch.Tensor | None = None,
    *,
    lambda_map: torch.Tensor | None = None,
    noise_std: float | None = None,
    error_factor: float | None = None,
    window: float | None = None,
    region: tuple[slice, slice] = (slice(None), slice(None)),
    aspect: float = 1.0,
) -> Figure:
    """Plot the magnitudes of images of one slice beside each other, and their errors below.

    All magnitudes have the same gray window, all errors the same scale. The error is the modulus of the complex
    difference if both are complex.

    Parameters
    ----------
    images
        Images by title, each of shape `(y, x)`; further axes of size 1 are dropped.
    target
        True image, shown as the first one. With it, titles state the peak signal-to-noise ratio.
    lambda_map
        Lambda map, shown over the magnitude of the last image: below the target, or without one as a further panel.
    noise_std
        Noise level that the map is shown in units of.
    error_factor
        Factor by which the errors are brightened. If `None`, a round number such that the largest errors of the best
        image are well visible.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the target or of the last image.
    region
        Part of the images that is shown, along y and x. The signal-to-noise ratios are those of the whole images.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If there is no image, or if shapes differ or are not those of one slice.
    """
    if not images:
        raise ValueError('images must hold at least one image, got none.')
    slices = {title: _one_slice(img, title) for title, img in images.items()}
    reference = None if target is None else _one_slice(target, 'target')
    last = list(slices.values())[-1]
    for title, img in slices.items():
        if img.shape != (last if reference is None else reference).shape:
            raise ValueError(f'All images must have the same shape, got {tuple(img.shape)} for {title!r}.')
    white = gray_window(last if reference is None else reference) if window is None else window

    n_columns = len(slices) + (reference is not None or lambda_map is not None)
    figure, axes = _figure(last[region].shape, 1 if reference is None else 2, n_columns, aspect=aspect)
    map_ax = axes[-1][-1 if reference is None else 0]
    if lambda_map is not None:
        _show_map(map_ax, last, lambda_map, noise_std, white, region=region)
    else:
        map_ax.axis('off')
    if reference is None:
        for ax, (title, img) in zip(axes[0], slices.items(), strict=False):
            _show(ax, img[region].abs(), title, white)
        return _with_aspect(figure, aspect)

    _show(axes[0][0], reference[region].abs(), 'Ground truth', white)
    pairs = {title: _comparable(img, reference) for title, img in slices.items()}
    errors = {title: (img - true).abs() for title, (img, true) in pairs.items()}
    factor = error_factor or _round_factor(white / min(gray_window(error) for error in errors.values()))
    for i, (title, img) in enumerate(slices.items(), start=1):
        quality = psnr(*(x[None, None, None] for x in pairs[title])).item()
        text = 'exact' if quality == math.inf else f'{quality:.2f} dB'
        _show(axes[0][i], img[region].abs(), f'{title}\n{text}', white)
        _show(axes[1][i], errors[title][region], f'Error × {factor:g}', white / factor)  # noqa: RUF001
    return _with_aspect(figure, aspect)


def plot_lambda_map(
    img: torch.Tensor,
    lambda_map: torch.Tensor,
    *,
    noise_std: float | None = None,
    title: str | None = None,
    window: float | None = None,
    aspect: float = 1.0,
) -> Figure:
    """Plot the Lambda map of one slice over the magnitude of the image, with a logarithmic color scale.

    Parameters
    ----------
    img
        Image, shape `(y, x)`; further axes of size 1 are dropped.
    lambda_map
        Lambda map of the same shape.
    noise_std
        Noise level that the map is shown in units of.
    title
        Title. Default: what the map is relative to.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the image.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If shapes differ or are not those of one slice.
    """
    img = _one_slice(img, 'img')
    figure, axes = _figure(img.shape, 1, 1, panel=1.6 * _PANEL, aspect=aspect)
    _show_map(axes[0][0], img, lambda_map, noise_std, gray_window(img) if window is None else window, title)
    return _with_aspect(figure, aspect)


def plot_residual(residual: torch.Tensor, *, aspect: float = 1.0) -> Figure:
    """Plot the magnitude of the residual of one slice in units of the noise.

    White is 4 or, where more than two pixels in a thousand exceed it, their smallest value.

    Parameters
    ----------
    residual
        Residual, see `~mrpro_lambda.reconstruction.residual_image`, shape `(y, x)`; further axes of size 1 are dropped.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
        Figure.

    Raises
    ------
    ValueError
        If the shape is not that of one slice.
    """
    residual = _one_slice(residual, 'residual').abs()
    white = max(_NOISE, gray_window(residual))
    figure, axes = _figure(residual.shape, 1, 1, panel=1.6 * _PANEL, aspect=aspect)
    _show(axes[0][0], residual, f'Residual / noise, 0 to {white:.3g}', white)
    return _with_aspect(figure, aspect)


def plot_sweep(report: Mapping[str, Any]) -> Figure:
    """Plot what a rule that chooses the weight found: its criterion, and the L-curve, with the weight it chose.

    Parameters
    ----------
    report
        Report of a `~mrpro_lambda.weighting.AutomaticWeight`. Each image of a batch has a curve of its own.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = ('factor', 'criterion', 'residual', 'regularization')
    columns = {name: _rows(report['sweep'][name]) for name in names}
    chosen = torch.tensor(report['factor'], dtype=torch.float64).flatten()
    figure = Figure(figsize=(3 * _PANEL, 1.3 * _PANEL), layout=ConstrainedLayoutEngine())
    left, right = figure.subplots(1, 2)
    labels = {
        'sure': 'estimated error / noise',
        'discrepancy': 'log (residual / target)',
        'l-curve': 'minus curvature of the L-curve',
    }
    for i, factor in enumerate(chosen):
        color = f'C{i % 10}'
        x, y, residual, regularization = (columns[name][i] for name in names)
        left.plot(x, y, '.-', color=color)
        left.axvline(factor.item(), color=color, linestyle=':')
        right.plot(residual, regularization, '.-', color=color)
        nearest = (x / factor).log().abs().argmin()
        right.plot(residual[nearest], regularization[nearest], 'o', color=color, fillstyle='none', markersize=10)
    if report['rule'] == 'discrepancy':
        left.axhline(0, color='black', linewidth=0.5)
    left.set(xscale='log', xlabel='weight / noise level', ylabel=labels.get(report['rule'], 'criterion'))
    right.set(xscale='log', yscale='log', xlabel='residual / noise', ylabel='regularization')
    title = f'{chosen[0]:.3g} times the noise level' if len(chosen) == 1 else f'{len(chosen)} images'
    left.set_title(f'{report["rule"]}: {title}', fontsize=_TITLE_SIZE)
    return figure


def plot_fit(report: Mapping[str, Any]) -> Figure:
    """Plot the loss of a fit to the scan in each step.

    Parameters
    ----------
    report
        Report of `~mrpro_lambda.weighting.FittedToScan`.

    Returns
    -------
        Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(2 * _PANEL, 1.3 * _PANEL), layout=ConstrainedLayoutEngine())
    axes = figure.subplots()
    losses = torch.tensor(report['losses'], dtype=torch.float64)
    axes.plot(losses, color='lightgray', label='each step')
    if len(losses) >= (width := 10):
        axes.plot(torch.arange(width - 1, len(losses)), losses.unfold(0, width, 1).mean(1), label='mean of 10 steps')
    for name, values in report.get('compared', {}).items():
        style = '-' if name == report['taken'] else ':'
        axes.axhline(
            sum(values) / len(values), color='black', linestyle=style, linewidth=1, label=f'{name}, at the end'
        )
    axes.set(xlabel='step', ylabel=f'{report["loss"]} loss / noise')
    axes.legend(fontsize='small')
    axes.set_title(f'fitted to the scan: {report["taken"]} taken', fontsize=_TITLE_SIZE)
    return figure


def plot_filters(filters: torch.Tensor, n_columns: int = 8, *, indices: Sequence[int] | None = None) -> Figure:
    """Plot the filters of a dictionary, each in a gray window of its own that is symmetric: middle gray is 0.

    Parameters
    ----------
    filters
        Filters, shape `(n_filters, ky, kx)`; further axes of size 1 are dropped. Of complex filters, the real part is
        shown.
    n_columns
        Filters in a row.
    indices
        Numbers of the filters to show, in this order, such as those of
        `~mrpro_lambda.interpretation.most_active`. Default: all.

    Returns
    -------
        Figure, with the number of each filter.

    Raises
    ------
    ValueError
        If the filters are not two-dimensional, or if a number is not that of a filter.
    """
    planes = _filter_planes(filters)
    shown = range(len(planes)) if indices is None else _filter_indices(indices, len(planes))
    if n_columns < 1:
        raise ValueError(f'n_columns must be positive, got {n_columns}.')
    n_columns = min(n_columns, len(shown))
    figure, axes = _figure(planes.shape[1:], -(-len(shown) // n_columns), n_columns, panel=_FILTER_PANEL)
    panels = [ax for row in axes for ax in row]
    for ax, k in zip(panels, shown, strict=False):
        _show_signed(ax, planes[k].real, f'{k}', _peak(planes[k].real))
    for ax in panels[len(shown) :]:
        ax.axis('off')
    return figure


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
    img = _one_slice(img, 'img')
    planes = _filter_planes(filters)
    for name, tensor in (('coefficients', coefficients), ('lambda_map', lambda_map)):
        if not tensor.ndim or len(tensor) != len(planes):
            raise ValueError(
                f'{name} must have shape (n_filters, y, x) with n_filters={len(planes)}, got shape '
                f'{tuple(tensor.shape)}.'
            )
    rows = _filter_indices(indices, len(planes))
    codes = [_one_slice(coefficients[k], 'Each of the coefficients') for k in rows]
    if codes[0].shape != img.shape:
        raise ValueError(
            f'The coefficients must have the shape of the image, got {tuple(codes[0].shape)}, {tuple(img.shape)}.'
        )
    phase = img.sgn().conj()
    parts = [
        (ConvolutionalDictionaryOp(planes[k, None], boundary)(code[None])[0] * phase).real
        for k, code in zip(rows, codes, strict=True)
    ]
    maps = [_one_slice(lambda_map[k], 'Each of lambda_map') for k in rows]
    limits = _map_limits(torch.stack(maps), noise_std)
    largest_code, largest_part = max(gray_window(code) for code in codes), max(gray_window(part) for part in parts)

    titles = ['Coefficients', 'Contribution', None]
    figure, axes = _figure(img[region].shape, len(rows), 4)
    for row, k, code, part, values in zip(axes, rows, codes, parts, maps, strict=True):
        _show_signed(row[0], planes[k].real, f'Filter {k}', _peak(planes[k].real))
        _show(row[1], code[region].abs(), titles[0] or '', largest_code)
        _show_signed(row[2], part[region], titles[1] or '', largest_part)
        _show_map(row[3], img, values, noise_std, gray_window(img), titles[2], region, limits)
        titles = ['', '', '']  # columns are named once
    return figure


def gray_picture(img: torch.Tensor, *, window: float | None = None, aspect: float = 1.0) -> Image.Image:
    """Return the magnitude of one slice as a gray picture with its rows along y, without matplotlib.

    Pixels are repeated until no side is shorter than 256.

    Parameters
    ----------
    img
        Image, shape `(y, x)`; further axes of size 1 are dropped.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the image.
    aspect
        Height of a pixel relative to its width.
    """
    img = _one_slice(img, 'img').abs()
    levels = (255 * img / (gray_window(img) if window is None else window)).clamp(0, 255).round().byte()
    picture, repeats = Image.fromarray(levels.numpy()), -(-_PICTURE // min(img.shape))
    size = repeats * img.shape[1], round(repeats * img.shape[0] * aspect)
    return picture.resize(size, Image.Resampling.NEAREST)


def _rows(values: Sequence[Any]) -> torch.Tensor:
    """Return numbers of a report with a row for each image; JSON has null in the place of NaN and Inf."""
    if values and isinstance(values[0], Sequence):
        return torch.cat([_rows(row) for row in values])
    return torch.tensor([[math.nan if value is None else value for value in values]], dtype=torch.float64)


def _one_slice(img: torch.Tensor, name: str) -> torch.Tensor:
    """Drop leading axes of size 1 and move to the CPU."""
    img = img.detach().cpu()
    if img.ndim < 2 or math.prod(img.shape[:-2]) != 1:
        raise ValueError(f'{name} must be one slice of shape (y, x), got shape {tuple(img.shape)}.')
    return img.reshape(img.shape[-2:])


def _filter_planes(filters: torch.Tensor) -> torch.Tensor:
    """Drop axes of size 1 of filters and move them to the CPU."""
    if filters.ndim < 3 or not len(filters):
        raise ValueError(f'filters must have shape (n_filters, ky, kx), got shape {tuple(filters.shape)}.')
    return torch.stack([_one_slice(kernel, 'Each of the filters') for kernel in filters])


def _filter_indices(indices: Sequence[int], n_filters: int) -> list[int]:
    """Check numbers of filters."""
    if not indices or any(not 0 <= k < n_filters for k in indices):
        raise ValueError(f'indices must be from 0 to {n_filters - 1}, at least one, got {list(indices)}.')
    return list(indices)


def _peak(img: torch.Tensor) -> float:
    """Return the largest magnitude, 1 if all is zero."""
    return img.abs().max().item() or 1.0


def gray_window(img: torch.Tensor) -> float:
    """Return the magnitude that is shown as white, the 99.8 percentile, which is not 0.

    Parameters
    ----------
    img
        Image of any shape.
    """
    magnitude = img.abs().double().flatten()
    n = magnitude.numel()
    value = magnitude.kthvalue(max(1, min(n, round(0.998 * n)))).values.item()
    return value or magnitude.max().item() or 1.0


def _comparable(img: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both images in double precision, as magnitudes where one of the two is a magnitude."""
    if img.is_complex() and target.is_complex():
        return img.to(torch.complex128), target.to(torch.complex128)
    return img.abs().double(), target.abs().double()


def _round_factor(factor: float) -> float:
    """Return the largest of the numbers 1, 2, 5, 10, 20, ... that does not exceed a factor."""
    power = 10 ** math.floor(math.log10(max(factor, 1)))
    return max(f for f in (1, 2 * power, 5 * power, power) if f <= max(factor, 1))


def _figure(
    shape: torch.Size, n_rows: int, n_columns: int, panel: float = _PANEL, *, aspect: float = 1.0
) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure without the global state of pyplot."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    height = panel * aspect * shape[0] / shape[1]
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.01, hspace=0.01)
    figure = Figure(figsize=(n_columns * panel, n_rows * (height + 0.45)), layout=layout)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False).tolist()


def _with_aspect(figure: Figure, aspect: float) -> Figure:
    """Give all images of a figure the aspect of their pixels."""
    for ax in figure.axes:
        if ax.images:
            ax.set_aspect(aspect)
    return figure


def _show(ax: Axes, img: torch.Tensor, title: str, white: float) -> AxesImage:
    """Show a magnitude in a gray window."""
    shown = ax.imshow(img.numpy(), cmap='gray', vmin=0, vmax=white, interpolation='nearest')
    ax.set_title(title, fontsize=_TITLE_SIZE)
    ax.axis('off')
    return shown


def _show_signed(ax: Axes, img: torch.Tensor, title: str, peak: float) -> None:
    """Show real numbers in a gray window that is symmetric."""
    _show(ax, img, title, peak).set_clim(-peak, peak)


def _map_limits(values: torch.Tensor, noise_std: float | None) -> tuple[float, float]:
    """Return the range of colors of a map, relative to the noise level."""
    values = values.double().flatten() if noise_std is None else values.double().flatten() / noise_std
    positive = values[values > 0]
    low, high = (positive.quantile(torch.tensor([0.005, 0.995]).double()).tolist()) if len(positive) else (0.1, 1.0)
    if high < 2 * low:  # a nearly constant map should look like one
        low, high = low / 2, high * 2
    return low, high


def _show_map(
    ax: Axes,
    img: torch.Tensor,
    lambda_map: torch.Tensor,
    noise_std: float | None,
    white: float,
    title: str | None = None,
    region: tuple[slice, slice] = (slice(None), slice(None)),
    limits: tuple[float, float] | None = None,
) -> None:
    """Show a map over a gray image, with its color bar inside."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullLocator

    values = _one_slice(lambda_map, 'lambda_map').double()
    if values.shape != img.shape:
        raise ValueError(f'The map must have the shape of the image, got {tuple(values.shape)}, {tuple(img.shape)}.')
    if noise_std is not None:
        values = values / noise_std
    low, high = _map_limits(values, None) if limits is None else limits
    if title is None:
        title = 'Λ map' if noise_std is None else 'Λ map / noise level'
    _show(ax, img[region].abs(), title, white)
    norm = LogNorm(low, high, clip=True)
    overlay = ax.imshow(
        values.clamp_min(low)[region].numpy(), cmap='viridis', norm=norm, alpha=0.6, interpolation='nearest'
    )
    inset = ax.inset_axes((0.06, 0.045, 0.88, 0.04))
    bar = ax.figure.colorbar(overlay, cax=inset, orientation='horizontal')
    bar.solids.set_alpha(1)  # type: ignore[union-attr]
    ticks = _ticks(low, high)
    bar.set_ticks(ticks, labels=[f'{t:g}' for t in ticks])
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_ticks_position('top')
    bar.ax.tick_params(labelsize=8, colors='white', length=2, pad=1)
    bar.outline.set_visible(False)


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers in a range."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    coarse = [t for t in fine if f'{t:e}'.startswith('1')]
    return coarse if len(fine) > 5 and len(coarse) > 1 else fine
