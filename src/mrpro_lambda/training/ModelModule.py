"""Training of a model with Lightning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from mrpro.operators import LinearOperator

from mrpro_lambda.datasets import Sample
from mrpro_lambda.losses import Measured, ScanLoss
from mrpro_lambda.metrics import foreground_mask, psnr, relative_mse, ssim
from mrpro_lambda.models import Model
from mrpro_lambda.pretrained import load_weights_with_recipe
from mrpro_lambda.recipes import Recipe

_DICTIONARY = 'model.solver.regularizer.'
"""First part of the names of the tensors of a dictionary."""
VALIDATION_LOSS = 'validation_loss'
"""Name of the loss without target in the validation."""


class ModelModule(LightningModule):
    """End-to-end training of a model on acquisitions, from k-space to image.

    The loss is the error of the image relative to that of the initial image, see
    `~mrpro_lambda.metrics.relative_mse`. There are no labels for the map. With a loss of `mrpro_lambda.losses` the
    target is not looked at, in the training and where it holds NaN in the validation.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        filters: Sequence[torch.Tensor] = (),
        learn_beta: bool = False,
        learning_rate: float = 1e-3,
        max_steps: int = 4000,
        background_weight: float = 0.2,
        loss: ScanLoss | None = None,
        logarithm: bool = False,
        seed: int = 0,
    ) -> None:
        """Initialize the module.

        Parameters
        ----------
        recipe
            Description of the model.
        filters
            Filters of one or several dictionaries for a dictionary model. Each step draws one of them, each validation
            takes them in turn.
        learn_beta
            Learn the strength of the low-pass filter of a dictionary model.
        learning_rate
            Largest learning rate of networks; that of the numbers beside them is five times as large, see
            `~mrpro_lambda.models.Model.numbers`.
        max_steps
            Optimizer steps, the length of the learning rate schedule.
        background_weight
            Weight of the background in the error of the image.
        loss
            Loss that needs no target, in place of the error of the image. The initial image must be the adjoint of the
            data.
        logarithm
            Train with the logarithm of the error of the image.
        seed
            Seed of the initial weights.
        """
        super().__init__()
        self.recipe = recipe
        self.seed = seed
        self.filters = list(filters)
        if recipe.takes_filters and not self.filters:
            raise ValueError('A dictionary model needs filters, got none.')
        self.log_beta: torch.nn.Parameter | None = None
        if learn_beta:
            if not recipe.low_pass_strength:
                raise ValueError(f'learn_beta needs a dictionary model with beta above 0, got {recipe}.')
            self.log_beta = torch.nn.Parameter(torch.tensor(math.log(recipe.low_pass_strength)))
        self.model = recipe.build(seed, filters=self.filters[0] if self.filters else None)
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.background_weight = background_weight
        self.loss = loss
        self.logarithm = logarithm

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam with a warm-up of 50 steps and a cosine schedule."""
        numbers = [*self.model.numbers(), *([] if self.log_beta is None else [self.log_beta])]
        others = [p for p in self.parameters() if all(p is not number for number in numbers)]
        groups = [
            {'params': others, 'lr': self.learning_rate},
            {'params': numbers, 'lr': 5 * self.learning_rate},
        ]

        def factor(step: int) -> float:
            warm_up = min(1.0, (step + 1) / 50)
            return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.max_steps)))

        optimizer = torch.optim.Adam(groups)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'}}

    def forward(self, sample: Sample) -> torch.Tensor:
        """Reconstruct a batch."""
        img: torch.Tensor = self.model(
            sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std
        )
        return img

    def load_weights(self, path: str | Path) -> None:
        """Start from the weights of another training.

        A network may see more than the one of the weights, see `~mrpro_lambda.nets.LambdaNet.start_from`.

        Raises
        ------
        TypeError, ValueError
            If the trained part of the weights is of another kind, or a network that sees a channel that this one does
            not, or in other units.
        """
        initial, earlier = load_weights_with_recipe(path)
        self.model.start_from(initial)
        if self.log_beta is not None and earlier.low_pass_strength:
            self.log_beta.data.fill_(math.log(earlier.low_pass_strength))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the dictionary, which is that of the last step: the configuration names all of them."""
        state = checkpoint['state_dict']
        checkpoint['state_dict'] = {key: value for key, value in state.items() if not key.startswith(_DICTIONARY)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the dictionary of the configuration."""
        own = {key: value for key, value in self.state_dict().items() if key.startswith(_DICTIONARY)}
        checkpoint['state_dict'] = checkpoint['state_dict'] | own

    def trained_model(self) -> tuple[Model, Recipe]:
        """Return the model with its first dictionary, and its description with the strength that was learned."""
        self.use_dictionary(0)
        if self.log_beta is None:
            return self.model, self.recipe
        return self.model, self.recipe.with_low_pass_strength(self.log_beta.detach().exp().item())

    def use_dictionary(self, index: int) -> None:
        """Exchange the dictionary of a dictionary model."""
        if self.filters:
            beta = None if self.log_beta is None else self.log_beta.exp()
            self.recipe.exchange_filters(self.model, self.filters[index], beta)

    def on_before_batch_transfer(self, batch: Sample, dataloader_idx: int) -> tuple[Sample, torch.Tensor]:  # noqa: ARG002
        """Add the foreground of the targets, which is found on the CPU, before they leave it."""
        target = batch.img
        return batch, foreground_mask(target) if _is_known(target) else torch.ones_like(target, dtype=torch.bool)

    def training_step(self, batch: tuple[Sample, torch.Tensor], batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        """Return the loss of a batch."""
        sample, mask = batch
        if len(self.filters) > 1 or self.log_beta is not None:
            seed = np.random.SeedSequence((self.seed, self.global_step)).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seed[0]))
            self.use_dictionary(int(torch.randint(len(self.filters), (), generator=generator)))
        if self.loss is None:
            loss = relative_mse(
                self(sample),
                sample.img,
                sample.initial_image,
                self.background_weight,
                mask=mask,
                logarithm=self.logarithm,
            )
        else:
            loss = self._loss_without_target(self.loss, sample, (self.seed, 0, self.global_step))
        if not bool(loss.isfinite()):
            raise ValueError(f'The loss must be finite, it is not at step {self.global_step}: lower learning_rate.')
        self.log('loss', loss, prog_bar=True, batch_size=len(sample.img))
        return loss

    def validation_step(self, batch: tuple[Sample, torch.Tensor], batch_idx: int) -> None:
        """Log the loss without target, if there is one, and the metrics in the whole image and in the foreground."""
        sample, mask = batch
        self.use_dictionary(batch_idx % max(1, len(self.filters)))
        target = sample.img
        if self.loss is not None:
            value = self._loss_without_target(self.loss, sample, (self.seed, 1, batch_idx))
            self.log(VALIDATION_LOSS, value, prog_bar=True, batch_size=len(target), sync_dist=True)
        if not _is_known(target):
            return
        img = self(sample)
        metrics = {
            'psnr': psnr(img, target),
            'psnr_foreground': psnr(img, target, mask),
            'ssim_foreground': ssim(img, target, mask),
            'psnr_initial': psnr(sample.initial_image, target),
        }
        for name, value in metrics.items():
            self.log(name, value.mean(), prog_bar=name == 'psnr_foreground', batch_size=len(target), sync_dist=True)

    def _loss_without_target(self, loss: ScanLoss, sample: Sample, seed: tuple[int, ...]) -> torch.Tensor:
        """Return a loss of a batch, with random numbers that depend on the seed only."""
        acquisition_op = sample.acquisition_op()
        if not isinstance(acquisition_op, LinearOperator):
            raise ValueError(
                f'A loss without target knows the noise of least squares, got {type(acquisition_op).__name__} for data '
                f'of shape {tuple(sample.data.shape)}.'
            )
        measured = Measured.create(sample.data, acquisition_op, sample.noise_std, sample.initial_image)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))

        def reconstruct(data: torch.Tensor, acquisition_op: LinearOperator, noise_std: torch.Tensor) -> torch.Tensor:
            img: torch.Tensor = self.model(data, acquisition_op, acquisition_op.adjoint(data)[0], noise_std=noise_std)
            return img

        return loss(reconstruct, measured, generator)


def _is_known(target: torch.Tensor) -> bool:
    """Tell whether there is a target."""
    return bool(target.isfinite().all())
