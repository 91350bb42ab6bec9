"""What is sparse: regularizers with a Lambda map."""

from mrpro_lambda.regularizers.DictionarySparsity import DictionarySparsity
from mrpro_lambda.regularizers.FilterSparsity import FilterSparsity
from mrpro_lambda.regularizers.PhaseAware import PhaseAware
from mrpro_lambda.regularizers.Regularizer import Regularizer, SumRegularizer
from mrpro_lambda.regularizers.Sparsity import Sparsity
from mrpro_lambda.regularizers.Tikhonov import Tikhonov
from mrpro_lambda.regularizers.TotalGeneralizedVariation import TotalGeneralizedVariation
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.regularizers.WaveletSparsity import WaveletSparsity

__all__ = [
    "DictionarySparsity",
    "FilterSparsity",
    "PhaseAware",
    "Regularizer",
    "Sparsity",
    "SumRegularizer",
    "Tikhonov",
    "TotalGeneralizedVariation",
    "TotalVariation",
    "WaveletSparsity",
]
