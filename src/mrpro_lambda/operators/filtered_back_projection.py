"""Filtered back projection."""

from __future__ import annotations

import math

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.operators.FanBeam import FanBeam
from mrpro_lambda.operators.ParallelBeam import ParallelBeam
from mrpro_lambda.operators.RayTransformOp import RayTransformOp


def filtered_back_projection(
    data: torch.Tensor, ray_transform_op: RayTransformOp, *, cutoff: float = 1.0
) -> torch.Tensor:
    r"""Invert line integrals by the ramp filter with a Hann window and back projection [KAK1988]_.

    The window is :math:`\cos^2(\pi f / 2 f_c)` below the frequency :math:`f_c`. Each angle has the weight of the part
    of a half turn, for a fan of a whole turn, that is closer to it than to others: angles need not be evenly spaced,
    but have to go around.

    Parameters
    ----------
    data
        Line integrals, post-log, shape `(*other, angles, bins)`.
    ray_transform_op
        Operator of the scan, with parallel rays or a fan.
    cutoff
        Frequency :math:`f_c` relative to the largest one of the detector. LoDoPaB-CT was published with 0.641.

    Returns
    -------
        Image, shape `(*other, y, x)`.

    Raises
    ------
    ValueError
        If the data have not the shape of the scan, or the geometry is another one.

    References
    ----------
    .. [KAK1988] Kak AC, Slaney M (1988) Principles of computerized tomographic imaging. IEEE Press, chapter 3
    """
    check_type('ray_transform_op', ray_transform_op, RayTransformOp)
    check_number('cutoff', cutoff, 0, 1)
    check_number('cutoff', cutoff, positive=True)
    geometry = ray_transform_op.geometry
    check_type('The geometry', geometry, (ParallelBeam, FanBeam))
    if tuple(data.shape[-2:]) != geometry.data_shape:
        raise ValueError(
            f'A sinogram must end with the axes (angles, bins) = {geometry.data_shape}, got shape {tuple(data.shape)}.'
        )
    fan = geometry if isinstance(geometry, FanBeam) else None
    bins, width = geometry.bins.to(data.device), geometry.bin_width
    turn = math.pi if fan is None else 2 * math.pi
    if fan is not None:  # as if the detector were in the center of rotation
        scale = fan.source_distance / (fan.source_distance + fan.detector_distance)
        bins, width = bins * scale, width * scale
        data = data * (fan.source_distance / (fan.source_distance**2 + bins.square()).sqrt()).to(data.dtype)
    filtered = _ramp_filtered(data, width, cutoff)
    weights = (_weights(geometry.angles, turn) * (math.pi / turn)).tolist()
    y, x = (
        ((torch.arange(n, dtype=torch.float64, device=data.device) - (n - 1) / 2) * ray_transform_op.pixel_size)
        for n in ray_transform_op.image_shape
    )
    img = data.new_zeros(*data.shape[:-2], *ray_transform_op.image_shape)
    for row, weight, detector, direction in zip(filtered.unbind(-2), weights, *geometry.axes, strict=True):
        position = y[:, None] * detector[0].item() + x * detector[1].item()
        factor: torch.Tensor | float = weight
        if fan is not None:
            depth = fan.source_distance + y[:, None] * direction[0].item() + x * direction[1].item()
            magnification = fan.source_distance / depth
            position, factor = position * magnification, (weight * magnification.square()).to(data.dtype)
        img += factor * _interpolated(row, position / width + (geometry.n_bins - 1) / 2)
    return img


def _ramp_filtered(data: torch.Tensor, width: float, cutoff: float) -> torch.Tensor:
    """Apply the ramp filter, that of a band-limited function, with a window."""
    n = data.shape[-1]
    size = 2 ** math.ceil(math.log2(2 * n))
    lag = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64, device=data.device)
    kernel = torch.where(lag % 2 == 1, -1 / (math.pi * lag * width).square(), 0)
    kernel[0] = 1 / (4 * width**2)
    frequency = torch.fft.rfftfreq(size, dtype=torch.float64, device=data.device) / (0.5 * cutoff)
    window = torch.where(frequency < 1, (0.5 * math.pi * frequency).cos().square(), 0)
    response = (width * torch.fft.rfft(kernel).real * window).to(data.dtype)
    return torch.fft.irfft(torch.fft.rfft(data, n=size) * response, n=size)[..., :n]


def _weights(angles: torch.Tensor, turn: float) -> torch.Tensor:
    """Return the part of a turn that is closer to each angle than to others."""
    order = (angles % turn).argsort()
    ordered = (angles % turn)[order]
    distance = torch.cat((ordered.diff(), ordered[:1] + turn - ordered[-1:]))
    weights = torch.empty_like(angles)
    weights[order] = (distance + distance.roll(1)) / 2
    return weights


def _interpolated(row: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Interpolate the last axis linearly at positions in bins, with 0 beyond the detector."""
    padded = torch.nn.functional.pad(row, (1, 1))
    position = (position + 1).clamp(0, padded.shape[-1] - 1)
    first = position.floor().clamp_max(padded.shape[-1] - 2)
    fraction, index = (position - first).to(row.dtype), first.long()
    return torch.lerp(padded[..., index], padded[..., index + 1], fraction)
