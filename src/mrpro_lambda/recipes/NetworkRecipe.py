"""Base class of the descriptions of models that are trained as a whole."""

# annotations are evaluated here, as subclasses in other files inherit the fields with them
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.models.Model import Model
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.recipes.Recipe import Recipe


@dataclass(frozen=True)
class NetworkRecipe(Recipe):
    """What the descriptions of models have in common all of whose parameters are trained and stored."""

    net_dim: tuple[int, ...] = (-2, -1)
    """Axes that the networks convolve."""

    @classmethod
    @abstractmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return small descriptions by a name, whose models the tests try."""

    @abstractmethod
    def model(self, generator: torch.Generator) -> NetworkModel:
        """Build the model with initial weights from a generator."""

    def build(
        self,
        seed: int = 0,
        *,
        filters: torch.Tensor | None = None,
        inference: bool = False,  # noqa: ARG002
        trained: torch.nn.Module | None = None,
    ) -> NetworkModel:
        """Build the model, see `Recipe.build`."""
        model = self.trainable(seed, filters=filters) if trained is None else trained
        if not isinstance(model, NetworkModel):
            raise TypeError(f'trained must be a NetworkModel, got {type(model).__name__}.')
        return model

    def trainable(self, seed: int = 0, *, filters: torch.Tensor | None = None) -> torch.nn.Module:
        """Build the model, all of which is trained, see `Recipe.trainable`."""
        check_number('seed', seed, 0, 2**63, integer=True)
        if filters is not None:
            raise ValueError(f'The model has no dictionary, got filters of shape {tuple(filters.shape)}.')
        return self.model(torch.Generator().manual_seed(seed))

    def trainable_of(self, model: Model) -> torch.nn.Module:
        """Return the model itself."""
        check_type('model', model, NetworkModel)
        return model
