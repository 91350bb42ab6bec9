"""Base class of the descriptions of models."""

# annotations are evaluated here, as subclasses in other files inherit the fields with them
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import torch

from mrpro_lambda.models.fields import Range, check_fields, dataclass_from_dict
from mrpro_lambda.models.Model import Model
from mrpro_lambda.recipes.ScanProperties import Sampling, ScanProperties

_Noise = Annotated[float, Range(0, 1000)]
_Acceleration = Annotated[float, Range(1, 1e6)]
_SAMPLING: dict[str | None, Sampling] = {
    'CentralBox': 'box',
    'VariableDensityRandom': 'points',
    'GriddedSpokes': 'points',
    'CartesianLines': 'lines',
    'Radial': 'other',
}
_NAMES: dict[Sampling, str] = {
    'box': 'a whole box',
    'points': 'single points',
    'lines': 'lines',
    'other': 'points off the grid',
}


@dataclass(frozen=True)
class Recipe(ABC):
    """Everything that is needed to build a model, apart from its tensors, with which it is stored.

    A method is a subclass with a field `method`, whose default is its name in files: the base class finds it by that.
    Fields are checked as they are annotated. Those of this class tell what the weights were trained for and, where it
    was measured, what else they are good for, so that use outside of it can be noticed; `None` is unknown.
    """

    takes_filters: ClassVar[bool] = False
    """Whether the model has a dictionary, whose filters are given to `build` and stored with the weights."""

    noise_range: tuple[_Noise, _Noise] | None = None
    """Range of the noise levels of the training, relative to the root mean square of the image."""
    acceleration: tuple[_Acceleration, _Acceleration] | None = None
    """Range of the accelerations of the training."""
    n_coils: tuple[Annotated[int, Range(1, 1024)], ...] | None = None
    """Numbers of coils of the training."""
    sampling: str | None = None
    """Family of acquisitions of the training."""
    grid: tuple[Annotated[int, Range(1, 8192)], ...] | None = None
    """Size of the images of the training in pixels."""
    valid_noise: tuple[_Noise, _Noise] | None = None
    """Range of the noise levels, relative to the image on the grid of the samples, in which the weights are of use.
    `None`: that of the training, as for the next ones."""
    valid_acceleration: tuple[_Acceleration, _Acceleration] | None = None
    """Range of the accelerations."""
    valid_coils: tuple[Annotated[int, Range(1, 1024)], Annotated[int, Range(1, 1024)]] | None = None
    """Smallest and largest number of coils."""
    valid_sampling: tuple[Sampling, ...] | None = None
    """Kinds of sampling."""
    refinement: Annotated[float, Range(1, 16)] = 1.0
    """How much finer than that of the samples the grid of the image was, for weights that raise the resolution."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)

    @abstractmethod
    def build(
        self,
        seed: int = 0,
        *,
        filters: torch.Tensor | None = None,
        inference: bool = False,
        trained: torch.nn.Module | None = None,
    ) -> Model:
        """Build the model.

        Parameters
        ----------
        seed
            Seed of the initial weights.
        filters
            Filters of unit norm for a model with a dictionary, see `~mrpro_lambda.regularizers.DictionarySparsity`.
        inference
            Solve to the tolerance instead of taking the number of iterations of the training.
        trained
            Trained part in place of a new one, see `trainable`.
        """

    @abstractmethod
    def trainable(self, seed: int = 0, *, filters: torch.Tensor | None = None) -> torch.nn.Module:
        """Build the part of the model that is trained and stored, see `build`."""

    @abstractmethod
    def trainable_of(self, model: Model) -> torch.nn.Module:
        """Return that part of a model.

        Raises
        ------
        ValueError
            If the model has none.
        """

    def filters_of(self, model: Model) -> torch.Tensor | None:  # noqa: ARG002
        """Return the filters of a model with a dictionary."""
        return None

    def check_filters(self, stored: torch.Tensor, given: torch.Tensor) -> None:  # noqa: B027
        """Raise an error if the trained part for some filters can not be used with others."""

    def exchange_filters(self, model: Model, filters: torch.Tensor, strength: float | torch.Tensor | None) -> None:  # noqa: ARG002
        """Give a model another dictionary, and another strength of the low-pass filter of its smooth part."""
        raise ValueError(f'The model has no dictionary, got filters of shape {tuple(filters.shape)}.')

    @property
    def low_pass_strength(self) -> float | None:
        """Strength of the low-pass filter of the smooth part; `None` for models without."""
        return None

    def with_low_pass_strength(self, strength: float) -> Self:
        """Return the description with the strength that was learned."""
        raise ValueError(f'The model has no smooth part, got a strength of {strength}.')

    def good_for(self) -> str:
        """Tell in words which scans the weights are good for; what is not known is left out."""
        sampling, ranges = self._domain()
        texts = [] if sampling is None else [f'sampling of {_words(sampling)}']
        return ', '.join([*texts, *(f'{name} of {r[0]:g} to {r[1]:g}' for name, r in ranges.items() if r is not None)])

    def mismatches(self, scan: ScanProperties) -> list[str]:
        """Tell in which properties a scan is not one that the weights are good for, a text for each."""
        sampling, ranges = self._domain()
        found = []
        if sampling is not None and scan.sampling not in sampling:
            found.append(f'sampling of {_NAMES[scan.sampling]} instead of {_words(sampling)}')
        # what is measured of a scan is known to some percent, and its noise to 15 %
        values = ((scan.acceleration, 0.05), (scan.n_coils, 0.0), (scan.noise, 0.15))
        for (name, valid), (value, error) in zip(ranges.items(), values, strict=True):
            if value is None or valid is None:
                continue
            if not (1 - error) * valid[0] <= value <= (1 + error) * valid[1]:
                found.append(f'{name} of {value:.2g} instead of {valid[0]:g} to {valid[1]:g}')
        return found

    def _domain(self) -> tuple[tuple[Sampling, ...] | None, dict[str, tuple[float, float] | None]]:
        """Return kinds of sampling and ranges of acceleration, coils and noise: as measured, or of the training."""
        coils: tuple[float, float] | None = self.valid_coils
        if coils is None and self.n_coils is not None:
            coils = min(self.n_coils), max(self.n_coils)
        sampling = self.valid_sampling
        if sampling is None and self.sampling in _SAMPLING:
            sampling = (_SAMPLING[self.sampling],)
        return sampling, {
            'acceleration': self.valid_acceleration or self.acceleration,
            'number of coils': coils,
            'noise relative to the image': self.valid_noise or self.noise_range,
        }

    def trained_for(self, **domain: Any) -> Self:  # noqa: ANN401
        """Return the description with what a training was made for; what it says already stays."""
        return dataclasses.replace(self, **{key: value for key, value in domain.items() if getattr(self, key) is None})

    @classmethod
    def methods(cls) -> dict[str, 'type[Recipe]']:
        """Return the descriptions by the names of their methods."""
        return {name: found for found in (cls, *_subclasses(cls)) if (name := _method(found)) is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Create from a mapping, as read from a file; `method` tells which, `tv` if it is missing.

        Raises
        ------
        ValueError
            If a key or the method is unknown, or a value is not valid.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f'Section [model] must be a table, got {values!r:.200}.')
        known = cls.methods()
        # total variation was the first method, and files of that time do not name it
        method = values.get('method', 'tv' if 'tv' in known else next(iter(known)))
        if not isinstance(method, str) or method not in known:
            raise ValueError(f'method in section [model] must be one of {sorted(known)}, got {method!r}.')
        found: Any = dataclass_from_dict(known[method], values, 'model')
        return found


def _words(sampling: tuple[Sampling, ...]) -> str:
    """Name kinds of sampling."""
    return ' or '.join(_NAMES[kind] for kind in sampling)


def _subclasses(cls: type[Recipe]) -> Iterator[type[Recipe]]:
    """Return all subclasses, also those of subclasses."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _method(cls: type[Recipe]) -> str | None:
    """Return the name of the method of a description; `None` for a base class."""
    return next((str(field.default) for field in dataclasses.fields(cls) if field.name == 'method'), None)
