"""Smoothed sum of absolute values."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.norms.L1Norm import L1Norm
from mrpro_lambda.operators.real_parts import real_parts, weights_of_parts


class HuberNorm(L1Norm):
    r"""Sum of :math:`\Lambda\, h_w(t)` over the real numbers :math:`t` of the coefficients, :math:`w = \delta \Lambda`.

    :math:`h_w(t) = t^2 / (2 w)` for :math:`|t| \le w` and :math:`|t| - w / 2` elsewhere [HUB1964]_. As the width
    follows the weight, the proximal mapping of the conjugate is a division by a constant and a clamp: it stays
    piecewise affine.

    References
    ----------
    .. [HUB1964] Huber P (1964) Robust Estimation of a Location Parameter. Ann Math Statist 35(1)
       https://doi.org/10.1214/aoms/1177703732
    """

    def __init__(self, smoothing: float) -> None:
        r"""Initialize the norm.

        Parameters
        ----------
        smoothing
            Width of the quadratic part :math:`\delta` relative to :math:`\Lambda`.
        """
        super().__init__()
        check_number('smoothing', smoothing, positive=True)
        self.smoothing = float(smoothing)

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted sums over real and imaginary part."""
        bound, size = weights_of_parts(threshold, coefficients), real_parts(coefficients).abs()
        width = self.smoothing * bound
        # the weighted quadratic part is t^2 / (2 delta), also where the weight is 0 and the part has no width
        return torch.where(size <= width, size.square() / (2 * self.smoothing), bound * (size - 0.5 * width)).sum(-1)
