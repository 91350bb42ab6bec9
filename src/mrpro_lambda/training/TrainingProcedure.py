"""How the parameters of a model are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lightning import Trainer
from torch.utils.data import DataLoader

from mrpro_lambda.datasets import SimulatedData
from mrpro_lambda.recipes import Recipe
from mrpro_lambda.training.ModelModule import ModelModule
from mrpro_lambda.training.TrainingConfig import TrainingConfig


class TrainingTask(NamedTuple):
    """A training that is set up."""

    config: TrainingConfig
    """Configuration."""
    module: ModelModule
    """Model with its loss and its validation."""
    data: SimulatedData
    """Training images."""
    validation_loader: DataLoader
    """Validation images."""
    trainer: Trainer
    """Lightning's trainer, with device, logs and checkpoints."""
    checkpoint: Path
    """File of the last checkpoint."""
    n_steps: int | None
    """Steps that the checkpoint has done, `None` if there is no checkpoint."""
    parameters: dict[str, Any]
    """What the weights depend on, which a checkpoint stores."""
    progress: bool
    """Show a progress bar."""


class TrainingProcedure(ABC):
    """What `~mrpro_lambda.training.train` does between the set-up and the weights.

    A procedure belongs to a class of descriptions and those derived from it: the base class finds it by that, the one
    of the nearest class first.
    """

    recipe: ClassVar[type[Recipe]]
    """Descriptions whose models are trained in this way."""

    @classmethod
    def of(cls, recipe: Recipe) -> TrainingProcedure:
        """Return the procedure of a description.

        Parameters
        ----------
        recipe
            Description of a model.
        """
        known = {found.recipe: found for found in _subclasses(cls)}
        return next(known[kind] for kind in type(recipe).__mro__ if kind in known)()

    def check(self, config: TrainingConfig) -> None:  # noqa: B027
        """Raise an error if a configuration does not suit the procedure, before anything is written.

        Parameters
        ----------
        config
            Configuration.

        Raises
        ------
        ValueError
            If it does not.
        """

    def parameters(self, config: TrainingConfig) -> dict[str, Any]:  # noqa: ARG002
        """Return what weights depend on besides what they do in all trainings.

        Parameters
        ----------
        config
            Configuration.
        """
        return {}

    @abstractmethod
    def run(self, task: TrainingTask) -> int:
        """Train the model in place, from the checkpoint if there is one.

        Parameters
        ----------
        task
            Training.

        Returns
        -------
            Number of steps that are done.
        """


def _subclasses(cls: type[TrainingProcedure]) -> Iterator[type[TrainingProcedure]]:
    """Return all subclasses, also those of subclasses."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
