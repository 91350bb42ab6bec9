"""Description of a TGV-Lambda model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from mrpro_lambda.operators.GeneralizedGradientOp import ClosedBoundary
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.regularizers.TotalGeneralizedVariation import TotalGeneralizedVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.Solver import Solver

CERTIFYING_PENALTY_FACTOR = 0.4
"""Penalty of ADMM that solves to a tolerance: a brain at R = 4 and 160 x 160 had a plain gap of 2.9e-2 after 400
iterations with 0.3, and of 1.1e-1 with 1, although the objective falls faster with 1."""


@dataclass(frozen=True)
class GeneralizedVariationRecipe(LambdaRecipe):
    """Everything that is needed to build a TGV-Lambda model, apart from its weights."""

    method: Literal['tgv'] = 'tgv'
    """Tells this description from that of another model."""
    dim: tuple[int, ...] = (-2, -1)
    """Axes of the generalized variation."""
    boundary: ClosedBoundary = 'circular'
    """Boundary of the differences."""
    band_limit: bool = True
    """Limit the image to the measured band."""

    def regularizer(
        self,
        filters: torch.Tensor | None = None,
        strength: float | torch.Tensor | None = None,  # noqa: ARG002
    ) -> TotalGeneralizedVariation:
        """Build the regularizer."""
        if filters is not None:
            raise ValueError(f'A model of generalized variation takes no filters, got shape {tuple(filters.shape)}.')
        return TotalGeneralizedVariation(self.dim, boundary=self.boundary)

    def n_maps(self, filters: torch.Tensor | None) -> int:  # noqa: ARG002
        """Return 2: the maps of the gradient and of the symmetrized gradient."""
        return 2

    @property
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""
        return ADMM

    @property
    def penalty_in_use(self) -> float:
        """Penalty of ADMM in use, which favors the dual variables that the proof needs."""
        return CERTIFYING_PENALTY_FACTOR

    @property
    def limits_band(self) -> bool:
        """Whether the image is limited to the measured band."""
        return self.band_limit
