"""Weight of the smallest estimated error of the data."""

from __future__ import annotations

import torch

from mrpro_lambda.weighting.AutomaticWeight import AutomaticWeight
from mrpro_lambda.weighting.Sweep import SweepPoint


class Sure(AutomaticWeight):
    r"""The weight that minimizes Stein's unbiased estimate of the error of the measured samples [RAM2008]_.

    .. math::

        \frac{\|A \hat x - y\|_2^2}{n \sigma^2} - 1 + 2 \frac{\mathrm{df}}{N}, \qquad
        \mathrm{E} = \frac{\mathrm{E} \|A \hat x - A x\|_2^2}{n \sigma^2}

    for :math:`n` samples, that is :math:`N = 2 n` real numbers, and the degrees of freedom :math:`\mathrm{df}` of the
    reconstruction. The white Gaussian noise has the variance :math:`\sigma^2` of a complex sample.

    It does not see the error at frequencies that were never sampled. For random samples, four times fewer than points,
    the weight was nevertheless close to the best one.

    References
    ----------
    .. [RAM2008] Ramani S, Blu T, Unser M (2008) Monte-Carlo SURE: a black-box optimization of regularization parameters
       for general denoising algorithms. IEEE Trans Image Process 17(9) https://doi.org/10.1109/TIP.2008.2001404
    """

    name = 'sure'
    needs_degrees = True

    def criterion(self, points: SweepPoint) -> torch.Tensor:
        """Return the estimated error relative to the energy of the noise."""
        return points.residual - 1 + 2 * points.degrees_of_freedom
