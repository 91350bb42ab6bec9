"""Training of a Lambda network with Lightning."""

from __future__ import annotations

import math

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from mrpro_lambda.datasets import AcquisitionSample, RadialSample, acquisition_op
from mrpro_lambda.models.ModelConfig import ModelConfig
from mrpro_lambda.training.metrics import foreground_mask, psnr, relative_mse, ssim


class LambdaMapModule(LightningModule):
    """End-to-end training of a `LambdaMapModel` on simulated acquisitions, from k-space to image.

    The loss is the error of the image relative to that of the initial image, see
    `~mrpro_lambda.training.metrics.relative_mse`. There are no labels for the map.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        *,
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
        learning_rate
            Largest learning rate of the network; that of the scale of the map is five times as large.
        max_steps
            Optimizer steps, the length of the learning rate schedule.
        background_weight
            Weight of the background in the loss.
        seed
            Seed of the initial weights.
        """
        super().__init__()
        self.model = model_config.build(seed)
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.background_weight = background_weight

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam with a warm-up of 50 steps and a cosine schedule."""
        net = self.model.lambda_net
        if net is None:
            raise ValueError('A model without a network can not be trained.')
        groups = [
            {'params': net.backbone.parameters(), 'lr': self.learning_rate},
            {'params': [net.log_scale], 'lr': 5 * self.learning_rate},
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

    def training_step(self, sample: AcquisitionSample | RadialSample, batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        """Return the loss of a batch."""
        loss = relative_mse(self(sample), sample.img, sample.initial_image, self.background_weight)
        self.log('loss', loss, prog_bar=True, batch_size=len(sample.img))
        return loss

    def validation_step(self, sample: AcquisitionSample | RadialSample, batch_idx: int) -> None:  # noqa: ARG002
        """Log the metrics of a batch, in the whole image and in the foreground."""
        img, target, mask = self(sample), sample.img, foreground_mask(sample.img)
        metrics = {
            'psnr': psnr(img, target),
            'psnr_foreground': psnr(img, target, mask),
            'ssim_foreground': ssim(img, target, mask),
            'psnr_initial': psnr(sample.initial_image, target),
        }
        for name, value in metrics.items():
            self.log(name, value.mean(), prog_bar=name == 'psnr_foreground', batch_size=len(target), sync_dist=True)
