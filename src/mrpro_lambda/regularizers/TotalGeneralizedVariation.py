"""Total generalized variation of second order with two maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mrpro_lambda.norms import GroupNorm, L1Norm, Norm
from mrpro_lambda.operators.FirstComponentOp import FirstComponentOp
from mrpro_lambda.operators.GeneralizedGradientOp import ClosedBoundary, GeneralizedGradientOp
from mrpro_lambda.regularizers.Regularizer import Regularizer


class TotalGeneralizedVariation(Regularizer):
    r"""Weighted total generalized variation of second order [BRE2010]_ with two maps [VU2025]_.

    .. math::

        R_\Lambda(x) = \min_v \|\Lambda_1 \cdot (\nabla x - v)\|_1 + \|\Lambda_0 \cdot \mathcal{E} v\|_1

    Slopes are free of cost where total variation makes steps of them: :math:`v` follows a smooth gradient, and only
    its symmetrized gradient :math:`\mathcal{E} v` is penalized. The unknowns are image and vector field together, shape
    `(1 + n_dim, *image)`. The first map is :math:`\Lambda_1`, the second one :math:`\Lambda_0`.

    References
    ----------
    .. [BRE2010] Bredies K, Kunisch K, Pock T (2010) Total Generalized Variation. SIAM J Imaging Sci 3(3)
       https://doi.org/10.1137/090769521
    .. [VU2025] Vu TT, Kofler A, Papafitsoros K (2025) Deep unrolling for learning optimal spatially varying
       regularisation parameters for Total Generalised Variation. SSVM 2025 https://arxiv.org/abs/2502.16532
    """

    synthesis_op: FirstComponentOp
    """Image as the first of the unknowns."""

    def __init__(
        self,
        dim: Sequence[int],
        *,
        boundary: ClosedBoundary = 'circular',
        isotropic: bool = False,
        complex_modulus: bool = False,
    ) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        dim
            Axes along which differences are taken, negative.
        boundary
            Whether the image is continued periodically, or differences beyond the border are left out.
        isotropic
            Take the Euclidean norm of the vectors and of the symmetric matrices (Frobenius) instead of the sum of
            absolute values, which counts the mixed entry of a matrix once.
        complex_modulus
            Take the modulus of complex numbers instead of the sum of absolute values of real and imaginary part.

        Raises
        ------
        ValueError
            If an axis is repeated or not negative, or the boundary is unknown.
        """
        transform_op = GeneralizedGradientOp(dim, boundary, mixed_factor=2**0.5 if isotropic else 1.0)
        n_directions = len(transform_op.dim)
        map_of_row = (0,) * n_directions + (1,) * (transform_op.n_rows - n_directions)
        norm: Norm = L1Norm()
        if isotropic or complex_modulus:
            norm = GroupNorm(map_of_row if isotropic else None, modulus=complex_modulus)
        super().__init__(transform_op, norm, map_of_row, FirstComponentOp(1 + n_directions))
        self.boundary = boundary

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return both boundaries, three axes, and the norm of matrices."""
        return {
            'generalized variation': cls((-2, -1)),
            'generalized variation, neumann': cls((-2, -1), boundary='neumann'),
            'isotropic generalized variation': cls((-2, -1), isotropic=True, complex_modulus=True),
            'generalized variation with time': cls((-5, -2, -1)),
        }

    def start(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the initial image with a vector field of zeros."""
        return self.synthesis_op.adjoint(initial_image)[0]
