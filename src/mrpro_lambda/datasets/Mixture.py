"""Several families of sampling patterns."""

from dataclasses import dataclass

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling
from mrpro_lambda.models.fields import check_fields


@dataclass(frozen=True)
class Mixture(CartesianSampling):
    """One of several families of Cartesian sampling patterns, each with the same probability."""

    members: tuple[CartesianSampling, ...]
    """Families to draw from."""

    def __post_init__(self) -> None:
        """Check the members."""
        check_fields(self)

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a family and a mask of shape `(k1, k0)`, see `CartesianSampling.mask`."""
        index = int(torch.randint(len(self.members), (), generator=generator))
        return self.members[index].mask(shape, generator)
