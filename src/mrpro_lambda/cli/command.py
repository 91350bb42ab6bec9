"""What the commands share: options, messages, and exit codes."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import torch

LOGGER = logging.getLogger('mrpro_lambda')
"""Logger of the package."""
LEVELS = ('error', 'warning', 'info', 'debug')
"""Levels of messages, from few to many."""
INVALID = (ValueError, OSError, MemoryError, torch.cuda.OutOfMemoryError)
"""Exceptions whose message is for the user: the input is not valid, or the computer too small."""
NOT_REACHED = 3
"""Exit code of a solve that has not reached its tolerance."""

Run = Callable[[argparse.Namespace], int | None]
"""What a command does, with its exit code."""
Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""How a command is added: its name, what it does, and the help."""


_FILES = {'bash': '_shtab_compgen_files', 'zsh': '_files', 'fish': '(__fish_complete_path (commandline -ct))'}
"""Functions of the shells that complete the names of files, as shtab calls them."""


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the error."""
        self.exit(2, f'mrpro-lambda: error: {message} (see {self.prog} --help)\n')


def add_output_options(command: argparse.ArgumentParser, progress: str) -> None:
    """Add the options of progress and output.

    Parameters
    ----------
    command
        Parser of the command.
    progress
        Default of `--progress`.
    """
    command.add_argument(
        '--progress',
        choices=('auto', 'on', 'off'),
        default=progress,
        help='on stderr: a bar in a terminal, lines elsewhere; auto: in a terminal only; default: %(default)s',
    )
    command.add_argument('--quiet', action='store_true', help='neither progress nor results on the screen')


def completes_files(action: argparse.Action) -> None:
    """Let shells complete the argument with the names of files."""
    vars(action)['complete'] = _FILES


def shows_progress(args: argparse.Namespace) -> bool:
    """Tell whether progress is to be shown."""
    return not args.quiet and (args.progress == 'on' or (args.progress == 'auto' and sys.stderr.isatty()))


def say(text: str, args: argparse.Namespace | None = None) -> None:
    """Print a line, unless the arguments ask for quiet."""
    if args is None or not args.quiet:
        sys.stdout.write(text + '\n')


def code_of(*reasons: str, name: str = '') -> int:
    """Return the exit code for the reasons why solves stopped, and warn if a tolerance was not reached.

    Parameters
    ----------
    reasons
        Reasons of the solver.
    name
        Name of one of several files, which the warning begins with.
    """
    prefix = f'{name}: ' if name else ''
    if 'maximum number of iterations' in reasons:
        LOGGER.warning('%sthe tolerance was not reached', prefix)
        return NOT_REACHED
    if 'estimate within the tolerance' in reasons:
        LOGGER.warning('%sthe tolerance is reached by an estimate and not proven', prefix)
    if 'no certificate' in reasons:
        LOGGER.warning('%sthe image has no certificate: it is what networks return, and nothing is proven', prefix)
    return 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as columns, of which the last may be long."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(map(str.ljust, row, widths)).rstrip() for row in rows)
