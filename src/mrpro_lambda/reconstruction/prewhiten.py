"""Prewhitening of coils with a noise measurement."""

from __future__ import annotations

import math
import warnings

import torch
from einops import rearrange
from mrpro.algorithms.prewhiten_kspace import prewhiten_kspace
from mrpro.data import KData, KNoise

from mrpro_lambda.checks import check_type
from mrpro_lambda.reconstruction.check_inputs import check_kdata, check_noise

_N_SAMPLES = 10
"""Number of samples of noise for each coil."""


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

    Raises
    ------
    ValueError
        If data or noise are not finite, if they have other coils, or if the coils of the noise are not independent.

    Warns
    -----
    UserWarning
        If there are fewer than 10 samples of noise for each coil.
    """
    check_kdata(kdata)
    check_type('noise', noise, KNoise)
    check_noise(noise, kdata)
    n_coils = noise.data.shape[-4]
    if (n_samples := noise.data.numel() // n_coils) < _N_SAMPLES * n_coils:
        warnings.warn(
            f'There are {n_samples} samples of noise for {n_coils} coils: after whitening, the noise level still '
            f'differs by about {math.sqrt(n_coils / n_samples):.0%} between combinations of coils.',
            stacklevel=2,
        )
    # mrpro takes noise of small values as constant; a power of two changes no digit
    scale = 2.0 ** noise.data.abs().max().log2().round().item()
    one = KNoise(rearrange(noise.data / scale, '... coils k2 k1 k0 -> 1 coils k2 k1 (... k0)'))
    try:
        return prewhiten_kspace(kdata, one, scale_factor=scale**-2)
    except torch.linalg.LinAlgError as error:
        raise ValueError(
            f'The noise of the coils must be independent, got noise of shape {tuple(noise.data.shape)}: {error}'
        ) from error
