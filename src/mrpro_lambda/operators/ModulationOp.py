"""Multiplication of an image."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor


class ModulationOp(LinearOperator):
    """Multiplication of each voxel with a number, such as a phase; coils stay apart, unlike those of sensitivities."""

    def __init__(self, modulation: torch.Tensor) -> None:
        """Initialize the operator.

        Parameters
        ----------
        modulation
            Numbers, broadcastable to the image.
        """
        super().__init__()
        check_tensor('modulation', modulation)
        self.modulation = modulation

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Multiply an image."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Multiply an image. Prefer calling the instance."""
        return (self.modulation * x,)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Multiply with the complex conjugate."""
        return (self.modulation.conj() * x,)
