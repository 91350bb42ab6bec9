"""Pixels of the image."""

from __future__ import annotations

from mrpro.data import KData

_PIXELS = 0.02, 20
"""Smallest and largest likely size of a pixel in mm."""

_ZOOM = 4
"""Largest likely ratio of the encoded field of view to that of the image."""


def use_measured_grid(kdata: KData) -> list[str]:
    """Give the image the pixels that were measured, in place.

    Headers tell the matrix that the scanner shows, which may be interpolated. mrpro takes encoded and image matrix as
    matrices of the same pixels, and would change the field of view.

    Returns
    -------
        Notes.
    """
    header, notes = kdata.header, []
    if header.encoding_matrix.z == 1 and header.recon_matrix.z != 1:
        notes.append(f'The header gives the image {header.recon_matrix.z} partitions, but one is encoded, and taken.')
        header.recon_matrix.z, header.recon_fov.z = 1, header.encoding_fov.z
    pixel = [1e3 * getattr(header.encoding_fov, axis) / getattr(header.encoding_matrix, axis) for axis in 'yx']
    if not all(_PIXELS[0] <= size <= _PIXELS[1] for size in pixel):
        notes.append(
            f'The header gives pixels of {pixel[0]:g} x {pixel[1]:g} mm: its field of view may be a placeholder.'
        )
    for axis in 'zyx':
        encoded = getattr(header.encoding_fov, axis) / getattr(header.encoding_matrix, axis)
        n = round(getattr(header.recon_fov, axis) / encoded)
        given = getattr(header.recon_matrix, axis)
        encoded_n, fov = getattr(header.encoding_matrix, axis), getattr(header.recon_fov, axis)
        if abs(fov / given - encoded) < 0.01 * encoded or encoded_n == given == 1:
            continue
        if not encoded_n / _ZOOM <= n <= encoded_n:
            notes.append(
                f'The header gives the image {1e3 * fov:g} mm along {axis}, which contradicts the {encoded_n} encoded '
                f'pixels of {1e3 * encoded:g} mm: it has {given} of them.'
            )
        elif n != given:
            notes.append(f'The header gives the image {given} pixels along {axis}, but {n} were measured: it has {n}.')
            setattr(header.recon_matrix, axis, n)
    return notes
