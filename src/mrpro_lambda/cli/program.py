"""The program: arguments in, exit code out."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from mrpro_lambda import __version__
from mrpro_lambda.cli.command import INVALID, LEVELS, LOGGER, Parser, Run
from mrpro_lambda.cli.compare import add_compare
from mrpro_lambda.cli.completion import add_completion
from mrpro_lambda.cli.demo import add_demo
from mrpro_lambda.cli.learn_dictionary import add_learn_dictionary
from mrpro_lambda.cli.list_weights import add_list
from mrpro_lambda.cli.reconstruct import add_reconstruct
from mrpro_lambda.cli.train import add_train

_COMMANDS = (add_demo, add_reconstruct, add_train, add_compare, add_learn_dictionary, add_list, add_completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments. Default: those of the process.

    Returns
    -------
        Exit code: 0 for success, 2 for invalid input (one line on stderr says what), 3 for a result of a solve that has
        not reached its tolerance, 128 plus the number of the signal if interrupted (130) or terminated (143).
    """
    debug, code, received = False, 0, list[int]()
    try:
        with _interruptible(received), _messages():
            program = _parser()
            args = program.parse_args(argv, argparse.Namespace(received=received, program=program))
            debug = args.debug
            LOGGER.setLevel(args.log_level.upper())
            code = args.run(args) or 0
    except SystemExit as stop:  # --help, --version and errors of usage
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        received.append(signal.SIGINT)
    except Exception as error:
        if not received:  # otherwise it may be that of a library which has swallowed the exception of the signal
            if not isinstance(error, INVALID):
                raise
            if debug:
                traceback.print_exc()
            sys.stderr.write(f'mrpro-lambda: error: {" ".join(str(error).split())}\n')
            code = 2
    if received:
        sys.stderr.write(f'mrpro-lambda: {"interrupted" if received[0] == signal.SIGINT else "terminated"}\n')
        code = 128 + received[0]
    return code


def _parser() -> argparse.ArgumentParser:
    """Create the parser of all commands."""
    program = Parser(prog='mrpro-lambda', description='MR image reconstruction with learned regularization maps.')
    program.add_argument('--version', action='version', version=f'mrpro-lambda {__version__}')
    commands = program.add_subparsers(required=True, metavar='COMMAND')

    def add(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument('--debug', action='store_true', help='show the traceback of an error')
        command.add_argument('--log-level', choices=LEVELS, default='warning', help='default: %(default)s')
        command.set_defaults(run=run)
        return command

    for add_command in _COMMANDS:
        add_command(add)
    return program


@contextmanager
def _messages() -> Iterator[None]:
    """Write the messages of the package to stderr, a line for each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format())
    level = LOGGER.level
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


class _Format(logging.Formatter):
    """A line as those of errors."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a message."""
        return f'mrpro-lambda: {record.levelname.lower()}: {" ".join(record.getMessage().split())}'


@contextmanager
def _interruptible(received: list[int]) -> Iterator[None]:
    """Raise an exception on SIGINT and SIGTERM, so that nothing half-written is left, and remember the signal."""

    def stop(number: int, _: object) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    is_main_thread = threading.current_thread() is threading.main_thread()
    earlier = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)} if is_main_thread else {}
    try:
        for number, handler in earlier.items():
            if handler is not signal.SIG_IGN:  # as of a process in the background
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
