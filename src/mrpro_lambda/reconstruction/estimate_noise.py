"""Noise level of k-space data, and where it was seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import torch
from mrpro.data import KData
from mrpro.operators import FastFourierOp, FourierOp, LinearOperator
from mrpro.operators.CartesianSamplingOp import CartesianMaskingOp

from mrpro_lambda.checks import check_type
from mrpro_lambda.operators.acquisition_factors import RepeatedSamplingOp, acquisition_factors
from mrpro_lambda.reconstruction.check_inputs import check_kdata, of_the_acquisition
from mrpro_lambda.reconstruction.estimate_noise_weight import line_variance, positions_beyond_fov
from mrpro_lambda.reconstruction.k_space_shells import gaussian_variance, k_space_shells
from mrpro_lambda.reconstruction.noise_of_calibration import MANY_COILS, calibration_variance
from mrpro_lambda.reconstruction.noise_of_dense_samples import dense_variance
from mrpro_lambda.reconstruction.noise_of_residual import residual_variances

_AIR = 1.3
"""Largest level of a strip of air relative to the smallest one."""

_CORRELATION = 0.15
"""Largest correlation of neighboring voxels in air, above that of noise by chance."""

_FULL = 0.9
"""Fraction of the points of a box of k-space above which it counts as fully sampled."""

_N_SAMPLES = 256
"""Smallest number of samples that a noise level is seen in, for an error of 3 %."""

_N_IMAGES = 4
"""Largest number of images whose calibration regions are used."""

_EXTENT = 96
"""Largest extent of a calibration region."""

_AGREEMENT = 1.1
"""Largest ratio of two levels that are both those of noise."""


_COPIES = 1e-6
"""Largest level of differences of samples that are copies, relative to the root mean square of the data."""


class NoiseEstimate(NamedTuple):
    """Noise level of k-space data, and where it was seen."""

    std: float
    """Standard deviation of the complex noise of a sample, in the units of the data."""
    source: str
    """Where it was seen, in words."""
    reliable: bool
    """Whether that place is free of signal, as far as the data tell. Otherwise the level is an upper bound."""


class _Grid(NamedTuple):
    """Cartesian data on the smallest box of k-space that holds all samples."""

    mean: torch.Tensor
    """Means of repeated samples, shape `(images, coils, z, y, x)`, zero where there are none."""
    multiplicity: torch.Tensor
    """How often each point was sampled, shape `(images or 1, coils or 1, z, y, x)`."""
    center: tuple[int, ...]
    """Indices of the center of k-space."""
    fov: float
    """Recon field of view along the readout relative to that of the box."""


def estimate_noise(kdata: KData, acquisition_op: LinearOperator | None = None) -> NoiseEstimate:
    r"""Estimate the noise level :math:`\sigma` of k-space samples, :math:`E|n|^2=\sigma^2`, and tell where it was seen.

    Signal only adds to noise. Of the places below, the first group of which one is free of signal is taken, and of that
    group the smallest level. If there is none, it is the smallest of all, and an upper bound.

    1. The differences of repeated samples; the air at the ends of complete readouts, or beyond the field of view if
       they are oversampled (see `estimate_noise_weight`, and `remove_readout_os` keeps the noise of a sample); the air
       at the top and bottom of the image or else at one of its sides, in strips of a sixteenth, if all of a box of
       k-space is sampled and neighboring voxels are not correlated.
    2. The fully sampled center of k-space: with several coils, or air, its patches span only a part of their space. Of
       non-Cartesian data, the samples at the center that are denser than the field of view requires. Unless more than
       in the fourth group is seen there.
    3. The air in the corners of the image.
    4. The shell of k-space with the smallest level. If the levels of the outer quarter of k-space are the same, they
       are those of noise. Otherwise also the image of the highest frequencies, which is small between edges. And, with
       coil sensitivities, the shells of what the image that is nearest to the data leaves of them.

    Air is looked at up to 1.25 of the field of view: beyond, receivers attenuate the noise of oversampled readouts, at
    3 T to 0.4 of its level at the ends.

    Measured by ``benchmarks/noise_level.py`` on images of heads and hearts, 160 x 160 pixels, with noise of 0.01, 0.02,
    0.05, 0.1 and 0.3 times their root mean square; ratio of the estimate to the truth, mean and in brackets the range
    over 2 or 3 images and these levels:

    - all of a box or lines with R = 4, with air: 0.96-1.02 with one coil; a box with 4 coils 0.97-1.01,
    - without air, 4 coils: a box 1.01-1.02, lines with R = 3 or 4 and 16 calibration lines 1.02-1.05, random points
      with R = 4 or 8 0.98-1.13 (at 0.01 they count as an upper bound); 8 coils: points 0.99-1.07, regular lines with
      R = 3 1.01-1.03,
    - twofold oversampled readouts, a box or lines with R = 4, one coil without air: 0.95-1.00,
    - radial, R = 3, one coil without air: 0.96-0.99, with oversampled readouts 0.95-1.08,
    - one coil without air, an upper bound: a box 1.5 (1.1-1.9), 1.2 (1.0-1.4), 1.1 (1.0-1.1), 1.0, 1.0; R = 3 1.7
      (1.1-2.3), 1.3 (1.0-1.5), 1.1 (1.0-1.1), 1.0, 1.0; lines with R = 4 2.1 (1.3-3.0), 1.4 (1.1-1.8), 1.1 (1.1-1.2),
      1.1, 1.0,
    - one coil, random points, an upper bound: R = 4 without air 3.2 (1.7-5.5), 1.9 (1.3-3.0), 1.2 (1.0-1.5), 1.1
      (1.0-1.1), 1.0, and with air 4.6 (2.6-6.7), 2.6 (1.6-3.5), 1.4 (1.1-1.7), 1.1 (1.0-1.2), 1.0; R = 8 without air
      3.8 (1.9-5.6), 2.2 (1.3-3.1), 1.3 (1.1-1.6), 1.1 (1.0-1.2), 1.0. There are fewer samples than voxels of the
      object: without knowledge about the image, noise below its signal is not to be seen.

    On scans: of 14 coils, prewhitened with their noise measurement, 1.01 from the image lines (R = 3, before the
    oversampling was removed; 1.12, an upper bound, after that) and 1.02 from the calibration lines. Of a brain with 16
    coils that were not prewhitened, relative to the root mean square in corners of 5 x 5 pixels: 1.03 with all samples,
    0.87 with regular lines and 16 calibration lines; with white noise of 2 to 30 % of the image added 1.00-1.09, and
    with single points, R = 4, 0.98-1.03 (from the residual of the coils; 1.27, 1.18, 1.10 and 1.00 without their maps).

    Coils should be prewhitened. Otherwise the level is that of the mean of the variances of the coils, which the
    calibration region sees too low: in simulations of coils of different and correlated noise by up to 25 %.

    Parameters
    ----------
    kdata
        k-space data, better those before the oversampling of the readout is removed.
    acquisition_op
        Fourier operator of these data, better with the coil sensitivities behind it. `None`: that of `kdata`, without.

    Returns
    -------
        Noise level, with its source. For noise that is not the same in all of k-space, air shows its root mean square,
        and the shells show the smallest one.

    Raises
    ------
    ValueError
        If the data hold NaN or Inf, are all zero, or are not those of the operator.
    """
    check_kdata(kdata)
    acquisition_op = FourierOp.from_kdata(kdata) if acquisition_op is None else acquisition_op
    check_type('acquisition_op', acquisition_op, LinearOperator)
    with of_the_acquisition(kdata):
        acquisition_op.adjoint(kdata.data)
    scale = kdata.data.abs().max().item()  # squares of huge or tiny numbers leave the range of single precision
    kdata = KData(kdata.header, kdata.data / scale, kdata.traj)
    grid = _grid(kdata, acquisition_op)
    # from what sees noise that is not the same in all of k-space to what does not
    kinds: list[Callable[[], list[NoiseEstimate]]] = [
        lambda: _of_readouts(kdata) + ([] if grid is None else _of_repeats(kdata, acquisition_op) + _of_borders(grid)),
        lambda: _below(edges() + residual(), _of_dense_samples(kdata) if grid is None else _of_calibration(grid)),
        lambda: [] if grid is None else _of_corners(grid),
        lambda: edges() + residual(),
    ]

    @cache
    def edges() -> list[NoiseEstimate]:
        return [_of_edges(kdata), *([] if grid is None else _of_high_frequencies(grid))]

    @cache
    def residual() -> list[NoiseEstimate]:
        return _of_residual(kdata, acquisition_op)

    estimates: list[NoiseEstimate] = []
    for kind in kinds:
        estimates += kind()
        if any(estimate.reliable for estimate in estimates):
            break
    # signal only adds to noise
    found = min(estimates, key=lambda estimate: (not estimate.reliable, estimate.std))
    return found._replace(std=scale * found.std)


def _below(edges: list[NoiseEstimate], estimates: list[NoiseEstimate]) -> list[NoiseEstimate]:
    """Mark estimates that hold signal: those above the level of others that signal only adds to."""
    level = _AGREEMENT * min(edge.std for edge in edges)
    return [estimate._replace(reliable=estimate.reliable and estimate.std <= level) for estimate in estimates]


def _of_readouts(kdata: KData) -> list[NoiseEstimate]:
    """See the noise in the air at the ends of the readouts, or beyond the field of view if they are oversampled."""
    with suppress(ValueError):  # there is no air along the readout
        variances, line = line_variance(kdata)
        return [_estimate(variances[line].mean().item(), 'air along the readout', reliable=True)]
    outside = positions_beyond_fov(kdata)
    if outside is None or outside.shape[1] < _N_SAMPLES:
        return []
    return [_estimate(gaussian_variance(outside), 'air beyond the field of view along the readout', reliable=True)]


def _of_repeats(kdata: KData, acquisition_op: LinearOperator) -> list[NoiseEstimate]:
    """See the noise in the differences of samples of the same point of k-space."""
    sampling_op = next((f for f in acquisition_factors(acquisition_op) if isinstance(f, RepeatedSamplingOp)), None)
    if sampling_op is None:
        return []
    count = sampling_op.multiplicity().to(kdata.data.device)
    if not bool((count > 1).any()):
        return []
    mean = sampling_op.adjoint(kdata.data / count)[0]
    freedom = (1 - 1 / count).expand_as(kdata.data).double().sum().item()
    if freedom < _N_SAMPLES:
        return []
    residual = torch.where(count > 1, kdata.data - sampling_op(mean)[0], 0)
    variance = residual.abs().double().square().sum().item() / freedom
    if variance < _COPIES**2 * kdata.data.abs().double().square().mean().item():
        return []
    return [_estimate(variance, 'repeated samples', reliable=True)]


def _of_borders(grid: _Grid) -> list[NoiseEstimate]:
    """See the noise in the air at the borders of the image.

    The rows at the top and at the bottom hold all positions along the readout, between which the noise may differ.
    """
    if (img := _image(grid)) is None:
        return []
    strips = []
    for dim in (-2, -1):
        n = img.shape[dim]
        width = max(1, n // 16)
        strips += [img.narrow(dim, 0, width), img.narrow(dim, n - width, width)]
    variances = [gaussian_variance(strip.movedim(1, 0).flatten(1)) for strip in strips]
    chosen = [i for i in (0, 1) if variances[i] <= _AIR**2 * min(variances)] or [variances.index(min(variances))]
    variance = sum(variances[i] for i in chosen) / len(chosen)
    air = all(_is_white(strips[i]) for i in chosen)
    return [_estimate(variance, 'air at the borders of the image', reliable=air)]


def _of_corners(grid: _Grid) -> list[NoiseEstimate]:
    """See the noise in the corners of the image that are air, in small ones if there are many coils."""
    if (img := _image(grid)) is None:
        return []
    n_images = img.shape[:-3].numel()
    small = 4 * n_images * (img.shape[-2] // 16) * (img.shape[-1] // 16) >= 4 * _N_SAMPLES
    n_y, n_x = (n // (16 if small else 8) for n in img.shape[-2:])
    parts = [img[..., y, x] for y in (slice(n_y), slice(-n_y, None)) for x in (slice(n_x), slice(-n_x, None))]
    variances = [gaussian_variance(part.movedim(1, 0).flatten(1)) for part in parts if part.numel() and _is_white(part)]
    variances = [variance for variance in variances if variance <= _AIR**2 * min(variances)]
    if len(variances) * n_y * n_x * n_images < _N_SAMPLES:
        return []
    return [_estimate(sum(variances) / len(variances), 'air in the corners of the image', reliable=True)]


def _image(grid: _Grid) -> torch.Tensor | None:
    """Return the image of data that sample a box of k-space, with the noise of a sample, `None` for others."""
    sampled = grid.multiplicity > 0
    if sampled.double().mean().item() <= _FULL:
        return None
    (img,) = FastFourierOp(dim=(-3, -2, -1)).adjoint(grid.mean)
    n = img.shape[-1]
    half = min(n, round(1.25 * grid.fov * n)) // 2  # receivers attenuate the ends of an oversampled readout
    spread = torch.where(sampled, 1 / grid.multiplicity.clamp_min(1), 0).mean().sqrt()
    return img[..., n // 2 - half : n - n // 2 + half] / spread


def _is_white(strip: torch.Tensor) -> bool:
    """Tell whether neighbors along x are not correlated, as in noise that is not filtered along the readout."""
    left, right = strip[..., :-1], strip[..., 1:]
    energy = strip.abs().square().mean((0, 2, 3, 4))
    correlation = ((right * left.conj()).mean((0, 2, 3, 4)).abs() / energy.clamp_min(1e-38)).mean().item()
    return left.numel() > 0 and correlation < _CORRELATION + (left.numel() / left.shape[1]) ** -0.5


def _of_calibration(grid: _Grid) -> list[NoiseEstimate]:
    """See the noise in the fully sampled center of k-space, see `calibration_variance`."""
    sampled = (grid.multiplicity > 0).flatten(0, 1).all(0)
    if not bool(sampled[grid.center]):
        return []
    start, stop = list(grid.center), [i + 1 for i in grid.center]
    growing = [(dim, side) for dim in (-2, -1) for side in (0, 1)]
    while growing:  # the box grows to all sides by one, until it meets points that were not sampled
        for dim, side in [*growing]:
            grown = [*start], [*stop]
            grown[side][dim] += 2 * side - 1
            inside = grown[0][dim] >= 0 and grown[1][dim] <= sampled.shape[dim] and stop[dim] - start[dim] < _EXTENT
            if inside and bool(sampled[grid.center[0], grown[0][-2] : grown[1][-2], grown[0][-1] : grown[1][-1]].all()):
                start, stop = grown
            else:
                growing.remove((dim, side))
    box = grid.mean[:_N_IMAGES, :, grid.center[0], start[-2] : stop[-2], start[-1] : stop[-1]]
    width = max(1, round(grid.fov * box.shape[-1]))
    if width < box.shape[-1]:  # without what receivers attenuate, which would look like directions of less noise
        first = (box.shape[-1] - width) // 2
        fft_op = FastFourierOp(dim=(-1,))
        (box,) = fft_op(fft_op.adjoint(box)[0][..., first : first + width])
    variances = calibration_variance(box)
    if variances is None:
        return []
    counts = grid.multiplicity[..., grid.center[0], start[-2] : stop[-2], start[-1] : stop[-1]]
    small, more = (variance / (1 / counts).mean().item() for variance in variances)
    reliable = small > 0 and more < _AGREEMENT**2 * small
    chosen = more if reliable and box.shape[1] >= MANY_COILS else small
    return [_estimate(chosen, 'calibration region', reliable=reliable)] if chosen > 0 else []


def _of_high_frequencies(grid: _Grid) -> list[NoiseEstimate]:
    """See the noise between the edges of an image of the highest frequencies along all axes."""
    corner = (grid.multiplicity > 0).to(grid.mean.real.dtype)
    for dim in (-3, -2, -1):
        n, center = corner.shape[dim], grid.center[dim]
        distance = (torch.arange(n, device=corner.device) - center).abs() / max(1, n - center, center)
        corner = corner * (distance >= (0.75 if n > 8 else 0)).reshape(-1, *(1,) * (-dim - 1))
    spread = (corner / grid.multiplicity.clamp_min(1)).mean().item()
    if corner.sum().item() * grid.mean.shape[1] < _N_SAMPLES:
        return []
    img = FastFourierOp(dim=(-3, -2, -1)).adjoint(grid.mean * corner)[0]
    variance = gaussian_variance(img.movedim(1, 0).flatten(1)) / spread
    return [_estimate(variance, 'highest frequencies of the image', reliable=False)]


def _of_dense_samples(kdata: KData) -> list[NoiseEstimate]:
    """See the noise next to the center of a non-Cartesian k-space, see `dense_variance`."""
    variances = dense_variance(kdata)
    if variances is None:
        return []
    inner, outer = variances
    return [_estimate((inner + outer) / 2, 'dense samples', reliable=inner < _AGREEMENT**2 * outer)]


def _of_edges(kdata: KData) -> NoiseEstimate:
    """See the noise in the shell of k-space with the smallest level, of 16."""
    return _of_shells(
        [gaussian_variance(shell) for shell in k_space_shells(kdata, kdata.data, 16)], kdata, 'edges of k-space'
    )


def _of_residual(kdata: KData, acquisition_op: LinearOperator) -> list[NoiseEstimate]:
    """See the noise in what the image that is nearest to the data of several coils leaves, see `residual_variances`."""
    variances = residual_variances(kdata, acquisition_op)
    return [_of_shells(variances, kdata, 'residual of the coils')] if variances else []


def _of_shells(variances: list[float], kdata: KData, source: str) -> NoiseEstimate:
    """Return the smallest level of the shells of k-space.

    It is noise where the levels of the outer shells are the same: those of signal fall.
    """
    many = kdata.data[..., :1, :, :, :].numel() >= 16 * _N_SAMPLES and len(variances) >= 4
    flat = many and max(variances[-4:]) < _AGREEMENT**2 * min(variances)
    return _estimate(min(variances), source, reliable=flat)


def _grid(kdata: KData, acquisition_op: LinearOperator) -> _Grid | None:
    """Sort Cartesian data, `None` for others."""
    factors = acquisition_factors(acquisition_op)
    if not any(isinstance(factor, FastFourierOp) for factor in factors):
        return None
    first = factors[0]
    data, count = kdata.data, torch.ones((1,) * 5, device=kdata.data.device)
    if isinstance(first, RepeatedSamplingOp):
        count = first.density(count[0, 0, 0, 0, 0])
        (data,) = first.adjoint(data)
    elif isinstance(first, torch.Tensor | CartesianMaskingOp):
        mask = first if isinstance(first, torch.Tensor) else first.mask
        count = count if mask is None else (mask != 0).to(count.dtype)
    count = count[(None,) * (5 - count.ndim)]
    count = count.expand(*count.shape[:-3], *data.shape[-3:]).flatten(0, -5)
    data = data.flatten(0, -5) / count.clamp_min(1)
    sampled = (count > 0).flatten(0, 1).any(0)
    box: list[slice] = []
    center: list[int] = []
    for dim in (-3, -2, -1):
        n = sampled.shape[dim]
        occupied = sampled.movedim(dim, 0).flatten(1).any(1).nonzero()
        first_index, last_index = (int(occupied[i]) for i in (0, -1))
        box.append(slice(first_index, last_index + 1))
        center.append(min(max(n // 2 - first_index, 0), last_index - first_index))
    header = kdata.header
    z, y, x = box
    return _Grid(
        data[..., z, y, x],
        count[..., z, y, x],
        tuple(center),
        min(1.0, header.recon_matrix.x / header.encoding_matrix.x),
    )


def _estimate(variance: float, source: str, *, reliable: bool) -> NoiseEstimate:
    """Return an estimate from a variance."""
    return NoiseEstimate(math.sqrt(variance), source, reliable)
