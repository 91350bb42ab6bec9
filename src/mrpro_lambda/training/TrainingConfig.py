"""Configuration of a training."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch.utils.data import ConcatDataset

from mrpro_lambda.datasets import (
    CartesianLines,
    CartesianSampling,
    CentralBox,
    ImageSource,
    Mixture,
    Radial,
    SimulatedAcquisitions,
    VariableDensityRandom,
    read_images,
)
from mrpro_lambda.models.ModelConfig import DictionaryModelConfig, ModelConfig, dataclass_from_dict, model_config

_SAMPLING: dict[str, type[CartesianSampling | Radial]] = {
    'CartesianLines': CartesianLines,
    'CentralBox': CentralBox,
    'Radial': Radial,
    'VariableDensityRandom': VariableDensityRandom,
}


@dataclass(frozen=True)
class Images:
    """Images of one file and how often they are used in an epoch."""

    source: ImageSource
    repeat: int = 1


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a training: images, acquisition, model and optimization."""

    images: tuple[Images, ...]
    """Training images."""
    validation_images: tuple[Images, ...]
    """Validation images, of other persons."""
    sampling: CartesianSampling | Radial
    """Family of acquisitions to train with."""
    validation_sampling: CartesianSampling | Radial
    """Family of acquisitions to validate with."""
    model: ModelConfig | DictionaryModelConfig
    """Model."""
    noise: tuple[float, float]
    """Range of the noise level, relative to the root mean square of the image."""
    validation_noise: tuple[float, ...]
    """Noise levels of the validation."""
    dictionaries: tuple[str, ...] = ()
    """Dictionaries of a dictionary model, names or files, of which each step draws one. The first one is stored."""
    learn_beta: bool = False
    """Learn the strength of the low-pass filter of a dictionary model."""
    n_coils: tuple[int, ...] = (1,)
    """Numbers of coils to draw from."""
    colored_noise: bool | tuple[float, float] = False
    """Noise that varies along the phase-encoding direction, see `~mrpro_lambda.datasets.SimulatedAcquisitions`."""
    crop: int = 128
    """Size of the training images in pixels."""
    zoom: tuple[float, float] = (0.8, 1.15)
    """Range of the factor that training images are zoomed by."""
    max_steps: int = 4000
    """Optimizer steps."""
    batch_size: int = 4
    """Images in a step, on each device."""
    learning_rate: float = 1e-3
    """Largest learning rate, reached after 50 steps; then it falls to zero as a cosine."""
    background_weight: float = 0.2
    """Weight of the background in the loss."""
    initial_weights: str | None = None
    """Weights to start from, a file of an earlier training. The network may see more than that of the weights."""
    seed: int = 0
    """Seed of the initial weights, the order of the images and the simulation."""
    n_workers: int = 0
    """Processes that simulate acquisitions."""
    validation_interval: int = 500
    """Steps between validations; a checkpoint is written after each."""
    accelerator: str = 'auto'
    """Lightning's accelerator."""
    devices: int | str = 'auto'
    """Lightning's devices."""
    strategy: str = 'auto'
    """Lightning's strategy for several devices."""
    card: dict[str, str] = field(default_factory=dict)
    """Model card to store with the weights: data, license, purpose."""

    @classmethod
    def from_toml(cls, path: str | Path, data_root: str | Path | None = None) -> Self:
        """Read a configuration; unknown keys are an error.

        Parameters
        ----------
        path
            TOML file with the sections `[model]`, `[sampling]`, `[validation_sampling]`, `[[images]]`,
            `[[validation_images]]` and `[card]`; all else at the top.
        data_root
            Folder that the paths in the configuration are relative to. Default: that of the file.
        """
        path = Path(path)
        root = path.parent if data_root is None else Path(data_root)
        with path.open('rb') as file:
            values: dict[str, Any] = tomllib.load(file)
        if isinstance(values.get('model'), dict):
            values['model'] = model_config(values['model'])
        for key in ('sampling', 'validation_sampling'):
            if isinstance(values.get(key), dict):
                values[key] = _sampling(dict(values[key]), key)
        for key in ('images', 'validation_images'):
            if isinstance(values.get(key), list):
                values[key] = [_images(dict(entry), root, key) for entry in values[key]]
        if values.get('initial_weights') is not None:
            values['initial_weights'] = str(root / values['initial_weights'])
        if isinstance(values.get('dictionaries'), list):
            values['dictionaries'] = [
                str(root / d) if d.endswith('.safetensors') else d for d in values['dictionaries']
            ]
        config = dataclass_from_dict(cls, values, 'top level')
        if isinstance(config.model, DictionaryModelConfig) != bool(config.dictionaries):
            raise ValueError(
                "dictionaries must be given for a model with method = 'cdl', and only for it, got "
                f'{list(config.dictionaries)}.'
            )
        return config

    def training_data(self) -> SimulatedAcquisitions:
        """Read the training images and set up the simulation."""
        return SimulatedAcquisitions(
            _read(self.images),
            self.sampling,
            noise=self.noise,
            n_coils=self.n_coils,
            colored_noise=self.colored_noise,
            crop=self.crop,
            augment=True,
            zoom=self.zoom,
            seed=self.seed,
        )

    def validation_data(self) -> ConcatDataset:
        """Read the validation images and set up the simulation at each noise level."""
        images = _read(self.validation_images)
        return ConcatDataset(
            [
                SimulatedAcquisitions(
                    images, self.validation_sampling, noise=noise, n_coils=max(self.n_coils), seed=self.seed + 1
                )
                for noise in self.validation_noise
            ]
        )


def _sampling(values: dict[str, Any], section: str) -> CartesianSampling | Radial:
    """Create a family of acquisitions from its name and parameters."""
    name = values.pop('name', None)
    if name == 'Mixture':
        members = tuple(_sampling(dict(member), section) for member in values.pop('members', []))
        return dataclass_from_dict(Mixture, {**values, 'members': members}, section)
    if name not in _SAMPLING:
        raise ValueError(f'name in section [{section}] must be one of {[*sorted(_SAMPLING), "Mixture"]}, got {name!r}.')
    return dataclass_from_dict(_SAMPLING[name], values, section)


def _images(values: dict[str, Any], folder: Path, section: str) -> Images:
    """Create an entry of the list of images."""
    repeat = values.pop('repeat', 1)
    if isinstance(values.get('slices'), dict):
        values['slices'] = slice(*(values['slices'].get(key) for key in ('start', 'stop', 'step')))
    source = dataclass_from_dict(ImageSource, values, section)
    return Images(dataclasses.replace(source, path=folder / source.path), repeat)


def _read(entries: tuple[Images, ...]) -> list[torch.Tensor]:
    """Read all images of a list."""
    return [image for entry in entries for image in read_images(entry.source) * entry.repeat]
