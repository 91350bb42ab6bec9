"""Networks: how strongly to regularize, and from image to image. They know no physics."""

from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.nets.ConvNet import ConvNet
from mrpro_lambda.nets.DenseNet import DenseNet
from mrpro_lambda.nets.Discriminator import Discriminator
from mrpro_lambda.nets.intensity import intensity
from mrpro_lambda.nets.InverseResponse import InverseResponse
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.PatchNet import PatchNet
from mrpro_lambda.nets.UNet import UNet

__all__ = [
    "ComplexNet",
    "ConvNet",
    "DenseNet",
    "Discriminator",
    "InverseResponse",
    "LambdaNet",
    "PatchNet",
    "UNet",
    "intensity",
]
