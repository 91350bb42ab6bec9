"""What methods are trained and tuned with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.persons import of_first_persons
from mrpro_lambda.datasets import AcquisitionFamily, SimulatedData
from mrpro_lambda.models.fields import Range, check_fields
from mrpro_lambda.recipes import Recipe
from mrpro_lambda.training.TrainingConfig import Images, TrainingConfig, read_all

_Noise = Annotated[float, Range(0, 1000)]
_Zoom = Annotated[float, Range(0.01, 100)]


@dataclass(frozen=True)
class TrainingSettings:
    """What all trainings of a comparison share, at the top level of its file."""

    sampling: AcquisitionFamily | None = None
    """Family of acquisitions to train with."""
    validation_sampling: AcquisitionFamily | None = None
    """Family of acquisitions to validate, tune and test with. Default: `sampling`."""
    noise: tuple[_Noise, _Noise] = (0.1, 0.8)
    """Range of the noise level of the training, relative to the root mean square of the image."""
    validation_noise: tuple[_Noise, ...] = (0.2, 0.35, 0.6)
    """Noise levels of validation, tuning and tests."""
    images: tuple[Images, ...] = ()
    """Training images, for methods that are trained or tuned."""
    validation_images: tuple[Images, ...] = ()
    """Validation images, of other persons. Default: the training images."""
    persons: str | None = None
    """Regular expression that finds the person in the path of a file with the id of an image after it. `None`: each
    volume is a person, and each image of a stack."""
    n_coils: tuple[Annotated[int, Range(1, 1024)], ...] = (1,)
    """Numbers of coils to draw from in training; the largest is that of validation and tuning."""
    colored_noise: bool | tuple[float, float] = False
    """Noise that varies along the phase-encoding direction, see `~mrpro_lambda.datasets.SimulatedAcquisitions`."""
    crop: Annotated[int, Range(1, 8192)] = 128
    """Size of the training images in pixels."""
    zoom: tuple[_Zoom, _Zoom] = (0.8, 1.15)
    """Range of the factor that training images are zoomed by."""
    n_workers: Annotated[int, Range(0, 256)] = 0
    """Processes that simulate acquisitions."""
    validation_interval: Annotated[int, Range(1, 10**9)] = 250
    """Steps between validations; a checkpoint is written after each."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)

    @property
    def test_sampling(self) -> AcquisitionFamily | None:
        """Family of acquisitions of validation, tuning and tests."""
        return self.sampling if self.validation_sampling is None else self.validation_sampling

    def config(self, recipe: Recipe, *, n_persons: int | None, device: str, **options: Any) -> TrainingConfig:  # noqa: ANN401
        """Return the configuration of the training of a model.

        Parameters
        ----------
        recipe
            Description of the model.
        n_persons
            Number of persons, `None` for all.
        device
            Device.
        options
            Further fields.

        Raises
        ------
        ValueError
            If images or sampling are missing, or if there are fewer persons.
        """
        images = self.images if n_persons is None else of_first_persons(self.images, n_persons, self.persons)
        if self.sampling is None or self.test_sampling is None or not images:
            raise ValueError('Methods that are trained need the sections [sampling] and [[images]], got one or none.')
        shared = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ('sampling', 'validation_sampling', 'images', 'validation_images', 'persons')
        }
        return TrainingConfig(
            images=images,
            validation_images=self.validation_images or images,
            sampling=self.sampling,
            validation_sampling=self.test_sampling,
            model=recipe,
            accelerator='gpu' if device == 'cuda' else 'cpu',
            devices=1,
            **shared,
            **options,
        )

    def samples(self) -> list[EvaluationSample]:
        """Return a sample as those of the training."""
        if self.sampling is None or not self.images:
            return []
        images = read_all(self.images[:1])[:1]
        data = SimulatedData.simulate(
            images, self.sampling, noise=self.noise[1], n_coils=self.n_coils, crop=self.crop, augment=True
        )
        return [EvaluationSample.simulated(data, 0, 'training', self.noise[1])]

    def tuning_samples(self, n_samples: int, noise: float) -> list[EvaluationSample]:
        """Return samples of training images at a noise level, as those of tests.

        Parameters
        ----------
        n_samples
            Number of images, evenly chosen.
        noise
            Noise level.

        Raises
        ------
        ValueError
            If images or sampling are missing.
        """
        if self.test_sampling is None or not self.images:
            raise ValueError('Methods that are tuned need the sections [sampling] and [[images]], got one or none.')
        images = read_all(tuple(dataclasses.replace(entry, repeat=1) for entry in self.images))
        step = max(1.0, len(images) / n_samples)
        chosen = [images[int((i + 0.5) * step)] for i in range(min(n_samples, len(images)))]
        data = SimulatedData.simulate(
            chosen,
            self.test_sampling,
            noise=noise,
            n_coils=max(self.n_coils),
            colored_noise=self.colored_noise,
            seed=5000,
        )
        return [EvaluationSample.simulated(data, index, 'tuning', noise) for index in range(len(data))]
