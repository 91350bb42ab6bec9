"""Spectrum of the noise along the phase-encoding direction."""

from __future__ import annotations

import math

import torch
from mrpro.data import KData

from mrpro_lambda.reconstruction.check_inputs import check_kdata

_N_LINES = 16
"""Smallest number of phase encodings."""

_OVERSAMPLED = 1.6
"""Oversampling of the readout from which on the air beyond the field of view is used."""

_BEYOND = 1.25
"""How far the air beyond the field of view is used, relative to it: receivers attenuate the ends of their band."""

_ENERGY = 1.3
"""Largest mean energy of noise relative to that of its median."""

_EMPTY = 1e-12
"""Variance of a phase encoding without data relative to the largest one, above that of rounding errors."""


def estimate_noise_weight(kdata: KData) -> torch.Tensor:
    r"""Estimate weights :math:`w = \sigma / \sigma_{k_y}` that whiten the noise along the phase-encoding direction.

    The noise of some scanners is not the same in all phase encodings: in published data of 0.055 T, which were
    filtered, the standard deviation :math:`\sigma_{k_y}` differed by a factor of up to 3 (gradient echo), 5 (FLAIR) and
    10 (spin echo) between them. Along the readout it differed by a factor of 1.3 to 1.5, which is not corrected.

    A complete readout is transformed to the positions along it. Where the outer sixteenth at either end is air, each
    phase encoding shows its noise there, whichever phase encodings are sampled. Of a readout that is at least 1.6-fold
    oversampled, it is the air from the end of the field of view to 1.25 of it: beyond, the filters of receivers
    attenuate the noise, in data of a 3 T scanner to 0.4 of its level at the ends. The variance of each is the mean over
    these positions, coils, partitions and images, smoothed over neighboring phase encodings by a running median,
    against signal in the center, and a running mean. Simulated weights had a relative error (root mean square) of 3 to
    6 % for 128 phase encodings, 96 samples and 4 images, and of 4 to 10 % for one image and one coil. Phase encodings
    without any data get the weight 0.

    The root mean square of :math:`\sigma_{k_y}` over all samples is :math:`\sigma`, see `estimate_noise_std`: the noise
    of the weighted data is white with the standard deviation :math:`\sigma` that the data had on average.

    Parameters
    ----------
    kdata
        Data of a Cartesian acquisition with complete readouts, fully sampled or with some phase encodings left out.

    Returns
    -------
        Weights, float, broadcastable to the data: shape `(*other, 1, k2, k1, 1)`, where `other` and `k2` may be 1.

    Raises
    ------
    ValueError
        If the trajectory is not Cartesian with a complete readout along `k0` and at least 16 different phase encodings
        along `k1`, or if there is no air at the ends of the readout.
    """
    check_kdata(kdata)
    variance, line = line_variance(kdata)
    relative = variance / variance[line].mean()
    weight = torch.where(relative > 0, relative.clamp_min(_EMPTY).rsqrt(), 0)
    return weight.to(kdata.data.real.dtype)[line]


