"""Noise level of k-space data."""

from __future__ import annotations

from mrpro.data import KData
from mrpro.operators import LinearOperator

from mrpro_lambda.reconstruction.estimate_noise import estimate_noise


def estimate_noise_std(kdata: KData, acquisition_op: LinearOperator) -> float:
    r"""Estimate the standard deviation :math:`\sigma` of the complex noise of k-space samples, :math:`E|n|^2=\sigma^2`.

    It is that of `estimate_noise`, which also tells where the noise was seen and whether that is reliable.

    Parameters
    ----------
    kdata
        k-space data.
    acquisition_op
        Fourier operator of these data, better with their coil sensitivities.

    Returns
    -------
        Standard deviation, in the units of the data.
    """
    return estimate_noise(kdata, acquisition_op).std
