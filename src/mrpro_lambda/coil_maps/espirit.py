"""Coil maps by ESPIRiT."""

from __future__ import annotations

import warnings
from itertools import product
from math import prod
from typing import NamedTuple

import torch
from mrpro.data import CsmData, IData, SpatialDimension

from mrpro_lambda.checks import check_number, check_tensor, check_type

_POINTS_PER_CHUNK = 2**22
"""Numbers of the Gram matrices that are held at a time."""

_N_ITERATIONS, _REGULARIZATION = 50, 1e-3
_NO_SIGNAL = 1e-6


class EspiritMaps(NamedTuple):
    """Coil maps with how well they explain the calibration data."""

    csm: torch.Tensor
    """Coil maps, shape `(*other, coils, z, y, x)`, sum of squares over coils 1, or 0 where they are cropped."""
    eigenvalue: torch.Tensor
    """Largest eigenvalue of each voxel, from 0 to 1, shape `(*other, 1, z, y, x)`. It is 1 in the object."""


def espirit(
    idata: IData,
    *,
    calibration_width: int | SpatialDimension[int] = 24,
    kernel_width: int | SpatialDimension[int] = 6,
    threshold: float = 0.02,
    crop: float = 0.0,
) -> CsmData:
    """Estimate coil maps from the center of the k-space of coil images, see `espirit_maps`.

    A function for `csm` of the reconstructions. Images of undersampled data must be fully sampled in that center.

    Parameters
    ----------
    idata
        Coil images, shape `(*other, coils, z, y, x)`.
    calibration_width, kernel_width, threshold, crop
        As of `espirit_maps`.

    Returns
    -------
        Coil maps.

    Raises
    ------
    TypeError, ValueError
        As `espirit_maps`.
    """
    check_type('idata', idata, IData)
    csm, _ = espirit_maps(
        idata.data, calibration_width=calibration_width, kernel_width=kernel_width, threshold=threshold, crop=crop
    )
    result = CsmData(csm, idata.header)
    result.data = csm  # mrpro replaces axes along which values differ by less than 1e-6 by one value
    return result


@torch.no_grad()
def espirit_maps(
    coil_images: torch.Tensor,
    *,
    calibration_width: int | SpatialDimension[int] = 24,
    kernel_width: int | SpatialDimension[int] = 6,
    threshold: float = 0.02,
    crop: float = 0.0,
) -> EspiritMaps:
    r"""Estimate coil maps :math:`s` as eigenvectors :math:`G(x) s(x) = s(x)` of matrices for each voxel [UEC2014]_.

    All patches of the center of k-space, with the width of a kernel, lie in a space of low dimension. With the
    projection :math:`P` to it and :math:`E_x` that makes a patch of the wave of a voxel from a vector of the coils,
    :math:`G(x) = E_x^H P E_x` has an eigenvalue of 1 where there is signal. Where there is none, it is smaller.

    The phase of the maps is relative to a virtual coil, the combination of coils that is most even over the object. The
    first principal component had points without signal in a brain with 16 coils, around which the phase turned.

    Parameters
    ----------
    coil_images
        Coil images, shape `(*other, coils, z, y, x)`. Axes of size 1 are not transformed: with `z = 1` it is 2D. Each
        entry of the other axes has maps of its own.
    calibration_width
        Number of samples of the center of k-space along each axis, at most all.
    kernel_width
        Number of samples of the patches along each axis.
    threshold
        Singular values of the matrix of patches above this fraction of the largest one belong to the space.
    crop
        The maps are 0 where the eigenvalue is below. There, nothing is measured, and a reconstruction only shows what
        its regularizer continues: with 0, all voxels have maps with a sum of squares of 1.

    Returns
    -------
        Coil maps and eigenvalues.

    Raises
    ------
    TypeError, ValueError
        If the images are not complex, not finite or all zero, if the widths do not fit, or if threshold or crop are not
        from 0 to 1.

    Warns
    -----
    UserWarning
        If samples of the center hold nothing.

    References
    ----------
    .. [UEC2014] Uecker M, et al. (2014) ESPIRiT - An Eigenvalue Approach to Autocalibrating Parallel MRI: Where SENSE
       meets GRAPPA. Magn Reson Med 71(3) https://doi.org/10.1002/mrm.24751
    """
    check_tensor('coil images', coil_images)
    shape = tuple(coil_images.shape)
    if not coil_images.is_complex() or coil_images.ndim < 4:
        raise ValueError(
            f'coil images must be complex with shape (*other, coils, z, y, x), got {coil_images.dtype}, shape {shape}.'
        )
    check_number('threshold', threshold, 0, 1)
    check_number('crop', crop, 0, 1)
    calibration = _widths('calibration_width', calibration_width, shape[-3:])
    kernel = _widths('kernel_width', kernel_width, calibration)
    if calibration == kernel and prod(calibration) > 1:
        raise ValueError(
            f'calibration_width must be larger than kernel_width along an axis, got {calibration} and {kernel} '
            f'(z, y, x) for coil images of shape {shape}.'
        )
    images = coil_images.flatten(0, -5) if coil_images.ndim > 4 else coil_images[None]
    if not bool((images != 0).flatten(1).any(-1).all()):
        raise ValueError(f'coil images must not be all zero, got shape {shape}.')
    centers = [_center_of_kspace(image, calibration) for image in images]
    missing = max(int((c.abs().amax(0) < _NO_SIGNAL * c.abs().max()).sum()) for c in centers)
    if missing:
        warnings.warn(
            f'The center of k-space must be fully sampled for ESPIRiT, but of {calibration} samples (z, y, x), '
            f'{missing} hold nothing. Lower calibration_width.',
            stacklevel=3,
        )
    maps = [_maps_of_image(center, tuple(shape[-3:]), kernel, threshold) for center in centers]
    csm = torch.stack([csm for csm, _ in maps]).reshape(shape)
    eigenvalue = torch.stack([eigenvalue for _, eigenvalue in maps]).reshape(*shape[:-4], 1, *shape[-3:])
    return EspiritMaps(csm * (eigenvalue >= crop), eigenvalue)


