"""Description of a TV-Lambda model for computed tomography."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.nets.inputs import Features
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.PreconditionedPDHG import PreconditionedPDHG
from mrpro_lambda.solvers.Solver import Solver


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

    @property
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""
        return PreconditionedPDHG
