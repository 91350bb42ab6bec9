"""A model that is trained for the comparison."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.methods.ComparedMethod import ComparedMethod, Reconstruct, Workplace, solve_with, try_model
from mrpro_lambda.compare.methods.penalty import filters_of
from mrpro_lambda.compare.TrainingSettings import TrainingSettings
from mrpro_lambda.compare.write_text import write_text
from mrpro_lambda.datasets import AcquisitionFamily
from mrpro_lambda.models.fields import Range
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.recipes import Recipe
from mrpro_lambda.training.TrainingConfig import TrainingConfig, read_sampling

_RATE = Annotated[float, Range(0, 10, above=True)]
_WEIGHTS = 'weights.safetensors'
_CRITERION = 'validation_psnr_foreground'


@dataclass(frozen=True)
class TrainedMethod(ComparedMethod):
    """A model trained on the images of the comparison, end to end as by `mrpro-lambda train`."""

    kind: Literal['train'] = 'train'
    """Tells this kind from others."""
    model: Recipe | None = None
    """Model, the section `[methods.model]`."""
    max_steps: Annotated[int, Range(1, 10**9)] = 1000
    """Steps of the training."""
    batch_size: Annotated[int, Range(1, 10**6)] = 4
    """Images in a step."""
    learning_rate: _RATE | tuple[_RATE, ...] = 1e-3
    """Largest learning rate. Of several, that of the best validation after `tuning_steps` steps is taken."""
    tuning_steps: Annotated[int, Range(1, 10**9)] = 200
    """Steps of the trainings that choose between learning rates."""
    dictionaries: tuple[str | Path, ...] = ()
    """Dictionaries of a dictionary model, of which each step draws one."""
    learn_beta: bool = False
    """Learn the strength of the low-pass filter of a dictionary model."""
    initial_weights: str | Path | None = None
    """Weights to start from."""
    background_weight: Annotated[float, Range(0, 1e6)] = 0.2
    """Weight of the background in the loss."""
    sampling: AcquisitionFamily | None = None
    """Acquisitions to train with, the section `[methods.sampling]`, for models that know only some. `None`: those of
    all trainings."""
    validation_sampling: AcquisitionFamily | None = None
    """Acquisitions to validate with, the section `[methods.validation_sampling]`. `None`: those of all trainings."""
    n_persons: Annotated[int, Range(1)] | None = None
    """Train with the images of this many persons only, the first ones of the list. `None`: all."""
    seed: Annotated[int, Range(0, 2**32 - 2)] = 0
    """Seed of the initial weights, the order of the images and the simulation."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.model is None:
            raise ValueError('A method that is trained needs a section [methods.model], got none.')

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of a section with model and acquisitions as objects."""
        values = dict(values)
        if 'model' in values:
            values['model'] = Recipe.from_dict(values['model'])
        for key in ('sampling', 'validation_sampling'):
            if key in values:
                values[key] = read_sampling(values[key], f'methods.{key}')
        return values

    @property
    def recipe(self) -> Recipe:
        """Model."""
        if self.model is None:
            raise ValueError('A method that is trained needs a model.')
        return self.model

    @property
    def is_trained(self) -> bool:
        """Whether it has a training, which it has."""
        return True

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates to choose from."""
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate,)

    def prepare(self, workplace: Workplace) -> Reconstruct:
        """Train, go on with a training, or load what was trained."""
        path = self._path(workplace)
        if not path.exists():
            self._train(workplace, path.parent, self._rate(workplace), self.max_steps)
        return solve_with(load_weights(path)[0].to(workplace.device))

    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:
        """Reconstruct with random weights, and look at the configuration of the training."""
        self._config(workplace, self.rates[0], self.max_steps)
        filters = filters_of(self.dictionaries[0]) if self.dictionaries else None
        model = self.recipe.build(filters=filters).to(workplace.device)
        try_model(self.name, model, [s.to(workplace.device) for s in self._settings(workplace).samples()])
        model = self.recipe.build(filters=filters, inference=True).eval().to(workplace.device)
        try_model(self.name, model, samples)

    def described(self, workplace: Workplace) -> Mapping[str, Any]:
        """Return size and training."""
        model, card = load_weights(self._path(workplace))
        return {
            'parameters': sum(p.numel() for p in model.parameters()),
            'how': f'{self.max_steps} steps of {self.batch_size}, learning rate {self._rate(workplace):g}'
            + (f' of {", ".join(f"{rate:g}" for rate in self.rates)}' if len(self.rates) > 1 else '')
            + (f', {self.n_persons} persons' if self.n_persons else ''),
            'validation PSNR, foreground': card.get(_CRITERION, ''),
        }

    def _path(self, workplace: Workplace) -> Path:
        """Return the file of the weights."""
        return workplace.folder / self.name / _WEIGHTS

    def _rate(self, workplace: Workplace) -> float:
        """Return the learning rate, after a short training with each of several."""
        if len(self.rates) == 1:
            return self.rates[0]
        folder = workplace.folder / f'{self.name} rates'
        stored = folder / 'rates.json'
        found: dict[str, float] = json.loads(stored.read_text('utf-8')) if stored.exists() else {}
        for rate in self.rates:
            if f'{rate:g}' not in found:
                output = folder / f'{rate:g}'
                if not (output / _WEIGHTS).exists():
                    self._train(workplace, output, rate, self.tuning_steps)
                found[f'{rate:g}'] = float(load_weights(output / _WEIGHTS)[1][_CRITERION])
                write_text(stored, json.dumps(found, indent=2))
        return max(self.rates, key=lambda rate: found[f'{rate:g}'])

    def _train(self, workplace: Workplace, output: Path, rate: float, max_steps: int) -> None:
        """Train, from the last checkpoint if there is one."""
        from mrpro_lambda.training.train import train

        config = self._config(workplace, rate, max_steps)
        with warnings.catch_warnings():
            # advice on loaders and logs, once for each of many trainings
            warnings.filterwarnings('ignore', module='lightning')
            train(config, output, resume=output.exists(), progress=workplace.progress)

    def _settings(self, workplace: Workplace) -> TrainingSettings:
        """Return what it is trained with."""
        shared = workplace.training
        return dataclasses.replace(
            shared,
            sampling=self.sampling or shared.sampling,
            validation_sampling=self.validation_sampling or shared.validation_sampling,
        )

    def _config(self, workplace: Workplace, rate: float, max_steps: int) -> TrainingConfig:
        """Return the configuration of the training."""
        return self._settings(workplace).config(
            self.recipe,
            n_persons=self.n_persons,
            device=workplace.device,
            max_steps=max_steps,
            batch_size=self.batch_size,
            learning_rate=rate,
            dictionaries=tuple(map(str, self.dictionaries)),
            learn_beta=self.learn_beta,
            initial_weights=None if self.initial_weights is None else str(self.initial_weights),
            background_weight=self.background_weight,
            seed=self.seed,
            card={'method': self.name},
        )