def line_variance(kdata: KData) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the variance of the noise of each phase encoding, and which of them each readout has.

    Returns
    -------
        Variances, float64, and indices into them, shape `(*other, 1, k2, k1, 1)`. The errors are those of
        `estimate_noise_weight`.
    """
    _check_readout(kdata)
    phase_encodings, line = kdata.traj.ky.round().unique(return_inverse=True)
    half = max(2, len(phase_encodings) // 24)
    n = kdata.data.shape[-1]
    positions, middle = _positions(kdata.data), n // 2
    ratio = kdata.header.encoding_matrix.x / kdata.header.recon_matrix.x
    if ratio >= _OVERSAMPLED:
        inner, outer = math.ceil(n / ratio / 2) + 1, round(_BEYOND * n / ratio / 2)
    else:
        inner, outer = middle - max(1, n // 16), middle
    ends = positions[..., middle - outer : middle - inner], positions[..., middle + inner : middle + outer]
    order = kdata.traj.ky.argsort(dim=-2)
    air = [end for end in ends if _is_air(end.take_along_dim(order, dim=-2), max(9, 2 * half + 1))]
    if not air:
        raise ValueError(
            'The noise can not be estimated from the background: there is signal at both ends of the readout.'
        )
    energy = torch.cat(air, dim=-1).abs().double().square().mean((-4, -1), keepdim=True)
    index = line.expand_as(energy).flatten()
    variance = torch.bincount(index, energy.flatten()) / torch.bincount(index)
    measured = variance > _EMPTY * variance.max()
    variance = torch.where(measured, variance, 0)
    variance[measured] = _smooth(variance[measured], half)
    return variance, line


def _positions(readouts: torch.Tensor) -> torch.Tensor:
    """Transform readouts to the positions along them, that of the center at half of their number.

    The window keeps the signal of a truncated readout out of the air.
    """
    n = readouts.shape[-1]
    window = torch.hann_window(n + 2, periodic=False, dtype=torch.float64, device=readouts.device)[1:-1]
    windowed = readouts * (window / window.square().mean().sqrt())
    return torch.fft.fftshift(torch.fft.ifft(windowed, dim=-1, norm='ortho'), dim=-1)


def positions_beyond_fov(kdata: KData) -> torch.Tensor | None:
    """Return what straight readouts see beyond the field of view, on any trajectory.

    Parameters
    ----------
    kdata
        k-space data.

    Returns
    -------
        Samples, complex, shape `(coils, samples)`; `None` if the samples of a readout do not have the same distance, or
        if none of them is oversampled.
    """
    header, n = kdata.header, kdata.data.shape[-1]
    if n < _N_LINES:
        return None
    shape = (*kdata.data.shape[:-4], 1, *kdata.data.shape[-3:])
    traj = (kdata.traj.kz, kdata.traj.ky, kdata.traj.kx)
    # per sample, in units of the inverse of the recon pixel
    steps = [(k.expand(shape).diff(dim=-1) / size) for k, size in zip(traj, header.encoding_matrix.zyx, strict=True)]
    mean = [step.mean(-1, keepdim=True) for step in steps]
    length = torch.stack(mean).square().sum(0).sqrt()
    uneven = torch.stack([(step - m).abs().amax() for step, m in zip(steps, mean, strict=True)]).max()
    if not bool((length > 0).all()) or uneven > 1e-3 * length.min():
        return None
    # the field of view as the readout sees it, a rectangle from its own direction, relative to the period of positions
    extent = sum(m.abs() * size for m, size in zip(mean, header.recon_matrix.zyx, strict=True))
    position = (torch.arange(n, device=kdata.data.device) - n // 2).abs() / n
    nearest = length * header.recon_matrix.x  # of a field of view that is a circle
    outer = _BEYOND * torch.where(nearest * _OVERSAMPLED <= 1, nearest, 0)
    air = (position > extent / 2 + 1 / n) & (position < outer / 2)
    if not bool(air.any()):
        return None
    return _positions(kdata.data).movedim(-4, 0).flatten(1)[:, air.flatten()]


def _check_readout(kdata: KData) -> None:
    """Raise an error unless the readouts are complete, along `k0` and at Cartesian phase encodings along `k1`."""
    kx, ky = kdata.traj.kx, kdata.traj.ky
    n = kdata.data.shape[-1]
    readout = kx.flatten()
    complete = len(readout) == kx.shape[-1] == n > 1 and ky.shape[-1] == 1
    if complete:
        steps = readout.diff().abs()
        complete = bool(((steps - 1).abs() < 1e-3).all() and ((ky - ky.round()).abs() < 1e-3).all())
        complete = complete and abs(readout[0].item() + readout[-1].item()) <= 0.1 * n  # no partial echo
    if not complete or ky.ndim != kdata.data.ndim or ky.shape[-2] < _N_LINES or len(ky.round().unique()) < _N_LINES:
        raise ValueError(
            'The noise can not be estimated from the background: this needs a Cartesian acquisition with complete '
            f'readouts along k0 and at least {_N_LINES} phase encodings along k1, got kx of shape {tuple(kx.shape)} '
            f'and ky of shape {tuple(ky.shape)} for data of shape {tuple(kdata.data.shape)}.'
        )


def _is_air(positions: torch.Tensor, n_lines: int) -> bool:
    """Tell whether there is noise only, at least in most of any `n_lines` neighboring phase encodings (axis -2).

    The phases of noise are independent. Those of the signal of an object smaller than the field of view are similar
    in neighboring phase encodings of a coil. The energy of noise is that of its median, also where signal of few
    positions has other phases.
    """
    energy = positions.abs().double().square()
    if energy.mean().item() > _ENERGY * energy.median(-1).values.mean().item() / math.log(2):
        return False
    phases = positions.sgn()
    change = (phases[..., 1:, :] * phases[..., :-1, :].conj()).sgn().movedim((-4, -2), (0, 1)).flatten(2)
    mean_change = change.mean(-1).unfold(1, n_lines, 1).mean(-1).abs()
    return mean_change.max().item() < max(0.25, 3.5 / math.sqrt(n_lines * change.shape[-1]))


def _smooth(variance: torch.Tensor, half: int) -> torch.Tensor:
    """Apply a running median and a shorter running mean, with reflection at the ends."""
    for h in (half, half // 2):
        windows = torch.nn.functional.pad(variance[None], (h, h), mode='reflect')[0].unfold(0, 2 * h + 1, 1)
        variance = windows.median(-1).values if h == half else windows.mean(-1)
    return variance
