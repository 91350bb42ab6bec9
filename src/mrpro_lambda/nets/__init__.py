"""How strongly: networks that estimate Lambda maps. They know no physics."""

from mrpro_lambda.nets.intensity import intensity
from mrpro_lambda.nets.InverseResponse import InverseResponse
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet

__all__ = ["InverseResponse", "LambdaNet", "UNet", "intensity"]
