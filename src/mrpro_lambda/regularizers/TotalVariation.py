"""Total variation with weights that vary in space and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from mrpro_lambda.checks import check_axes
from mrpro_lambda.norms import GroupNorm, L1Norm, Norm
from mrpro_lambda.operators.GradientOp import Boundaries, Boundary, GradientOp
from mrpro_lambda.regularizers.Regularizer import Regularizer


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
        boundary: Boundaries = 'circular',
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
            Value assumed beyond the last sample, one for all axes or one for each, see
            `~mrpro_lambda.operators.GradientOp`.
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
        check_axes('dim', dim)
        dim = tuple(dim)
        gradient_op = GradientOp(dim, boundary)
        if groups is None:
            spatial = tuple(d for d in dim if d >= -3)
            groups = [spatial] if spatial else []
            groups += [(d,) for d in dim if d < -3]
        for group in groups if isinstance(groups, Sequence) else [groups]:
            check_axes('groups', group)
        groups = tuple(tuple(group) for group in groups)
        if sorted(d for group in groups for d in group) != sorted(dim) or not all(groups):
            raise ValueError(f'groups must hold each axis of dim exactly once, got {groups=} for {dim=}.')
        group_of_direction = [next(g for g, group in enumerate(groups) if direction in group) for direction in dim]
        norm: Norm = L1Norm()
        if isotropic or complex_modulus:
            norm = GroupNorm(group_of_direction if isotropic else None, modulus=complex_modulus)
        super().__init__(gradient_op, norm, group_of_direction)
        self.groups = groups
        self.boundary = boundary

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return total variation of each boundary and norm."""
        boundaries: tuple[Boundaries, ...] = (*get_args(Boundary), ('neumann', 'circular'))
        return {f'total variation, {boundary}': cls((-2, -1), boundary=boundary) for boundary in boundaries} | {
            'isotropic total variation': cls((-2, -1), isotropic=True),
            'total variation of the modulus': cls((-2, -1), complex_modulus=True),
        }
