"""Loss at samples that the reconstruction has not seen."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss

_FEWEST = 3
"""Smallest number of samples or readouts that some are held out of."""
_SPARSE = 0.9
"""Density of the samples below which there are gaps."""


class HeldOut(ScanLoss):
    r"""The error at samples that are left out of the reconstruction (SSDU) [YAM2020]_.

    .. math::

        L = \frac{1}{|H| \sigma^2} \sum_{k \in H} \big| (A \hat x(y_\Theta) - y)_k \big|^2

    In each call, a `fraction` of the samples is held out at random, :math:`k \in H`, the others are in :math:`\Theta`.
    Where readouts are complete, whole readouts are: samples next to those of the same line would be no gap. Coils share
    the choice. Its expectation is the error at held out samples plus 1.

    Where the density of the samples is :math:`P`, a sample is held out with a probability in proportion to
    :math:`(1 - P) / P`, so that a frequency counts as often as it is missing, as with the weights of Millard and Chiew
    [MIL2023]_: where all is sampled there is no gap, and a gap that was made there, with most of the energy, would hide
    all others. The center of k-space is kept in any case, unless all readouts have it.

    References
    ----------
    .. [YAM2020] Yaman B, et al. (2020) Self-supervised learning of physics-guided reconstruction neural networks
       without fully sampled reference data. Magn Reson Med 84(6) https://doi.org/10.1002/mrm.28378
    .. [MIL2023] Millard C, Chiew M (2023) A Theoretical Framework for Self-Supervised MR Image Reconstruction Using
       Sub-Sampling via Variable Density Noisier2Noise. IEEE Trans Comput Imaging 9
       https://doi.org/10.1109/TCI.2023.3299212
    """

    def __init__(self, fraction: float = 0.1) -> None:
        """Initialize the loss.

        Parameters
        ----------
        fraction
            Fraction that is held out, of the samples with gaps around them, but at least one. With fewer samples, a
            reconstruction needs stronger regularization.

        Raises
        ------
        ValueError
            If it is not between 0 and 1.
        """
        check_number('fraction', fraction, 0, 1)
        if not 0 < fraction < 1:
            raise ValueError(f'fraction must be between 0 and 1, got {fraction}.')
        self.fraction = fraction

    def check(self, measured: Measured) -> None:
        """Raise an error if nothing is missing, or if hardly any samples have gaps around them.

        With all of the measured band sampled, a reconstruction without some samples has another task than one with all
        of them: it fills gaps, where in use there is noise alone.
        """
        super().check(measured)
        if measured.complete:
            raise ValueError(
                'HeldOut needs an undersampled acquisition, but all of the measured band was sampled, in data of shape '
                f'{tuple(measured.data.shape)}: use Recorrupted or UnbiasedRisk.'
            )
        n = int((_odds(measured) > 0).sum())
        if n < _FEWEST:
            raise ValueError(
                f'There must be at least {_FEWEST} samples with gaps around them (readouts where these are complete) '
                f'to hold some out, got {n} in data of shape {tuple(measured.data.shape)}.'
            )

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        data, acquisition_op, noise_std, sampled = measured[:4]
        kept = self.kept(measured, generator)
        weight = sampled * (1 - kept)
        img = reconstruct(kept * data, kept * acquisition_op, noise_std)
        error = ((acquisition_op(img)[0] - data) / noise_std).abs().square()
        return (weight * error).sum() / weight.sum()

    def kept(self, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Draw what is kept: ones, and zeros at samples that are held out, of size 1 along the coils."""
        odds = _odds(measured)
        drawn = torch.rand(odds.shape, generator=generator, dtype=odds.dtype).to(odds.device)
        # those with the smallest of exponentially distributed numbers are a draw without replacement
        waiting = torch.where(odds > 0, -drawn.clamp_min(1e-30).log() / odds, torch.inf)
        n_held = max(1, round(self.fraction * int((odds > 0).sum())))
        held = waiting <= waiting.flatten().kthvalue(n_held).values
        return (~held).to(odds.dtype).expand(measured.center.shape)


def _odds(measured: Measured) -> torch.Tensor:
    """Return the relative probability of samples, or of readouts (size 1 along them), to be held out."""
    sampled, center, density = measured.sampled.amax(-4, keepdim=True) > 0, measured.center, measured.density
    if measured.has_complete_readouts:
        sampled, center, density = sampled[..., :1], center.any(-1, keepdim=True), density.mean(-1, keepdim=True)
    gaps = sampled & (density < _SPARSE)
    odds = torch.where(gaps, (1 - density) / density, 0) if bool(gaps.any()) else sampled.to(density.dtype)
    return odds if bool(center[sampled].all()) else torch.where(center, 0, odds)
