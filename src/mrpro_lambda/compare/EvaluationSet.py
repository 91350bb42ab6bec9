"""What methods are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.names import check_name
from mrpro_lambda.compare.ReferenceScan import ReferenceScan
from mrpro_lambda.datasets import AcquisitionFamily, SimulatedData
from mrpro_lambda.models.fields import Range, check_fields
from mrpro_lambda.training.TrainingConfig import Images, read_all


@dataclass(frozen=True)
class EvaluationSet:
    """One section `[[tests]]`: images with their acquisition, or measured scans with references."""

    name: str
    """Name in the tables."""
    images: tuple[Images, ...] = ()
    """Images, of persons that are not among those of the training."""
    scans: tuple[ReferenceScan, ...] = ()
    """Measured scans with references, in place of images."""
    sampling: AcquisitionFamily | None = None
    """Acquisition of the images. `None`: that of the validation."""
    noise: tuple[Annotated[float, Range(0, 1000)], ...] = ()
    """Noise levels, relative to the root mean square of the image. Default: those of the validation."""
    n_coils: Annotated[int, Range(1, 1024)] | None = None
    """Number of coils. `None`: the largest of the training."""
    colored_noise: bool | tuple[float, float] = False
    """Noise that varies along the phase-encoding direction, see `~mrpro_lambda.datasets.SimulatedAcquisitions`."""
    crop: Annotated[int, Range(7, 8192)] | None = None
    """Size of the central part that is used of each image in pixels. `None`: the whole image."""
    pictures: tuple[Annotated[int, Range(0)], ...] = (0,)
    """Numbers of the images that are shown in the report, from 0, at the middle noise level."""
    seed: Annotated[int, Range(0, 2**32 - 2)] = 1000
    """Seed of phases, coils, patterns and noise. Tests that differ in the noise only have the same of all others."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        check_name('name', self.name)
        if bool(self.images) == bool(self.scans):
            raise ValueError(f'A test must have either images or scans, got both or none for {self.name!r}.')
        if self.scans and (self.sampling is not None or self.noise):
            raise ValueError(f'Measured scans have their own sampling and noise, got both for the test {self.name!r}.')

    def __len__(self) -> int:
        """Get the number of samples."""
        return len(self.scans) if self.scans else len(read_all(self.images)) * len(self.noise)

    def samples(self, *, shown: bool = False) -> Iterator[EvaluationSample]:
        """Simulate or read the samples: all images at the first noise level, then at the next.

        Parameters
        ----------
        shown
            Only those that are shown.

        Raises
        ------
        ValueError
            If an image or scan can not be read, or if the sampling does not fit the images.
        """
        if self.scans:
            chosen = [(i, scan) for i, scan in enumerate(self.scans) if not shown or self.is_shown(i, None)]
            yield from (scan.sample(index) for index, scan in chosen)
            return
        if self.sampling is None:
            raise ValueError(f'The test {self.name!r} must have a sampling.')
        images = read_all(self.images)
        for noise in self.noise:
            data = SimulatedData.simulate(
                images,
                self.sampling,
                noise=noise,
                n_coils=1 if self.n_coils is None else self.n_coils,
                colored_noise=self.colored_noise,
                crop=self.crop,
                seed=self.seed,
            )
            for index in range(len(data)):
                if shown and not self.is_shown(index, noise):
                    continue
                yield EvaluationSample.simulated(data, index, f'{index:04d}-noise-{noise:g}', noise)

    def is_shown(self, image: int, noise: float | None) -> bool:
        """Tell whether a sample is one of those that are shown.

        Parameters
        ----------
        image
            Number of the image.
        noise
            Noise level, `None` for scans.
        """
        middle = None if self.scans else self.noise[len(self.noise) // 2]
        return image in self.pictures and noise == middle
