"""Loss between two parts of the photons that were counted."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.losses.ScanLoss import Measured, Reconstruct, ScanLoss


class Thinned(ScanLoss):
    r"""The Poisson deviance of counts that the reconstruction has not seen [OLI2022]_, for a transmission scan.

    .. math::

        L = \frac{2}{m} \sum_i \Big( \lambda_i - n_i'' + n_i'' \ln \frac{n_i''}{\lambda_i} \Big), \qquad
        n' \sim \mathrm{Binomial}(n, a), \quad n'' = n - n', \quad
        \lambda = (1 - a) N_0 e^{-\mu A \hat x(n')}

    The draw is new in each call. Each photon is put into one of two scans, with :math:`a N_0` and :math:`(1 - a) N_0`
    photons: if the counts :math:`n` are Poisson distributed, so are those of both, and they are independent. With the
    true means :math:`\lambda^*` of the second one

    .. math::

        E L = \frac{2}{m} \sum_i E \Big( \lambda_i - \lambda_i^* + \lambda_i^* \ln \frac{\lambda_i^*}{\lambda_i} \Big)
        + \mathrm{const}

    with a constant close to 1 that does not depend on the reconstruction. Counts are rounded to whole photons.

    References
    ----------
    .. [OLI2022] Oliveira NL, Lei J, Tibshirani RJ (2022) Unbiased Test Error Estimation in the Poisson Means Problem
       via Coupled Bootstrap Techniques. https://arxiv.org/abs/2212.01943
    """

    for_counts = True

    def __init__(self, fraction: float = 0.8) -> None:
        """Initialize the loss.

        Parameters
        ----------
        fraction
            Fraction :math:`a` of the photons that the reconstruction sees. With fewer of them it needs stronger
            regularization; with more the loss is noisier.

        Raises
        ------
        ValueError
            If it is not between 0 and 1.
        """
        check_number('fraction', fraction, 0, 1)
        if not 0 < fraction < 1:
            raise ValueError(f'fraction must be between 0 and 1, got {fraction}.')
        self.fraction = fraction

    @classmethod
    def examples(cls) -> Mapping[str, ScanLoss]:
        """Return none: the losses that the tests compare are of samples of k-space."""
        return {}

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss."""
        term = measured.count_term
        counts = term.counts(measured.data).round()
        kept = torch.binomial(counts, torch.full_like(counts, self.fraction), generator=generator)
        seen, held = term.with_photons(self.fraction), counts - kept
        img = reconstruct(seen.post_log(kept), seen, self.fraction**-0.5 * measured.noise_std)
        expected = (1 - self.fraction) * term.counts(term.acquisition_op(img)[0])
        logarithms = torch.xlogy(held, held) - torch.xlogy(held, expected)  # without a derivative of 0 / 0
        return measured.mean(2 * (expected - held + logarithms))
