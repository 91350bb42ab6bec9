"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.ModelConfig import DictionaryModelConfig, ModelConfig

__all__ = ["DictionaryModelConfig", "LambdaMapModel", "ModelConfig"]
