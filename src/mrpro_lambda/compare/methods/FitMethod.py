"""A map that is fitted to each scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.methods.ComparedMethod import ComparedMethod, Reconstruct, Workplace, solve_with, try_model
from mrpro_lambda.compare.methods.penalty import Penalty, filters_of, limits_band, regularizer_of, solver_of
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.weighting import FittedToScan


@dataclass(frozen=True)
class FitMethod(ComparedMethod):
    """A map fitted to the scan itself, without training data, see `~mrpro_lambda.weighting.FittedToScan`."""

    kind: Literal['fit'] = 'fit'
    """Tells this kind from others."""
    regularizer: Penalty = 'tv'
    """What is sparse."""
    dictionary: str | Path | None = None
    """Dictionary of `'cdl'`, a name or a file."""
    beta: Annotated[float, Range(0, 1e6)] = 4.0
    """Strength of the low-pass filter of `'cdl'`."""
    n_steps: Annotated[int, Range(1, 10**6)] = 100
    """Steps of the fit."""
    n_iterations: Annotated[int, Range(1, 10**6)] = 32
    """Iterations of the solver in each step."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 3e-3
    """Largest learning rate."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap of the final solve."""
    max_iterations: Annotated[int, Range(1, 10**9)] = 1000
    """Largest number of its iterations."""

    def prepare(self, workplace: Workplace) -> Reconstruct:
        """Return the fit with the final solve."""
        return solve_with(self._model(self.n_steps).to(workplace.device))

    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:  # noqa: ARG002
        """Solve with one iteration and one weight: the fit takes whatever the solver does."""
        model = self._model(1)
        try_model(self.name, LambdaMapModel(0.0, model.solver, band_limit=model.band_limit), samples)

    def described(self, workplace: Workplace) -> Mapping[str, Any]:  # noqa: ARG002
        """Return how long the fit is."""
        return {'how': f'fitted to each scan, {self.n_steps} steps'}

    def _model(self, n_steps: int) -> LambdaMapModel:
        """Return the model."""
        regularizer = regularizer_of(self.regularizer, filters_of(self.dictionary), self.beta)
        weight = FittedToScan(n_steps=n_steps, n_iterations=self.n_iterations, learning_rate=self.learning_rate)
        solver = solver_of(self.regularizer, regularizer, tolerance=self.tolerance, max_iterations=self.max_iterations)
        return LambdaMapModel(weight, solver, band_limit=limits_band(self.regularizer))
