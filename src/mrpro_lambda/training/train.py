"""Training from a configuration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader, Sampler

from mrpro_lambda.datasets import SimulatedAcquisitions
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.pretrained import save_weights
from mrpro_lambda.training.LambdaMapModule import LambdaMapModule
from mrpro_lambda.training.TrainingConfig import TrainingConfig


class _Order(Sampler[int]):
    """Random order of the images, another one in each epoch, that an interrupted training takes up where it was.

    On several devices it goes on with the epoch that was interrupted, but not with the same images.
    """

    def __init__(self, data: SimulatedAcquisitions, batch_size: int, seed: int, n_steps: int) -> None:
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


def train(config: TrainingConfig, output: str | Path, *, resume: bool = False, progress: bool = True) -> Path:
    """Train a Lambda network and write its weights.

    Parameters
    ----------
    config
        Configuration.
    output
        Folder for checkpoints, logs and `weights.safetensors`. It must be empty or not exist, unless resuming.
    resume
        Go on from the last checkpoint in the folder.
    progress
        Show a progress bar.

    Returns
    -------
        File with the weights.

    Raises
    ------
    ValueError
        If the folder is not empty without `resume`, or holds no checkpoint with it.
    """
    output = Path(output)
    last = output / 'last.ckpt'
    if resume and not last.exists():
        raise ValueError(f'There is no checkpoint to resume from: {last} does not exist.')
    if not resume and output.exists() and any(output.iterdir()):
        raise ValueError(f'The output folder must be empty, or give resume: {output} is not.')

    data, validation_data = config.training_data(), config.validation_data()
    module = LambdaMapModule(
        config.model,
        filters=[load_dictionary(name).filters for name in config.dictionaries],
        learn_beta=config.learn_beta,
        learning_rate=config.learning_rate,
        max_steps=config.max_steps,
        background_weight=config.background_weight,
        seed=config.seed,
    )
    if config.initial_weights is not None and not resume:
        module.load_weights(config.initial_weights)
    n_steps = torch.load(last, weights_only=True)['global_step'] if resume else 0
    loader_options: dict[str, Any] = {
        'num_workers': config.n_workers,
        'persistent_workers': config.n_workers > 0,
    }
    loader = DataLoader(
        data,
        batch_size=config.batch_size,
        sampler=_Order(data, config.batch_size, config.seed, n_steps),
        drop_last=True,
        **loader_options,
    )
    trainer = Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=config.strategy,
        max_steps=config.max_steps,
        max_epochs=-1,
        gradient_clip_val=1.0,
        val_check_interval=config.validation_interval,
        check_val_every_n_epoch=None,
        log_every_n_steps=20,
        logger=[CSVLogger(output, name='csv'), TensorBoardLogger(output, name='tensorboard')],
        callbacks=[
            LearningRateMonitor('step'),
            # saved before the validation as well, so that an interrupted training loses little
            ModelCheckpoint(
                output,
                filename='last',
                every_n_train_steps=config.validation_interval,
                save_last=False,
                enable_version_counter=False,
            ),
        ],
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        if trainer.world_size == 1:  # `_Order` is resumable in its own way
            warnings.filterwarnings('ignore', "You're resuming from a checkpoint that ended before the epoch ended")
        validation_loader = DataLoader(validation_data, batch_size=1)
        trainer.fit(module, loader, validation_loader, ckpt_path=last if resume else None, weights_only=True)
    card = {**config.card, 'steps': str(trainer.global_step)}
    validation = {key: value for key, value in trainer.callback_metrics.items() if key.startswith(('psnr', 'ssim'))}
    card |= {f'validation_{key}': f'{float(value):.4f}' for key, value in validation.items()}
    weights = output / 'weights.safetensors'
    if trainer.is_global_zero:
        save_weights(*module.trained_model(), card, weights)
    return weights
