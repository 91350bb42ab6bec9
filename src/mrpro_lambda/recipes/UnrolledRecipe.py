"""Description of an unrolled alternation of data consistency and network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.UnrolledModel import UnrolledModel
from mrpro_lambda.recipes.consistency_step import Consistency, consistency_step
from mrpro_lambda.recipes.image_network import Architecture, image_network
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class UnrolledRecipe(NetworkRecipe):
    """Everything that is needed to build an unrolled model, apart from its weights."""

    method: Literal['unrolled'] = 'unrolled'
    """Tells this description from that of another model."""
    n_iterations: Annotated[int, Range(1, 1000)] = 10
    """Iterations."""
    shared: bool = False
    """Whether all iterations have the same weights."""
    architecture: Architecture = 'conv'
    """Architecture of the network."""
    n_features: Annotated[int, Range(1, 2048)] = 32
    """Features at the highest resolution."""
    depth: Annotated[int, Range(1, 64)] = 5
    """Resolutions of a U-Net, or convolutions."""
    noise_level: bool = False
    """Whether the network sees the noise level."""
    data_consistency: Consistency = 'landweber'
    """Kind of step towards the data."""
    consistency_steps: Annotated[int, Range(1, 1000)] = 1
    """Steps towards the data in each iteration."""
    strength: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Weight of a proximal step, or relative size of a gradient or Kaczmarz step; the initial value where it is
    learned, of proximal and gradient steps."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return each step towards the data, with shared and separate weights."""
        small: dict[str, Any] = {'n_iterations': 2, 'n_features': 4, 'depth': 2}
        return {
            'gradient': cls(**small, noise_level=True),
            'proximal': cls(**small, data_consistency='proximal', consistency_steps=4, strength=0.2),
            'Kaczmarz': cls(**small, data_consistency='kaczmarz', shared=True),
            'conjugate gradients': cls(**small, data_consistency='conjugate_gradients', consistency_steps=2),
        }

    def model(self, generator: torch.Generator) -> UnrolledModel:
        """Build the model."""
        n = 1 if self.shared else self.n_iterations
        nets = [
            image_network(
                self.architecture, self.net_dim, self.n_features, self.depth, generator, noise_level=self.noise_level
            )
            for _ in range(n)
        ]
        steps = [
            consistency_step(self.data_consistency, self.consistency_steps, self.strength, learned=True)
            for _ in range(n)
        ]
        return UnrolledModel(nets, steps, self.n_iterations)
