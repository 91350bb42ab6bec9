"""Check DICOM files with programs that share no code with this package.

Images in several geometries are written as single-frame and enhanced DICOM files, one series of each kind. `dciodvfy`
(Debian package `dicom3tools`) counts violations of the standard. `dcm2niix` (Debian package `dcm2niix`) converts each
series to NIfTI, which is compared with the NIfTI file of this package: each voxel is looked up by its place in the
patient. The table shows the number of errors, the largest distance of a voxel to the one with its value in mm, and the
largest difference relative to the largest value.

    apt-get install dicom3tools dcm2niix
    python benchmarks/dicom_conformance.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import nibabel
import numpy as np
import torch
from mrpro.data import IHeader, KHeader, Rotation, SpatialDimension
from mrpro_lambda.export import write_dicom, write_nifti
from mrpro_lambda.export.dicom import DicomKind, Storage

N_Y, N_X = 30, 41
OBLIQUE = torch.tensor([[0.48, 0.6, -0.64], [-0.8, 0.6, 0.0], [0.384, 0.512, 0.768]])
"""Directions of readout, phase encoding and slices, along left, posterior and superior."""


def header(directions: torch.Tensor, heights: list[float], slices: list[int]) -> IHeader:
    """Header of images whose centers are at some heights along the direction of the slices in m."""
    center = torch.tensor([0.01, -0.02, 0.03]) + torch.tensor(heights)[:, None] * directions[2]
    x, y, z = (p.reshape(-1, 1, 1, 1, 1) for p in center.unbind(-1))
    result = IHeader(resolution=SpatialDimension(0.005, 0.003, 0.002), position=SpatialDimension(z, y, x))
    result.orientation = Rotation.from_directions(
        *(SpatialDimension(*d.flip(0)[:, None, None, None, None, None]) for d in directions.flip(0))
    )
    result.idx.slice = torch.tensor(slices).reshape(-1, 1, 1, 1, 1)
    result.te, result.tr, result.fa, result.ti = [0.01], [0.5], [0.3], [0.3]
    if len(slices) > 5:
        result.ti = torch.linspace(0.1, 1, len(slices)).reshape(-1, 1, 1, 1, 1)
    return result


def cases() -> dict[str, tuple[tuple[int, ...], IHeader]]:
    """Shapes and headers of images."""
    directions, _ = torch.linalg.qr(OBLIQUE.T)
    directions = directions.T
    mirrored = directions * torch.tensor([[-1.0], [1.0], [1.0]])
    stack, order = [0.0, 0.014, 0.007], [0, 2, 1]
    return {
        'axial slice': ((1, 1, 1, N_Y, N_X), header(torch.eye(3), [0.0], [0])),
        'oblique slices': ((3, 1, 1, N_Y, N_X), header(directions, stack, order)),
        'mirrored slices': ((3, 1, 1, N_Y, N_X), header(mirrored, stack, order)),
        'slices, 2 times': ((6, 1, 1, N_Y, N_X), header(directions, 2 * stack, 2 * order)),
        'cine': ((5, 1, 1, N_Y, N_X), header(directions, 5 * [0.0], 5 * [0])),
        'volume': ((1, 1, 8, N_Y, N_X), header(mirrored, [0.0], [0])),
        'volume, 3 times': ((3, 1, 7, N_Y, N_X), header(directions, 3 * [0.0], 3 * [0])),
    }


def kheader() -> KHeader:
    """Header of raw data with patient, study and scanner."""
    matrix, fov = SpatialDimension(1, N_Y, N_X), SpatialDimension(0.005, 0.09, 0.082)
    groups = {
        'subjectInformation': {'patientID': 'P\\1', 'patientBirthdate': '1980-02-03', 'patientGender': 'F'},
        'studyInformation': {'studyInstanceUID': '1.2.3', 'studyDate': '2020-05-06', 'studyTime': '07:08:09'},
        'measurementInformation': {'initialSeriesNumber': 7, 'protocolName': 'Müller'},
        'acquisitionSystemInformation': {'systemVendor': 'Vendor', 'systemModel': 'Model'},
    }
    return KHeader(matrix, matrix, fov, fov, lamor_frequency_proton=63.87e6, patient_name='Doe^Jane', _misc=groups)


def n_errors(folder: Path) -> int:
    """Count the errors that dciodvfy finds in the files of a folder."""
    reports = [subprocess.run(['dciodvfy', '-new', path], capture_output=True, text=True) for path in folder.iterdir()]  # noqa: S603, S607
    return sum(line.startswith('Error') for report in reports for line in report.stderr.splitlines())


def compare(folder: Path, nifti: Path) -> tuple[float, float]:
    """Return the largest distance in mm and difference of values of a series that dcm2niix has converted."""
    output = folder.with_name(f'{folder.name}-nii')
    output.mkdir()
    subprocess.run(['dcm2niix', '-z', 'n', '-f', 'image', '-o', output, folder], capture_output=True, check=True)  # noqa: S603, S607
    (path,) = output.glob('*.nii')
    ours, theirs = (nibabel.Nifti1Image.from_filename(p) for p in (nifti, path))
    expected, values = np.asarray(ours.dataobj), theirs.get_fdata()
    expected, values = (v.reshape(*v.shape[:3], -1) if v.ndim > 2 else v[..., None, None] for v in (expected, values))
    if expected.shape[2] == 1:  # dcm2niix takes the times of one slice in one file for slices
        values = values.reshape(*values.shape[:2], 1, -1)
    voxels = np.argwhere(np.ones(expected.shape[:3], dtype=bool))
    found = nibabel.affines.apply_affine(np.linalg.inv(theirs.affine) @ ours.affine, voxels)
    nearest = found.round().astype(int)
    distance = np.linalg.norm((found - nearest) @ theirs.affine[:3, :3].T, axis=-1).max()
    reference, converted = expected[tuple(voxels.T)], values[tuple(nearest.T)]
    converted = converted / 1000 ** np.round(np.log10(np.abs(converted).max() / np.abs(reference).max()) / 3)
    return distance, np.abs(converted - reference).max() / np.abs(reference).max()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    sys.stdout.write('| geometry | storage | kind | errors | mm | difference |\n|---|---|---|---|---|---|\n')
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (shape, head)) in enumerate(cases().items()):
            for storage in get_args(Storage):
                for kind in get_args(DicomKind):
                    img = torch.rand(shape, generator=generator)
                    img = 6 * img - 3 if kind == 'phase' else img
                    path = Path(folder) / f'{i}-{storage}-{kind}'
                    write_nifti(path.with_suffix('.nii'), img, head)
                    write_dicom(path, img, head, kind=kind, storage=storage, kheader=kheader() if i % 2 else None)
                    distance, difference = compare(path, path.with_suffix('.nii'))
                    row = f'| {name} | {storage} | {kind} | {n_errors(path)} | {distance:.0e} | {difference:.0e} |'
                    sys.stdout.write(row + '\n')


if __name__ == '__main__':
    main()
