"""Choice of the files of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mrpro_lambda.checks import check_type
from mrpro_lambda.export.dicom import Storage

Kind = Literal['magnitude', 'phase', 'complex', 'map', 'residual']


@dataclass(frozen=True)
class ImageFiles:
    """Which images of a result are written, and how.

    Raises
    ------
    ValueError
        If a kind or storage is not one of those below.
    """

    kinds: tuple[Kind, ...] = ('magnitude', 'map')
    """Magnitude, phase in radian, complex image, Lambda maps, and residual in units of the noise, see
    `~mrpro_lambda.reconstruction.residual_image`. Each is a NIfTI file and, but for the complex image and the many maps
    of a dictionary, a series of DICOM files."""
    dicom: Storage | None = 'single'
    """One DICOM file for each slice, or `'enhanced'`: for all slices. `None`: no DICOM files."""
    movie: bool = True
    """Write a movie of the middle slice of a series, `movie.gif`."""

    def __post_init__(self) -> None:
        """Check the choice."""
        check_type('kinds', self.kinds, tuple)
        check_type('movie', self.movie, bool)
        if not set(self.kinds) <= set(get_args(Kind)) or not self.kinds:
            raise ValueError(f'kinds must be some of {get_args(Kind)}, got {self.kinds}.')
        if self.dicom not in (None, *get_args(Storage)):
            raise ValueError(f'dicom must be one of {get_args(Storage)} or None, got {self.dicom!r}.')
