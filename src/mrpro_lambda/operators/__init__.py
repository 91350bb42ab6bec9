"""Linear operators that the methods need and mrpro lacks."""

from mrpro_lambda.operators.acquisition_factors import acquisition_factors, with_true_adjoint
from mrpro_lambda.operators.AstraRayTransformOp import AstraRayTransformOp
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CartesianAcquisitionOp import CartesianAcquisitionOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp
from mrpro_lambda.operators.CorrelationTransform import CorrelationTransform
from mrpro_lambda.operators.FanBeam import FanBeam
from mrpro_lambda.operators.FilterBankTransform import FilterBankTransform
from mrpro_lambda.operators.filtered_back_projection import filtered_back_projection
from mrpro_lambda.operators.FirstComponentOp import FirstComponentOp
from mrpro_lambda.operators.GeneralizedGradientOp import GeneralizedGradientOp
from mrpro_lambda.operators.GradientOp import GradientOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.operators.GridDictionary import GridDictionary
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.operators.low_resolution_phase import low_resolution_phase
from mrpro_lambda.operators.LowPassOp import LowPassOp
from mrpro_lambda.operators.ModulationOp import ModulationOp
from mrpro_lambda.operators.orthogonal_wavelet import orthogonal_wavelet
from mrpro_lambda.operators.OrthonormalWaveletTransform import OrthonormalWaveletTransform
from mrpro_lambda.operators.ParallelBeam import ParallelBeam
from mrpro_lambda.operators.RayTransformOp import RayTransformOp
from mrpro_lambda.operators.ScanGeometry import ScanGeometry
from mrpro_lambda.operators.StackedTransform import StackedTransform
from mrpro_lambda.operators.ToeplitzGramOp import ToeplitzGramOp
from mrpro_lambda.operators.Transform import Transform
from mrpro_lambda.operators.UndecimatedWaveletTransform import UndecimatedWaveletTransform
from mrpro_lambda.operators.WaveletTransform import WaveletTransform

__all__ = [
    'AstraRayTransformOp',
    "BandLimitOp",
    "CartesianAcquisitionOp",
    "CirculantGramOp",
    "ConvolutionalDictionaryOp",
    "CorrelationTransform",
    "FanBeam",
    "FilterBankTransform",
    "FirstComponentOp",
    "GeneralizedGradientOp",
    "GradientOp",
    "GridDictionary",
    "IdentityTransform",
    "LowPassOp",
    "ModulationOp",
    "OrthonormalWaveletTransform",
    "ParallelBeam",
    "RayTransformOp",
    "ScanGeometry",
    "StackedTransform",
    "ToeplitzGramOp",
    "Transform",
    "UndecimatedWaveletTransform",
    "WaveletTransform",
    "acquisition_factors",
    "filtered_back_projection",
    "gram_operator",
    "low_resolution_phase",
    "orthogonal_wavelet",
    "with_true_adjoint",
]
