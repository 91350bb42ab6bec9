"""Data set of simulated low-dose computed tomography."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.datasets.augment_image import augment_image
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.datasets.LowDoseParallelBeam import LowDoseParallelBeam
from mrpro_lambda.datasets.LowDoseSample import LowDoseSample
from mrpro_lambda.datasets.SimulatedAcquisitions import centered, check_images
from mrpro_lambda.datasets.SimulatedData import SimulatedData
from mrpro_lambda.operators import filtered_back_projection


class SimulatedScans(SimulatedData):
    r"""Simulated low-dose scans of attenuation images: counts that are Poisson distributed.

    The images are relative: each is scaled such that its largest value is one of the range of the family. The counts
    are drawn anew in each epoch. Counts of zero are taken to be 0.1, as in LoDoPaB-CT.
    """

    families = (LowDoseParallelBeam,)

    def __init__(
        self,
        images: torch.Tensor | Sequence[torch.Tensor],
        sampling: LowDoseParallelBeam,
        *,
        noise: float | tuple[float, float],
        n_coils: int | Sequence[int] = 1,
        crop: int | None = None,
        augment: bool = False,
        zoom: tuple[float, float] = (0.8, 1.15),
        colored_noise: bool | tuple[float, float] = False,
        seed: int = 0,
    ) -> None:
        r"""Initialize the data set.

        Parameters
        ----------
        images
            Images of attenuation, of any scale, shape `(n, y, x)`, or a sequence of images of shape `(y, x)`.
        sampling
            Family of scans.
        noise
            Noise of a ray before the object, relative to its counts: :math:`1 / \sqrt{N_0}`, positive. A range
            `(low, high)` is drawn from uniformly on a logarithmic scale.
        n_coils, colored_noise
            Those of other acquisitions: they must be 1 and `False`.
        crop, augment, zoom, seed
            As in `SimulatedAcquisitions`.

        Raises
        ------
        ValueError
            If an image is negative or not finite, or a parameter is out of its range.
        """
        super().__init__(noise=noise, n_coils=n_coils, crop=crop, augment=augment, zoom=zoom, seed=seed)
        if not isinstance(sampling, LowDoseParallelBeam):
            raise ValueError(f'sampling must be a LowDoseParallelBeam, got {type(sampling).__name__}.')
        if n_coils not in (1, (1,), [1]) or colored_noise is not False:
            raise ValueError(f'A scan has neither coils nor colored noise, got {n_coils=} and {colored_noise=}.')
        self.images = check_images(images)
        self.sampling = sampling
        as_range('noise', noise, 0, exclusive=True)

    def __getitem__(self, index: int) -> LowDoseSample:
        """Simulate a scan of an image.

        Parameters
        ----------
        index
            Index of the image.
        """
        image_rng, noise_rng = self.generators(index, 2)
        family, img = self.sampling, self.images[index]
        shape = (img.shape[0], img.shape[1]) if self.crop is None else (self.crop, self.crop)
        if self.augment:
            img = augment_image(img, shape, image_rng, zoom=self.zoom)
        else:
            img = centered(img, self.crop)
        low, high = family.largest
        largest = draw_uniform((low, high), image_rng) if self.augment else (low + high) / 2
        img = (img * (largest / img.max()))[None, None]
        n_photons = torch.full((1, 1, 1, 1), 1 / self.draw_noise(noise_rng) ** 2)
        operator = family.ray_transform_op(shape)
        term: Any = PoissonCounts(operator, n_photons=n_photons, attenuation=family.attenuation)
        with warnings.catch_warnings():  # what happens to counts of zero is said above
            warnings.filterwarnings('ignore', '.*counts are zero')
            data = term.from_counts(term.draw(img, noise_rng))
        initial_image = filtered_back_projection(data, operator, cutoff=family.cutoff).clamp_min(0)
        numbers = (torch.tensor(x, dtype=torch.float64) for x in (family.field_of_view, family.attenuation))
        return LowDoseSample(img, data, initial_image, term.noise_std(data, img), n_photons, *numbers)
