"""The command `completion`."""

from __future__ import annotations

import argparse

from mrpro_lambda.cli.command import Add, say


def add_completion(add: Add) -> None:
    """Add the command."""
    command = add('completion', _run, 'Print a script that lets a shell complete commands and options.')
    command.add_argument('shell', choices=('bash', 'zsh', 'fish'), metavar='SHELL', help='bash, zsh or fish')


def _run(args: argparse.Namespace) -> None:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise ValueError(
            f"Completion needs the extra 'completion', pip install 'mrpro-lambda[completion]': {error}"
        ) from error
    say(shtab.complete(args.program, args.shell))
