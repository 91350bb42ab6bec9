"""Description of a TV-Lambda model for computed tomography."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.nets.inputs import Features
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.recipes.ScanProperties import ScanProperties
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.PreconditionedPDHG import PreconditionedPDHG
from mrpro_lambda.solvers.Solver import Solver

_Number = Annotated[int, Range(1, 100_000)]


@dataclass(frozen=True)
class LowDoseRecipe(LambdaRecipe):
    """Everything that is needed to build a TV-Lambda model for counts of photons, apart from its weights."""

    method: Literal['ct-tv'] = 'ct-tv'
    """Tells this description from that of another model."""
    features: Features = 'signal_to_noise'
    """What of the image the network sees."""
    noise_level: bool = True
    """Whether the weight uses the noise level, which follows from the counts."""
    boundary: Boundary = 'neumann'
    """Boundary of the gradient."""
    n_iterations: Annotated[int, Range(1, 10**6)] = 100
    """Iterations in training."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap to solve to in use, relative to the objective, of which the noise is most."""
    max_iterations: Annotated[int, Range(1, 10**9)] = 10_000
    """Largest number of iterations in use."""
    valid_angles: tuple[_Number, _Number] | None = None
    """Smallest and largest number of angles of half a turn in which the weights are of use; `None` is unknown."""

    def regularizer(
        self,
        filters: torch.Tensor | None = None,
        strength: float | torch.Tensor | None = None,  # noqa: ARG002
    ) -> TotalVariation:
        """Build the regularizer, with one map for both axes."""
        if filters is not None:
            raise ValueError(f'A model of total variation takes no filters, got shape {tuple(filters.shape)}.')
        return TotalVariation((-2, -1), boundary=self.boundary)

    def n_maps(self, filters: torch.Tensor | None) -> int:
        """Return the number of maps."""
        return self.regularizer(filters).n_maps

    def good_for(self) -> str:
        """Tell in words which scans the weights are good for; what is not known is left out."""
        return ', '.join(f'{low:.0f} to {high:.0f} {name}' for name, (low, high) in self._ranges().items())

    def mismatches(self, scan: ScanProperties) -> list[str]:  # noqa: ARG002
        """Tell that a scan of k-space is not one that the weights are good for."""
        return ['k-space data instead of counts of photons']

    def mismatches_of_counts(self, n_photons: float, n_angles: int) -> list[str]:
        """Tell in which properties counts of photons are not those that the weights are good for, a text for each.

        Parameters
        ----------
        n_photons
            Number of photons of a ray before the object.
        n_angles
            Number of angles.
        """
        given = {'photons': n_photons, 'angles': n_angles}
        return [
            f'{given[name]:.0f} {name} instead of {low:.0f} to {high:.0f}'
            for name, (low, high) in self._ranges().items()
            if not 0.95 * low <= given[name] <= 1.05 * high
        ]

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """Return the ranges of photons and angles, as measured or of the training."""
        noise = self.valid_noise or self.noise_range
        photons = None if noise is None or not noise[0] else (noise[1] ** -2, noise[0] ** -2)
        ranges = {'photons': photons, 'angles': self.valid_angles}
        return {name: known for name, known in ranges.items() if known is not None}

    @property
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""
        return PreconditionedPDHG
