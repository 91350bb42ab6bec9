"""Proximal map of the data term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.data_consistency.normal_equations import solve_normal_equations


class ProximalStep(DataConsistency):
    r"""The image with the data that is close to another one, as in MoDL [AGG2019]_.

    .. math::

        x \leftarrow \arg\min_u \frac{1}{2} \|A u - y\|_2^2 + \frac{\lambda \|A\|^2}{2} \|u - x\|_2^2

    In closed form for a Cartesian acquisition with one coil, otherwise by a fixed number of steps of conjugate
    gradients from :math:`x`. The weight is relative to the squared norm of the acquisition, 1 for Cartesian ones.

    References
    ----------
    .. [AGG2019] Aggarwal HK, Mani MP, Jacob M (2019) MoDL: Model-based deep learning architecture for inverse problems.
       IEEE Trans Med Imaging 38(2) https://doi.org/10.1109/TMI.2018.2865356
    """

    def __init__(self, weight: float = 0.05, *, n_steps: int = 10, learned: bool = False) -> None:
        r"""Initialize the step.

        Parameters
        ----------
        weight
            Weight :math:`\lambda > 0` of the distance, with `learned` its initial value.
        n_steps
            Number of steps of conjugate gradients, where they are needed.
        learned
            Learn the weight.
        """
        super().__init__()
        check_number('weight', weight, positive=True)
        check_number('n_steps', n_steps, 1, integer=True)
        self.n_steps = n_steps
        self._weight = weight
        self.log_weight = torch.nn.Parameter(torch.tensor(math.log(weight))) if learned else None

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return a step with a fixed weight, and one that learns it."""
        return {'proximal': cls(), 'proximal, learned': cls(0.3, n_steps=4, learned=True)}

    @property
    def weight(self) -> torch.Tensor | float:
        """Weight of the distance."""
        return self._weight if self.log_weight is None else self.log_weight.exp()

    def forward(self, img: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Take the step, see `DataConsistency.forward`."""
        return solve_normal_equations(measured, img, self.weight * measured.norm(img), self.n_steps)
