"""Several families of sampling patterns."""

from dataclasses import dataclass

import torch

from mrpro_lambda.datasets.CartesianSampling import CartesianSampling


@dataclass(frozen=True)
class Mixture(CartesianSampling):
    """One of several families of Cartesian sampling patterns, each with the same probability."""

    members: tuple[CartesianSampling, ...]
    """Families to draw from."""

    def __post_init__(self) -> None:
        """Check the members."""
        if not self.members or not all(isinstance(member, CartesianSampling) for member in self.members):
            raise ValueError(f'members must be one or several Cartesian samplings, got {self.members}.')

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a family and a mask of shape `(k1, k0)`, see `CartesianSampling.mask`."""
        index = int(torch.randint(len(self.members), (), generator=generator))
        return self.members[index].mask(shape, generator)
