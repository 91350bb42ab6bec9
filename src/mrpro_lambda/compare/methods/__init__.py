"""Kinds of methods that are compared, one file for each."""

from mrpro_lambda.compare.methods.ComparedMethod import ComparedMethod, MethodResult, Reconstruct, Workplace
from mrpro_lambda.compare.methods.FitMethod import FitMethod
from mrpro_lambda.compare.methods.PretrainedMethod import PretrainedMethod
from mrpro_lambda.compare.methods.ScalarMethod import ScalarMethod
from mrpro_lambda.compare.methods.TrainedMethod import TrainedMethod
from mrpro_lambda.compare.methods.ZeroFilled import ZeroFilled

__all__ = [
    "ComparedMethod",
    "FitMethod",
    "MethodResult",
    "PretrainedMethod",
    "Reconstruct",
    "ScalarMethod",
    "TrainedMethod",
    "Workplace",
    "ZeroFilled",
]
