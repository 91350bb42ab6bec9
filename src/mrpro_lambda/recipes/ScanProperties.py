"""What of a scan decides whether weights suit it."""

from typing import Literal, NamedTuple

Sampling = Literal['box', 'points', 'lines', 'other']
"""How k-space is sampled: all of a box, single points of a grid, complete lines of it, or not on a grid."""


class ScanProperties(NamedTuple):
    """What of a scan decides whether weights suit it, see `Recipe.mismatches`."""

    sampling: Sampling
    """How k-space is sampled."""
    acceleration: float | None
    """Number of points of the measured band for each sampled one, `None` if they are not on a grid."""
    n_coils: int
    """Number of coils."""
    noise: float | None
    """Standard deviation of the complex noise of a sample relative to the root mean square of the image, for an
    orthonormal Fourier transform. `None` if it is not known."""
