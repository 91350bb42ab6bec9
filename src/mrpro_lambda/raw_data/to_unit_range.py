"""Scale of k-space data."""

from __future__ import annotations

import math

from mrpro.data import KData

_LARGEST = 1e9


def to_unit_range(kdata: KData) -> tuple[KData, float]:
    """Multiply small and huge data by a power of ten such that the largest magnitude is from 1 to 10.

    mrpro would otherwise take images of small values as constant, and the squares of huge ones would overflow.

    Returns
    -------
        Data, and the factor, which is 1 for data with a largest magnitude from 1 to 1e9.
    """
    largest = kdata.data.abs().max().item()
    factor = 1.0 if 1 <= largest <= _LARGEST else 10.0 ** math.ceil(-math.log10(largest))
    return KData(kdata.header, kdata.data * factor, kdata.traj), factor
