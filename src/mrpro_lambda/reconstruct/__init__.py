"""One reconstruction for the command line and for Python: from k-space data and settings to an image."""

from mrpro_lambda.reconstruct.choose import choose
from mrpro_lambda.reconstruct.Reconstructed import Reconstructed
from mrpro_lambda.reconstruct.Settings import Csm, Method, Phase, Rule, Settings, WeightUnit, Whitening
from mrpro_lambda.reconstruct.reconstruct import reconstruct, reconstruct_file

__all__ = [
    'Csm',
    'Method',
    'Phase',
    'Reconstructed',
    'Rule',
    'Settings',
    'WeightUnit',
    'Whitening',
    'choose',
    'reconstruct',
    'reconstruct_file',
]
