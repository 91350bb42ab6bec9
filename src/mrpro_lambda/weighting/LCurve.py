"""Weight at the corner of the L-curve."""

from __future__ import annotations

from typing import Any

import torch

from mrpro_lambda.weighting.AutomaticWeight import AutomaticWeight
from mrpro_lambda.weighting.Sweep import SweepPoint


class LCurve(AutomaticWeight):
    r"""The weight of the largest curvature of the curve :math:`(\log \|A \hat x - y\|, \log R(\hat x))` [HAN1993]_.

    It does not look at the noise level, in units of which weights are tried. The curve of sparse regularizers has often
    no corner, or several: the other rules were better by far.

    References
    ----------
    .. [HAN1993] Hansen PC, O'Leary DP (1993) The use of the L-curve in the regularization of discrete ill-posed
       problems. SIAM J Sci Comput 14(6) https://doi.org/10.1137/0914086
    """

    name = 'l-curve'

    def __init__(self, *, n_refinements: int = 0, **options: Any) -> None:  # noqa: ANN401
        """Initialize the rule.

        Parameters
        ----------
        n_refinements
            Number of weights after the grid. The curvature between weights close to each other is not accurate.
        options
            As in `AutomaticWeight`.
        """
        super().__init__(n_refinements=n_refinements, **options)

    def criterion(self, points: SweepPoint) -> torch.Tensor:
        """Return minus the curvature: that of the circle through each point and its neighbors, none at the ends."""
        tiny = torch.finfo(torch.float64).tiny
        curve = torch.stack([0.5 * points.residual.clamp_min(tiny).log(), points.regularization.clamp_min(tiny).log()])
        a, b = curve.diff(dim=1)[:, :-1], curve.diff(dim=1)[:, 1:]
        area = a[0] * b[1] - a[1] * b[0]
        lengths = [vector.square().sum(0).sqrt() for vector in (a, b, a + b)]
        curvature = 2 * area / (lengths[0] * lengths[1] * lengths[2]).clamp_min(tiny)
        end = torch.full_like(curvature[:1], torch.inf)
        return torch.cat([end, -curvature, end])

    def enough(self, points: SweepPoint) -> bool:  # noqa: ARG002
        """Tell that the whole curve is needed."""
        return False
