"""Tikhonov regularization with weights that vary in space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mrpro_lambda.norms import SquaredNorm
from mrpro_lambda.operators.GradientOp import Boundary, GradientOp
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.operators.Transform import Transform
from mrpro_lambda.regularizers.Regularizer import Regularizer


class Tikhonov(Regularizer):
    r"""Weighted sum of squares :math:`R_\Lambda(x) = \frac{1}{2} \sum_i \Lambda_i |(K x)_i|^2` [TIK1963]_.

    :math:`K` is the identity, or the gradient along some axes. The minimizer is linear in the data, and
    `~mrpro_lambda.solvers.ConjugateGradient` finds it. In the units of the data :math:`\Lambda` has none.

    References
    ----------
    .. [TIK1963] Tikhonov AN (1963) Solution of incorrectly formulated problems and the regularization method. Soviet
       Math Dokl 4
    """

    def __init__(self, dim: Sequence[int] = (), *, boundary: Boundary = 'circular') -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        dim
            Axes along which differences are taken, negative. Default: none, the image itself is penalized.
        boundary
            Value assumed beyond the last sample, see `~mrpro_lambda.operators.GradientOp`.
        """
        transform_op: Transform = GradientOp(dim, boundary) if len(dim) else IdentityTransform()
        super().__init__(transform_op, SquaredNorm())

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return squares of the image and of its gradient."""
        return {'Tikhonov': cls(), 'Tikhonov of the gradient': cls((-2, -1), boundary='neumann')}
