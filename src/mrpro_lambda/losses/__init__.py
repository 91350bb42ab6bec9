"""Losses that are computed from the measured data alone, for training without targets."""

from mrpro_lambda.losses.HeldOut import HeldOut
from mrpro_lambda.losses.Recorrupted import Recorrupted
from mrpro_lambda.losses.ScanLoss import Measured, ScanLoss, SumOfLosses
from mrpro_lambda.losses.Thinned import Thinned
from mrpro_lambda.losses.UnbiasedRisk import UnbiasedRisk
from mrpro_lambda.losses.default_loss import default_loss

__all__ = [
    'HeldOut',
    'Measured',
    'Recorrupted',
    'ScanLoss',
    'SumOfLosses',
    'Thinned',
    'UnbiasedRisk',
    'default_loss',
]
