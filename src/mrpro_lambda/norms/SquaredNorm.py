"""Half of the sum of squares."""

from __future__ import annotations

import torch

from mrpro_lambda.norms.Norm import Norm
from mrpro_lambda.operators.real_parts import real_parts, weights_of_parts


class SquaredNorm(Norm):
    r"""Half of the weighted sum of squares, :math:`\frac{1}{2} \sum_i \Lambda_i |c_i|^2`.

    Its dual variable is not bounded, apart from weights of 0.
    """

    @property
    def elementwise(self) -> bool:
        """Whether a clamp is the proximal mapping, which it is not."""
        return False

    @property
    def separable_parts(self) -> bool:
        """Whether real and imaginary part may have weights of their own, which they may."""
        return True

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return half of the weighted squares."""
        return 0.5 * (weights_of_parts(threshold, coefficients) * real_parts(coefficients).square()).sum(-1)

    def dual_ratio(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return 0, or Inf for dual coefficients without weight."""
        parts, bound = real_parts(coefficients), weights_of_parts(threshold, coefficients)
        return torch.where((parts != 0) & (bound == 0), torch.inf, 0).amax(-1).to(threshold.dtype)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Set coefficients without weight to 0."""
        bound = weights_of_parts(threshold, coefficients)
        parts = torch.where(bound > 0, real_parts(coefficients), 0)
        return torch.view_as_complex(parts) if coefficients.is_complex() else parts.squeeze(-1)

    def conjugate(self, dual: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`|q|^2 / (2 \Lambda)`."""
        parts, bound = real_parts(dual), weights_of_parts(threshold, dual)
        return torch.where(parts == 0, 0, 0.5 * parts.square() / bound).sum(-1)

    def prox_conjugate(
        self,
        coefficients: torch.Tensor,
        threshold: torch.Tensor,
        step: torch.Tensor | float,
        scale: torch.Tensor | float = 1.0,  # noqa: ARG002
    ) -> torch.Tensor:
        r"""Return :math:`\Lambda c / (\Lambda + \sigma)`, which does not depend on the scale."""
        bound = weights_of_parts(threshold, coefficients)
        if isinstance(step, torch.Tensor):
            step = step.unsqueeze(-1)
        parts = real_parts(coefficients) * (bound / (bound + step))
        return torch.view_as_complex(parts) if coefficients.is_complex() else parts.squeeze(-1)
