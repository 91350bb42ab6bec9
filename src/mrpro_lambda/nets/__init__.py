"""How strongly: networks that estimate Lambda maps. They know no physics."""

from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet

__all__ = ["LambdaNet", "UNet"]
