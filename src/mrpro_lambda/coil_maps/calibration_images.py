"""Coil images of the center of k-space, from which coil maps are estimated."""

from __future__ import annotations

from math import prod

import torch
from mrpro.algorithms.optimizers import cg
from mrpro.data import IData, IHeader, KData, SpatialDimension
from mrpro.operators import FourierOp, LinearOperator

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.coil_maps.calibration_region import calibration_region
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity, with_true_adjoint

_MAX_ITERATIONS, _TOLERANCE = 30, 1e-3
_SAME_LENGTH = 0.01  # of a field of view
_SAME_DIRECTION = 0.02  # about one degree


@torch.no_grad()
def center_images(kdata: KData, width: SpatialDimension[int], fourier_op: LinearOperator | None = None) -> IData:
    r"""Return the coil images :math:`\arg\min_x \|W (F x - y)\|_2` of the center of k-space.

    The weights :math:`W` are 1 in the box of the center and 0 outside of it, where the k-space of the images is 0.

    Parameters
    ----------
    kdata
        k-space data.
    width
        Widths of the center in samples of the k-space of the image, see
        `~mrpro_lambda.coil_maps.calibration_region`.
    fourier_op
        Fourier operator. If `None`, set up from `kdata`.

    Returns
    -------
        Coil images on the grid of the scan, shape `(*other, coils, z, y, x)`.
    """
    check_type('k-space data', kdata, KData)
    check_tensor('k-space data', kdata.data)
    header = kdata.header
    fourier_op = with_true_adjoint(FourierOp.from_kdata(kdata) if fourier_op is None else fourier_op)
    weight = torch.ones(1, 1, 1, 1, 1, device=kdata.data.device)
    traj = (kdata.traj.kz, kdata.traj.ky, kdata.traj.kx)
    for k, w, n, n_encoded in zip(traj, width.zyx, header.recon_matrix.zyx, header.encoding_matrix.zyx, strict=True):
        if w < n:
            position = k * (n / n_encoded)
            weight = weight * ((position >= -(w // 2) - 1e-3) & (position <= (w - 1) // 2 + 1e-3))
    count = sample_multiplicity(fourier_op)
    weight = weight if count is None else weight / count

    def gram(x: torch.Tensor) -> tuple[torch.Tensor]:
        return (fourier_op.adjoint(weight * fourier_op(x)[0])[0],)

    (rhs,) = fourier_op.adjoint(weight * kdata.data)
    norm = torch.linalg.vector_norm(rhs).item()
    if not norm > 0:
        raise ValueError(f'The center of k-space must not be all zero, got data of shape {tuple(kdata.data.shape)}.')
    (images,) = cg(gram, rhs / norm, max_iterations=_MAX_ITERATIONS, tolerance=_TOLERANCE)
    return _to_idata(images * norm, kdata)


def calibration_images(calibration: KData, kdata: KData) -> tuple[IData, SpatialDimension[int]]:
    """Return the coil images of calibration data on the grid of a scan.

    Each image of the scan gets that of the calibration data at its position; of several ones, that with the same slice
    counter, and the first of them.

    Parameters
    ----------
    calibration
        Calibration data of the same coils and field of view, with any matrix and lines.
    kdata
        k-space data of the scan.

    Returns
    -------
        Coil images, shape `(*other, coils, z, y, x)`, and the widths of the center that is fully sampled, in samples
        of the k-space of the image.

    Raises
    ------
    TypeError, ValueError
        If the calibration data are not finite or all zero, if their coils, field of view, orientation or positions are
        not those of the scan, or if the center of their k-space is not fully sampled.
    """
    check_type('calibration data', calibration, KData)
    check_tensor('calibration data', calibration.data)
    n_coils, shape = kdata.data.shape[-4], tuple(calibration.data.shape)
    if not bool(calibration.data.any()):
        raise ValueError(f'Calibration data must not be all zero, got shape {shape}.')
    if shape[-4] != n_coils:
        raise ValueError(
            f'Calibration data must have the {n_coils} coils of the scan, got {shape[-4]} in shape {shape}.'
        )
    entries = _matching_entries(calibration, kdata)
    on_grid = _on_grid_of(calibration, kdata)
    width = calibration_region(on_grid)
    if width is None:
        raise ValueError(
            'Calibration data must be fully sampled in the center of k-space, with at least 8 samples along each axis, '
            f'got shape {shape}.'
        )
    images = center_images(on_grid, width).data
    images = images.expand(*calibration.data.shape[:-4], *images.shape[-4:]).flatten(0, -5)[entries]
    return _to_idata(images.reshape(*kdata.data.shape[:-4], *images.shape[-4:]), kdata), width


def windowed(idata: IData, width: SpatialDimension[int]) -> IData:
    r"""Multiply the center of k-space of images with a Hann window, :math:`\cos^2(\pi k / (w + 1))` along each axis.

    Without it, coil images of the center ring, and so do the maps of methods that take them as they are.

    Parameters
    ----------
    idata
        Images.
    width
        Widths :math:`w` of the center in samples.

    Returns
    -------
        Images with smooth edges of k-space. Axes that are wholly in the center stay as they are.
    """
    data = idata.data
    for d, w in zip((-3, -2, -1), width.zyx, strict=True):
        n = data.shape[d]
        if w < n:
            k = torch.fft.fftfreq(n, 1 / n, device=data.device, dtype=data.dtype.to_real())
            window = torch.where(k.abs() <= w / 2, torch.cos(torch.pi * k / (w + 1)).square(), 0)
            data = torch.fft.ifft(torch.fft.fft(data, dim=d) * window.reshape(n, *(1,) * (-d - 1)), dim=d)
    result = idata.clone()
    result.data = data
    return result


def _on_grid_of(calibration: KData, kdata: KData) -> KData:
    """Return calibration data whose images have the grid of a scan."""
    header, scan = calibration.header, kdata.header
    on_grid = calibration.clone()
    on_grid.header.recon_matrix = SpatialDimension(*scan.recon_matrix.zyx)
    sizes = []
    for axis in 'zyx':
        fov, fov_scan = getattr(header.recon_fov, axis), getattr(scan.recon_fov, axis)
        n, n_scan = getattr(header.encoding_matrix, axis), getattr(scan.recon_matrix, axis)
        single = n == n_scan == 1
        if not single and abs(fov - fov_scan) > _SAME_LENGTH * fov_scan:
            raise ValueError(
                'Calibration data must have the field of view of the scan, got '
                f'{header.recon_fov.zyx} and {scan.recon_fov.zyx} (z, y, x) in m.'
            )
        sizes.append(1 if single else round(n_scan * getattr(header.encoding_fov, axis) / fov))
    on_grid.header.encoding_matrix = SpatialDimension(*sizes)
    return on_grid


def _matching_entries(calibration: KData, kdata: KData) -> list[int]:
    """Return the index of the calibration image at the position of each image of a scan."""
    try:
        places = _places(calibration)
    except ValueError as error:
        raise ValueError('Position and orientation must be the same for all calibration lines of an image.') from error
    slices = kdata.header.recon_matrix.z == 1
    tolerance = torch.tensor(kdata.header.recon_fov.zyx) * torch.tensor(
        [0.5 if slices else _SAME_LENGTH, _SAME_LENGTH, _SAME_LENGTH]
    )
    entries = []
    for position, directions, counter in zip(*_places(kdata), strict=True):
        turned = (places[1] - directions).abs().amax((-2, -1)) > _SAME_DIRECTION
        if bool(turned.all()):
            raise ValueError(
                'Calibration data must have the orientation of the scan, got directions '
                f'{places[1][0].tolist()} and {directions.tolist()}.'
            )
        offset = (places[0] - position) @ directions.mT
        found = (offset.abs() <= tolerance).all(-1) & ~turned
        if not bool(found.any()):
            nearest = places[0][offset.norm(dim=-1).argmin()]
            raise ValueError(
                f'Calibration data must have the positions of the scan, got none within {_rounded(tolerance)} m of '
                f'{_rounded(position)} (z, y, x), the nearest at {_rounded(nearest)}.'
            )
        same = found & (places[2] == counter)
        entries.append(int((same if bool(same.any()) else found).int().argmax()))
    return entries


def _places(kdata: KData) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return positions in m, directions of the axes (z, y, x), and slice counters of all images."""
    header, other = IHeader.from_kheader(kdata.header), kdata.data.shape[:-4]
    n = prod(other)
    position = torch.stack([p.expand(*other, 1, 1, 1, 1) for p in header.position.zyx], -1)
    directions = [
        torch.stack([p.expand(*other, 1, 1, 1, 1) for p in d.zyx], -1) for d in header.orientation.as_directions()
    ]
    counter = header.idx.slice.expand(*other, 1, 1, 1, 1)
    return (
        position.reshape(n, 3).float().cpu(),
        torch.stack(directions, -2).reshape(n, 3, 3).float().cpu(),
        counter.reshape(n).cpu(),
    )


def _rounded(position: torch.Tensor) -> list[float]:
    """Return a position for a message."""
    return [round(p, 6) for p in position.tolist()]


def _to_idata(img: torch.Tensor, kdata: KData) -> IData:
    """Create image data with the header of k-space data."""
    idata = IData.from_tensor_and_kheader(img, kdata.header)
    idata.data = img  # mrpro replaces axes along which values differ by less than 1e-6, in any unit, by one value
    return idata
