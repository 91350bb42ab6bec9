"""Grid of the image."""

from __future__ import annotations

from mrpro.data import KData

from mrpro_lambda.raw_data.standardize import check_header


def upsample(kdata: KData, factor: float) -> KData:
    """Refine the grid of the image in the plane, within the same field of view.

    The samples then fill a central box of k-space.

    Raises
    ------
    ValueError
        If the grid would be too fine for the number of samples.
    """
    check_header(kdata, factor)
    kdata = kdata.clone()
    for matrix in (kdata.header.encoding_matrix, kdata.header.recon_matrix):
        matrix.y, matrix.x = round(factor * matrix.y), round(factor * matrix.x)
    return kdata
