"""Loss at samples that the reconstruction has not seen, and at those that it has seen with more noise."""

from __future__ import annotations

import torch

from mrpro_lambda.losses.HeldOut import HeldOut
from mrpro_lambda.losses.Recorrupted import Recorrupted
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss


class RobustHeldOut(ScanLoss):
    r"""`HeldOut` and `Recorrupted` in one reconstruction, as the robust SSDU [MIL2024]_.

    .. math::

        L = \frac{1}{2 |\Theta| \sigma^2} \big\| (A \hat x(y_{1, \Theta}) - y_2)_\Theta \big\|_2^2 +
        \frac{1}{2 |H| \sigma^2} \big\| (A \hat x(y_{1, \Theta}) - y)_H \big\|_2^2

    Up to a constant its expectation is the mean of the errors at samples that were seen and at samples that were held
    out. The first part tells how much to denoise, the second how to fill gaps, which it alone sees: at a low noise
    level all of the error is there.

    References
    ----------
    .. [MIL2024] Millard C, Chiew M (2024) Clean Self-Supervised MRI Reconstruction from Noisy, Sub-Sampled Training
       Data with Robust SSDU. Bioengineering 11(12) https://doi.org/10.3390/bioengineering11121305
    """

    def __init__(self, fraction: float = 0.1, strength: float = 0.5) -> None:
        """Initialize the loss.

        Parameters
        ----------
        fraction
            Fraction that is held out, see `HeldOut`.
        strength
            Standard deviation of the noise that is added, relative to that of the data, see `Recorrupted`.
        """
        self.held_out = HeldOut(fraction)
        self.recorrupted = Recorrupted(strength)

    def check(self, measured: Measured) -> None:
        """Raise an error as `HeldOut` does."""
        self.held_out.check(measured)

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        data, acquisition_op, noise_std, sampled, _ = measured
        strength = self.recorrupted.strength
        kept, noise = self.held_out.kept(measured, generator), measured.noise(generator)
        noisier = (1 + strength**2) ** 0.5 * noise_std
        img = reconstruct(kept * (data + strength * noise), kept * acquisition_op, noisier)
        residual = (acquisition_op(img)[0] - data + kept * noise / strength) / noise_std
        parts = [
            (weight * residual.abs().square()).sum() / weight.sum() for weight in (sampled * kept, sampled * (1 - kept))
        ]
        return torch.stack(parts).mean()
