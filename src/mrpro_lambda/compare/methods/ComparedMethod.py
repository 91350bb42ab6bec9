"""Base class of the methods that are compared."""

# annotations are evaluated here, as subclasses in other files inherit the fields with them
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.names import check_name
from mrpro_lambda.compare.TrainingSettings import TrainingSettings
from mrpro_lambda.models.fields import check_fields, dataclass_from_dict
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model


class MethodResult(NamedTuple):
    """Image of a method."""

    img: torch.Tensor
    """Image, shape `(1, 1, z, y, x)`."""
    details: dict[str, float]
    """Numbers that tell more: iterations, certified gap, weight."""


Reconstruct = Callable[[EvaluationSample], MethodResult]
"""What a method is once it is prepared."""


class Workplace(NamedTuple):
    """Where and with what a method is prepared."""

    training: TrainingSettings
    """Training images and their acquisition."""
    folder: Path
    """Folder of the methods."""
    device: str = 'cpu'
    """Device to compute on."""
    trained: tuple[str, ...] = ()
    """Names of the methods that are trained."""
    progress: bool = False
    """Show progress bars."""


@dataclass(frozen=True)
class ComparedMethod(ABC):
    """One section `[[methods]]`.

    A kind is a subclass with a field `kind`, whose default is its name in files: the base class finds it by that.
    """

    name: str
    """Name in the tables."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        check_name('name', self.name)

    @abstractmethod
    def prepare(self, workplace: Workplace) -> Reconstruct:
        """Train, tune or load, unless it was done before, and return what reconstructs.

        Parameters
        ----------
        workplace
            Training images, and where to work.
        """

    @abstractmethod
    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:
        """Raise an error if samples can not be reconstructed, before anything is trained.

        Parameters
        ----------
        workplace
            Training images; nothing is written in the folder.
        samples
            One sample of each test.

        Raises
        ------
        ValueError
            If one can not; the message names method and test.
        """

    def described(self, workplace: Workplace) -> Mapping[str, Any]:  # noqa: ARG002
        """Return what is worth knowing about the prepared method, for a row of a table."""
        return {}

    @property
    def is_trained(self) -> bool:
        """Whether it has a training, whose logs are in the folder of its name."""
        return False

    @property
    def needs_images(self) -> bool:
        """Whether it needs training images."""
        return self.is_trained

    @classmethod
    def kinds(cls) -> dict[str, 'type[ComparedMethod]']:
        """Return the kinds by their names."""
        found = {}
        for kind in cls.__subclasses__():
            field = next(field for field in dataclasses.fields(kind) if field.name == 'kind')
            found[str(field.default)] = kind
        return found

    @classmethod
    def from_dict(cls, values: Any, root: Path) -> 'ComparedMethod':  # noqa: ANN401
        """Create a method from a section of a file.

        Parameters
        ----------
        values
            The section, with the key `kind`.
        root
            Folder that names of files are relative to.

        Raises
        ------
        ValueError
            If kind or key is unknown, or a value not valid.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f'methods must be a list of tables [[methods]], got {values!r:.200} in it.')
        kind, known = values.get('kind'), cls.kinds()
        if not isinstance(kind, str) or kind not in known:
            raise ValueError(f'kind in section [[methods]] must be one of {sorted(known)}, got {kind!r}.')
        section = f'methods: {values.get("name")}'
        found: Any = dataclass_from_dict(known[kind], known[kind].read(values), section)
        return found.in_folder(root)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of a section with its own sections as objects."""
        return values

    def in_folder(self, root: Path) -> 'ComparedMethod':
        """Return the method with names of files relative to a folder: those with the ending of weights."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and value.endswith('.safetensors'):
                changes[field.name] = root / value
            elif isinstance(value, tuple):
                changes[field.name] = tuple(
                    root / v if isinstance(v, str) and v.endswith('.safetensors') else v for v in value
                )
        return dataclasses.replace(self, **changes)


def solve_with(model: Model) -> Reconstruct:
    """Return what reconstructs samples with a model.

    Parameters
    ----------
    model
        Model.
    """

    def reconstruct(sample: EvaluationSample) -> MethodResult:
        found = model.solve(sample.data, sample.acquisition_op, sample.initial_image, noise_std=sample.noise_std)
        details = {}
        if found.solution is not None:
            details = {
                'iterations': float(found.solution.n_iterations),
                'relative_gap': float(found.solution.relative_gap),
            }
        return MethodResult(found.img, details)

    return reconstruct


def try_model(name: str, model: Model, samples: Sequence[EvaluationSample]) -> None:
    """Raise an error if a model can not reconstruct samples; iterations are left out where there are many.

    Parameters
    ----------
    name
        Name of the method.
    model
        Model.
    samples
        One sample of each test.

    Raises
    ------
    ValueError
        If one can not be reconstructed, or if the image has another shape than the true one.
    """
    if isinstance(model, LambdaMapModel):
        model = LambdaMapModel(model.weight, model.solver.replace(n_iterations=1), band_limit=model.band_limit)
    for sample in samples:
        try:
            with torch.no_grad():
                img = model(sample.data, sample.acquisition_op, sample.initial_image, noise_std=sample.noise_std)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise ValueError(f'The method {name!r} can not take the acquisition of {sample.name!r}: {error}') from error
        if img.shape != sample.target.shape:
            raise ValueError(
                f'The method {name!r} gives images of shape {tuple(img.shape)} for those of {sample.name!r}, which '
                f'have {tuple(sample.target.shape)}.'
            )
