"""Description of a plug-and-play reconstruction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.models.DenoisingModel import DenoisingModel
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.Model import Model
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.models.PlugAndPlayModel import PlugAndPlayModel
from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.recipes.consistency_step import Consistency, consistency_step
from mrpro_lambda.recipes.image_network import Architecture, image_network
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class PlugAndPlayRecipe(NetworkRecipe):
    """Everything that is needed to build a plug-and-play reconstruction, apart from the weights of its denoiser.

    The model for training is the denoiser alone, on images of complete acquisitions; that for use is the iteration.
    """

    method: Literal['plug_and_play'] = 'plug_and_play'
    """Tells this description from that of another model."""
    architecture: Architecture = 'conv'
    """Architecture of the denoiser, which sees the noise level."""
    n_features: Annotated[int, Range(1, 2048)] = 32
    """Features of the denoiser at the highest resolution."""
    depth: Annotated[int, Range(1, 64)] = 7
    """Resolutions of a U-Net, or convolutions."""
    n_iterations: Annotated[int, Range(1, 10000)] = 30
    """Iterations."""
    noise_factor: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Noise level that the denoiser is told, relative to that of the data."""
    first_noise_factor: Annotated[float, Range(0, 1e6, above=True)] | None = None
    """That of the first iteration; the same if `None`."""
    scheme: Literal['alternating', 'admm'] = 'alternating'
    """Alternate denoiser and data consistency, or the scheme of ADMM."""
    data_consistency: Consistency = 'landweber'
    """Kind of step towards the data."""
    consistency_steps: Annotated[int, Range(1, 1000)] = 1
    """Steps towards the data in each iteration."""
    strength: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Weight of a proximal step, or relative size of a gradient or Kaczmarz step."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return each scheme."""
        small: dict[str, Any] = {'n_features': 4, 'depth': 2, 'n_iterations': 3}
        return {
            'alternating': cls(**small, first_noise_factor=3.0),
            'Kaczmarz': cls(**small, data_consistency='kaczmarz', architecture='unet'),
            'ADMM': cls(**small, scheme='admm', data_consistency='proximal', consistency_steps=4, strength=0.3),
        }

    def model(self, generator: torch.Generator) -> DenoisingModel:
        """Build the model for training."""
        return DenoisingModel(
            image_network(self.architecture, self.net_dim, self.n_features, self.depth, generator, noise_level=True)
        )

    def build(
        self,
        seed: int = 0,
        *,
        filters: torch.Tensor | None = None,
        inference: bool = False,
        trained: torch.nn.Module | None = None,
    ) -> NetworkModel:
        """Build the model, see `Recipe.build`."""
        denoiser = self.trainable(seed, filters=filters) if trained is None else trained
        if not isinstance(denoiser, ComplexNet):
            raise TypeError(f'trained must be a ComplexNet, got {type(denoiser).__name__}.')
        if not inference:
            return DenoisingModel(denoiser)
        return PlugAndPlayModel(
            denoiser,
            consistency_step(self.data_consistency, self.consistency_steps, self.strength, learned=False),
            self.n_iterations,
            noise_factor=self.noise_factor,
            first_noise_factor=self.first_noise_factor,
            scheme=self.scheme,
            dim=self.net_dim,
        )

    def trainable(self, seed: int = 0, *, filters: torch.Tensor | None = None) -> torch.nn.Module:
        """Build the denoiser, see `Recipe.trainable`."""
        model = super().trainable(seed, filters=filters)
        return model.net if isinstance(model, DenoisingModel) else model

    def trainable_of(self, model: Model) -> torch.nn.Module:
        """Return the denoiser of a model."""
        if isinstance(model, DenoisingModel):
            return model.net
        if isinstance(model, PlugAndPlayModel):
            return model.denoiser
        raise TypeError(f'model must be a DenoisingModel or PlugAndPlayModel, got {type(model).__name__}.')
