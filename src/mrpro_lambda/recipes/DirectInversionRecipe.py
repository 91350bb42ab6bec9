"""Description of a direct inversion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.models.DirectInversionModel import DirectInversionModel
from mrpro_lambda.models.fields import Range
from mrpro_lambda.recipes.NetworkRecipe import NetworkRecipe

_Size = Annotated[int, Range(1, 512)]


@dataclass(frozen=True)
class DirectInversionRecipe(NetworkRecipe):
    """Everything that is needed to build a direct inversion, apart from its weights."""

    method: Literal['direct_inversion'] = 'direct_inversion'
    """Tells this description from that of another model."""
    size: tuple[_Size, _Size] = (32, 32)
    """Sizes `(y, x)` of the image."""
    samples: tuple[_Size, _Size] | None = None
    """Sizes `(k1, k0)` of the data; that of the image if `None`."""
    coils: _Size = 1
    """Number of coils."""
    n_hidden: Annotated[int, Range(1, 10**6)] = 2048
    """Values between the two dense layers."""
    n_features: Annotated[int, Range(1, 2048)] = 64
    """Features of the convolutions."""

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return one for a coil, and one for three."""
        small: dict[str, Any] = {'size': (16, 16), 'n_hidden': 8, 'n_features': 2}
        return {'a coil': cls(**small), '3 coils': cls(**small, coils=3)}

    def model(self, generator: torch.Generator) -> DirectInversionModel:
        """Build the model."""
        data_shape = (self.coils, 1, *(self.size if self.samples is None else self.samples))
        return DirectInversionModel(data_shape, self.size, self.n_hidden, self.n_features, generator=generator)
