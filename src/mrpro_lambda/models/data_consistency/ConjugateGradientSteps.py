"""Steps of conjugate gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.data_consistency.normal_equations import conjugate_gradient_steps


class ConjugateGradientSteps(DataConsistency):
    r"""A fixed number of steps of conjugate gradients for :math:`A^H A x = A^H y` from the image (CGNR) [HES1952]_.

    References
    ----------
    .. [HES1952] Hestenes M, Stiefel E (1952) Methods of conjugate gradients for solving linear systems. J Res Natl Bur
       Stand 49(6) https://doi.org/10.6028/jres.049.044
    """

    def __init__(self, n_steps: int = 3) -> None:
        """Initialize the step.

        Parameters
        ----------
        n_steps
            Number of steps. More of them fit the noise.
        """
        super().__init__()
        check_number('n_steps', n_steps, 1, integer=True)
        self.n_steps = n_steps

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return three steps."""
        return {'conjugate gradients': cls()}

    def forward(self, img: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Take the steps, see `DataConsistency.forward`."""
        return conjugate_gradient_steps(measured, measured.rhs, img, torch.zeros_like(measured.norm(img)), self.n_steps)
