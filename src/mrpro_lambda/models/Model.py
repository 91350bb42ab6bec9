"""Base class of the reconstructions of tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_type
from mrpro_lambda.solvers.Solver import Solution


class ModelSolution(NamedTuple):
    """Image of a model with what led to it, as far as the model knows it."""

    img: torch.Tensor
    """Image, shape `(*other, coils, z, y, x)`."""
    lambda_map: torch.Tensor | None = None
    """Lambda map, shape `(n_maps, *other, 1, z, y, x)`, axes of size 1 broadcast; `None` for models without."""
    solution: Solution | None = None
    """Result of the solver with its certificate; `None` for models without."""
    report: Mapping[str, Any] | None = None
    """What the rule that chose the map found besides, see `~mrpro_lambda.weighting.WeightChoice`."""


class Model(torch.nn.Module, ABC):
    """A trainable reconstruction of tensors in mrpro's shapes, which knows no files.

    A subclass writes `forward`, and `solve` where there is more to say than the image. Reconstructions of scans,
    training and comparisons call these two and nothing behind them.
    """

    @abstractmethod
    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        r"""Reconstruct.

        Parameters
        ----------
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation :math:`\sigma` of the complex noise of a k-space sample, a number or one for each image.
            Models that do not use it ignore it.

        Returns
        -------
            Image, shape `(*other, coils, z, y, x)`.
        """

    @torch.no_grad()
    def solve(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
        *,
        progress: bool = False,  # noqa: ARG002
    ) -> ModelSolution:
        """Reconstruct without gradient, and tell what led to the image.

        Parameters
        ----------
        data, acquisition_op, initial_image, noise_std
            As in `forward`.
        progress
            Show a progress bar.

        Returns
        -------
            Image, and what the model knows about it.
        """
        return ModelSolution(self(data, acquisition_op, initial_image, noise_std))

    def refusal(
        self,
        data: torch.Tensor,  # noqa: ARG002
        acquisition_op: LinearOperator,  # noqa: ARG002
        initial_image: torch.Tensor,  # noqa: ARG002
    ) -> str | None:
        """Tell why the method can not reconstruct data of such an acquisition, `None` if it can.

        Parameters
        ----------
        data, acquisition_op, initial_image
            As in `forward`, which raises an error with this text.
        """
        return None

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed."""
        return False

    def numbers(self) -> list[torch.nn.Parameter]:
        """Return the parameters that are numbers with a meaning of their own, which may learn faster than a network."""
        return [parameter for parameter in self.parameters() if not parameter.ndim]

    def start_from(self, earlier: Model) -> None:
        """Take the parameters of another model of the same kind, from which a training goes on.

        Raises
        ------
        TypeError, RuntimeError
            If it is of another kind, or has parameters of other shapes.
        """
        check_type('The model of the initial weights', earlier, type(self))
        self.load_state_dict(earlier.state_dict())
