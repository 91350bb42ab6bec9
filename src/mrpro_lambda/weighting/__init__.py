"""How strongly: what chooses the Lambda map of a scan, from a number to a network or a rule."""

from mrpro_lambda.weighting.ActivityWeight import ActivityWeight
from mrpro_lambda.weighting.as_weight import as_weight
from mrpro_lambda.weighting.AutomaticWeight import AutomaticWeight
from mrpro_lambda.weighting.CGImageWeight import CGImageWeight
from mrpro_lambda.weighting.Discrepancy import Discrepancy
from mrpro_lambda.weighting.fit_weight import Fit, fit_weight
from mrpro_lambda.weighting.FittedToScan import FittedToScan
from mrpro_lambda.weighting.GivenWeight import GivenWeight
from mrpro_lambda.weighting.LCurve import LCurve
from mrpro_lambda.weighting.LearnedNumbers import LearnedNumbers
from mrpro_lambda.weighting.LowestLoss import LowestLoss
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.NoiseWeight import NoiseWeight
from mrpro_lambda.weighting.NumberNet import NumberNet
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Sure import Sure
from mrpro_lambda.weighting.Sweep import Sweep, SweepPoint
from mrpro_lambda.weighting.Weight import Weight, WeightChoice

__all__ = [
    'ActivityWeight',
    'AutomaticWeight',
    'CGImageWeight',
    'Discrepancy',
    'Fit',
    'FittedToScan',
    'GivenWeight',
    'LCurve',
    'LearnedNumbers',
    'LowestLoss',
    'NetworkWeight',
    'NoiseWeight',
    'NumberNet',
    'Scan',
    'Sure',
    'Sweep',
    'SweepPoint',
    'Weight',
    'WeightChoice',
    'as_weight',
    'fit_weight',
]
