"""What a network sees, one file for each kind of channels."""

from mrpro_lambda.nets.inputs.ImageInput import ImageInput
from mrpro_lambda.nets.inputs.InputContext import InputContext
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput
from mrpro_lambda.nets.inputs.NoiseLevelInput import NoiseLevelInput
from mrpro_lambda.nets.inputs.ResponseMeanInput import ResponseMeanInput
from mrpro_lambda.nets.inputs.ResponsesInput import ResponsesInput
from mrpro_lambda.nets.inputs.ScaledImageInput import ScaledImageInput
from mrpro_lambda.nets.inputs.SignalInput import Features, SignalInput

__all__ = [
    "Features",
    "ImageInput",
    "InputContext",
    "NetworkInput",
    "NoiseLevelInput",
    "ResponseMeanInput",
    "ResponsesInput",
    "ScaledImageInput",
    "SignalInput",
]
