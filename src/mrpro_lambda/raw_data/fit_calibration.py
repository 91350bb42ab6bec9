"""Lines for coil sensitivities and the scan that they are for."""

from __future__ import annotations

import torch
from mrpro.data import IHeader, KData

_SAME = 1e-3
"""Largest relative difference of fields of view, largest distance in m of positions, and largest difference of the
entries of rotation matrices, that count as the same."""


def fit_calibration(calibration: KData, kdata: KData) -> KData:
    """Check that calibration lines are of a scan, and give them the grid of its image.

    Lines of lower resolution give coil images on the grid of the image, blurred as they are.

    Parameters
    ----------
    calibration
        Lines for coil sensitivities.
    kdata
        Lines of the image.

    Returns
    -------
        Calibration lines, on the grid of the image unless their resolution is higher.

    Raises
    ------
    ValueError
        If the coils, the fields of view, the images, the positions or the orientations differ. One image of calibration
        lines may be for several of the scan.
    """
    header, other = kdata.header, calibration.header
    n_coils, images = kdata.data.shape[-4], tuple(kdata.data.shape[:-4])
    own_images = tuple(calibration.data.shape[:-4])
    fits = len(own_images) <= len(images) and all(
        n in (1, m) for n, m in zip(own_images[::-1], images[::-1], strict=False)
    )
    fov, own_fov = header.recon_fov.zyx, other.recon_fov.zyx
    place, own_place = _place(kdata), _place(calibration)
    for what, expected, got, same in (
        ('coils', n_coils, calibration.data.shape[-4], n_coils == calibration.data.shape[-4]),
        ('field of view (z, y, x) in m', fov, own_fov, torch.allclose(torch.tensor(own_fov), torch.tensor(fov), _SAME)),
        ('number of images, or one', images, own_images, fits),
        ('position and orientation', place, own_place, max(abs(torch.tensor(own_place) - torch.tensor(place))) < _SAME),
    ):
        if not bool(same):
            raise ValueError(f'Calibration lines must have the {what} of the scan, {expected}, got {got}.')
    pixels = [length / n for length, n in zip(fov, header.recon_matrix.zyx, strict=True)]
    matrix = [length / pixel for length, pixel in zip(other.encoding_fov.zyx, pixels, strict=True)]
    if all(
        n + 1e-3 >= m and abs(n - round(n)) < _SAME * n for n, m in zip(matrix, other.encoding_matrix.zyx, strict=True)
    ):
        calibration = calibration.clone()
        calibration.header.recon_matrix = header.recon_matrix.clone()
        size = calibration.header.encoding_matrix
        size.z, size.y, size.x = (round(n) for n in matrix)
    return calibration


def _place(kdata: KData) -> list[float]:
    """Return the position in m and the rotation matrix of the first image."""
    header = IHeader.from_kheader(kdata.header)
    position = [torch.as_tensor(x).flatten()[0].item() for x in header.position.zyx]
    return position + header.orientation.as_matrix().reshape(-1, 9)[0].tolist()
