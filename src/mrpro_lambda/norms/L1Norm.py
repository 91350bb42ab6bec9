"""Sum of absolute values."""

from __future__ import annotations

import torch

from mrpro_lambda.norms.Norm import Norm, ratio
from mrpro_lambda.operators.real_parts import real_parts, weights_of_parts


class L1Norm(Norm):
    r"""Sum of the absolute values of real and imaginary part of each coefficient, :math:`\|\Lambda \cdot c\|_1`."""

    @property
    def elementwise(self) -> bool:
        """Whether each real number is treated on its own, which it is."""
        return True

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted sums of the absolute values of real and imaginary part."""
        if threshold.ndim <= coefficients.ndim:
            return threshold * real_parts(coefficients).abs().sum(-1)
        return (threshold * real_parts(coefficients).abs()).sum(-1)

    def dual_ratio(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the larger one of real and imaginary part relative to their weights."""
        return ratio(real_parts(coefficients).abs(), weights_of_parts(threshold, coefficients)).amax(-1)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Clamp real and imaginary part."""
        if not coefficients.is_complex():
            return coefficients.clamp(-threshold, threshold)
        bound = weights_of_parts(threshold, coefficients)
        return torch.view_as_complex(torch.view_as_real(coefficients).clamp(-bound, bound))
