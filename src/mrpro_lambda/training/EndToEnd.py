"""Training by the gradient of a loss of the image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from mrpro_lambda.datasets import SimulatedData
from mrpro_lambda.recipes import Recipe
from mrpro_lambda.training.TrainingProcedure import TrainingProcedure, TrainingTask


class EndToEnd(TrainingProcedure):
    """All parameters follow the gradient of a loss of the reconstructed image, with Lightning."""

    recipe = Recipe

    def run(self, task: TrainingTask) -> int:
        """Train, see `TrainingProcedure.run`."""
        config, trainer = task.config, task.trainer
        loader = DataLoader(
            task.data,
            batch_size=config.batch_size,
            sampler=_Order(task.data, config.batch_size, config.seed, task.n_steps or 0),
            drop_last=True,
            num_workers=config.n_workers,
            persistent_workers=config.n_workers > 0,
        )
        with warnings.catch_warnings():
            if trainer.world_size == 1:  # `_Order` is resumable in its own way
                warnings.filterwarnings('ignore', "You're resuming from a checkpoint that ended before the epoch ended")
            path = None if task.n_steps is None else task.checkpoint
            trainer.fit(task.module, loader, task.validation_loader, ckpt_path=path, weights_only=True)
        return trainer.global_step


class _Order(Sampler[int]):
    """Random order of the images, another one in each epoch, that an interrupted training takes up where it was.

    On several devices it goes on with the epoch that was interrupted, but not with the same images.
    """

    def __init__(self, data: SimulatedData, batch_size: int, seed: int, n_steps: int) -> None:
        """Start after a number of steps."""
        self.data = data
        self.seed = seed
        n_batches = max(1, len(data) // batch_size)
        self.first_epoch = n_steps // n_batches
        self.n_done = n_steps % n_batches * batch_size
        self.set_epoch(self.first_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw another order and new acquisitions. Lightning calls it before each epoch."""
        self.data.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices. Those of the first epoch that were used before the interruption come last."""
        epoch = self.data.epoch
        seed = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(int(seed[0])))
        return iter(order.roll(-self.n_done if epoch == self.first_epoch else 0).tolist())

    def __len__(self) -> int:
        """Get number of images."""
        return len(self.data)
