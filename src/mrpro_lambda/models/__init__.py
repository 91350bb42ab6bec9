"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.ModelConfig import ModelConfig

__all__ = ["LambdaMapModel", "ModelConfig"]
