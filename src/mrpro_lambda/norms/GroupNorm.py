"""Sum of Euclidean norms of groups of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.norms.Norm import Norm, ratio
from mrpro_lambda.operators.real_parts import real_parts


class GroupNorm(Norm):
    r"""Sum of the Euclidean norms of groups, :math:`\sum_i \sum_g \Lambda_{g,i} \| c_{g,i} \|_2`.

    The rows of the coefficients are put together at each position, or real and imaginary part of each coefficient (the
    modulus), or both.
    """

    def __init__(self, group_of_row: Sequence[int] | None = None, *, modulus: bool = False) -> None:
        """Initialize the norm.

        Parameters
        ----------
        group_of_row
            Number of the group that each row belongs to. The rows of a group must have the same weights. `None`: each
            row by itself.
        modulus
            Put real and imaginary part together. Then the value does not depend on a global phase.
        """
        super().__init__()
        self.group_of_row = None if group_of_row is None else tuple(group_of_row)
        self.modulus = modulus

    @property
    def elementwise(self) -> bool:
        """Whether each real number is treated on its own, which it is not."""
        return False

    @property
    def separable_parts(self) -> bool:
        """Whether real and imaginary part may have weights of their own."""
        return False

    def _squared(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the squared norms that one weight applies to, shape `(*coefficients.shape, 1 or 2)`."""
        squared = real_parts(coefficients).square()
        if self.modulus:
            squared = squared.sum(-1, keepdim=True)
        if self.group_of_row is not None:
            groups = range(max(self.group_of_row) + 1)
            summed = [squared[[g == group for g in self.group_of_row]].sum(0) for group in groups]
            squared = torch.stack(summed)[list(self.group_of_row)]
        return squared

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted norms; that of a group stands at its first row, 0 at the others."""
        squared = self._squared(coefficients)
        # the square root has no derivative at 0, where that of the norm may be taken as 0
        norm = threshold * torch.where(squared > 0, torch.where(squared > 0, squared, 1).sqrt(), 0).sum(-1)
        if self.group_of_row is not None:
            norm[[g in self.group_of_row[:i] for i, g in enumerate(self.group_of_row)]] = 0
        return norm

    def dual_ratio(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the norms of the groups relative to their weights."""
        return ratio(self._squared(coefficients).sqrt().amax(-1), threshold)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        r"""Project to :math:`\{q : \|q_{g,i}\|_2 \le \Lambda_{g,i}\}`."""
        # the square root has no derivative at 0, where the projection does nothing
        norm = self._squared(coefficients).clamp_min(torch.finfo(threshold.dtype).tiny).sqrt()
        bound = threshold.unsqueeze(-1)
        factor = torch.where(norm > bound, bound / norm, 1)
        if not coefficients.is_complex():
            return coefficients * factor.squeeze(-1)
        return torch.view_as_complex((torch.view_as_real(coefficients) * factor).contiguous())
