"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel

__all__ = ["LambdaMapModel"]
