"""Prewhitening of coils with a noise measurement."""

from __future__ import annotations

from einops import rearrange
from mrpro.algorithms.prewhiten_kspace import prewhiten_kspace
from mrpro.data import KData, KNoise


def prewhiten(kdata: KData, noise: KNoise) -> KData:
    r"""Decorrelate the coils with one covariance :math:`N = L L^H` of all acquisitions of noise, :math:`L^{-1} y`.

    The noise of the result is white over the coils with :math:`E|n|^2 = 1`. `mrpro.algorithms.prewhiten_kspace` takes a
    covariance for each acquisition of noise instead, and expects as many of them as there are images.

    Parameters
    ----------
    kdata
        k-space data.
    noise
        Noise measurement with the same coils, any number of acquisitions.

    Returns
    -------
        Prewhitened copy of the data.
    """
    return prewhiten_kspace(kdata, KNoise(rearrange(noise.data, '... coils k2 k1 k0 -> 1 coils k2 k1 (... k0)')))
