"""The command `demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mrpro_lambda.cli.command import Add, add_output_options, code_of, completes_files, say, shows_progress
from mrpro_lambda.demo import metrics_table, run_demo


def add_demo(add: Add) -> None:
    """Add the command."""
    command = add('demo', _run, 'Compare total variation with one weight and with a learned map on a real brain image.')
    completes_files(
        command.add_argument(
            '--output', type=Path, default=Path('demo-output'), metavar='DIR', help='default: %(default)s'
        )
    )
    command.add_argument('--seed', type=_seed, default=0, help='seed of the simulation, default: %(default)s')
    add_output_options(command, 'auto')


def _seed(text: str) -> int:
    """Read a seed."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f'must be at least 0, got {text}')
    return value


def _run(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    metrics = run_demo(args.output, seed=args.seed, progress=shows_progress(args))
    say(metrics_table(metrics), args)
    say(f'\nPSNR in dB; foreground: within the head. Figure, metrics and images are in {args.output}.', args)
    return code_of(*(values.get('reason', '') for values in metrics.values()))
