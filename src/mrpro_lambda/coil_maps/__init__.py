"""Coil maps: where they come from, how they are estimated, and fewer coils."""

from mrpro_lambda.coil_maps.calibration_images import calibration_images, center_images, windowed
from mrpro_lambda.coil_maps.calibration_region import acceleration, calibration_region
from mrpro_lambda.coil_maps.coil_map_files import read_coil_maps, write_coil_maps
from mrpro_lambda.coil_maps.compress_coils import CompressedCoils, combine_coils, compress_coils
from mrpro_lambda.coil_maps.espirit import EspiritMaps, espirit, espirit_maps
from mrpro_lambda.coil_maps.find_coil_maps import CoilMapMethod, CoilMaps, CoilMapSource, find_coil_maps

__all__ = [
    "CoilMapMethod",
    "CoilMapSource",
    "CoilMaps",
    "CompressedCoils",
    "EspiritMaps",
    "acceleration",
    "calibration_images",
    "calibration_region",
    "center_images",
    "combine_coils",
    "compress_coils",
    "espirit",
    "espirit_maps",
    "find_coil_maps",
    "read_coil_maps",
    "windowed",
    "write_coil_maps",
]
