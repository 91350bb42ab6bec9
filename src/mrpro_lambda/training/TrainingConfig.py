"""Configuration of a training."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from torch.utils.data import ConcatDataset

from mrpro_lambda.datasets import AcquisitionFamily, ImageSource, SimulatedData, read_images
from mrpro_lambda.losses import HeldOut, Recorrupted, ScanLoss, UnbiasedRisk
from mrpro_lambda.models.fields import Range, check_fields, dataclass_from_dict
from mrpro_lambda.recipes import Recipe

Loss = Literal['target', 'psnr', 'recorrupted', 'held_out', 'unbiased_risk']
_LOSSES: dict[Loss, type[ScanLoss] | None] = {
    'target': None,
    'psnr': None,
    'recorrupted': Recorrupted,
    'held_out': HeldOut,
    'unbiased_risk': UnbiasedRisk,
}
_Noise = Annotated[float, Range(0, 1000)]
_Zoom = Annotated[float, Range(0.01, 100)]


@dataclass(frozen=True)
class Images:
    """Images of one file and how often they are used in an epoch."""

    source: ImageSource
    repeat: Annotated[int, Range(1, 10**6)] = 1

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)


@dataclass(frozen=True)
class _Slice:
    """Slice in a file."""

    start: int | None = None
    stop: int | None = None
    step: Annotated[int, Range(1)] | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a training: images, acquisition, model and optimization."""

    images: tuple[Images, ...]
    """Training images."""
    validation_images: tuple[Images, ...]
    """Validation images, of other persons."""
    sampling: AcquisitionFamily
    """Family of acquisitions to train with."""
    validation_sampling: AcquisitionFamily
    """Family of acquisitions to validate with."""
    model: Recipe
    """Model."""
    noise: tuple[_Noise, _Noise]
    """Range of the noise level, relative to the root mean square of the image."""
    validation_noise: tuple[_Noise, ...]
    """Noise levels of the validation."""
    dictionaries: tuple[str, ...] = ()
    """Dictionaries of a dictionary model, names or files, of which each step draws one. The first one is stored."""
    learn_beta: bool = False
    """Learn the strength of the low-pass filter of a dictionary model."""
    n_coils: tuple[Annotated[int, Range(1, 1024)], ...] = (1,)
    """Numbers of coils to draw from."""
    colored_noise: bool | tuple[float, float] = False
    """Noise that varies along the phase-encoding direction, see `~mrpro_lambda.datasets.SimulatedAcquisitions`."""
    crop: Annotated[int, Range(1, 8192)] = 128
    """Size of the training images in pixels."""
    zoom: tuple[_Zoom, _Zoom] = (0.8, 1.15)
    """Range of the factor that training images are zoomed by."""
    max_steps: Annotated[int, Range(1, 10**9)] = 4000
    """Optimizer steps."""
    batch_size: Annotated[int, Range(1, 10**6)] = 4
    """Images in a step, on each device."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 1e-3
    """Largest learning rate, reached after 50 steps; then it falls to zero as a cosine."""
    loss: Loss = 'target'
    """Loss: the error of the image, its logarithm, by which all images count alike, or one of `mrpro_lambda.losses`,
    which does not look at the target."""
    background_weight: Annotated[float, Range(0, 1e6)] = 0.2
    """Weight of the background in the error of the image."""
    initial_weights: str | None = None
    """Weights to start from, a file of an earlier training. The network may see more than that of the weights."""
    seed: Annotated[int, Range(0, 2**32 - 2)] = 0
    """Seed of the initial weights, the order of the images and the simulation."""
    n_workers: Annotated[int, Range(0, 256)] = 0
    """Processes that simulate acquisitions."""
    validation_interval: Annotated[int, Range(1, 10**9)] = 500
    """Steps between validations; a checkpoint is written after each."""
    accelerator: str = 'auto'
    """Lightning's accelerator."""
    devices: Annotated[int, Range(1, 1024)] | str = 'auto'
    """Lightning's devices."""
    strategy: str = 'auto'
    """Lightning's strategy for several devices."""
    card: dict[str, str] = field(default_factory=dict)
    """Model card to store with the weights: data, license, purpose."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        if self.model.takes_filters != bool(self.dictionaries):
            raise ValueError(
                "dictionaries must be given for a model with method = 'cdl', and only for it, got "
                f'{list(self.dictionaries)}.'
            )
        if self.learn_beta and not self.model.low_pass_strength:
            raise ValueError("learn_beta must be false without method = 'cdl' and beta above 0 in the model, got true.")

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
        root = Path(path).parent if data_root is None else Path(data_root)
        values = read_toml(Path(path))
        if 'model' in values:
            values['model'] = Recipe.from_dict(values['model'])
        for key in ('sampling', 'validation_sampling'):
            if key in values:
                values[key] = read_sampling(values[key], key)
        config = dataclass_from_dict(cls, read_sections_of_images(values, root), 'top level')
        return dataclasses.replace(
            config,
            initial_weights=None if config.initial_weights is None else str(root / config.initial_weights),
            dictionaries=tuple(str(root / d) if d.endswith('.safetensors') else d for d in config.dictionaries),
        )

    @property
    def loss_without_target(self) -> ScanLoss | None:
        """The loss, `None` for the error of the image."""
        loss = _LOSSES[self.loss]
        return None if loss is None else loss()

    def trained_for(self) -> dict[str, Any]:
        """Return what weights of this training are for, in the fields of a `~mrpro_lambda.recipes.Recipe`."""
        acceleration = getattr(self.sampling, 'acceleration', None)
        if isinstance(acceleration, int | float):
            acceleration = (acceleration, acceleration)
        return {
            'noise_range': self.noise,
            'acceleration': acceleration,
            'n_coils': self.n_coils,
            'sampling': type(self.sampling).__name__,
            'grid': (self.crop, self.crop),
        }

    def training_data(self) -> SimulatedData:
        """Read the training images and set up the simulation."""
        return SimulatedData.simulate(
            read_all(self.images),
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
        images = read_all(self.validation_images)
        smallest = min((image.shape[-2:] for image in images), key=min)
        if min(smallest) < 7:
            raise ValueError(f'validation_images must have the 7 pixels of a window of SSIM, got {tuple(smallest)}.')
        return ConcatDataset(
            [
                SimulatedData.simulate(
                    images, self.validation_sampling, noise=noise, n_coils=max(self.n_coils), seed=self.seed + 1
                )
                for noise in self.validation_noise
            ]
        )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; whatever is wrong with it is a `ValueError` that names the file."""
    try:
        with path.open('rb') as file:
            return tomllib.load(file)
    except (ValueError, RecursionError) as error:  # also of the encoding, and of tables that are nested too deeply
        raise ValueError(f'{path} is no TOML file: {error}.') from error


