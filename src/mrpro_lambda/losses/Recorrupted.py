"""Loss between data with more noise and data with independent noise."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss


class Recorrupted(ScanLoss):
    r"""The recorrupted loss (R2R) [PAN2021]_.

    .. math::

        L = \frac{1}{m \sigma^2} \big\| A \hat x(y_1) - y_2 \big\|_2^2, \qquad
        y_1 = y + a z, \quad y_2 = y - z / a

    :math:`z` is noise of the measured standard deviation :math:`\sigma`, new in each call. The noise of :math:`y_1`,
    of standard deviation :math:`\sigma \sqrt{1 + a^2}`, and that of :math:`y_2` are uncorrelated, so that

    .. math::

        E L = \frac{1}{m \sigma^2} E \| A \hat x(y_1) - A x \|_2^2 + 1 + 1 / a^2 .

    The noise must be Gaussian and white.

    References
    ----------
    .. [PAN2021] Pang T, Zheng H, Quan Y, Ji H (2021) Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image
       Denoising. CVPR https://doi.org/10.1109/CVPR46437.2021.00208
    """

    def __init__(self, strength: float = 0.5) -> None:
        """Initialize the loss.

        Parameters
        ----------
        strength
            Standard deviation :math:`a` of the noise that is added, relative to that of the data. A small one changes
            the data less, but makes the loss noisier.
        """
        check_number('strength', strength, positive=True)
        self.strength = strength

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        data, acquisition_op, noise_std = measured[:3]
        noise = measured.noise(generator)
        img = reconstruct(data + self.strength * noise, acquisition_op, (1 + self.strength**2) ** 0.5 * noise_std)
        residual = acquisition_op(img)[0] - data + noise / self.strength
        return measured.mean((residual / noise_std).abs().square())
