"""Reconstruction of k-space data with any model."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple

import torch
from mrpro.data import IData, KData

from mrpro_lambda.checks import check_tensor
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity
from mrpro_lambda.reconstruction.TensorReconstruction import TensorReconstruction, mean_multiplicity, to_idata
from mrpro_lambda.solvers.Solver import Solution


class ModelReconstructionSolution(NamedTuple):
    """Image of a reconstruction with what the model knows about it."""

    idata: IData
    """Image."""
    initial_idata: IData
    """Adjoint (zero-filled) reconstruction that the model saw."""
    img: torch.Tensor
    """Image, shape `(*other, coils, z, y, x)`."""
    noise_std: float | None = None
    """Standard deviation of the noise of a k-space sample, if the model used it."""
    noise_weight: torch.Tensor | None = None
    """Weights of the samples, see `~mrpro_lambda.reconstruction.estimate_noise_weight`, if the noise was whitened."""
    lambda_map: torch.Tensor | None = None
    """Lambda map, shape `(n_maps, *image)`; `None` for models without."""
    solution: Solution | None = None
    """Result of the solver with its certificate; `None` for models without."""
    weight_report: Mapping[str, Any] | None = None
    """What a rule that chose the weight found."""

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        name, shape = type(self).__name__, tuple(self.img.shape)
        return f'{name}(img of shape {shape}, noise_std={self.noise_std}, solution={self.solution})'


class ModelReconstruction(TensorReconstruction):
    r"""Reconstruct with any `~mrpro_lambda.models.Model`: MoDL, variational networks, plug-and-play, splitting, ...

    A drop-in replacement of mrpro's reconstructions. The model is given prewhitened data, the acquisition model with
    the coil sensitivities, and the adjoint of the data, as in its training. Samples that were acquired several times
    are their means, with the noise of means.

    Most models have no certificate: their image is what networks return. For those with a Lambda map and a convex
    problem there is `LearnedReconstruction`, which takes weights of one's own besides and warns where a tolerance was
    not reached.
    """

    @torch.no_grad()
    def solve(self, kdata: KData) -> ModelReconstructionSolution:
        """Apply the reconstruction and return the image with what the model knows about it.

        Parameters
        ----------
        kdata
            k-space data.

        Raises
        ------
        ValueError
            If the data hold NaN or Inf, or are all zero, if they are not those that the reconstruction was set up for,
            if the model can not reconstruct them, if the noise can not be estimated from the background, or if the
            image of the model is not finite.
        """
        measured = self.tensors(kdata)
        data, acquisition_op, noise_std = measured.data, measured.acquisition_op, measured.noise_std
        count = sample_multiplicity(self.fourier_op)
        if count is not None:  # with the weight of one sample, the gradient of the data term is that of the mean
            once = count.rsqrt()
            data, acquisition_op = once * data, once * acquisition_op
            noise_std = None if noise_std is None else noise_std / sqrt(mean_multiplicity(count))
        found = self.model.solve(data, acquisition_op, measured.initial_image, noise_std, progress=self.progress)
        check_tensor(f'The image of {type(self.model).__name__}', found.img)
        return ModelReconstructionSolution(
            to_idata(found.img, measured.kdata),
            to_idata(measured.initial_image, measured.kdata),
            found.img,
            measured.noise_std,
            measured.noise_weight,
            found.lambda_map,
            found.solution,
            found.report,
        )
