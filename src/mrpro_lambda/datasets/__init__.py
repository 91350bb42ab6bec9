"""Simulated acquisitions of magnitude images as training data, and readers of image files."""

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
from mrpro_lambda.datasets.AcquisitionSample import AcquisitionSample
from mrpro_lambda.datasets.augment_image import augment_image
from mrpro_lambda.datasets.CartesianLines import CartesianLines
from mrpro_lambda.datasets.CartesianSampling import CartesianSampling
from mrpro_lambda.datasets.CentralBox import CentralBox
from mrpro_lambda.datasets.draw_phantom import draw_phantom
from mrpro_lambda.datasets.GriddedSpokes import GriddedSpokes
from mrpro_lambda.datasets.ImageSource import ImageSource
from mrpro_lambda.datasets.KtLines import KtLines
from mrpro_lambda.datasets.LowDoseParallelBeam import LowDoseParallelBeam
from mrpro_lambda.datasets.LowDoseSample import LowDoseSample
from mrpro_lambda.datasets.Mixture import Mixture
from mrpro_lambda.datasets.Radial import Radial
from mrpro_lambda.datasets.RadialSample import RadialSample
from mrpro_lambda.datasets.read_images import read_images
from mrpro_lambda.datasets.read_lodopab import LodopabScan, read_lodopab
from mrpro_lambda.datasets.Sample import Sample
from mrpro_lambda.datasets.SimulatedAcquisitions import SimulatedAcquisitions
from mrpro_lambda.datasets.SimulatedCine import SimulatedCine
from mrpro_lambda.datasets.SimulatedData import SimulatedData
from mrpro_lambda.datasets.SimulatedScans import SimulatedScans
from mrpro_lambda.datasets.simulation import complex_noise, k1_noise_weight, simulate_coil_maps, smooth_phase
from mrpro_lambda.datasets.VariableDensityRandom import VariableDensityRandom

__all__ = [
    "AcquisitionFamily",
    "AcquisitionSample",
    "CartesianLines",
    "CartesianSampling",
    "CentralBox",
    "GriddedSpokes",
    "ImageSource",
    "KtLines",
    "LodopabScan",
    "LowDoseParallelBeam",
    "LowDoseSample",
    "Mixture",
    "Radial",
    "RadialSample",
    "Sample",
    "SimulatedAcquisitions",
    "SimulatedCine",
    "SimulatedData",
    "SimulatedScans",
    "VariableDensityRandom",
    "augment_image",
    "complex_noise",
    "draw_phantom",
    "k1_noise_weight",
    "read_images",
    "read_lodopab",
    "simulate_coil_maps",
    "smooth_phase",
]
