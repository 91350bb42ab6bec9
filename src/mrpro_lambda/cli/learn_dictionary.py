"""The command `learn-dictionary`."""

from __future__ import annotations

import argparse

from mrpro_lambda.cli.command import Add, say, shows_progress
from mrpro_lambda.cli.train import add_training_options
from mrpro_lambda.training.dictionary import learn_from_config


def add_learn_dictionary(add: Add) -> None:
    """Add the command."""
    command = add('learn-dictionary', _run, 'Learn a convolutional dictionary from images.')
    add_training_options(command, 'folder for checkpoint and dictionary')


def _run(args: argparse.Namespace) -> None:
    """Learn a dictionary."""
    path = learn_from_config(
        args.config, args.output, args.data_root, resume=args.resume, progress=shows_progress(args)
    )
    say(f'Dictionary: {path}', args)
