"""Base class of what chooses a Lambda map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from mrpro_lambda.checks import check_type
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Scan import Scan


class WeightChoice(NamedTuple):
    """A Lambda map, and what led to it."""

    lambda_map: torch.Tensor
    """Lambda map, shape `(n_maps, *other, 1, z, y, x)`, axes of size 1 broadcast."""
    report: Mapping[str, Any] | None = None
    """What else was found: of a rule that tries several weights, those weights and their results."""


class Weight(torch.nn.Module, ABC):
    r"""How strongly to regularize: chooses the map :math:`\Lambda` for a scan.

    A subclass writes `choose`. Unless it is not `relative`, a weight scales with the scan,
    :math:`\Lambda(c y, c x_0, c \sigma) = c \Lambda(y, x_0, \sigma)` for :math:`c > 0`. It treats the images of a batch
    that the regularizer does not couple independently.
    """

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:  # noqa: ARG003
        """Return small weights of this class by their names, which the tests of all weights take.

        Parameters
        ----------
        n_maps
            Number of maps that they may have to give. Those that do not fit are left out, see `check_solver`.
        """
        return {cls.__name__: cls()}

    @property
    def relative(self) -> bool:
        """Whether the map scales with the scan, and images that are not coupled do not influence each other's."""
        return True

    @abstractmethod
    def choose(self, scan: Scan) -> WeightChoice:
        """Choose the map, and report how.

        Parameters
        ----------
        scan
            Data, acquisition operator, initial image, noise level and solver.

        Returns
        -------
            Map that the regularizer of the solver takes, and the report of a rule.

        Raises
        ------
        ValueError
            If something that the weight needs is missing, or does not fit.
        """

    def forward(self, scan: Scan) -> torch.Tensor:
        """Return the map alone, see `choose`."""
        return self.choose(scan).lambda_map

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed. Others ignore it."""
        return False

    @property
    def uses_data(self) -> bool:
        """Whether data and acquisition operator are needed, as of rules that reconstruct."""
        return False

    @property
    def counts_samples(self) -> bool:
        """Whether the map accounts for repeated samples, as those of rules that reconstruct do."""
        return self.uses_data

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if the weight can not give the maps of the regularizer of a solver."""

    def numbers(self) -> list[torch.nn.Parameter]:
        """Return the parameters that are numbers with a meaning of their own, which may learn faster than a network."""
        return [parameter for parameter in self.parameters() if not parameter.ndim]

    def start_from(self, earlier: Weight) -> None:
        """Take the parameters of another weight of the same kind, from which a training goes on.

        Raises
        ------
        TypeError, ValueError
            If it is of another kind, or has parameters of other shapes.
        """
        check_type('The weight of the initial weights', earlier, type(self))
        own = {key: tuple(value.shape) for key, value in self.state_dict().items()}
        given = {key: tuple(value.shape) for key, value in earlier.state_dict().items()}
        if own != given:
            raise ValueError(f'The initial weights must have tensors of the shapes {own}, got {given}.')
        self.load_state_dict(earlier.state_dict())
