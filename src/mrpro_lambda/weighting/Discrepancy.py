"""Weight that leaves as much residual as there is noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.weighting.AutomaticWeight import AutomaticWeight
from mrpro_lambda.weighting.Sweep import SweepPoint
from mrpro_lambda.weighting.Weight import Weight


class Discrepancy(AutomaticWeight):
    r"""The largest weight at which the residual falls to what the noise leaves [MOR1966]_.

    .. math::

        \|A \hat x - y\|_2^2 = \tau \left(1 - \frac{\mathrm{df}}{N}\right) n \sigma^2

    for :math:`n` samples, that is :math:`N = 2 n` real numbers. A reconstruction that uses :math:`\mathrm{df}` degrees
    of freedom takes the noise in them from the residual, as a least-squares fit does. The classical rule, without this
    correction, smooths too much: at the best weight the residual is 0.2 to 0.9 of the energy of the noise, and
    1 - df / N follows it, so that :math:`\tau = 1` needs no calibration.

    References
    ----------
    .. [MOR1966] Morozov VA (1966) On the solution of functional equations by the method of regularization. Soviet Math
       Dokl 7. The degrees of freedom are those of Efron B (2004) The estimation of prediction error. J Am Stat Assoc
       99(467) https://doi.org/10.1198/016214504000000692
    """

    name = 'discrepancy'

    def __init__(self, *, correction: bool = True, tau: float = 1.0, n_refinements: int = 2, **options: Any) -> None:  # noqa: ANN401
        r"""Initialize the rule.

        Parameters
        ----------
        correction
            Whether the degrees of freedom are subtracted. Without them the rule takes half the time.
        tau
            Factor :math:`\tau` of the target.
        n_refinements
            Number of weights after the grid.
        options
            As in `AutomaticWeight`.
        """
        super().__init__(n_refinements=n_refinements, **options)
        check_type('correction', correction, bool)
        check_number('tau', tau, positive=True)
        self.needs_degrees, self.tau = correction, tau

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:  # noqa: ARG003
        """Return the rule with and without the correction."""
        return {'discrepancy': cls(), 'classical discrepancy': cls(correction=False)}

    def criterion(self, points: SweepPoint) -> torch.Tensor:
        """Return the logarithm of the residual relative to its target."""
        freedom = 1 - points.degrees_of_freedom if self.needs_degrees else torch.ones_like(points.residual)
        # without any freedom left there is no target that a residual could be above
        return (points.residual / (self.tau * freedom.clamp_min(1e-6))).log()

    def best(self, points: SweepPoint) -> torch.Tensor:
        """Return the factor at which the criterion vanishes, by interpolation in the logarithm of the factor."""
        criterion, x = self.criterion(points), points.factor.log()
        n = len(criterion)
        number = torch.arange(n, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
        below = torch.where(criterion <= 0, number, -1).amax(0)
        lower = below.clamp(0, n - 2)
        (x0, x1), (y0, y1) = ([values.gather(0, (lower + k)[None])[0] for k in (0, 1)] for values in (x, criterion))
        inside = below == lower
        found = torch.where(inside, x0 - y0 * (x1 - x0) / torch.where(inside, y1 - y0, 1), x[0])
        return torch.where(below == n - 1, x[-1], found).exp()

    def refined(self, points: SweepPoint) -> torch.Tensor:
        """Return the next factor to try: where the interpolation meets the target."""
        return self.best(points)

    def enough(self, points: SweepPoint) -> bool:
        """Tell whether the residual is below its target."""
        return bool((self.criterion(points)[0] <= 0).all())
