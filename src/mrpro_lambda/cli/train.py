"""The command `train`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mrpro_lambda.cli.command import Add, add_output_options, completes_files, say, shows_progress
from mrpro_lambda.training.TrainingConfig import TrainingConfig


def add_train(add: Add) -> None:
    """Add the command."""
    command = add('train', _run, 'Train a network on simulated acquisitions.')
    add_training_options(command, 'folder for checkpoints, logs and weights')


def add_training_options(command: argparse.ArgumentParser, output: str) -> None:
    """Add the options of what is learned from a configuration.

    Parameters
    ----------
    command
        Parser of the command.
    output
        What the output folder is for.
    """
    paths = [
        command.add_argument('--config', type=Path, required=True, metavar='FILE', help='configuration (TOML)'),
        command.add_argument('--output', type=Path, required=True, metavar='DIR', help=output),
        command.add_argument(
            '--data-root', type=Path, metavar='DIR', help='folder of the images, default: that of FILE'
        ),
    ]
    for action in paths:
        completes_files(action)
    command.add_argument('--resume', action='store_true', help='go on from the last checkpoint in the output folder')
    add_output_options(command, 'on')
    command.add_argument(
        '--no-progress', dest='progress', action='store_const', const='off', help='the same as --progress off'
    )


def _run(args: argparse.Namespace) -> None:
    """Train a network."""
    config = TrainingConfig.from_toml(args.config, args.data_root)
    try:
        from mrpro_lambda.training.train import train
    except ImportError as error:
        raise ValueError(f"Training needs the extra 'train', pip install 'mrpro-lambda[train]': {error}") from error
    logging.getLogger('lightning.pytorch').setLevel(args.log_level.upper())
    weights = train(config, args.output, resume=args.resume, progress=shows_progress(args))
    say(f'Weights: {weights}', args)
