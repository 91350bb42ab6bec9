"""Transform of second-order total generalized variation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Literal, get_args

import torch

from mrpro_lambda.checks import check_axes, check_tensor
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.operators.Transform import Transform

ClosedBoundary = Literal['circular', 'neumann']


class GeneralizedGradientOp(Transform):
    r"""The operator :math:`(x, v) \mapsto (\nabla x - v, \mathcal{E} v)` of total generalized variation [BRE2010]_.

    :math:`\nabla` are forward differences along `dim`, :math:`v` is a vector field with as many components, and
    :math:`\mathcal{E} v` the symmetrized gradient with backward differences :math:`\partial'`: one row
    :math:`\partial'_i v_i` for each axis and then one row :math:`m (\partial'_i v_j + \partial'_j v_i) / 2` for each
    pair of axes. The unknown has shape `(1 + n_dim, *image)`.

    With the boundary `neumann` the rows whose differences would reach beyond the border are 0.

    References
    ----------
    .. [BRE2010] Bredies K, Kunisch K, Pock T (2010) Total Generalized Variation. SIAM J Imaging Sci 3(3)
       https://doi.org/10.1137/090769521
    """

    def __init__(self, dim: Sequence[int], boundary: ClosedBoundary = 'circular', *, mixed_factor: float = 1.0) -> None:
        """Initialize the transform.

        Parameters
        ----------
        dim
            Negative axes along which differences are taken.
        boundary
            Whether the image is continued periodically, or differences beyond the border are left out.
        mixed_factor
            Factor of the rows of pairs of axes. The root of 2 makes the Euclidean norm of the rows that of the matrix.

        Raises
        ------
        ValueError
            If `dim` is empty, holds an axis twice or one that is not negative, or if the boundary is unknown.
        """
        super().__init__()
        check_axes('dim', dim)
        self._dim = tuple(dim)
        if not self._dim or len(set(self._dim)) != len(self._dim):
            raise ValueError(f'dim must name at least one axis and each axis once, got {dim=}.')
        if boundary not in get_args(ClosedBoundary):
            raise ValueError(f'boundary must be one of {get_args(ClosedBoundary)}, got {boundary=}.')
        self.boundary = boundary
        self.mixed_factor = mixed_factor
        self.n_components = 1 + len(self._dim)
        self.pairs = list(combinations(range(len(self._dim)), 2))

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes along which differences are taken."""
        return self._dim

    @property
    def n_rows(self) -> int:
        """Number of differences of the image, of the vector field, and of pairs."""
        return 2 * len(self.dim) + len(self.pairs)

    @property
    def circulant(self) -> bool:
        """Whether the boundary is circular."""
        return self.boundary == 'circular'

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the transform to an image and a vector field, shape `(1 + n_dim, *image)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the transform. Prefer calling the instance."""
        check_tensor('unknown', x, finite=False)
        if x.shape[0] != self.n_components:
            raise ValueError(
                f'The first axis must hold an image and {len(self.dim)} components of a vector field, got shape '
                f'{tuple(x.shape)}.'
            )
        img, *field = x
        rows = [self._cut(img.roll(-1, d) - img - v, (d,), -1) for d, v in zip(self.dim, field, strict=True)]
        rows += [self._cut(v - v.roll(1, d), (d,), 0) for d, v in zip(self.dim, field, strict=True)]
        for i, j in self.pairs:
            a, b = self.dim[i], self.dim[j]
            mixed = field[j] - field[j].roll(1, a) + field[i] - field[i].roll(1, b)
            rows.append(self._cut(0.5 * self.mixed_factor * mixed, (a, b), 0))
        return (torch.stack(rows),)

    def adjoint(self, q: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the adjoint to coefficients, shape `(n_rows, *image)`."""
        check_tensor('coefficients', q, finite=False)
        n = len(self.dim)
        first = [self._cut(row, (d,), -1) for row, d in zip(q[:n], self.dim, strict=True)]
        img = sum((row.roll(1, d) - row for row, d in zip(first, self.dim, strict=True)), torch.zeros_like(q[0]))
        second = [self._cut(row, (d,), 0) for row, d in zip(q[n : 2 * n], self.dim, strict=True)]
        field = [row - row.roll(-1, d) - difference for row, d, difference in zip(second, self.dim, first, strict=True)]
        for (i, j), row in zip(self.pairs, q[2 * n :], strict=True):
            a, b = self.dim[i], self.dim[j]
            mixed = 0.5 * self.mixed_factor * self._cut(row, (a, b), 0)
            field[j] = field[j] + mixed - mixed.roll(-1, a)
            field[i] = field[i] + mixed - mixed.roll(-1, b)
        return (torch.stack([img, *field]),)

    def add_forward_(self, out: torch.Tensor, x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        """Add a multiple of the coefficients in place, without temporaries for the circular boundary."""
        if not self.circulant:
            return super().add_forward_(out, x, alpha)
        n, rows, (img, *field) = len(self.dim), real_parts(out), real_parts(x)
        for i, d in enumerate(self.dim):
            _add_forward_difference_(rows[i], img, d - 1, alpha)
            rows[i].sub_(field[i], alpha=alpha)
            _add_backward_difference_(rows[n + i], field[i], d - 1, alpha)
        half = 0.5 * self.mixed_factor * alpha
        for row, (i, j) in zip(rows[2 * n :], self.pairs, strict=True):
            _add_backward_difference_(row, field[j], self.dim[i] - 1, half)
            _add_backward_difference_(row, field[i], self.dim[j] - 1, half)
        return out

    def add_adjoint_(self, out: torch.Tensor, q: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
        """Add a multiple of the adjoint in place, without temporaries for the circular boundary."""
        if not self.circulant:
            return super().add_adjoint_(out, q, alpha)
        n, rows, (img, *field) = len(self.dim), real_parts(q), real_parts(out)
        for i, d in enumerate(self.dim):
            _add_backward_difference_(img, rows[i], d - 1, -alpha)
            field[i].sub_(rows[i], alpha=alpha)
            _add_forward_difference_(field[i], rows[n + i], d - 1, -alpha)
        half = -0.5 * self.mixed_factor * alpha
        for row, (i, j) in zip(rows[2 * n :], self.pairs, strict=True):
            _add_forward_difference_(field[j], row, self.dim[i] - 1, half)
            _add_forward_difference_(field[i], row, self.dim[j] - 1, half)
        return out

    def _cut(self, row: torch.Tensor, dim: tuple[int, ...], position: int) -> torch.Tensor:
        """Set what reaches beyond the border to 0, unless there is none."""
        if self.boundary == 'circular':
            return row
        keep = torch.ones((), dtype=row.dtype.to_real(), device=row.device)
        for d in dim:
            inside = torch.ones(row.shape[d], dtype=keep.dtype, device=keep.device)
            inside[position] = 0
            keep = keep * inside.reshape(-1, *(1,) * (-d - 1))
        return row * keep

    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return the matrices of the circular operator, those of `neumann` have some rows less.

        See the base class.
        """
        if any(-d > len(shape) for d in self.dim):
            raise ValueError(f'dim must be axes of the image, got dim={self.dim} for an image of shape {tuple(shape)}.')
        n = len(self.dim)
        grid = [shape[d] if d in self.dim else 1 for d in range(-len(shape), 0)]
        rows = torch.zeros(self.n_rows, 1 + n, *grid, dtype=torch.complex128, device=device)
        forward, backward = [], []
        for d in self.dim:
            angle = 2 * math.pi * torch.arange(shape[d], dtype=torch.float64, device=device) / shape[d]
            phase = torch.polar(torch.ones_like(angle), angle).reshape(-1, *(1,) * (-d - 1))
            forward.append(phase - 1)
            backward.append(1 - phase.conj())
        for i in range(n):
            rows[i, 0] += forward[i]
            rows[i, 1 + i] -= 1
            rows[n + i, 1 + i] += backward[i]
        for row, (i, j) in enumerate(self.pairs, 2 * n):
            rows[row, 1 + j] += 0.5 * self.mixed_factor * backward[i]
            rows[row, 1 + i] += 0.5 * self.mixed_factor * backward[j]
        return torch.einsum('ra...,rb...->ab...', rows.conj(), rows)

    def norm(self, shape: Sequence[int]) -> float:
        """Return the norm of the circular operator, an upper bound of that of `neumann`."""
        return self.norm_squared_with(torch.zeros((), dtype=torch.float64), shape).sqrt().item()

    def norm_squared_with(self, data_norm: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Return the largest eigenvalue with a data term of the image, over all frequencies."""
        matrices = self.symbol(shape, data_norm.device).movedim((0, 1), (-2, -1)).flatten(0, -3)
        values, index = data_norm.double().unique(return_inverse=True)
        largest = []
        for value in values:
            system = matrices.clone()
            system[:, 0, 0] += value
            largest.append(torch.linalg.eigvalsh(system)[:, -1].max())
        return torch.stack(largest)[index]


def _add_forward_difference_(out: torch.Tensor, x: torch.Tensor, axis: int, alpha: float) -> None:
    """Add a multiple of periodic forward differences of real numbers in place."""
    n = x.shape[axis]
    out.sub_(x, alpha=alpha)
    out.narrow(axis, 0, n - 1).add_(x.narrow(axis, 1, n - 1), alpha=alpha)
    out.narrow(axis, n - 1, 1).add_(x.narrow(axis, 0, 1), alpha=alpha)


def _add_backward_difference_(out: torch.Tensor, x: torch.Tensor, axis: int, alpha: float) -> None:
    """Add a multiple of periodic backward differences of real numbers in place."""
    n = x.shape[axis]
    out.add_(x, alpha=alpha)
    out.narrow(axis, 1, n - 1).sub_(x.narrow(axis, 0, n - 1), alpha=alpha)
    out.narrow(axis, 0, 1).sub_(x.narrow(axis, n - 1, 1), alpha=alpha)
