"""Results as files: DICOM, NIfTI, PNG, GIF and a report, in a folder that appears complete or not at all."""

from mrpro_lambda.export.Volumes import Volumes
from mrpro_lambda.export.dicom import write_dicom
from mrpro_lambda.export.images import ImageFiles, write_images
from mrpro_lambda.export.movie import write_movie
from mrpro_lambda.export.nifti import write_nifti
from mrpro_lambda.export.output_folder import output_folder
from mrpro_lambda.export.report import json_text, write_report, write_sweep

__all__ = [
    "ImageFiles",
    "Volumes",
    "json_text",
    "output_folder",
    "write_dicom",
    "write_images",
    "write_movie",
    "write_nifti",
    "write_report",
    "write_sweep",
]