def read_sections_of_images(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Replace the sections `[[images]]` and `[[validation_images]]` by what they describe."""
    values = dict(values)
    for section in ('images', 'validation_images'):
        if section in values:
            if not isinstance(values[section], list):
                raise ValueError(f'{section} must be a list of tables [[{section}]], got {values[section]!r:.200}.')
            values[section] = [_images(entry, root, section) for entry in values[section]]
    return values


def read_all(entries: tuple[Images, ...]) -> list[torch.Tensor]:
    """Read all images of a list."""
    return [image for entry in entries for image in read_images(entry.source) * entry.repeat]


def read_sampling(values: Any, section: str) -> AcquisitionFamily:  # noqa: ANN401
    """Create a family of acquisitions from its name and parameters."""
    if not isinstance(values, dict):
        raise ValueError(f'Section [{section}] must be a table, got {values!r:.200}.')
    values = dict(values)
    name = values.pop('name', None)
    families = AcquisitionFamily.by_name()
    if not isinstance(name, str) or name not in families:
        raise ValueError(f'name in section [{section}] must be one of {sorted(families)}, got {name!r}.')
    if name == 'Mixture':
        members = values.pop('members', [])
        if not isinstance(members, list):
            raise ValueError(f'members in section [{section}] must be a list of tables, got {members!r:.200}.')
        values['members'] = [read_sampling(m, section) for m in members]
    return dataclass_from_dict(families[name], values, section)


def _images(values: Any, folder: Path, section: str) -> Images:  # noqa: ANN401
    """Create an entry of the list of images."""
    if not isinstance(values, dict):
        raise ValueError(f'{section} must be a list of tables [[{section}]], got {values!r:.200} in it.')
    repeat = {'repeat': values['repeat']} if 'repeat' in values else {}
    values = {key: value for key, value in values.items() if key != 'repeat'}
    if isinstance(values.get('slices'), dict):
        selected = dataclass_from_dict(_Slice, values['slices'], f'{section}.slices')
        values['slices'] = slice(selected.start, selected.stop, selected.step)
    source = dataclass_from_dict(ImageSource, values, section)
    source = dataclasses.replace(source, path=folder / source.path)
    return dataclass_from_dict(Images, {'source': source, **repeat}, section)
