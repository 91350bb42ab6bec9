"""Sparsity of the coefficients of a convolutional dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp, DictionaryBoundary
from mrpro_lambda.operators.LowPassOp import LowPassOp
from mrpro_lambda.regularizers.Regularizer import Regularizer


class DictionarySparsity(Regularizer):
    r"""Weighted sparsity :math:`R_\Lambda(s) = \|\Lambda \cdot s\|_1` of an image :math:`x = x_{low} + D s` [KOF2025]_.

    The smooth part :math:`x_{low} = (I + \beta \nabla^H \nabla)^{-1} x_0` is that of the initial image. The unknowns
    are the coefficients :math:`s`, shape `(n_filters, *image)`, and there is one Lambda map for each filter, shape
    `(n_filters, *other, 1, z, y, x)`. Real and imaginary part of complex coefficients are penalized separately, as in
    the reference.

    References
    ----------
    .. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
       for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
    """

    synthesis_op: ConvolutionalDictionaryOp
    """Dictionary."""

    def __init__(
        self, filters: torch.Tensor, *, boundary: DictionaryBoundary = 'circular', beta: float | torch.Tensor = 1.0
    ) -> None:
        r"""Initialize the regularizer.

        Parameters
        ----------
        filters
            Filters of unit norm, shape `(n_filters, [kz,] ky, kx)` with odd sizes, in the convention of
            `~mrpro_lambda.operators.ConvolutionalDictionaryOp`.
        boundary
            Boundary of the convolutions.
        beta
            Strength :math:`\beta` of the low-pass filter of the smooth part.

        Raises
        ------
        ValueError
            If the filters are not valid or not of unit norm.
        """
        super().__init__()
        self.synthesis_op = ConvolutionalDictionaryOp(filters, boundary)
        norms = filters.detach().flatten(1).norm(dim=1)
        if bool(((norms - 1).abs() > 1e-4).any()):
            raise ValueError(
                f'filters must have unit norm, got norms from {norms.min():g} to {norms.max():g} for filters of shape '
                f'{tuple(filters.shape)}.'
            )
        self.low_pass_op = LowPassOp(beta, self.synthesis_op.dim)

    def offset(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the smooth part of the image."""
        return self.low_pass_op(initial_image)[0]

    def transform(self, img: torch.Tensor) -> torch.Tensor:
        """Return the coefficients themselves."""
        return img

    def transform_adjoint(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the coefficients themselves."""
        return coefficients

    def add_transform_(self, out: torch.Tensor, img: torch.Tensor, alpha: float) -> None:
        """Add a multiple of coefficients in place."""
        out.add_(img, alpha=alpha)

    def add_transform_adjoint_(self, out: torch.Tensor, coefficients: torch.Tensor, alpha: float) -> None:
        """Add a multiple of coefficients in place."""
        out.add_(coefficients, alpha=alpha)

    def norm(self, shape: Sequence[int]) -> float:  # noqa: ARG002
        """Return 1, the norm of the identity."""
        return 1.0

    def symbol(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return ones, the symbol of the identity."""
        return torch.ones((1,) * len(shape), dtype=torch.float64, device=device)

    def solve_normal(self, img: torch.Tensor) -> torch.Tensor:
        """Return the coefficients themselves."""
        return img

    @property
    def circulant(self) -> bool:
        """Whether the operator is circulant, as the identity is."""
        return True

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes of the image that the filters act along."""
        return self.synthesis_op.dim

    @property
    def n_maps(self) -> int:
        """Number of filters."""
        return len(self.synthesis_op.filters)

    @property
    def elementwise(self) -> bool:
        """Whether the norm treats each real number on its own, which it does."""
        return True

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Expand the maps to shape `(n_filters, *img.shape)`."""
        return lambda_map.expand(self.n_maps, *img.shape)
