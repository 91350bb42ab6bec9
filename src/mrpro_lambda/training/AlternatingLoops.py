"""Training in turn with inversions of all training images."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback

from mrpro_lambda.models import SplittingModel
from mrpro_lambda.recipes import SplittingRecipe
from mrpro_lambda.training.train_splitting import train_splitting
from mrpro_lambda.training.TrainingConfig import TrainingConfig
from mrpro_lambda.training.TrainingProcedure import TrainingProcedure, TrainingTask

_LOG_INTERVAL = 20
"""Steps between entries of the log, as those of Lightning."""


class AlternatingLoops(TrainingProcedure):
    """The network learns from images that change from loop to loop, see `~mrpro_lambda.training.train_splitting`."""

    recipe = SplittingRecipe

    def check(self, config: TrainingConfig) -> None:
        """Raise an error if the loss has no targets, see `TrainingProcedure.check`."""
        if config.loss != 'target':
            raise ValueError(f"A training with method = 'splitting' needs loss = 'target', got loss = {config.loss!r}.")

    def parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the number of steps, of which each loop has its part."""
        return {'max_steps': config.max_steps}

    def run(self, task: TrainingTask) -> int:
        """Train, see `TrainingProcedure.run`.

        Raises
        ------
        ValueError
            If there are several devices.
        """
        config, trainer, model = task.config, task.trainer, task.module.model
        if trainer.world_size > 1:
            raise ValueError(f"A training with method = 'splitting' takes one device, got {trainer.world_size}.")
        if not isinstance(config.model, SplittingRecipe) or not isinstance(model, SplittingModel):
            raise TypeError(f'The model must be a SplittingModel, got {type(model).__name__}.')

        def report(step: int, values: dict[str, float]) -> None:
            if step % _LOG_INTERVAL == 0:
                for logger in trainer.loggers:
                    logger.log_metrics(values, step - 1)  # steps of Lightning's logs begin at 0

        def tell_step(_: Trainer, module: LightningModule) -> None:  # Lightning has not counted the steps
            module.log('step', float(config.max_steps))

        train_splitting(
            model,
            config.model,
            config,
            task.data,
            task.checkpoint,
            parameters=task.parameters,
            resume=task.n_steps is not None,
            device=trainer.strategy.root_device,
            progress=task.progress,
            report=report,
        )
        trainer.callbacks.append(LambdaCallback(on_validation_epoch_end=tell_step))  # type: ignore[attr-defined]
        return config.max_steps
