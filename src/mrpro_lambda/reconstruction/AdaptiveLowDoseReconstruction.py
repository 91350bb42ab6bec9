"""From counts of photons to an image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.data_terms.PoissonCounts import PoissonCounts
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import ModelSolution
from mrpro_lambda.operators.filtered_back_projection import filtered_back_projection
from mrpro_lambda.operators.RayTransformOp import RayTransformOp
from mrpro_lambda.pretrained import load_pretrained, pretrained_recipe
from mrpro_lambda.recipes import LowDoseRecipe
from mrpro_lambda.reconstruction.warn_of_tolerance import warn_of_tolerance
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.PreconditionedPDHG import PreconditionedPDHG
from mrpro_lambda.weighting.NoiseWeight import NoiseWeight
from mrpro_lambda.weighting.Weight import Weight


class AdaptiveLowDoseReconstruction(torch.nn.Module):
    r"""Low-dose computed tomography, :math:`\min_{x \ge 0} f(x) + \|\Lambda \cdot \nabla x\|_1`.

    :math:`f` is the likelihood of the counts, see `~mrpro_lambda.data_terms.PoissonCounts`. The weight
    :math:`\Lambda` is a number, a map, or chosen by a network that looks at the filtered back projection [KOF2023]_.
    The problem is solved to a certified tolerance from that image.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        ray_transform_op: RayTransformOp,
        *,
        n_photons: float = 4096.0,
        attenuation: float = 81.35858,
        model: LambdaMapModel | str | None = None,
        regularization_weight: float | Sequence[float] | torch.Tensor | Weight | None = None,
        tolerance: float = 1e-2,
        max_iterations: int = 10_000,
        cutoff: float = 0.641,
    ) -> None:
        r"""Initialize the reconstruction.

        Parameters
        ----------
        ray_transform_op
            Operator of the scan, with parallel rays or a fan.
        n_photons
            Number of photons of a ray before the object.
        attenuation
            Attenuation per unit of length that an image value of 1 stands for; 1 if the image is the attenuation.
        model
            Model with a trained network, of a training with ``method = 'ct-tv'``, in place of `regularization_weight`.
            Its solver, with its own tolerance, is used. Or the name of weights that ship, ``'ct-tv'``, for which a
            `UserWarning` tells if they are not made for the scan.
        regularization_weight
            A number or a map of shape `(1, *other, 1, z, y, x)`, in the units of the likelihood; or a
            `~mrpro_lambda.weighting.Weight`: `~mrpro_lambda.weighting.NoiseWeight` takes multiples of the noise level,
            `~mrpro_lambda.weighting.LowestLoss` finds the number on the scan, and
            `~mrpro_lambda.weighting.FittedToScan` fits a map to it. Default: `NoiseWeight(0.025)`.
        tolerance
            Stop when the certified gap of each image is below `tolerance` times its objective, of which the noise is
            most. The gap is an upper bound of the true error of the objective.
        max_iterations
            Largest number of iterations. If they end the solve, there is a `UserWarning`.
        cutoff
            Cut-off of the filtered back projection, see `~mrpro_lambda.operators.filtered_back_projection`.

        Raises
        ------
        ValueError
            If both a model and a weight are given, or a number is not valid.
        """
        super().__init__()
        check_type('ray_transform_op', ray_transform_op, RayTransformOp)
        check_type('model', model, (LambdaMapModel, str, type(None)))
        if model is not None and regularization_weight is not None:
            raise ValueError(f'Give either model or regularization_weight, got {regularization_weight=} with a model.')
        self.data_term = PoissonCounts(ray_transform_op, n_photons=n_photons, attenuation=attenuation)
        if isinstance(model, str):
            model = _shipped(model, ray_transform_op, n_photons)
        if model is None:
            weight = NoiseWeight(0.025) if regularization_weight is None else regularization_weight
            regularizer = TotalVariation((-2, -1), boundary='neumann')
            model = LambdaMapModel(
                weight, PreconditionedPDHG(regularizer, max_iterations=max_iterations, tolerance=tolerance)
            )
        self.model = model
        self.ray_transform_op = ray_transform_op
        self.cutoff = cutoff

    def initial_image(self, data: torch.Tensor) -> torch.Tensor:
        """Return the filtered back projection without its negative values.

        Parameters
        ----------
        data
            Post-log data, shape `(*other, coils=1, z, angles, bins)`.
        """
        check_tensor('data', data)
        if data.ndim < 4:
            raise ValueError(
                f'data must have shape (*other, coils=1, z, angles, bins), got shape {tuple(data.shape)}: give '
                'data[None, None] for one slice.'
            )
        return filtered_back_projection(data, self.ray_transform_op, cutoff=self.cutoff).clamp_min(0)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Reconstruct.

        Parameters
        ----------
        data
            Post-log data, shape `(*other, coils=1, z, angles, bins)`; `from_counts` makes them of counts.

        Returns
        -------
            Image, shape `(*other, coils=1, z, y, x)`.
        """
        return self.solve(data).img

    def from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the post-log data of counts, see `~mrpro_lambda.data_terms.PoissonCounts.from_counts`."""
        return self.data_term.from_counts(counts)

    @torch.no_grad()
    def solve(self, data: torch.Tensor, *, progress: bool = False) -> ModelSolution:
        """Reconstruct, with the map and the certificate.

        Parameters
        ----------
        data
            As in `forward`.
        progress
            Show a progress bar.

        Returns
        -------
            Image, map and solution.

        Raises
        ------
        ValueError
            If the data are not those of the scan, not finite, or not post-log.
        """
        found = self.model.solve(
            data, self.data_term, self.initial_image(data), initial=self.initial_image, progress=progress
        )
        if found.solution is not None:
            warn_of_tolerance(found.solution, self.model.solver.tolerance, stacklevel=3)
        return found


def _shipped(name: str, ray_transform_op: RayTransformOp, n_photons: float) -> LambdaMapModel:
    """Load weights that ship, and warn if they are not made for the scan."""
    recipe, model = pretrained_recipe(name), load_pretrained(name)
    if not isinstance(recipe, LowDoseRecipe) or not isinstance(model, LambdaMapModel):
        raise ValueError(f"Counts of photons need weights with the method 'ct-tv', got {name!r}.")
    if mismatches := recipe.mismatches_of_counts(n_photons, len(ray_transform_op.geometry.angles)):
        warnings.warn(f'{name} is not made for this scan: {", ".join(mismatches)}.', UserWarning, stacklevel=3)
    return model
