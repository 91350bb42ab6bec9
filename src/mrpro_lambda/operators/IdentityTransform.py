"""Identity as the transform of a regularizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.operators.Transform import Transform


class IdentityTransform(Transform):
    """The unknown itself as coefficients: an image becomes their only row, coefficients of a synthesis stay the same.

    mrpro's `~mrpro.operators.IdentityOp` adds no axis and has no Fourier symbol.
    """

    def __init__(self, n_rows: int | None = None, dim: Sequence[int] = ()) -> None:
        """Initialize the transform.

        Parameters
        ----------
        n_rows
            Number of rows that the unknown itself has; `None` for an image, which has none.
        dim
            Axes of the image that a synthesis of it couples.
        """
        super().__init__()
        self._n_rows = n_rows
        self._dim = tuple(dim)

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes that a synthesis couples."""
        return self._dim

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return 1 if self._n_rows is None else self._n_rows

    @property
    def circulant(self) -> bool:
        """Whether the operator is circulant, as the identity is."""
        return True

    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return ones, the symbol of the identity."""
        return torch.ones((1,) * len(shape), dtype=torch.float64, device=device)

    def norm(self, shape: Sequence[int]) -> float:  # noqa: ARG002
        """Return 1, the norm of the identity."""
        return 1.0

    def solve_normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return the unknown itself."""
        return x

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return the unknown as coefficients."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return the unknown as coefficients. Prefer calling the instance."""
        return (x.unsqueeze(0) if self._n_rows is None else x,)

    def adjoint(self, q: torch.Tensor) -> tuple[torch.Tensor,]:
        """Return coefficients as the unknown."""
        return (q.squeeze(0) if self._n_rows is None else q,)
