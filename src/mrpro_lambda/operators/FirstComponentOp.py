"""Image as the first of several unknowns."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator


class FirstComponentOp(LinearOperator):
    """The first of several images along the first axis; its adjoint puts zeros at the others."""

    def __init__(self, n_components: int) -> None:
        """Initialize the operator for a number of images."""
        super().__init__()
        self.n_components = n_components

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return the first of the images of shape `(n_components, *image)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return the first image. Prefer calling the instance."""
        return (x[0],)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return an image with zeros for the other ones."""
        zeros = x.new_zeros(()).expand(self.n_components - 1, *x.shape)
        return (torch.cat((x.unsqueeze(0), zeros)),)
