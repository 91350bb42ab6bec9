"""Several transforms of one unknown."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.operators.Transform import Transform


class StackedTransform(Transform):
    r"""The coefficients :math:`(K_1 u, K_2 u, \dots)` of several transforms, one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        """Initialize the transform.

        Parameters
        ----------
        transforms
            Transforms of the same unknown.
        """
        super().__init__()
        self.transforms = torch.nn.ModuleList(transforms)
        self.n_components = self._transforms[0].n_components

    @property
    def _transforms(self) -> list[Transform]:
        return [op for op in self.transforms if isinstance(op, Transform)]

    @property
    def boundary(self) -> str:
        """Boundaries of the transforms that have one."""
        return ' and '.join(str(op.boundary) for op in self._transforms if hasattr(op, 'boundary'))

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes that any of them couples."""
        return tuple(sorted({d for op in self._transforms for d in op.dim}))

    @property
    def n_rows(self) -> int:
        """Number of rows of all."""
        return sum(op.n_rows for op in self._transforms)

    @property
    def circulant(self) -> bool:
        """Whether all are circulant."""
        return all(op.circulant for op in self._transforms)

    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return the sum of the symbols."""
        return sum((op.symbol(shape, device) for op in self._transforms[1:]), self._transforms[0].symbol(shape, device))

    def norm(self, shape: Sequence[int]) -> float:
        """Return the root of the sum of the squared norms, an upper bound."""
        return sum(op.norm(shape) ** 2 for op in self._transforms) ** 0.5

    def coefficient_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of all coefficients.

        Raises
        ------
        ValueError
            If they do not fit together.
        """
        shapes = [op.coefficient_shape(shape) for op in self._transforms]
        if len({part[1:] for part in shapes}) > 1:
            raise ValueError(f'Regularizers that are added must have coefficients of one shape, got {shapes}.')
        return (self.n_rows, *shapes[0][1:])

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply all transforms to an unknown."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply all transforms. Prefer calling the instance."""
        return (torch.cat([op(x)[0] for op in self._transforms]),)

    def adjoint(self, q: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the adjoint to coefficients."""
        parts = q.split([op.n_rows for op in self._transforms])
        images = [op.adjoint(part)[0] for op, part in zip(self._transforms, parts, strict=True)]
        return (sum(images[1:], images[0]),)

    def add_forward_(self, out: torch.Tensor, x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        """Add a multiple of the coefficients in place."""
        for op, part in zip(self._transforms, out.split([op.n_rows for op in self._transforms]), strict=True):
            op.add_forward_(part, x, alpha)
        return out

    def add_adjoint_(self, out: torch.Tensor, q: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        """Add a multiple of the adjoint in place."""
        for op, part in zip(self._transforms, q.split([op.n_rows for op in self._transforms]), strict=True):
            op.add_adjoint_(out, part, alpha)
        return out
