"""Sum of norms of parts of the coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mrpro_lambda.norms.Norm import Norm


class StackedNorm(Norm):
    """Sum of norms, each of some rows of the coefficients."""

    def __init__(self, norms: Sequence[Norm], n_rows: Sequence[int]) -> None:
        """Initialize the norm.

        Parameters
        ----------
        norms
            Norms.
        n_rows
            Number of rows that each of them is for.
        """
        super().__init__()
        self.norms = torch.nn.ModuleList(norms)
        self.n_rows = tuple(n_rows)

    @property
    def elementwise(self) -> bool:
        """Whether all of them treat each real number on its own, and in the same way."""
        return all(norm.elementwise for norm in self._norms) and len({norm.smoothing for norm in self._norms}) == 1

    @property
    def separable_parts(self) -> bool:
        """Whether real and imaginary part may have weights of their own."""
        return all(norm.separable_parts for norm in self._norms)

    @property
    def smoothing(self) -> float:  # type: ignore[override]
        """Smoothing that all of them have, 0 if it differs."""
        widths = {norm.smoothing for norm in self._norms}
        return widths.pop() if len(widths) == 1 else 0.0

    @property
    def _norms(self) -> list[Norm]:
        return [norm for norm in self.norms if isinstance(norm, Norm)]

    def _each(
        self, function: Callable[[Norm, torch.Tensor, torch.Tensor], torch.Tensor], *arguments: torch.Tensor
    ) -> torch.Tensor:
        """Apply a function to each part and put the results together."""
        parts = zip(self._norms, *(x.split(self.n_rows) for x in arguments), strict=True)
        return torch.cat([function(*part) for part in parts])

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return real numbers whose sum is the sum of the values."""
        return self._each(lambda norm, c, t: norm.value(c, t), coefficients, threshold)

    def dual_ratio(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the ratios of each norm."""
        return self._each(lambda norm, c, t: norm.dual_ratio(c, t).expand(c.shape), coefficients, threshold)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Project each part."""
        return self._each(lambda norm, c, t: norm.project(c, t), coefficients, threshold)

    def conjugate(self, dual: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor | None:
        """Return numbers whose sum is the sum of the conjugates."""

        def conjugate(norm: Norm, q: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            value = norm.conjugate(q, t)
            return torch.zeros(q.shape, dtype=t.dtype, device=t.device) if value is None else value

        return self._each(conjugate, dual, threshold)

    def prox_conjugate(
        self,
        coefficients: torch.Tensor,
        threshold: torch.Tensor,
        step: torch.Tensor | float,
        scale: torch.Tensor | float = 1.0,
    ) -> torch.Tensor:
        """Apply the proximal mapping of each conjugate."""
        return self._each(lambda norm, c, t: norm.prox_conjugate(c, t, step, scale), coefficients, threshold)
