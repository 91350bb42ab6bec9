"""Base class of the steps towards the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch

from mrpro_lambda.models.data_consistency.Measured import Measured


class DataConsistency(torch.nn.Module, ABC):
    r"""A step from an image towards one whose data :math:`A x` are those that were measured.

    Models alternate it with a network. Images of a batch do not influence each other.
    """

    @classmethod
    @abstractmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return instances by a name, which the tests try."""

    @abstractmethod
    def forward(self, img: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Take the step.

        Parameters
        ----------
        img
            Image, shape `(*other, coils, z, y, x)`.
        measured
            Data with their data term.

        Returns
        -------
            Image of the same shape.
        """
