"""Trainable reconstructions of tensors."""

from mrpro_lambda.models.ADMMNet import ADMMNet
from mrpro_lambda.models.DenoisingModel import DenoisingModel
from mrpro_lambda.models.DirectInversionModel import DirectInversionModel
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model, ModelSolution
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.models.PlugAndPlayModel import PlugAndPlayModel
from mrpro_lambda.models.PostProcessingModel import PostProcessingModel
from mrpro_lambda.models.ProximalDenoiser import ProximalDenoiser
from mrpro_lambda.models.SplittingModel import SplittingModel
from mrpro_lambda.models.SuperResolutionModel import SuperResolutionModel
from mrpro_lambda.models.UnrolledModel import UnrolledModel
from mrpro_lambda.models.VarNet import VarNet

__all__ = [
    "ADMMNet",
    "DenoisingModel",
    "DirectInversionModel",
    "LambdaMapModel",
    "Model",
    "ModelSolution",
    "NetworkModel",
    "PlugAndPlayModel",
    "PostProcessingModel",
    "ProximalDenoiser",
    "SplittingModel",
    "SuperResolutionModel",
    "UnrolledModel",
    "VarNet",
]
