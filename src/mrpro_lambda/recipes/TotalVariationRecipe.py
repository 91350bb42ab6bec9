"""Description of a TV-Lambda model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.Solver import Solver


@dataclass(frozen=True)
class TotalVariationRecipe(LambdaRecipe):
    """Everything that is needed to build a TV-Lambda model with a U-Net, apart from its weights."""

    method: Literal['tv'] = 'tv'
    """Tells this description from that of another model."""
    dim: tuple[int, ...] = (-2, -1)
    """Axes of the total variation."""
    groups: Literal['tied', 'each'] = 'tied'
    """Whether the spatial axes share a map, or each axis has one of its own."""
    boundary: Boundary | tuple[Boundary, ...] = 'circular'
    """Boundary of the gradient, one for all axes or one for each, in the order of `dim`."""
    band_limit: bool = True
    """Limit the image to the measured band."""
    solver: Literal['ADMM', 'PDHG'] = 'ADMM'
    """Algorithm."""

    def regularizer(
        self,
        filters: torch.Tensor | None = None,
        strength: float | torch.Tensor | None = None,  # noqa: ARG002
    ) -> TotalVariation:
        """Build the regularizer."""
        if filters is not None:
            raise ValueError(f'A model of total variation takes no filters, got shape {tuple(filters.shape)}.')
        groups = [(d,) for d in self.dim] if self.groups == 'each' else None
        return TotalVariation(self.dim, groups=groups, boundary=self.boundary)

    def n_maps(self, filters: torch.Tensor | None) -> int:
        """Return the number of groups of directions."""
        return self.regularizer(filters).n_maps

    @property
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""
        return PDHG if self.solver == 'PDHG' else ADMM

    @property
    def limits_band(self) -> bool:
        """Whether the image is limited to the measured band."""
        return self.band_limit
