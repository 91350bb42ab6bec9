"""Base class of the data terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from mrpro.operators import LinearOperator


class DataTerm(ABC):
    r"""What is measured: a convex function :math:`f(A x; y)` of the data of an image.

    It owns what depends on the acquisition only, and is made once for it: solvers take an acquisition operator or a
    data term, and with the latter a second call has no set-up.
    """

    acquisition_op: LinearOperator
    """Acquisition operator :math:`A`, from images to data."""

    @abstractmethod
    def modulated(self, modulation: torch.Tensor) -> Self:
        """Return the data term for :math:`A M`, with a multiplication :math:`M` of the image."""
