"""Total variation with weights that vary in space and direction."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_axes
from mrpro_lambda.operators.GradientOp import Boundary, GradientOp
from mrpro_lambda.regularizers.Regularizer import Regularizer, real_parts


class TotalVariation(Regularizer):
    r"""Weighted total variation :math:`R_\Lambda(x) = \|\Lambda \cdot \nabla x\|_1` [KOF2023]_.

    .. math::

        R_\Lambda(x) = \sum_i \sum_g \Lambda_{g,i}\, \| (\nabla x)_{g,i} \|

    Directions are tied in groups :math:`g` that share one map. By default the spatial axes (the last three) form one
    group and every other axis one of its own, so that a dynamic image has one map for space and one for time. The norm
    of a group is, unless asked otherwise, the sum of the absolute values of real and imaginary part of all its
    directions, as in the reference.

    References
    ----------
    .. [KOF2023] Kofler A, Altekrüger F, Antarou Ba F, et al. (2023) Learning Regularization Parameter-Maps for
       Variational Image Reconstruction using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4)
       https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        dim: Sequence[int],
        *,
        groups: Sequence[Sequence[int]] | None = None,
        boundary: Boundary = 'circular',
        isotropic: bool = False,
        complex_modulus: bool = False,
    ) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        dim
            Axes along which differences are taken, negative: counted from the last one, as batches add leading axes.
        groups
            Axes that share one map, for example ``((-2, -1), (-5,))``. `None` ties the spatial axes.
        boundary
            Value assumed beyond the last sample, see `~mrpro_lambda.operators.GradientOp`.
        isotropic
            Take the Euclidean norm over the directions of a group instead of the sum of absolute values.
        complex_modulus
            Take the modulus of complex differences instead of the sum of absolute values of real and imaginary part.
            The result then does not depend on the global phase of the image.

        Raises
        ------
        ValueError
            If an axis is repeated or not negative, or if `groups` is not a partition of `dim`.
        """
        super().__init__()
        check_axes('dim', dim)
        self._dim = tuple(dim)
        self.operator = GradientOp(self.dim, boundary)
        if groups is None:
            spatial = tuple(d for d in self.dim if d >= -3)
            groups = [spatial] if spatial else []
            groups += [(d,) for d in self.dim if d < -3]
        for group in groups if isinstance(groups, Sequence) else [groups]:
            check_axes('groups', group)
        self.groups = tuple(tuple(group) for group in groups)
        if sorted(d for group in self.groups for d in group) != sorted(self.dim) or not all(self.groups):
            raise ValueError(f'groups must hold each axis of dim exactly once, got {groups=} for {dim=}.')
        self.isotropic = isotropic
        self.complex_modulus = complex_modulus
        self._group_of_direction = [
            next(g for g, group in enumerate(self.groups) if direction in group) for direction in self.dim
        ]

    @property
    def circulant(self) -> bool:
        """Whether the boundary is circular."""
        return self.operator.boundary == 'circular'

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes along which differences are taken."""
        return self._dim

    def transform(self, img: torch.Tensor) -> torch.Tensor:
        """Apply the gradient."""
        return self.operator(img)[0]

    def transform_adjoint(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint of the gradient."""
        return self.operator.adjoint(coefficients)[0]

    def add_transform_(self, out: torch.Tensor, img: torch.Tensor, alpha: float) -> None:
        """Add a multiple of the gradient in place."""
        self.operator.add_forward_(out, img, alpha)

    def add_transform_adjoint_(self, out: torch.Tensor, coefficients: torch.Tensor, alpha: float) -> None:
        """Add a multiple of the adjoint in place."""
        self.operator.add_adjoint_(out, coefficients, alpha)

    def norm(self, shape: Sequence[int]) -> float:
        """Return the exact norm of the gradient."""
        return self.operator.norm(shape)

    def symbol(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return the symbol of the circular Laplacian, which bounds that of the Neumann boundary from above."""
        if self.operator.boundary == 'zero':
            raise ValueError("ADMM needs boundary='circular' or 'neumann', got 'zero': use PDHG.")
        return self.operator.laplacian_symbol(shape, device)

    def solve_normal(self, img: torch.Tensor) -> torch.Tensor:
        """Solve the Poisson equation with circular boundary by FFTs; the constant part of the image is removed."""
        if not self.circulant:
            raise ValueError(f"The pseudo-inverse needs boundary='circular', got {self.operator.boundary!r}.")
        symbol = self.operator.laplacian_symbol(img.shape, img.device)
        inverse = torch.where(symbol > 0, 1 / symbol, 0).to(img.dtype.to_real())
        solved = torch.fft.ifftn(torch.fft.fftn(img, dim=self.dim) * inverse, dim=self.dim)
        return solved if img.is_complex() else solved.real

    @property
    def n_maps(self) -> int:
        """Number of groups of directions."""
        return len(self.groups)

    @property
    def elementwise(self) -> bool:
        """Whether the norm is the sum of absolute values of all real numbers."""
        return not (self.isotropic or self.complex_modulus)

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Repeat each map for the directions that share it: shape `(n_directions, *img.shape)`."""
        threshold = lambda_map[self._group_of_direction] if self.n_maps > 1 else lambda_map
        return threshold.expand(len(self.dim), *img.shape)

    def _norm_squared(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the squared norms that one threshold applies to, shape `(n_directions, *img.shape, 1 or 2)`."""
        squared = real_parts(coefficients).square()
        if self.complex_modulus:
            squared = squared.sum(-1, keepdim=True)
        if self.isotropic:
            summed = [squared[[d in group for d in self.dim]].sum(0) for group in self.groups]
            squared = torch.stack(summed)[self._group_of_direction]
        return squared

    def weighted_norm(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted norms of differences; that of a group stands at its first direction, 0 at the others."""
        norm = threshold * self._norm_squared(coefficients).sqrt().sum(-1)
        if self.isotropic:
            norm[[g in self._group_of_direction[:d] for d, g in enumerate(self._group_of_direction)]] = 0
        return norm

    def dual_norm(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the norms of the differences of each group."""
        return self._norm_squared(coefficients).sqrt().amax(-1)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        r"""Project differences to :math:`\{q : \|q_{g,i}\|_* \le \Lambda_{g,i}\}`."""
        if self.elementwise:
            return super().project(coefficients, threshold)
        # the square root has no derivative at 0, where the projection does nothing
        norm = self._norm_squared(coefficients).clamp_min(torch.finfo(threshold.dtype).tiny).sqrt()
        bound = threshold.unsqueeze(-1)
        factor = torch.where(norm > bound, bound / norm, 1)
        if not coefficients.is_complex():
            return coefficients * factor.squeeze(-1)
        return torch.view_as_complex((torch.view_as_real(coefficients) * factor).contiguous())
