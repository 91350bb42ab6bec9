"""Descriptions of models that are stored with their weights, one file for each method."""

from mrpro_lambda.recipes.DictionaryRecipe import CERTIFYING_PENALTY_FACTOR, DictionaryRecipe
from mrpro_lambda.recipes.GeneralizedVariationRecipe import GeneralizedVariationRecipe
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.recipes.LowDoseRecipe import LowDoseRecipe
from mrpro_lambda.recipes.Recipe import Recipe
from mrpro_lambda.recipes.ScanProperties import ScanProperties
from mrpro_lambda.recipes.TotalVariationRecipe import TotalVariationRecipe

__all__ = [
    "CERTIFYING_PENALTY_FACTOR",
    "DictionaryRecipe",
    "GeneralizedVariationRecipe",
    "LambdaRecipe",
    "LowDoseRecipe",
    "Recipe",
    "ScanProperties",
    "TotalVariationRecipe",
]
