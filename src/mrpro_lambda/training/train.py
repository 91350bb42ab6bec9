"""Training from a configuration."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, LambdaCallback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from mrpro.operators import LinearOperator
from torch.utils.data import ConcatDataset, DataLoader, default_collate

from mrpro_lambda.datasets import Sample, SimulatedData
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.dictionary.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from mrpro_lambda.losses import Measured
from mrpro_lambda.pretrained import save_weights
from mrpro_lambda.progress import Progress
from mrpro_lambda.training import AlternatingLoops, EndToEnd  # noqa: F401  found by their descriptions
from mrpro_lambda.training.ModelModule import VALIDATION_LOSS, ModelModule
from mrpro_lambda.training.TrainingConfig import TrainingConfig
from mrpro_lambda.training.TrainingProcedure import TrainingProcedure, TrainingTask


class _CheckpointIO(TorchCheckpointIO):
    """Lightning's way to write moves a file from the temporary folder, which may be on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:  # noqa: ARG002
        """Write a checkpoint that is complete or not there."""
        save_checkpoint(checkpoint, path)


class _ShowProgress(Callback):
    """Steps of the training with the loss. Lightning counts epochs, which have no number here, in terminals only."""

    def __init__(self, *, show: bool) -> None:
        """Initialize the callback."""
        self.show = show
        self.progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Begin, where the training goes on."""
        show = self.show and trainer.is_global_zero
        self.progress = Progress(trainer.max_steps, 'Training', show=show, start=trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count a step."""
        if self.progress is not None:
            values = trainer.progress_bar_metrics
            self.progress.update(1, {key: f'{float(value):.4g}' for key, value in values.items()})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """End."""
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """End at once."""
        self.close()

    def close(self) -> None:
        """Remove the bar, if there is one."""
        if self.progress is not None:
            self.progress.close()
            self.progress = None


def train(config: TrainingConfig, output: str | Path, *, resume: bool = False, progress: bool = True) -> Path:
    """Train a model and write its weights.

    Parameters
    ----------
    config
        Configuration.
    output
        Folder for checkpoints, logs and `weights.safetensors`. It must be empty or not exist, unless resuming.
    resume
        Go on from the last checkpoint in the folder, from the start if it was interrupted before the first one. The
        configuration must be the same, but may have more steps.
    progress
        Show a progress bar.

    Returns
    -------
        File with the weights.

    Raises
    ------
    ValueError
        If the folder is not empty without `resume`, or holds neither checkpoint nor logs with it; if the checkpoint is
        damaged or that of another configuration; or if the configuration does not fit the images or the computer.
    KeyboardInterrupt
        If interrupted from the keyboard.
    SystemExit
        With 128 plus the number of the signal, if the process is to terminate.
    """
    output = Path(output)
    last = find_checkpoint(output / 'last.ckpt', resume=resume)
    procedure = TrainingProcedure.of(config.model)
    procedure.check(config)
    module = ModelModule(
        config.model,
        filters=[load_dictionary(name).filters for name in config.dictionaries],
        learn_beta=config.learn_beta,
        learning_rate=config.learning_rate,
        max_steps=config.max_steps,
        background_weight=config.background_weight,
        loss=config.loss_without_target,
        logarithm=config.loss == 'psnr',
        seed=config.seed,
    )
    if config.initial_weights is not None and last is None:
        module.load_weights(config.initial_weights)
    data, validation_data = config.training_data(), config.validation_data()
    for simulated in (data, validation_data):  # what does not fit is found before anything is written
        sample = simulated[0]
        batch = default_collate([sample])
        reason = module.model.refusal(batch.data, batch.acquisition_op(), batch.initial_image)
        if reason is not None:
            raise ValueError(f'The model can not reconstruct this acquisition: {reason}')
        if module.loss is not None:
            _check_without_target(config, sample)
    parameters = _parameters(config, data, validation_data) | procedure.parameters(config)
    n_steps = None
    if last is not None:
        n_steps = load_checkpoint(last, parameters)['global_step']
        if config.max_steps < n_steps:
            raise ValueError(f'max_steps must not be below the steps that are done, {n_steps}, got {config.max_steps}.')
    try:
        trainer = _trainer(config, output, parameters, progress=progress)
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        settings = f'{config.accelerator!r}, {config.devices!r}, {config.strategy!r}'
        raise ValueError(
            f'accelerator, devices and strategy must be those of Lightning and this computer, got {settings}: {error}'
        ) from error
    if config.batch_size * trainer.world_size > len(data):
        raise ValueError(
            f'There must be at least batch_size images for each device, got {len(data)} image(s) with repetitions for '
            f'batch_size = {config.batch_size} on {trainer.world_size} device(s).'
        )
    validation_loader = DataLoader(validation_data, batch_size=1)
    checkpoint = output / 'last.ckpt'
    task = TrainingTask(config, module, data, validation_loader, trainer, checkpoint, n_steps, parameters, progress)
    try:
        n_steps = procedure.run(task)
        validated = {'psnr', VALIDATION_LOSS} & trainer.callback_metrics.keys()
        if trainer.global_step % config.validation_interval or not validated:
            trainer.validate(module, validation_loader, verbose=False)  # of the weights that are stored
    except SIGTERMException as stop:  # a `SystemExit` without a code, which would be a success
        raise SystemExit(128 + signal.SIGTERM) from stop
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning would exit with 1
            raise KeyboardInterrupt from stop
        raise
    card = {**config.card, 'steps': str(n_steps)}
    for key, value in trainer.callback_metrics.items():
        if key.startswith(('psnr', 'ssim', VALIDATION_LOSS)):
            card[key if key == VALIDATION_LOSS else f'validation_{key}'] = f'{float(value):.4f}'
    weights = output / 'weights.safetensors'
    if trainer.is_global_zero:
        model, recipe = module.trained_model()
        save_weights(model, recipe.trained_for(**config.trained_for()), card, weights)
    return weights


