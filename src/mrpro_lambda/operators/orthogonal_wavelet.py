"""Filters of orthogonal wavelets."""

from __future__ import annotations

from typing import NamedTuple

import pywt

_TOLERANCE = 1e-9
"""Deviation from orthogonality that is rounding: the tables of PyWavelets have 1e-11 (sym20), but dmey 2e-3."""


class WaveletFilters(NamedTuple):
    """Analysis filters of an orthogonal wavelet, of the same even length."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def orthogonal_wavelet(name: str) -> WaveletFilters:
    """Return the analysis filters of an orthogonal wavelet.

    Parameters
    ----------
    name
        Name of PyWavelets, such as `haar`, `db4`, `sym8`, `coif2`.

    Raises
    ------
    ValueError
        If the name is not known, or if the wavelet is not orthogonal.
    """
    if not isinstance(name, str) or name not in pywt.wavelist(kind='discrete'):
        raise ValueError(f"wavelet must be the name of a discrete wavelet of PyWavelets such as 'db4', got {name!r}.")
    wavelet = pywt.Wavelet(name)
    low, high = tuple(wavelet.dec_lo), tuple(wavelet.dec_hi)
    shifted = [sum(a * b for a, b in zip(low, low[shift:], strict=False)) for shift in range(0, len(low), 2)]
    deviation = max(abs(value - (shift == 0)) for shift, value in enumerate(shifted))
    if not wavelet.orthogonal or deviation > _TOLERANCE:
        raise ValueError(
            f"wavelet must be orthogonal, such as those of the families 'db', 'sym' and 'coif', got {name!r}, whose "
            f'low-pass filter is {deviation:.1e} off.'
        )
    return WaveletFilters(low, high)
