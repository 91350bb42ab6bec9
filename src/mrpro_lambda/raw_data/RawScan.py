"""What a file of raw data holds."""

from __future__ import annotations

from typing import Any, NamedTuple

from mrpro.data import KData, KNoise


class RawScan(NamedTuple):
    """Raw data in the form that a reconstruction takes, and what was found and done on the way."""

    kdata: KData
    """Image lines in the form of `standardize`, shape `(*other, coils, k2, k1, k0)`. Averages are repeated lines."""
    calibration: KData | None
    """Lines that were measured for coil sensitivities, on the grid of the image if they have its field of view."""
    noise: KNoise | None
    """Noise measurement with the standard deviation of the samples of `kdata`, shape `(1, coils, 1, 1, samples)`."""
    oversampled: KData | None
    """Image lines before the oversampling of the readout was removed, which hold the air beside the image. `None` if
    nothing was removed."""
    notes: list[str]
    """What was found and done, a sentence each."""
    found: dict[str, Any]
    """The same for programs, in types that JSON knows."""
