"""The fully sampled center of a scan."""

from __future__ import annotations

from math import floor, sqrt

import torch
from mrpro.data import KData, SpatialDimension
from mrpro.operators import FourierOp
from scipy.spatial import KDTree

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.calibration_box import largest_sampled_box
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator

SMALLEST_WIDTH = 8
"""Samples of the center along each axis that coil maps need."""

_LARGEST_RADIUS = 24
_TOLERANCE = 1.02


def calibration_region(kdata: KData, smallest_width: int = SMALLEST_WIDTH) -> SpatialDimension[int] | None:
    r"""Find the center of k-space that is fully sampled in all images of a scan.

    Of a Cartesian scan, it is the largest centered box whose points are all sampled: that with the longest shortest
    side, and among these that with most points. Of others, there is a largest ball, up to a radius of 24 samples, all
    of whose points have a sample as close as those of a grid that fulfils the Nyquist criterion have. In the plane it
    is the box around that ball, whose corners are sampled up to 1.4 times less densely; in space the box whose corners
    are as far outside. The box within the ball is too small for the maps: of 48 spokes of a brain with 16 coils it had
    14 samples a side in place of 20, and left 6.1 in place of 2.4 times the noise unexplained, 24 x 24 samples of a
    grid 2.2 times; of simulated spokes of 8 coils, 24 or 32, it left 1.5 to 3 times as much of the coil images.

    Parameters
    ----------
    kdata
        k-space data.
    smallest_width
        Samples that there must be along each axis that has them.

    Returns
    -------
        Widths of the box in samples of the k-space of the image, whose distance is the inverse of its field of view.
        `None` if the box is too small.

    Raises
    ------
    TypeError, ValueError
        If there are no k-space data, or if the width is no positive integer.
    """
    check_type('k-space data', kdata, KData)
    check_number('smallest_width', smallest_width, 1, integer=True)
    sampled = _sampled_points(kdata)
    width = _width_of_ball(kdata) if sampled is None else _width_of_box(kdata, sampled)
    large_enough = (w >= min(smallest_width, n) for w, n in zip(width, kdata.header.recon_matrix.zyx, strict=True))
    return SpatialDimension(*width) if all(large_enough) else None


def acceleration(kdata: KData) -> float:
    """Return how many times fewer samples than those of a full acquisition there are, at most.

    Of a Cartesian scan, these are the points of the measured band, see `~mrpro_lambda.operators.BandLimitOp`. Of
    others, it is the radius of k-space over that up to which the samples fulfil the Nyquist criterion.

    Parameters
    ----------
    kdata
        k-space data.
    """
    check_type('k-space data', kdata, KData)
    gram = gram_operator(FourierOp.from_kdata(kdata))
    if isinstance(gram, CirculantGramOp):
        band = BandLimitOp.from_gram(CirculantGramOp(gram.transfer, gram.dim))
        n_full = 1.0 if band is None else band.band.mean().item()
        sampled = (gram.transfer > 0).double()
        dim = tuple(range(-min(3, sampled.ndim), 0))
        return n_full / (sampled.mean(dim).min().item() if dim else sampled.item())
    radius = max(points.norm(dim=-1).max().item() for points in _trajectories(kdata))
    return max(radius / max(_nyquist_radius(kdata), 0.5), 1.0)


def _sampled_points(kdata: KData) -> torch.Tensor | None:
    """Return the points of the encoded k-space that all images have, shape `(z, y, x)`; `None` if not Cartesian."""
    gram = gram_operator(FourierOp.from_kdata(kdata))
    if not isinstance(gram, CirculantGramOp):
        return None
    sampled = gram.transfer > 0
    sampled = sampled.reshape(*(1,) * max(4 - sampled.ndim, 0), *sampled.shape).flatten(0, -4).all(0)
    return torch.fft.fftshift(sampled, dim=(-3, -2, -1)).expand(kdata.header.encoding_matrix.zyx)


def _width_of_box(kdata: KData, sampled: torch.Tensor) -> tuple[int, ...]:
    """Return the widths of the largest centered box of sampled points, in samples of the k-space of the image."""
    box = largest_sampled_box(sampled)
    header = kdata.header
    return tuple(
        min(floor(w * n / n_encoded), n)
        for w, n, n_encoded in zip(box, header.recon_matrix.zyx, header.encoding_matrix.zyx, strict=True)
    )


def _width_of_ball(kdata: KData) -> tuple[int, ...]:
    """Return the widths of the box whose corners are at 1.4 times the radius of the ball that is densely sampled."""
    diameter, sizes = 2 * _nyquist_radius(kdata), kdata.header.recon_matrix.zyx
    for n_short in range(3):  # axes shorter than the ball do not limit the others
        width = floor(diameter * min(1.0, sqrt(2 / (3 - n_short))))
        if sum(n > width for n in sizes) == 3 - n_short:
            break
    return tuple(min(width, n) for n in sizes)


def _nyquist_radius(kdata: KData) -> float:
    """Return the radius, in samples of the k-space of the image, up to which all images are densely sampled."""
    return min(_radius(points, kdata.header.recon_matrix.zyx) for points in _trajectories(kdata))


def _radius(points: torch.Tensor, sizes: tuple[int, ...]) -> float:
    """Return the radius up to which points, shape `(readouts, samples, axes)`, are dense."""
    step = points.diff(dim=-2).norm(dim=-1)
    center = points[..., :-1, :].norm(dim=-1) <= _LARGEST_RADIUS
    if not bool(center.any()):
        return 0.0
    axes = [d for d in range(3) if sizes[d] > 1]
    spacing = step[center].median().item()
    n_points = 2 if len(axes) > 2 else 4  # per sample
    reach = [floor(n_points * min(_LARGEST_RADIUS, n / 2)) if n > 1 else 0 for n in sizes]
    grid = [torch.arange(-r, r + 1) / n_points for r in reach]
    test = torch.cartesian_prod(*grid).reshape(-1, 3)
    samples = points.flatten(0, -2)
    samples = samples[samples.norm(dim=-1) <= 1.5 * _LARGEST_RADIUS]
    distance, _ = KDTree(samples[:, axes].double().numpy()).query(test[:, axes].double().numpy())
    # lines of samples at a distance of 1
    largest = _TOLERANCE * 0.5 * sqrt(len(axes) - 1 + min(spacing, 1.0) ** 2)
    radius = test.norm(dim=-1)
    far = torch.from_numpy(distance) > largest
    return float(radius[far].min()) if bool(far.any()) else float(_LARGEST_RADIUS)


def _trajectories(kdata: KData) -> list[torch.Tensor]:
    """Return the points of each image in samples of the k-space of the image, shape `(readouts, samples, axes)`."""
    header = kdata.header
    scale = [n / m for n, m in zip(header.recon_matrix.zyx, header.encoding_matrix.zyx, strict=True)]
    traj = (kdata.traj.kz, kdata.traj.ky, kdata.traj.kx)
    axes = torch.broadcast_tensors(*(k * s for k, s in zip(traj, scale, strict=True)))
    points = torch.stack(axes, -1).cpu()
    return list(points.flatten(0, -6).flatten(1, -3).unique(dim=0))
