"""The command `compare`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mrpro_lambda.cli.command import Add, add_output_options, completes_files, say, shows_progress, table
from mrpro_lambda.compare import CompareConfig, compare, list_configurations


def add_compare(add: Add) -> None:
    """Add the command."""
    command = add('compare', _run, 'Train or load several methods and compare them on the same samples.')
    paths = [
        command.add_argument('--config', metavar='FILE', help='configuration (TOML), or the name of one that ships'),
        command.add_argument(
            '--output', type=Path, metavar='DIR', help='folder for tables, report, weights and results'
        ),
        command.add_argument(
            '--data-root',
            type=Path,
            metavar='DIR',
            help='folder of the images, default: that of FILE, or the working directory with a name',
        ),
    ]
    for action in paths:
        completes_files(action)
    command.add_argument('--list', action='store_true', help='list the configurations that ship')
    command.add_argument('--resume', action='store_true', help='go on with what is in the output folder')
    add_output_options(command, 'on')


def _run(args: argparse.Namespace) -> None:
    """Compare methods."""
    if args.list:
        say(table([['name', 'title'], *map(list, list_configurations().items())]))
        return
    if args.config is None or args.output is None:
        raise ValueError('Give --config and --output, or --list.')
    config = CompareConfig.from_toml(args.config, args.data_root)
    try:
        from mrpro_lambda.training.train import train  # noqa: F401  lightning, which sets its own level at first
    except ImportError as error:
        raise ValueError(f"It needs the extra 'train', pip install 'mrpro-lambda[train]': {error}") from error
    logging.getLogger('lightning.pytorch').setLevel(args.log_level.upper())
    report = compare(config, args.output, resume=args.resume, progress=shows_progress(args))
    say(f'Report: {report}', args)
