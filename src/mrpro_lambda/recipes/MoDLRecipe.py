"""Description of MoDL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch

from mrpro_lambda.models.data_consistency import ProximalStep
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.UnrolledModel import UnrolledModel
from mrpro_lambda.recipes.image_network import image_network
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class MoDLRecipe(NetworkRecipe):
    """Everything that is needed to build MoDL [AGG2019]_, apart from its weights.

    References
    ----------
    .. [AGG2019] Aggarwal HK, Mani MP, Jacob M (2019) MoDL: Model-based deep learning architecture for inverse problems.
       IEEE Trans Med Imaging 38(2) https://doi.org/10.1109/TMI.2018.2865356
    """

    method: Literal['modl'] = 'modl'
    """Tells this description from that of another model."""
    n_iterations: Annotated[int, Range(1, 1000)] = 8
    """Iterations, all with the same weights."""
    n_features: Annotated[int, Range(1, 2048)] = 64
    """Features of the network."""
    n_layers: Annotated[int, Range(1, 64)] = 5
    """Convolutions of the network."""
    batch_norm: bool = True
    """Normalize the features by batches."""
    strength: Annotated[float, Range(0, 1e6, above=True)] = 0.05
    """Initial weight of the proximal step towards the data."""
    consistency_steps: Annotated[int, Range(1, 1000)] = 10
    """Steps of conjugate gradients where the step has no closed form."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return a small one."""
        return {'MoDL': cls(n_iterations=2, n_features=4, n_layers=3, consistency_steps=4)}

    def model(self, generator: torch.Generator) -> UnrolledModel:
        """Build the model."""
        net = image_network('conv', self.net_dim, self.n_features, self.n_layers, generator, batch_norm=self.batch_norm)
        step = ProximalStep(self.strength, n_steps=self.consistency_steps, learned=True)
        return UnrolledModel(net, step, self.n_iterations, last='data_consistency')
