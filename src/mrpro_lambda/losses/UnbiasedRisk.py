"""Stein's unbiased risk estimate of the samples."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss


class UnbiasedRisk(ScanLoss):
    r"""Stein's unbiased risk estimate (SURE) of the error at the samples [STE1981]_, [RAM2008]_.

    .. math::

        L = \frac{1}{m \sigma^2} \| A \hat x(y) - y \|_2^2 - 1 + \frac{2}{m} \mathrm{div}_y A \hat x(y), \qquad
        E L = \frac{1}{m \sigma^2} E \| A \hat x(y) - A x \|_2^2

    The divergence is estimated with one random vector :math:`b`, :math:`E|b_k|^2 = 1`, new in each call, and a finite
    difference of :math:`\epsilon \sigma`, so that two images are reconstructed. The noise must be Gaussian and white.

    References
    ----------
    .. [STE1981] Stein CM (1981) Estimation of the Mean of a Multivariate Normal Distribution. Ann Statist 9(6)
       https://doi.org/10.1214/aos/1176345632
    .. [RAM2008] Ramani S, Blu T, Unser M (2008) Monte-Carlo SURE: a black-box optimization of regularization parameters
       for general denoising algorithms. IEEE Trans Image Process 17(9) https://doi.org/10.1109/TIP.2008.2001404
    """

    def __init__(self, step: float = 0.1) -> None:
        r"""Initialize the loss.

        Parameters
        ----------
        step
            Length :math:`\epsilon` of the finite difference relative to the noise.
        """
        check_number('step', step, positive=True)
        self.step = step

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        data, acquisition_op, noise_std = measured[:3]
        probe = measured.noise(generator) / noise_std
        (response,) = acquisition_op(reconstruct(data, acquisition_op, noise_std))
        (moved,) = acquisition_op(reconstruct(data + self.step * noise_std * probe, acquisition_op, noise_std))
        residual = measured.mean(((response - data) / noise_std).abs().square())
        divergence = measured.mean((probe.conj() * (moved - response) / (self.step * noise_std)).real)
        return residual - 1 + 2 * divergence
