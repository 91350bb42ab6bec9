"""Measured data with a reference image."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import nibabel
import numpy as np
import torch

from mrpro_lambda.array_files import read_cfl
from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.models.fields import Range, check_fields
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.raw_data import read_scan
from mrpro_lambda.reconstruct import Settings
from mrpro_lambda.reconstruct.prepare import prepare
from mrpro_lambda.reconstruction import LearnedReconstruction
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM


@dataclass(frozen=True)
class ReferenceScan:
    """Raw data file with the image that a reconstruction should be."""

    path: str | Path
    """Raw data, any file that `mrpro-lambda reconstruct` reads."""
    reference: str | Path
    """Image of the shape of the reconstruction, `(y, x)` or `(slices, y, x)`, in `.npy`, `.nii`, `.nii.gz` or `.cfl`.
    Magnitudes are compared, after the one real factor that fits the image of a method best."""
    noise_std: Annotated[float, Range(0, above=True)] | None = None
    """Standard deviation of the complex noise of a k-space sample. `None`: estimated."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)

    def in_folder(self, folder: Path) -> ReferenceScan:
        """Return the scan with paths relative to a folder."""
        return dataclasses.replace(self, path=folder / self.path, reference=folder / self.reference)

    def sample(self, index: int) -> EvaluationSample:
        """Read data and reference, and find noise level and coil maps as `mrpro-lambda reconstruct` does.

        Parameters
        ----------
        index
            Number of the sample.

        Raises
        ------
        ValueError
            If a file can not be read, or if the reference has not the shape of the image.
        """
        prepared = prepare(read_scan(self.path), Settings(noise_std=self.noise_std), None)
        reconstruction = LearnedReconstruction(
            prepared.kdata,
            csm=None if prepared.coil_maps is None else prepared.coil_maps.csm,
            model=LambdaMapModel(0.0, ADMM(TotalVariation((-2, -1)), n_iterations=1)),
            whiten_background=False if prepared.noise_weight is None else prepared.noise_weight,
        )
        given = reconstruction.tensors(prepared.kdata)
        target = self._read_reference()
        shape = given.initial_image.shape
        n_expected = shape[:-2].numel()
        if target.shape[-2:] != shape[-2:] or target.shape[:-2].numel() != n_expected:
            raise ValueError(
                f'The reference {self.reference} must have the shape of the image of {self.path}, {tuple(shape)}, got '
                f'{tuple(target.shape)}.'
            )
        noise_std = torch.full((1, 1, 1, 1, 1), prepared.noise.std)
        return EvaluationSample(
            Path(self.path).stem,
            index,
            None,
            target.reshape(shape),
            given.data,
            given.acquisition_op,
            given.initial_image,
            noise_std,
        )

    def _read_reference(self) -> torch.Tensor:
        """Read the magnitude of the reference."""
        path = Path(self.reference)
        if not path.is_file():
            raise ValueError(f'There is no file {path}.')
        if path.suffix == '.cfl':
            return read_cfl(path).abs()
        try:
            if path.name.endswith(('.nii', '.nii.gz')):
                array = np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj).T
            else:
                array = np.load(path, allow_pickle=False)
            return torch.from_numpy(np.ascontiguousarray(np.abs(array), dtype=np.float32))
        except Exception as error:  # the libraries have many kinds of it for a file that is damaged
            raise ValueError(f'{path} can not be read as an image: {error}') from error
