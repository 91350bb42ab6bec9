"""Weights that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.methods.ComparedMethod import ComparedMethod, Reconstruct, Workplace, solve_with, try_model
from mrpro_lambda.compare.methods.penalty import filters_of
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model
from mrpro_lambda.pretrained import load_pretrained, load_weights, pretrained_recipe, read_recipe


@dataclass(frozen=True)
class PretrainedMethod(ComparedMethod):
    """A model with weights that ship with the package, or of a file, or of another method of the comparison."""

    kind: Literal['weights'] = 'weights'
    """Tells this kind from others."""
    weights: str | Path | None = None
    """Name of weights that ship with the package, or a file."""
    trained: str | None = None
    """Name of a method of the comparison that is trained, whose weights are taken, in place of `weights`."""
    dictionary: str | Path | None = None
    """Dictionary in place of that of the weights, a name or a file."""
    permutation: Annotated[int, Range(0, 2**32 - 2)] | None = None
    """Seed of a random order of the filters of the dictionary. `None`: as they are."""
    tolerance: Annotated[float, Range(0, above=True)] | None = None
    """Certified gap to solve to. `None`: that of the weights."""
    max_iterations: Annotated[int, Range(1, 10**9)] | None = None
    """Largest number of iterations. `None`: that of the weights."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if (self.weights is None) == (self.trained is None):
            raise ValueError(f'Either weights or trained must be given, got {self.weights!r} and {self.trained!r}.')

    def prepare(self, workplace: Workplace) -> Reconstruct:
        """Load the weights."""
        return solve_with(self._load(workplace).to(workplace.device))

    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:
        """Reconstruct with few iterations, unless the weights are not there yet."""
        if self.trained is None:
            try_model(self.name, self._load(workplace).to(workplace.device), samples)
        elif self.trained not in workplace.trained:
            raise ValueError(
                f'trained of {self.name!r} must be one of the methods that are trained, {workplace.trained}, got '
                f'{self.trained!r}.'
            )

    def described(self, workplace: Workplace) -> Mapping[str, Any]:
        """Return the number of parameters."""
        model = self._load(workplace)
        of = self.trained if isinstance(self.trained, str) else Path(str(self.weights)).name
        order = '' if self.permutation is None else f', filters in the random order {self.permutation}'
        return {'parameters': sum(p.numel() for p in model.parameters()), 'how': f'weights of {of}{order}'}

    def _load(self, workplace: Workplace) -> Model:
        """Load the model, with another dictionary if there is one."""
        path = self.weights
        if self.trained is not None:
            path = workplace.folder / self.trained / 'weights.safetensors'

        def load(filters: torch.Tensor | None) -> Any:  # noqa: ANN401
            return load_weights(path, filters)[0] if isinstance(path, Path) else load_pretrained(str(path), filters)

        filters = filters_of(self.dictionary)
        model = load(filters)
        if self.permutation is not None:
            recipe = read_recipe(path) if isinstance(path, Path) else pretrained_recipe(str(path))
            filters = recipe.filters_of(model)
            if filters is None:
                raise ValueError(f'permutation of {self.name!r} needs a model with a dictionary, got {recipe}.')
            order = torch.randperm(len(filters), generator=torch.Generator().manual_seed(self.permutation))
            model = load(filters[order])
        if isinstance(model, LambdaMapModel):
            options: dict[str, Any] = {'tolerance': self.tolerance, 'max_iterations': self.max_iterations}
            model.solver = model.solver.replace(**{k: v for k, v in options.items() if v is not None})
        return model
