"""Gradient steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured


class Landweber(DataConsistency):
    r"""Gradient steps :math:`x \leftarrow x - \omega A^H (A x - y) / \|A\|^2` with :math:`0 < \omega < 2` [LAN1951]_.

    References
    ----------
    .. [LAN1951] Landweber L (1951) An iteration formula for Fredholm integral equations of the first kind. Am J Math
       73(3) https://doi.org/10.2307/2372313
    """

    def __init__(self, step: float = 1.0, *, n_steps: int = 1, learned: bool = False) -> None:
        r"""Initialize the step.

        Parameters
        ----------
        step
            Relative step size :math:`\omega`, above 0 and below 2.
        n_steps
            Number of steps.
        learned
            Learn the step size.
        """
        super().__init__()
        check_number('n_steps', n_steps, 1, integer=True)
        check_number('step', step, 0, 2)
        if not 0 < step < 2:
            raise ValueError(f'step must be above 0 and below 2, got {step!r}.')
        self.n_steps = n_steps
        self._step = step
        self.step_logit = torch.nn.Parameter(torch.tensor(math.log(step / (2 - step)))) if learned else None

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return one fixed step, and three of which the size is learned."""
        return {'Landweber': cls(), 'Landweber, learned': cls(1.5, n_steps=3, learned=True)}

    @property
    def step(self) -> torch.Tensor | float:
        """Relative step size."""
        return self._step if self.step_logit is None else 2 * self.step_logit.sigmoid()

    def forward(self, img: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Take the steps, see `DataConsistency.forward`."""
        length = self.step / measured.norm(img)
        for _ in range(self.n_steps):
            img = img - length * measured.gradient(img)
        return img
