"""Base class of the data sets of simulated acquisitions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import exp, log
from typing import Any, ClassVar

import numpy as np
import torch

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.datasets.Sample import Sample


class SimulatedData(torch.utils.data.Dataset[Sample]):
    """Acquisitions that are simulated when they are asked for.

    A sample depends on `(seed, epoch, index)` only, whichever process computes it and in whatever order. Global random
    number generators are neither used nor changed. Without calls of `set_epoch` the samples never change, as a test set
    should be.

    A subclass names the families of acquisitions that it simulates, by which `simulate` finds it, and is constructed
    as `~mrpro_lambda.datasets.SimulatedAcquisitions` is.
    """

    families: ClassVar[tuple[type[AcquisitionFamily], ...]] = ()
    """Families of acquisitions that are simulated."""

    images: list[torch.Tensor]
    """Images, one for each sample."""

    def __init__(
        self,
        *,
        noise: float | tuple[float, float],
        n_coils: int | Sequence[int],
        crop: int | None,
        augment: bool,
        zoom: tuple[float, float],
        seed: int,
    ) -> None:
        """Check and store what all data sets share; subclasses document the parameters.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self.noise = as_range('noise', noise, 0)
        if self.noise[0] == 0 < self.noise[1]:
            raise ValueError(f'A range of noise must not begin at 0, as it is drawn from logarithmically, got {noise}.')
        self.n_coils = (n_coils,) if isinstance(n_coils, int) else tuple(n_coils)
        if not self.n_coils or not all(isinstance(n, int) and n > 0 for n in self.n_coils):
            raise ValueError(f'n_coils must be one or several positive integers, got {n_coils}.')
        if crop is not None and (not isinstance(crop, int) or crop < 1):
            raise ValueError(f'crop must be a positive integer or None, got {crop}.')
        self.crop = crop
        self.augment = augment
        self.zoom = as_range('zoom', zoom, 0, exclusive=True)
        if not 0 <= seed < 2**32:
            raise ValueError(f'seed must be in [0, 2**32), got {seed}.')
        self.seed = seed
        # in shared memory, so that persistent workers of a DataLoader see changes
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @staticmethod
    def simulate(images: Sequence[torch.Tensor], sampling: AcquisitionFamily, **settings: Any) -> SimulatedData:  # noqa: ANN401
        """Create the data set that knows a family of acquisitions.

        Parameters
        ----------
        images
            Images.
        sampling
            Family of acquisitions.
        settings
            See `~mrpro_lambda.datasets.SimulatedAcquisitions`.

        Raises
        ------
        ValueError
            If no data set knows the family.
        """
        for found in SimulatedData.__subclasses__():
            if isinstance(sampling, found.families):
                data: Any = found
                simulated: SimulatedData = data(images, sampling, **settings)
                return simulated
        raise ValueError(f'There is no simulation for {type(sampling).__name__}, got {sampling}.')

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied data set, with the epoch in shared memory again."""
        self.__dict__.update(state)
        self._epoch.share_memory_()

    def __len__(self) -> int:
        """Get number of images."""
        return len(self.images)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Simulate an acquisition of an image."""

    @property
    def epoch(self) -> int:
        """Epoch that the samples are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Change all random draws, also in running workers of a `torch.utils.data.DataLoader`.

        Call it between epochs, before iterating over the loader.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0 to ``2**32 - 1``.
        """
        if not 0 <= epoch < 2**32:
            raise ValueError(f'epoch must be in [0, 2**32), got {epoch}.')
        self._epoch.fill_(epoch)

    def generators(self, index: int, n: int) -> list[torch.Generator]:
        """Return independent random number generators for a sample.

        Raises
        ------
        IndexError
            If there is no such sample.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'Index {index} is out of bounds for {len(self)} images.')
        seeds = np.random.SeedSequence((self.seed, self.epoch, index % len(self))).generate_state(n, np.uint64)
        return [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def draw_noise(self, generator: torch.Generator) -> float:
        """Draw the noise level, uniformly on a logarithmic scale."""
        low, high = self.noise
        return low if low == high else exp(draw_uniform((log(low), log(high)), generator))

    def draw_n_coils(self, generator: torch.Generator) -> int:
        """Draw the number of coils."""
        return self.n_coils[int(torch.randint(len(self.n_coils), (), generator=generator))]