def _check_without_target(config: TrainingConfig, sample: Sample) -> None:
    """Raise an error if a sample does not suit a loss without target, which makes other data of those of the sample."""
    batch = default_collate([sample])
    acquisition_op = batch.acquisition_op()
    if not isinstance(acquisition_op, LinearOperator):
        raise ValueError(
            f'loss = {config.loss!r} knows the noise of least squares, got {type(acquisition_op).__name__} of '
            f'{type(config.sampling).__name__}.'
        )
    adjoint, initial_image = acquisition_op.adjoint(batch.data)[0], batch.initial_image
    if not bool((adjoint - initial_image).norm() <= 1e-3 * initial_image.norm()):
        raise ValueError(
            f'loss = {config.loss!r} needs acquisitions whose initial image is the adjoint of the data, which those of '
            f'{type(config.sampling).__name__} with colored_noise = {config.colored_noise} do not have: it is known '
            'for Cartesian acquisitions with white noise.'
        )
    loss = config.loss_without_target
    if loss is not None:
        loss.check(Measured.create(batch.data, acquisition_op, batch.noise_std, initial_image))


def _trainer(config: TrainingConfig, output: Path, parameters: dict[str, Any], *, progress: bool) -> Trainer:
    """Set up the training."""
    return Trainer(
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
        plugins=[_CheckpointIO()],
        callbacks=[
            _ShowProgress(show=progress),
            LearningRateMonitor('step'),
            LambdaCallback(on_save_checkpoint=lambda _, __, checkpoint: checkpoint.update(parameters=parameters)),
            # saved before the validation as well, so that an interrupted training loses little
            ModelCheckpoint(
                output,
                filename='last',
                every_n_train_steps=config.validation_interval,
                save_last=False,
                enable_version_counter=False,
            ),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _parameters(config: TrainingConfig, data: SimulatedData, validation_data: ConcatDataset) -> dict[str, Any]:
    """Return what the weights depend on, apart from the number of steps. Files are known by what is in them."""
    files = ('images', 'validation_images', 'dictionaries', 'initial_weights', 'model')
    free = ('max_steps', 'n_workers', 'accelerator', 'devices', 'strategy', 'card')
    names = [field.name for field in dataclasses.fields(config) if field.name not in files + free]
    parameters = {name: getattr(config, name) for name in names}
    parameters |= {f'model.{name}': value for name, value in dataclasses.asdict(config.model).items()}
    parameters |= {name: repr(parameters[name]) for name in ('sampling', 'validation_sampling')}
    parameters['dictionaries'] = [Path(name).name for name in config.dictionaries]
    parameters['initial_weights'] = config.initial_weights and Path(config.initial_weights).name
    for name, part in (('images', data), ('validation_images', validation_data.datasets[0])):
        if isinstance(part, SimulatedData):
            total = sum(image.double().sum().item() for image in part.images)
            parameters[name] = f'{len(part)} with the sum {total:.8g}'
    return parameters
