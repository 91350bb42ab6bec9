"""Descriptions of models that are stored with their weights, one file for each method."""

from mrpro_lambda.recipes.ADMMNetRecipe import ADMMNetRecipe
from mrpro_lambda.recipes.DictionaryRecipe import CERTIFYING_PENALTY_FACTOR, DictionaryRecipe
from mrpro_lambda.recipes.DirectInversionRecipe import DirectInversionRecipe
from mrpro_lambda.recipes.GeneralizedVariationRecipe import GeneralizedVariationRecipe
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.recipes.LowDoseRecipe import LowDoseRecipe
from mrpro_lambda.recipes.MoDLRecipe import MoDLRecipe
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe
from mrpro_lambda.recipes.PlugAndPlayRecipe import PlugAndPlayRecipe
from mrpro_lambda.recipes.PostProcessingRecipe import PostProcessingRecipe
from mrpro_lambda.recipes.Recipe import Recipe
from mrpro_lambda.recipes.ScanProperties import ScanProperties
from mrpro_lambda.recipes.SplittingRecipe import SplittingRecipe
from mrpro_lambda.recipes.SuperResolutionRecipe import SuperResolutionRecipe
from mrpro_lambda.recipes.TotalVariationRecipe import TotalVariationRecipe
from mrpro_lambda.recipes.UnrolledRecipe import UnrolledRecipe
from mrpro_lambda.recipes.VarNetRecipe import VarNetRecipe

__all__ = [
    "ADMMNetRecipe",
    "CERTIFYING_PENALTY_FACTOR",
    "DictionaryRecipe",
    "DirectInversionRecipe",
    "GeneralizedVariationRecipe",
    "LambdaRecipe",
    "LowDoseRecipe",
    "MoDLRecipe",
    "NetworkRecipe",
    "PlugAndPlayRecipe",
    "PostProcessingRecipe",
    "Recipe",
    "ScanProperties",
    "SplittingRecipe",
    "SuperResolutionRecipe",
    "TotalVariationRecipe",
    "UnrolledRecipe",
    "VarNetRecipe",
]
