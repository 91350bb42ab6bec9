"""Comparison of methods on the same samples: configuration, results, tables and report."""

from mrpro_lambda.compare.CompareConfig import CompareConfig, list_configurations
from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.EvaluationSet import EvaluationSet
from mrpro_lambda.compare.ReferenceScan import ReferenceScan
from mrpro_lambda.compare.TrainingSettings import TrainingSettings
from mrpro_lambda.compare.compare import compare
from mrpro_lambda.compare.methods import (
    ComparedMethod,
    FitMethod,
    PretrainedMethod,
    ScalarMethod,
    TrainedMethod,
    ZeroFilled,
)

__all__ = [
    "CompareConfig",
    "ComparedMethod",
    "EvaluationSample",
    "EvaluationSet",
    "FitMethod",
    "PretrainedMethod",
    "ReferenceScan",
    "ScalarMethod",
    "TrainedMethod",
    "TrainingSettings",
    "ZeroFilled",
    "compare",
    "list_configurations",
]