def _widths(name: str, width: int | SpatialDimension[int], largest: tuple[int, ...]) -> tuple[int, ...]:
    """Return a width for each axis, at most the largest one."""
    widths = width.zyx if isinstance(width, SpatialDimension) else (width,) * 3
    for axis, value in zip('zyx', widths, strict=True):
        check_number(f'{name} along {axis}', value, 1, integer=True)
    return tuple(min(w, n) for w, n in zip(widths, largest, strict=True))


def _maps_of_image(
    center: torch.Tensor, shape: tuple[int, ...], kernel: tuple[int, ...], threshold: float
) -> EspiritMaps:
    """Return the maps of one image from the center of its k-space, shape `(coils, kz, ky, kx)`."""
    n_coils = center.shape[0]
    correlation = _kernel_correlation(center, kernel, threshold)
    waves = [_waves(n, 2 * k - 1, correlation) for n, k in zip(shape, kernel, strict=True)]
    along_z = torch.einsum('zp,pqrcd->zqrcd', waves[0], correlation)
    csm, eigenvalue = center.new_empty(n_coils, *shape), center.new_empty(shape, dtype=center.dtype.to_real())
    n_rows = max(_POINTS_PER_CHUNK // (n_coils**2 * shape[2]), 1)
    for z, start in product(range(shape[0]), range(0, shape[1], n_rows)):
        rows = slice(start, start + n_rows)
        gram = torch.einsum('xr,yrcd->yxcd', waves[2], torch.einsum('yq,qrcd->yrcd', waves[1][rows], along_z[z]))
        values, vectors = torch.linalg.eigh(gram)
        csm[:, z, rows], eigenvalue[z, rows] = vectors[..., -1].movedim(-1, 0), values[..., -1]
    coil = _even_coil(csm, _low_resolution(center, shape))
    phase = torch.einsum('c,czyx->zyx', coil.conj(), csm).sgn().conj()
    return EspiritMaps(csm * torch.where(phase == 0, 1, phase), eigenvalue)


def _even_coil(csm: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    r"""Return the combination of coils that is most even in the object, :math:`\min_w \sum m (|w^H s| - 1)^2`.

    A single coil or the first principal component have no signal somewhere in the object, and the phase turns around
    such a point. The minimization over moduli starts at the phase of the image, with the image :math:`m` as weight.
    """
    combined = (csm.conj() * image).sum(0).flatten()
    maps, weight = csm.flatten(1), combined.abs()
    weighted = maps * weight
    normal = weighted @ maps.mH
    normal.diagonal().add_(_REGULARIZATION * normal.diagonal().real.mean())
    target = combined.sgn().conj()
    for _ in range(_N_ITERATIONS):
        coil = torch.linalg.solve(normal, weighted @ target.conj())
        target = (coil.conj() @ maps).sgn()
    # that of a coil, the same for all images: the phase between images, as of contrasts, is theirs
    first = (coil.abs() > 0.5 * coil.abs().max()).int().argmax()
    return coil * coil[first].sgn().conj()


def _low_resolution(center: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the image of the center of k-space."""
    dim = tuple(d for d in (-3, -2, -1) if shape[d] > 1)
    padding = []
    for n, w in zip(shape[::-1], center.shape[:0:-1], strict=True):
        padding += [n // 2 - w // 2, n - w - (n // 2 - w // 2)]
    kspace = torch.nn.functional.pad(center, padding)
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(kspace, dim=dim), dim=dim), dim=dim)


def _center_of_kspace(image: torch.Tensor, width: tuple[int, ...]) -> torch.Tensor:
    """Return the center of k-space."""
    dim = tuple(d for d in (-3, -2, -1) if image.shape[d] > 1)
    kspace = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(image, dim=dim), dim=dim), dim=dim)
    for d, w in zip((-3, -2, -1), width, strict=True):
        kspace = kspace.narrow(d, kspace.shape[d] // 2 - w // 2, w)
    return kspace


def _kernel_correlation(center: torch.Tensor, kernel: tuple[int, ...], threshold: float) -> torch.Tensor:
    """Return the correlation of the kernels that span all patches, shape `(shift_z, shift_y, shift_x, coils, coils)`.

    The matrix of a voxel is its Fourier transform.
    """
    n_coils, n_points = center.shape[0], prod(kernel)
    patches = center
    for d, width in enumerate(kernel):
        patches = patches.unfold(d + 1, width, 1)
    # coils and points of a patch first, then patches
    patches = patches.permute(0, 4, 5, 6, 1, 2, 3).reshape(n_coils * n_points, -1)
    n_rows, n_patches = patches.shape
    energy, vectors = torch.linalg.eigh(_gram(patches) if n_rows <= n_patches else _gram(patches.mH))
    chosen = energy > threshold**2 * energy[-1]
    basis = vectors[:, chosen]
    if n_rows > n_patches:
        basis = patches @ basis / energy[chosen].sqrt()
    projection = (basis @ basis.mH).reshape(n_coils, n_points, n_coils, n_points)

    points = torch.cartesian_prod(*(torch.arange(k) for k in kernel)).reshape(n_points, 3).to(center.device)
    shifts = points[:, None] - points + torch.tensor(kernel, device=center.device) - 1
    shape = [2 * k - 1 for k in kernel]
    index = (shifts[..., 0] * shape[1] + shifts[..., 1]) * shape[2] + shifts[..., 2]
    correlation = projection.new_zeros(prod(shape), n_coils, n_coils)
    correlation.index_add_(0, index.flatten(), projection.permute(1, 3, 0, 2).flatten(0, 1))
    return (correlation / n_points).reshape(*shape, n_coils, n_coils).to(center.dtype)


def _gram(x: torch.Tensor) -> torch.Tensor:
    """Return the products of the rows of a matrix."""
    return x @ x.mH


def _waves(n: int, n_shifts: int, like: torch.Tensor) -> torch.Tensor:
    """Return the waves of the shifts at the voxels of an axis, shape `(n, n_shifts)`."""
    position = (torch.arange(n, dtype=torch.float64) - n // 2) / n
    shift = torch.arange(n_shifts, dtype=torch.float64) - n_shifts // 2
    angle = 2 * torch.pi * position[:, None] * shift
    return torch.polar(torch.ones_like(angle), angle).to(like)
