"""Description of a network that corrects the initial image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.PostProcessingModel import PostProcessingModel
from mrpro_lambda.recipes.image_network import Architecture, image_network
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class PostProcessingRecipe(NetworkRecipe):
    """Everything that is needed to build a post-processing network, apart from its weights."""

    method: Literal['post_processing'] = 'post_processing'
    """Tells this description from that of another model."""
    architecture: Architecture = 'unet'
    """Architecture of the network."""
    n_features: Annotated[int, Range(1, 2048)] = 32
    """Features at the highest resolution."""
    depth: Annotated[int, Range(1, 64)] = 4
    """Resolutions of a U-Net, or convolutions."""
    noise_level: bool = False
    """Whether the network sees the noise level."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return a U-Net, and convolutions that see the noise level."""
        return {
            'U-Net': cls(n_features=2, depth=2),
            'convolutions': cls(architecture='conv', n_features=4, depth=3, noise_level=True),
        }

    def model(self, generator: torch.Generator) -> PostProcessingModel:
        """Build the model."""
        net = image_network(
            self.architecture, self.net_dim, self.n_features, self.depth, generator, noise_level=self.noise_level
        )
        return PostProcessingModel(net)
