"""Raw data: reading files with checks, and bringing data into the form that a reconstruction takes."""

from mrpro_lambda.raw_data.RawScan import RawScan
from mrpro_lambda.raw_data.correct_gradient_delay import correct_gradient_delay
from mrpro_lambda.raw_data.from_array import from_array
from mrpro_lambda.raw_data.read_noise import read_noise
from mrpro_lambda.raw_data.read_scan import Averages, read_kdata, read_scan
from mrpro_lambda.raw_data.standardize import standardize
from mrpro_lambda.raw_data.to_unit_range import to_unit_range
from mrpro_lambda.raw_data.trajectory import TRAJECTORIES
from mrpro_lambda.raw_data.upsample import upsample

__all__ = [
    "Averages",
    "RawScan",
    "TRAJECTORIES",
    "correct_gradient_delay",
    "from_array",
    "read_kdata",
    "read_noise",
    "read_scan",
    "standardize",
    "to_unit_range",
    "upsample",
]
