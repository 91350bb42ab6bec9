"""Base class of the data sets of simulated acquisitions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
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

    def __init__(self, seed: int) -> None:
        """Initialize the random numbers.

        Parameters
        ----------
        seed
            Seed of all random numbers, from 0 to ``2**32 - 1``.
        """
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
