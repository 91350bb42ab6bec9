"""Description of an end-to-end variational network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.VarNet import VarNet
from mrpro_lambda.recipes.image_network import image_network
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class VarNetRecipe(NetworkRecipe):
    """Everything that is needed to build an end-to-end variational network, apart from its weights."""

    method: Literal['varnet'] = 'varnet'
    """Tells this description from that of another model."""
    n_cascades: Annotated[int, Range(1, 1000)] = 12
    """Cascades."""
    shared: bool = False
    """Whether all cascades have the same network; each has a step of its own anyway."""
    n_features: Annotated[int, Range(1, 2048)] = 18
    """Features of the networks at the highest resolution."""
    n_resolutions: Annotated[int, Range(1, 12)] = 5
    """Resolutions of the U-Nets."""
    sensitivity_features: Annotated[int, Range(0, 2048)] = 0
    """Features of the sensitivity network at the highest resolution, 0 for no such network."""
    sensitivity_resolutions: Annotated[int, Range(1, 12)] = 5
    """Resolutions of the sensitivity network."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return one with the sensitivities of the acquisition, and one that finds them."""
        small: dict[str, Any] = {'n_cascades': 2, 'n_features': 2, 'n_resolutions': 2}
        return {
            'VarNet': cls(**small),
            'VarNet with sensitivities': cls(**small, shared=True, sensitivity_features=2, sensitivity_resolutions=2),
        }

    def model(self, generator: torch.Generator) -> VarNet:
        """Build the model."""
        n = 1 if self.shared else self.n_cascades
        nets = [
            image_network('unet', self.net_dim, self.n_features, self.n_resolutions, generator, residual=False)
            for _ in range(n)
        ]
        sensitivity_net = None
        if self.sensitivity_features:
            sensitivity_net = image_network(
                'unet', self.net_dim, self.sensitivity_features, self.sensitivity_resolutions, generator
            )
        return VarNet(nets, self.n_cascades, sensitivity_net=sensitivity_net)
