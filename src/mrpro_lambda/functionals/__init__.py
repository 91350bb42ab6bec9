"""Functionals with proximal mappings that mrpro lacks."""

from mrpro_lambda.functionals.WeightedTotalVariation import WeightedTotalVariation

__all__ = ["WeightedTotalVariation"]
