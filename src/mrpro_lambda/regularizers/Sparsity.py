"""Sparsity of the image itself."""

from __future__ import annotations

from collections.abc import Mapping

from mrpro_lambda.norms import GroupNorm, L1Norm
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.regularizers.Regularizer import Regularizer


class Sparsity(Regularizer):
    r"""Weighted sparsity :math:`R_\Lambda(x) = \|\Lambda \cdot x\|_1` of the image [TIB1996]_, with one map.

    Real and imaginary part are penalized separately, unless asked otherwise. Together with a total variation it is the
    fused lasso [TIB2005]_, ``TotalVariation(dim) + Sparsity()``.

    References
    ----------
    .. [TIB1996] Tibshirani R (1996) Regression Shrinkage and Selection via the Lasso. J R Stat Soc B 58(1)
       https://doi.org/10.1111/j.2517-6161.1996.tb02080.x
    .. [TIB2005] Tibshirani R, Saunders M, Rosset S, et al. (2005) Sparsity and smoothness via the fused lasso. J R Stat
       Soc B 67(1) https://doi.org/10.1111/j.1467-9868.2005.00490.x
    """

    def __init__(self, *, complex_modulus: bool = False) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        complex_modulus
            Take the modulus of complex numbers instead of the sum of absolute values of real and imaginary part.
        """
        super().__init__(IdentityTransform(), GroupNorm(modulus=True) if complex_modulus else L1Norm())

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return the sparsity of parts and of moduli."""
        return {'sparsity': cls(), 'sparsity of the modulus': cls(complex_modulus=True)}
