"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model, ModelSolution
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.models.PostProcessingModel import PostProcessingModel
from mrpro_lambda.models.UnrolledModel import UnrolledModel
from mrpro_lambda.models.VarNet import VarNet

__all__ = [
    "LambdaMapModel",
    "Model",
    "ModelSolution",
    "NetworkModel",
    "PostProcessingModel",
    "UnrolledModel",
    "VarNet",
]
