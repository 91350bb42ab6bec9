"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model, ModelSolution

__all__ = ["LambdaMapModel", "Model", "ModelSolution"]
