"""Training of a Lambda network with Lightning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from mrpro_lambda.datasets import AcquisitionSample, RadialSample, acquisition_op
from mrpro_lambda.metrics import foreground_mask, psnr, relative_mse, ssim
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.ModelConfig import DictionaryModelConfig, ModelConfig
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.regularizers import DictionarySparsity

Batch = AcquisitionSample | RadialSample

_DICTIONARY = 'model.solver.regularizer.'
"""First part of the names of the tensors of a dictionary."""


class LambdaMapModule(LightningModule):
    """End-to-end training of a `LambdaMapModel` on simulated acquisitions, from k-space to image.

    The loss is the error of the image relative to that of the initial image, see
    `~mrpro_lambda.metrics.relative_mse`. There are no labels for the map.
    """

    def __init__(
        self,
        model_config: ModelConfig | DictionaryModelConfig,
        *,
        filters: Sequence[torch.Tensor] = (),
        learn_beta: bool = False,
        learning_rate: float = 1e-3,
        max_steps: int = 4000,
        background_weight: float = 0.2,
        seed: int = 0,
    ) -> None:
        """Initialize the module.

        Parameters
        ----------
        model_config
            Model.
        filters
            Filters of one or several dictionaries for a dictionary model. Each step draws one of them, each validation
            takes them in turn.
        learn_beta
            Learn the strength of the low-pass filter of a dictionary model.
        learning_rate
            Largest learning rate of the network; that of the numbers beside it is five times as large.
        max_steps
            Optimizer steps, the length of the learning rate schedule.
        background_weight
            Weight of the background in the loss.
        seed
            Seed of the initial weights.
        """
        super().__init__()
        self.model_config = model_config
        self.seed = seed
        self.filters = list(filters)
        self.log_beta: torch.nn.Parameter | None = None
        if isinstance(model_config, DictionaryModelConfig):
            if not self.filters:
                raise ValueError('A dictionary model needs filters.')
            if learn_beta:
                self.log_beta = torch.nn.Parameter(torch.tensor(math.log(model_config.beta)))
            self.beta, self.boundary = model_config.beta, model_config.boundary
            self.model = model_config.build(self.filters[0], seed)
        else:
            self.model = model_config.build(seed)
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.background_weight = background_weight

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam with a warm-up of 50 steps and a cosine schedule."""
        net = self.model.lambda_net
        if net is None:
            raise ValueError('A model without a network can not be trained.')
        numbers = (net.log_scale, net.log_threshold, net.exponent, self.log_beta)
        groups = [
            {'params': net.backbone.parameters(), 'lr': self.learning_rate},
            {'params': [p for p in numbers if p is not None], 'lr': 5 * self.learning_rate},
        ]

        def factor(step: int) -> float:
            warm_up = min(1.0, (step + 1) / 50)
            return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.max_steps)))

        optimizer = torch.optim.Adam(groups)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'}}

    def forward(self, sample: AcquisitionSample | RadialSample) -> torch.Tensor:
        """Reconstruct a batch."""
        net = self.model.lambda_net
        noise_std = sample.noise_std if net is not None and net.noise_level else None
        return self.model(sample.data, acquisition_op(sample), sample.initial_image, noise_std=noise_std)

    def load_weights(self, path: str | Path) -> None:
        """Start from the weights of another training.

        The network may see more than the one of the weights: it ignores the channels that are new, and the inverse of
        the responses, at first.

        Raises
        ------
        ValueError
            If the network of the weights sees a channel that this one does not, or in other units.
        """
        initial, _ = load_weights(path)
        net, earlier = self.model.lambda_net, initial.lambda_net
        if net is not None and earlier is not None:
            state = earlier.state_dict()
            if (net.features, net.noise_level) != (earlier.features, earlier.noise_level):
                raise ValueError(
                    'The network must have features and noise_level of the initial weights, got '
                    f'{(net.features, net.noise_level)} and {(earlier.features, earlier.noise_level)}.'
                )
            missing = [name for name in earlier.channels if name not in net.channels]
            if missing:
                raise ValueError(
                    f'The network must see the channels of the initial weights, but does not see {missing}.'
                )
            name = 'backbone.encoder.0.0.weight'
            weight, places = state[name], [net.channels.index(name) for name in earlier.channels]
            state[name] = weight.new_zeros(len(weight), len(net.channels), *weight.shape[2:])
            state[name][:, places] = weight
            if net.exponent is not None and net.log_threshold is not None and earlier.exponent is None:
                state['exponent'] = torch.zeros_like(net.exponent)
                state['log_threshold'] = net.log_threshold.detach()
            net.load_state_dict(state)
        if self.log_beta is not None and isinstance(initial.solver.regularizer, DictionarySparsity):
            self.log_beta.data.copy_(initial.solver.regularizer.low_pass_op.beta.log())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the dictionary, which is that of the last step: the configuration names all of them."""
        state = checkpoint['state_dict']
        checkpoint['state_dict'] = {key: value for key, value in state.items() if not key.startswith(_DICTIONARY)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the dictionary of the configuration."""
        own = {key: value for key, value in self.state_dict().items() if key.startswith(_DICTIONARY)}
        checkpoint['state_dict'] = checkpoint['state_dict'] | own

    def trained_model(self) -> tuple[LambdaMapModel, ModelConfig | DictionaryModelConfig]:
        """Return the model with its first dictionary, and its description with the strength that was learned."""
        self.use_dictionary(0)
        if isinstance(self.model_config, DictionaryModelConfig) and self.log_beta is not None:
            return self.model, replace(self.model_config, beta=self.log_beta.detach().exp().item())
        return self.model, self.model_config

    def use_dictionary(self, index: int) -> None:
        """Exchange the dictionary of a dictionary model."""
        if not self.filters:
            return
        beta = self.beta if self.log_beta is None else self.log_beta.exp()
        self.model.solver.regularizer = DictionarySparsity(self.filters[index], boundary=self.boundary, beta=beta)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Batch, torch.Tensor]:  # noqa: ARG002
        """Add the foreground of the targets, which is found on the CPU, before they leave it."""
        return batch, foreground_mask(batch.img)

    def training_step(self, batch: tuple[Batch, torch.Tensor], batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        """Return the loss of a batch."""
        sample, mask = batch
        if len(self.filters) > 1 or self.log_beta is not None:
            seed = np.random.SeedSequence((self.seed, self.global_step)).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seed[0]))
            self.use_dictionary(int(torch.randint(len(self.filters), (), generator=generator)))
        loss = relative_mse(self(sample), sample.img, sample.initial_image, self.background_weight, mask=mask)
        if not bool(loss.isfinite()):
            raise ValueError(f'The loss must be finite, it is not at step {self.global_step}: lower learning_rate.')
        self.log('loss', loss, prog_bar=True, batch_size=len(sample.img))
        return loss

    def validation_step(self, batch: tuple[Batch, torch.Tensor], batch_idx: int) -> None:
        """Log the metrics of a batch, in the whole image and in the foreground."""
        sample, mask = batch
        self.use_dictionary(batch_idx % max(1, len(self.filters)))
        img, target = self(sample), sample.img
        metrics = {
            'psnr': psnr(img, target),
            'psnr_foreground': psnr(img, target, mask),
            'ssim_foreground': ssim(img, target, mask),
            'psnr_initial': psnr(sample.initial_image, target),
        }
        for name, value in metrics.items():
            self.log(name, value.mean(), prog_bar=name == 'psnr_foreground', batch_size=len(target), sync_dist=True)
