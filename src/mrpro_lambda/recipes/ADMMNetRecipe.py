"""Description of ADMM-Net."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Literal, Self

import torch

from mrpro_lambda.models.ADMMNet import ADMMNet
from mrpro_lambda.models.fields import Range
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe


@dataclass(frozen=True)
class ADMMNetRecipe(NetworkRecipe):
    """Everything that is needed to build ADMM-Net, apart from its weights.

    The filters begin as those of the discrete cosine transform without the constant one.
    """

    method: Literal['admm_net'] = 'admm_net'
    """Tells this description from that of another model."""
    n_stages: Annotated[int, Range(1, 1000)] = 10
    """Stages, each with its own parameters."""
    filter_size: Annotated[int, Range(3, 15)] = 3
    """Odd size of the filters along each axis."""
    penalty: Annotated[float, Range(0, 1e6, above=True)] = 0.2
    """Initial penalty."""
    threshold: Annotated[float, Range(0, 1e6, above=True)] = 0.04
    """Initial threshold relative to the intensity of the image."""
    n_knots: Annotated[int, Range(3, 10001)] = 101
    """Knots of the shrinkage functions, odd."""
    knot_range: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Largest knot relative to the intensity of the image."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return a small one."""
        return {'ADMM-Net': cls(n_stages=2, n_knots=11)}

    def model(self, generator: torch.Generator) -> ADMMNet:  # noqa: ARG002
        """Build the model, whose initial values are not random."""
        return ADMMNet(
            cosine_filters(self.filter_size, len(self.net_dim)),
            self.n_stages,
            self.net_dim,
            penalty=self.penalty,
            threshold=self.threshold,
            n_knots=self.n_knots,
            knot_range=self.knot_range,
        )


def cosine_filters(size: int, n_dim: int) -> torch.Tensor:
    """Return the basis of the discrete cosine transform without the constant one, shape `(size**n_dim - 1, *size)`.

    Parameters
    ----------
    size
        Size along each axis.
    n_dim
        Number of axes.
    """
    # on a device of their own, as models are also built without memory
    k, i = torch.arange(size, device='cpu'), torch.arange(size, device='cpu')
    basis = torch.cos(math.pi / size * k[:, None] * (i + 0.5))
    basis = basis / basis.norm(dim=1, keepdim=True)
    return reduce(torch.kron, [basis] * n_dim)[1:].reshape(-1, *[size] * n_dim)
