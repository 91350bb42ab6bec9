"""Denoising by a convex problem."""

from __future__ import annotations

import torch
from mrpro.operators import IdentityOp

from mrpro_lambda.checks import as_noise_std, check_number, check_tensor, check_type
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.solvers.Solver import Solver


class ProximalDenoiser(torch.nn.Module):
    r"""The proximal map :math:`\arg\min_x \frac{1}{2} \|x - v\|_2^2 + c \sigma \|K x\|_1` of a regularizer.

    In `PlugAndPlayModel` it makes a convex reconstruction of the iteration.
    """

    def __init__(self, solver: Solver, strength: float = 1.0) -> None:
        """Initialize the denoiser.

        Parameters
        ----------
        solver
            Solver with the regularizer.
        strength
            Weight :math:`c` of the regularizer, relative to the noise.
        """
        super().__init__()
        check_type('solver', solver, Solver)
        check_number('strength', strength, positive=True)
        self.solver = solver
        self.strength = strength

    def forward(self, img: torch.Tensor, noise_std: torch.Tensor | float) -> torch.Tensor:
        """Denoise.

        Parameters
        ----------
        img
            Image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation of its complex noise, a number or one for each image, broadcastable to it.

        Returns
        -------
            Image of the same shape.
        """
        check_tensor('image', img)
        weight = self.strength * as_noise_std(noise_std, img)
        weight = weight.reshape(1, *(1,) * (img.ndim - weight.ndim), *weight.shape)
        lambda_map = weight.expand(self.solver.regularizer.n_maps, *weight.shape[1:])
        return self.solver(img, LeastSquares(IdentityOp()), img, lambda_map)
