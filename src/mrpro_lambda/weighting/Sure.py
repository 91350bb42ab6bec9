"""Weight of the smallest estimated error of the data."""

from __future__ import annotations

import torch

from mrpro_lambda.weighting.AutomaticWeight import AutomaticWeight
from mrpro_lambda.weighting.Sweep import SweepPoint

_UNEXPLAINED = 2.0
"""Energy that is left of the data, relative to that of the noise, above which it is not the noise alone."""

_FLAT = 0.95
"""Ratio of what two neighboring weights leave, above which smaller weights leave as much."""


class Sure(AutomaticWeight):
    r"""The weight that minimizes Stein's unbiased estimate of the error of the measured samples [RAM2008]_.

    .. math::

        \frac{\|A \hat x - y\|_2^2}{n \sigma^2} - 1 + 2 \frac{\mathrm{df}}{N}, \qquad
        \mathrm{E} = \frac{\mathrm{E} \|A \hat x - A x\|_2^2}{n \sigma^2}

    for :math:`n` samples, that is :math:`N = 2 n` real numbers, and the degrees of freedom :math:`\mathrm{df}` of the
    reconstruction. The white Gaussian noise has the variance :math:`\sigma^2` of a complex sample.

    It does not see the error at frequencies that were never sampled. For random samples, four times fewer than points,
    the weight was nevertheless close to the best one.

    Where the image can not explain the data up to the noise, because coil maps or trajectory are not exact, this error
    would fall until there is no regularization at all. So :math:`\sigma^2` is what the fit leaves of the data per
    degree of freedom, :math:`\min_c \|A \hat x - y\|_2^2 / (n (1 - \mathrm{df} / N))`, if that is twice the given
    variance or more and the same for all small weights, with a warning. This is next to generalized cross-validation
    [GOL1979]_. A brain with 16 coils and regular lines, R = 4, left 4.6 times the standard deviation of the noise; the
    weight was 0.14 in place of 0.02, and the PSNR 0.8 dB higher.

    References
    ----------
    .. [GOL1979] Golub GH, Heath M, Wahba G (1979) Generalized cross-validation as a method for choosing a good ridge
       parameter. Technometrics 21(2) https://doi.org/10.1080/00401706.1979.10489751
    .. [RAM2008] Ramani S, Blu T, Unser M (2008) Monte-Carlo SURE: a black-box optimization of regularization parameters
       for general denoising algorithms. IEEE Trans Image Process 17(9) https://doi.org/10.1109/TIP.2008.2001404
    """

    name = 'sure'
    needs_degrees = True

    def criterion(self, points: SweepPoint) -> torch.Tensor:
        """Return the estimated error relative to the energy of what acts as noise."""
        return self.risk(points, self.excess(points))

    @staticmethod
    def risk(points: SweepPoint, excess: torch.Tensor | float = 1.0) -> torch.Tensor:
        """Return the unbiased estimate for noise of `excess` times the given variance."""
        return points.residual / excess - 1 + 2 * points.degrees_of_freedom

    @staticmethod
    def excess(points: SweepPoint) -> torch.Tensor:
        """Return the variance of what acts as noise relative to the given one, 1 if that explains the data."""
        # without any freedom left, the fit leaves nothing that could be seen
        left = points.residual / (1 - points.degrees_of_freedom).clamp_min(0.1)
        known = (left.amin(0) > _UNEXPLAINED) & (left[0] > _FLAT * left[:2].amax(0))
        return torch.where(known, left.amin(0), 1)

    def notes(self, points: SweepPoint) -> list[str]:
        """Tell where the data are not explained."""
        ratio = self.excess(points).amax().sqrt().item()
        if ratio == 1:
            return []
        return [
            f'Image and data differ by {ratio:.2g} times the noise level, so coil maps, trajectory or noise level are '
            'not exact. The weight is found for that level.'
        ]
