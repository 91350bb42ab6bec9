"""Description of SRDenseNet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.SuperResolutionModel import SuperResolutionModel
from mrpro_lambda.nets.DenseNet import DenseNet
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class SuperResolutionRecipe(NetworkRecipe):
    """Everything that is needed to build SRDenseNet, apart from its weights."""

    method: Literal['srdensenet'] = 'srdensenet'
    """Tells this description from that of another model."""
    n_features: Annotated[int, Range(1, 2048)] = 16
    """Features of the first convolution."""
    growth: Annotated[int, Range(1, 2048)] = 16
    """Features that each layer adds."""
    n_layers: Annotated[int, Range(1, 1024)] = 64
    """Densely connected layers."""
    n_bottleneck: Annotated[int, Range(1, 2048)] = 256
    """Features at the transposed convolution."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return a small one."""
        return {'SRDenseNet': cls(n_features=4, growth=3, n_layers=3, n_bottleneck=6)}

    def model(self, generator: torch.Generator) -> SuperResolutionModel:
        """Build the model."""
        net = DenseNet(
            2,
            self.n_features,
            growth=self.growth,
            n_layers=self.n_layers,
            n_bottleneck=self.n_bottleneck,
            generator=generator,
        )
        return SuperResolutionModel(net, self.net_dim)
