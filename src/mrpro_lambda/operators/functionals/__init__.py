"""Functionals with proximal mappings that the methods need and mrpro lacks."""

from mrpro_lambda.operators.functionals.L21Norm import L21Norm
from mrpro_lambda.operators.functionals.WeightedTotalVariation import WeightedTotalVariation

__all__ = [
    "L21Norm",
    "WeightedTotalVariation",
]
