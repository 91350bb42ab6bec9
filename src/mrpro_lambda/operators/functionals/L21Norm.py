"""Sum of Euclidean norms of groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators.Functional import ElementaryProximableFunctional, throw_if_negative_or_complex
from mrpro.utils import normalize_index

from mrpro_lambda.checks import check_axes, check_tensor, check_type


class L21Norm(ElementaryProximableFunctional):
    r"""Sum of the Euclidean norms of groups, :math:`f(x) = \|W (x - b)\|_{2,1}`.

    .. math::

        f(x) = \frac{1}{n} \sum_i |W_i| \, \|x_i - b_i\|_2, \qquad \|x_i\|_2 = \Big( \sum_g |x_{i,g}|^2 \Big)^{1/2}

    where :math:`g` runs over the axes `group_dim`, :math:`i` over all others, and :math:`n = 1` unless `divide_by_n`.
    The modulus makes the value independent of the phase of complex numbers. With :math:`d = x - b`,
    :math:`w_i = |W_i| / n` and :math:`\hat d = x - \sigma b`, the proximal mappings are, for each group,

    .. math::

        \mathrm{prox}_{\sigma f}(x)_i &= \begin{cases}
            b_i + \left( 1 - \sigma w_i / \|d_i\|_2 \right) d_i & \text{if } \|d_i\|_2 > \sigma w_i \\
            b_i & \text{otherwise, so also if } d_i = 0 \end{cases} \\
        \mathrm{prox}_{\sigma f^*}(x)_i &= \begin{cases}
            \hat d_i \, w_i / \|\hat d_i\|_2 & \text{if } \|\hat d_i\|_2 > w_i \\
            \hat d_i & \text{otherwise} \end{cases}

    ``L21Norm(group_dim=0) @ GradientOp(dim)`` is the isotropic total variation.
    """

    def __init__(
        self,
        target: torch.Tensor | complex | None = None,
        weight: torch.Tensor | complex = 1.0,
        group_dim: int | Sequence[int] = 0,
        dim: int | Sequence[int] | None = None,
        divide_by_n: bool = False,
        keepdim: bool = False,
    ) -> None:
        r"""Initialize the functional.

        Parameters
        ----------
        target
            Target :math:`b`, broadcastable to the input; `None` is zero.
        weight
            Weight :math:`W`, broadcastable to the input and constant along `group_dim`.
        group_dim
            Axes of a group.
        dim
            Axes that are summed over, among them those of a group. All others are batch axes. `None` is all.
        divide_by_n
            Divide by the number :math:`n` of elements of the axes `dim` of the input, as mrpro's norms do.
        keepdim
            Keep the axes `dim` with size 1.

        Raises
        ------
        ValueError
            If `group_dim` is empty.
        """
        for name, value in (('target', target), ('weight', weight)):
            if value is not None or name == 'weight':
                check_type(name, value, (torch.Tensor, int, float, complex))
        super().__init__(target=target, weight=weight, dim=dim, divide_by_n=divide_by_n, keepdim=keepdim)
        groups = (group_dim,) if isinstance(group_dim, int) else group_dim
        check_axes('group_dim', groups, negative=False)
        self.group_dim = tuple(groups)
        if not self.group_dim:
            raise ValueError(f'group_dim must name at least one axis, got {group_dim=}.')

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the sum of the norms of all groups.

        Parameters
        ----------
        x
            Input, real or complex.

        Returns
        -------
            Real value, one for each entry of the batch axes.

        Raises
        ------
        ValueError
            If the weight is not constant along `group_dim`, or if `dim` lacks an axis of `group_dim`.
        """
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the sum of the norms of all groups. Prefer calling the instance."""
        weight = self._weight(x)
        norm = self._norm(x - self.target)
        return ((weight * norm).sum(dim=self.dim, keepdim=self.keepdim),)

    def prox(self, x: torch.Tensor, sigma: torch.Tensor | float = 1.0) -> tuple[torch.Tensor]:
        """Apply the proximal mapping, a soft threshold of the norm of each group.

        Parameters
        ----------
        x
            Input, real or complex.
        sigma
            Scaling factor, real, non-negative and constant along `group_dim`.

        Returns
        -------
            Proximal mapping of the input.

        Raises
        ------
        ValueError
            If `sigma` is negative or complex, and as for the value.
        """
        threshold = self._weight(x) * self._sigma(sigma, x)
        difference = x - self.target
        norm = self._norm(difference)
        factor = torch.relu(norm - threshold) / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        return (factor * difference + self.target,)

    def prox_convex_conj(self, x: torch.Tensor, sigma: torch.Tensor | float = 1.0) -> tuple[torch.Tensor]:
        """Apply the proximal mapping of the convex conjugate, a projection of each group to a ball.

        Parameters
        ----------
        x
            Input, real or complex.
        sigma
            Scaling factor, real, non-negative and constant along `group_dim`.

        Returns
        -------
            Proximal mapping of the convex conjugate of the input.

        Raises
        ------
        ValueError
            If `sigma` is negative or complex, and as for the value.
        """
        radius = self._weight(x)
        difference = x - self._sigma(sigma, x) * self.target
        norm = self._norm(difference)
        factor = radius / torch.maximum(norm, radius).clamp_min(torch.finfo(norm.dtype).tiny)
        return (factor * difference,)

    def _norm(self, difference: torch.Tensor) -> torch.Tensor:
        """Return the norm of each group, the axes of the group kept with size 1."""
        return torch.linalg.vector_norm(difference, dim=self.group_dim, keepdim=True)

    def _weight(self, x: torch.Tensor) -> torch.Tensor:
        """Return the factor of each norm, after checking weight, target and axes against the input."""
        check_tensor('input', x, finite=False)
        if not all(-x.ndim <= d < x.ndim for d in self.group_dim):
            raise ValueError(f'group_dim must be axes of the input, got {self.group_dim} for shape {tuple(x.shape)}.')
        if self.dim is not None:
            summed = {normalize_index(x.ndim, d) for d in self.dim}
            if not summed.issuperset(normalize_index(x.ndim, d) for d in self.group_dim):
                raise ValueError(f'dim must hold the axes of group_dim, got {self.dim} and {self.group_dim}.')
        if not _broadcasts(self.target, x):
            raise ValueError(
                f'target must broadcast to the input, got {tuple(self.target.shape)} and {tuple(x.shape)}.'
            )
        return self._divide_by_n(self._per_group(self.weight.abs(), 'weight', x), x.shape)

    def _sigma(self, sigma: torch.Tensor | float, x: torch.Tensor) -> torch.Tensor:
        """Return the checked scaling factor."""
        throw_if_negative_or_complex(sigma)
        return self._per_group(torch.as_tensor(sigma, device=x.device), 'sigma', x)

    def _per_group(self, factor: torch.Tensor, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return a factor with size 1 along the axes of a group, after checking that it has one value per group."""
        if not _broadcasts(factor, x):
            raise ValueError(f'{name} must broadcast to the input, got {tuple(factor.shape)} and {tuple(x.shape)}.')
        for d in self.group_dim:
            axis = normalize_index(x.ndim, d) - x.ndim
            if -axis <= factor.ndim and factor.shape[axis] > 1:
                first = factor.narrow(axis, 0, 1)
                if not bool((factor == first).all()):
                    raise ValueError(
                        f'{name} must be constant along group_dim={self.group_dim}, got different values in shape '
                        f'{tuple(factor.shape)}.'
                    )
                factor = first
        return factor.to(x.dtype.to_real())


def _broadcasts(factor: torch.Tensor, x: torch.Tensor) -> bool:
    """Tell whether a tensor broadcasts to the input without changing its shape."""
    sizes = zip(factor.shape[::-1], x.shape[::-1], strict=False)
    return factor.ndim <= x.ndim and all(m in (1, n) for m, n in sizes)
