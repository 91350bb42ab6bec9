"""Smooth part of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_tensor
from mrpro_lambda.operators.GradientOp import GradientOp


class LowPassOp(LinearOperator):
    r"""Low-pass filter :math:`(I + \beta \nabla^H \nabla)^{-1}` with circular differences.

    It gives the minimizer of :math:`\frac{1}{2} \|x - x_0\|_2^2 + \frac{\beta}{2} \|\nabla x\|_2^2`, exactly, by one
    pair of FFTs, and is differentiable with respect to :math:`\beta`.
    """

    def __init__(self, beta: float | torch.Tensor, dim: Sequence[int]) -> None:
        r"""Initialize the filter.

        Parameters
        ----------
        beta
            Strength :math:`\beta`, not negative; large values keep low frequencies only.
        dim
            Negative axes of the image.

        Raises
        ------
        ValueError
            If `beta` is not a finite, non-negative number.
        """
        super().__init__()
        check_number('beta', beta)
        self.beta = beta if isinstance(beta, torch.Tensor) else torch.tensor(beta, dtype=torch.float64)
        self.gradient_op = GradientOp(dim)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Filter an image."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Filter an image. Prefer calling the instance."""
        check_tensor('image', x, finite=False)
        dim = self.gradient_op.dim
        laplacian = self.gradient_op.laplacian_symbol(x.shape, x.device).to(x.dtype.to_real())
        y = torch.fft.ifftn(torch.fft.fftn(x, dim=dim) / (1 + self.beta * laplacian), dim=dim)
        return (y if x.is_complex() else y.real,)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the filter itself, which is self-adjoint."""
        return self.forward(x)
