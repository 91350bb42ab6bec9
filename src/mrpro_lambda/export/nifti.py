"""Images as NIfTI files."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel
import numpy as np
import torch
from mrpro.data import IHeader

from mrpro_lambda.export.Volumes import Volumes


def write_nifti(path: Path, img: torch.Tensor, header: IHeader) -> None:
    """Write an image as NIfTI-1 file, with slices along the third axis and all other axes as the fourth.

    Voxel sizes are in mm, and orientation and position are those of the header, see `Volumes`.

    Parameters
    ----------
    path
        File that ends with `.nii` or `.nii.gz`.
    img
        Real or complex image with one coil, shape `(*other, 1, z, y, x)`.
    header
        Header, on the CPU.

    Warns
    -----
    UserWarning
        If slices are not parallel and equally spaced, which a NIfTI file can not tell.
    """
    volumes = Volumes.of(img, header)
    if not volumes.is_regular():
        warnings.warn(
            'The slices are not parallel and equally spaced, or move: the places in a NIfTI file are those of the '
            'first slice and a mean step. Those in DICOM files are right.',
            stacklevel=2,
        )
    values = volumes.img.numpy().transpose(3, 2, 1, 0)
    if values.shape[-1] == 1:
        values = values[..., 0]
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*volumes.axes[0, 0, :2], volumes.step], -1)
    affine[:3, 3] = volumes.corner[0, 0]
    affine[:2] *= -1  # from the axes of ISMRMRD and DICOM (left, posterior, superior) to (right, anterior, superior)
    nifti = nibabel.Nifti1Image(np.ascontiguousarray(values), affine)
    nifti.header.set_xyzt_units('mm')
    nibabel.save(nifti, path)
