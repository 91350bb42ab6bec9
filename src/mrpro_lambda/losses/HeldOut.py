"""Loss at samples that the reconstruction has not seen."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number, check_tensor
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss

_FEWEST = 3
"""Smallest number of samples or readouts that are held out or kept."""


class HeldOut(ScanLoss):
    r"""The error at samples that are left out of the reconstruction (SSDU) [YAM2020]_.

    .. math::

        L = \frac{1}{\sum_{k \in H} w_k} \sum_{k \in H} \frac{w_k}{\sigma^2} \big| (A \hat x(y_\Theta) - y)_k \big|^2

    In each call, a `fraction` of the samples is held out at random, :math:`k \in H`, the others are in :math:`\Theta`.
    Where readouts are complete, whole readouts are: samples next to those of the same line would be no gap. Coils share
    the choice, and the center of k-space is always kept, unless all readouts have it: without it the mean of the image
    would be lost. Its expectation is the error at held out samples plus 1.

    Without weights the loss counts densely sampled regions more often than the image has frequencies there. With the
    probability :math:`P_k` that a frequency is sampled and :math:`\tilde P` that a sampled one is kept, those of
    Millard and Chiew [MIL2023]_ are :math:`w_k = (1 - \tilde P P_k) / (P_k (1 - \tilde P))`.

    References
    ----------
    .. [YAM2020] Yaman B, et al. (2020) Self-supervised learning of physics-guided reconstruction neural networks
       without fully sampled reference data. Magn Reson Med 84(6) https://doi.org/10.1002/mrm.28378
    .. [MIL2023] Millard C, Chiew M (2023) A Theoretical Framework for Self-Supervised MR Image Reconstruction Using
       Sub-Sampling via Variable Density Noisier2Noise. IEEE Trans Comput Imaging 9
       https://doi.org/10.1109/TCI.2023.3299212
    """

    def __init__(self, fraction: float = 0.1, *, probability: torch.Tensor | None = None) -> None:
        """Initialize the loss.

        Parameters
        ----------
        fraction
            Fraction that is held out. With fewer samples, a reconstruction needs stronger regularization.
        probability
            Probability that each sample was sampled, which broadcasts to the data. `None`: no weights.

        Raises
        ------
        ValueError
            If a number is not between 0 and 1.
        """
        check_number('fraction', fraction, 0, 1)
        if not 0 < fraction < 1:
            raise ValueError(f'fraction must be between 0 and 1, got {fraction}.')
        if probability is not None:
            check_tensor('probability', probability)
            if not bool(((probability > 0) & (probability <= 1)).all()):
                raise ValueError(
                    f'probability must be above 0 and at most 1, got values from {probability.min():g} to '
                    f'{probability.max():g} in shape {tuple(probability.shape)}.'
                )
        self.fraction = fraction
        self.probability = probability

    @classmethod
    def examples(cls) -> Mapping[str, ScanLoss]:
        """Return the loss with and without weights."""
        return {'HeldOut': cls(0.2), 'HeldOut, weighted': cls(0.2, probability=torch.full((1, 1, 1, 1, 1), 0.5))}

    def check(self, measured: Measured) -> None:
        """Raise an error if nothing is missing, or if so few samples would be held out or kept that there may be none.

        With all of the measured band sampled, a reconstruction without some samples has another task than one with all
        of them: it fills gaps, where in use there is noise alone.
        """
        if measured.complete:
            raise ValueError(
                'HeldOut needs an undersampled acquisition, but all of the measured band was sampled, in data of shape '
                f'{tuple(measured.data.shape)}: use Recorrupted or UnbiasedRisk.'
            )
        n = int(_candidates(measured).sum())
        if n * min(self.fraction, 1 - self.fraction) < _FEWEST:
            raise ValueError(
                f'Too few samples to hold {self.fraction:g} of them out: at least {_FEWEST} samples, or readouts where '
                f'these are complete, must be held out and kept, got {n} in data of shape {tuple(measured.data.shape)}.'
            )

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        data, acquisition_op, noise_std, sampled, _ = measured
        kept = self.kept(measured, generator)
        weight = sampled * (1 - kept)
        if self.probability is not None:
            p = self.probability.to(weight)
            weight = weight * (1 - (1 - self.fraction) * p) / (p * self.fraction)
        img = reconstruct(kept * data, kept * acquisition_op, noise_std)
        error = ((acquisition_op(img)[0] - data) / noise_std).abs().square()
        return (weight * error).sum() / weight.sum()

    def kept(self, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Draw what is kept: ones, and zeros at samples that are held out, of size 1 along the coils."""
        candidates = _candidates(measured)
        drawn = torch.rand(candidates.shape, generator=generator, dtype=measured.sampled.dtype).to(candidates.device)
        drawn = torch.where(candidates, drawn, torch.inf)
        n_held = max(1, round(self.fraction * int(candidates.sum())))
        held = drawn <= drawn.flatten().kthvalue(n_held).values
        return (~held).to(measured.sampled.dtype).expand(measured.center.shape)


def _candidates(measured: Measured) -> torch.Tensor:
    """Tell what may be held out: samples, or readouts (size 1 along them), without those at the center."""
    sampled, center = measured.sampled.amax(-4, keepdim=True) > 0, measured.center
    if sampled.shape[-1] > 1 and bool((sampled == sampled[..., :1]).all()):
        sampled, center = sampled[..., :1], center.any(-1, keepdim=True)
    if bool(center[sampled].all()):
        return sampled
    return sampled & ~center
