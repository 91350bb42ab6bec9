"""Description of the splitting of a learned regularization from the inversion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.SplittingModel import SplittingModel
from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.nets.ConvNet import ConvNet
from mrpro_lambda.nets.PatchNet import PatchNet
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe

Network = Literal['scae', 'snlae', 'gan']
"""Network that is trained."""

_Features = Annotated[int, Range(1, 8192)]


@dataclass(frozen=True)
class SplittingRecipe(NetworkRecipe):
    """Everything that is needed to build and to train the splitting of [LIU2020]_, apart from its weights.

    References
    ----------
    .. [LIU2020] Liu J, Kuang T, Zhang X (2020) Image reconstruction by splitting deep learning regularization from
       iterative inversion. MICCAI, Lect Notes Comput Sci 12262
    """

    method: Literal['splitting'] = 'splitting'
    """Tells this description from that of another model."""
    network: Network = 'scae'
    """Convolutional auto-encoder, dense layers on patches, or the former as the generator of an adversarial loss."""
    features: tuple[_Features, ...] | None = None
    """Features between two layers. `None`: those of the paper, 32, 64, 128, 64, 32 for convolutions, and 512, 1024,
    2048, 1024, 512 for patches."""
    patch_size: Annotated[int, Range(1, 64)] = 8
    """Size of the patches of `snlae`."""
    n_loops: Annotated[int, Range(1, 1000)] = 5
    """Loops."""
    rho: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Penalty."""
    eta: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Weight of the data."""
    first_mu: Annotated[float, Range(0, 1e6)] = 0.02
    """Weight of the total variation in the first loop, relative to the intensity of the image."""
    decay: Annotated[float, Range(0, 1, above=True)] = 0.5
    """Factor of that weight from one loop to the next."""
    dual: Literal['x', 'xhat'] = 'x'
    """Dual rule in use; that of the training is `x`."""
    solver_iterations: Annotated[int, Range(1, 10000)] = 30
    """Iterations of the solver of a loop."""
    image_steps: Annotated[int, Range(1, 1000)] = 10
    """Gradient steps of the images in a loop of the training."""
    adversarial_weight: Annotated[float, Range(0, 1e6)] = 0.001
    """Weight of the adversarial loss of `gan`, relative to the mean squared error."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return each network, with and without total variation."""
        small: dict[str, Any] = {'features': (4, 4), 'n_loops': 2, 'solver_iterations': 5, 'image_steps': 2}
        return {
            'SCAE': cls(**small),
            'SNLAE': cls(**small, network='snlae', patch_size=4, first_mu=0.0, dual='xhat'),
            'GAN': cls(**small, network='gan'),
        }

    def model(self, generator: torch.Generator) -> SplittingModel:
        """Build the model."""
        net: torch.nn.Module
        if self.network == 'snlae':
            features = (512, 1024, 2048, 1024, 512) if self.features is None else self.features
            stride = self.patch_size // 2 if self.patch_size % 2 == 0 else 1
            net = PatchNet(2, features, patch_size=self.patch_size, stride=stride, generator=generator)
        else:
            features = (32, 64, 128, 64, 32) if self.features is None else self.features
            net = ConvNet(len(self.net_dim), 2, 2, features, generator=generator)
        return SplittingModel(
            ComplexNet(net, self.net_dim, residual=True),
            self.n_loops,
            rho=self.rho,
            eta=self.eta,
            first_mu=self.first_mu,
            decay=self.decay,
            dual=self.dual,
            n_iterations=self.solver_iterations,
        )
