"""Command line `mrpro-lambda`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, get_args

import torch

from mrpro_lambda import __version__
from mrpro_lambda.demo import metrics_table, run_demo
from mrpro_lambda.dictionary import list_dictionaries
from mrpro_lambda.export import ImageFiles, output_folder, write_images, write_report, write_sweep
from mrpro_lambda.pretrained import list_pretrained
from mrpro_lambda.raw_data import TRAJECTORIES
from mrpro_lambda.reconstruct import Csm, Method, Phase, Rule, Settings, Whitening, reconstruct_file
from mrpro_lambda.training.dictionary import learn_from_config
from mrpro_lambda.training.TrainingConfig import TrainingConfig


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
        with _interruptible(received):
            args = _parser().parse_args(argv)
            debug = args.debug
            code = args.run(args) or 0
    except SystemExit as stop:  # --help, --version and errors of usage
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        received.append(signal.SIGINT)
    except Exception as error:
        if not received:  # otherwise it may be that of a library which has swallowed the exception of the signal
            if not isinstance(error, ValueError | OSError | MemoryError | torch.cuda.OutOfMemoryError):
                raise
            if debug:
                traceback.print_exc()
            sys.stderr.write(f'mrpro-lambda: error: {" ".join(str(error).split())}\n')
            code = 2
    if received:
        sys.stderr.write(f'mrpro-lambda: {"interrupted" if received[0] == signal.SIGINT else "terminated"}\n')
        code = 128 + received[0]
    return code


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


class _Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the error."""
        self.exit(2, f'mrpro-lambda: error: {message} (see {self.prog} --help)\n')


def _seed(text: str) -> int:
    """Read a seed."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f'must be at least 0, got {text}')
    return value


def _weight(text: str) -> float | str:
    """Read a number or the name of a rule."""
    if text in get_args(Rule):
        return text
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'must be a number or one of {get_args(Rule)}, got {text!r}') from error


def _parser() -> argparse.ArgumentParser:
    """Create the parser of all commands."""
    parser = _Parser(prog='mrpro-lambda', description='MR image reconstruction with learned regularization maps.')
    parser.add_argument('--version', action='version', version=f'mrpro-lambda {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument('--debug', action='store_true', help='show the traceback of an error')
        command.set_defaults(run=run)
        return command

    demo = add('demo', _demo, 'Compare total variation with one weight and with a learned map on a real brain image.')
    demo.add_argument('--output', type=Path, default=Path('demo-output'), metavar='DIR', help='default: %(default)s')
    demo.add_argument('--seed', type=_seed, default=0, help='seed of the simulation, default: %(default)s')

    rec = add('reconstruct', _reconstruct, 'Reconstruct an ISMRMRD file and write DICOM, NIfTI, PNG and a report.')
    rec.add_argument('file', type=Path, metavar='FILE', help='raw data (ISMRMRD, HDF5)')
    rec.add_argument('--output', type=Path, required=True, metavar='DIR', help='new or empty folder to write')
    rec.add_argument('--method', choices=get_args(Method), help='what is sparse; default: that of the model, or tv')
    rec.add_argument('--dictionary', metavar='NAME_OR_PATH', help='filters for cdl; default: those of the weights')
    how = rec.add_mutually_exclusive_group()
    how.add_argument('--model', metavar='NAME_OR_PATH', help='trained weights; default: chosen from the sampling')
    how.add_argument(
        '--weight',
        type=_weight,
        metavar='C',
        help=f'one weight instead: C times the noise, or by {", ".join(get_args(Rule))}',
    )
    rec.add_argument('--noise-std', type=float, metavar='S', help='noise level, default: estimated from the data')
    rec.add_argument('--noise-file', metavar='FILE', help="noise measurement for prewhitening; 'none': no prewhitening")
    rec.add_argument('--whitening', choices=get_args(Whitening), help='noise weights from the air, default: auto')
    rec.add_argument('--trajectory', choices=TRAJECTORIES, default='cartesian', help='default: %(default)s')
    rec.add_argument('--csm', choices=get_args(Csm), help='coil sensitivities, default: inati, or none for one coil')
    rec.add_argument('--phase', choices=get_args(Phase), help='phase-aware, default: on for images without series')
    rec.add_argument('--upsample', type=float, metavar='F', help='F times finer grid, default: 2 or 1')
    rec.add_argument('--device', choices=('cpu', 'cuda'), help='default: cpu')
    rec.add_argument('--tolerance', type=float, metavar='T', help='relative certified gap, default: %(default)s')
    rec.add_argument('--max-iterations', type=int, metavar='N', help='default: %(default)s')
    rec.set_defaults(**{field.name: field.default for field in dataclasses.fields(Settings)})
    rec.add_argument('--complex', action='store_true', help='write the complex image as well')

    train = add('train', _train, 'Train a network on simulated acquisitions.')
    train.add_argument('--config', type=Path, required=True, metavar='FILE', help='configuration (TOML)')
    train.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder for checkpoints and weights')
    train.add_argument('--data-root', type=Path, metavar='DIR', help='folder of the images, default: that of FILE')
    train.add_argument('--resume', action='store_true', help='go on from the last checkpoint in the output folder')
    train.add_argument('--no-progress', action='store_true', help='show no progress bar')

    learn = add('learn-dictionary', _learn_dictionary, 'Learn a convolutional dictionary from images.')
    learn.add_argument('--config', type=Path, required=True, metavar='FILE', help='configuration (TOML)')
    learn.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder for checkpoint and dictionary')
    learn.add_argument('--data-root', type=Path, metavar='DIR', help='folder of the images, default: that of FILE')
    learn.add_argument('--resume', action='store_true', help='go on from the checkpoint in the output folder')
    learn.add_argument('--no-progress', action='store_true', help='show no progress bar')

    listing = add('list', _list, 'List the pretrained weights and the dictionaries.')
    listing.add_argument('--json', action='store_true', help='print JSON')
    return parser


def _say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + '\n')


def _code(*reasons: str) -> int:
    """Return the exit code for the reasons why solves stopped, and say if a tolerance was not reached."""
    if 'maximum number of iterations' not in reasons:
        if 'estimate within the tolerance' in reasons:
            sys.stderr.write('mrpro-lambda: warning: the tolerance is reached by an estimate and not proven\n')
        return 0
    sys.stderr.write('mrpro-lambda: warning: the tolerance was not reached\n')
    return 3


def _demo(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    metrics = run_demo(args.output, seed=args.seed)
    _say(metrics_table(metrics))
    _say(f'\nPSNR in dB; foreground: within the head. Figure, metrics and images are in {args.output}.')
    return _code(*(values.get('reason', '') for values in metrics.values()))


def _train(args: argparse.Namespace) -> None:
    """Train a network."""
    config = TrainingConfig.from_toml(args.config, args.data_root)
    try:
        from mrpro_lambda.training.train import train
    except ImportError as error:
        raise ValueError(f"Training needs the extra 'train', pip install 'mrpro-lambda[train]': {error}") from error
    weights = train(config, args.output, resume=args.resume, progress=not args.no_progress)
    _say(f'Weights: {weights}')


def _learn_dictionary(args: argparse.Namespace) -> None:
    """Learn a dictionary."""
    path = learn_from_config(
        args.config, args.output, args.data_root, resume=args.resume, progress=not args.no_progress
    )
    _say(f'Dictionary: {path}')


def _list(args: argparse.Namespace) -> None:
    """List the pretrained weights and the dictionaries."""
    cards = list_pretrained() | {f'dictionary {name}': card for name, card in list_dictionaries().items()}
    entries = {name: [f'{key.replace("_", " ") + ":":28} {card[key]}' for key in card] for name, card in cards.items()}
    text = '\n\n'.join('\n  '.join([name, *lines]) for name, lines in entries.items())
    _say(json.dumps(cards, indent=2, ensure_ascii=False) if args.json else text)


def _reconstruct(args: argparse.Namespace) -> int:
    """Reconstruct a file."""
    start = time.perf_counter()
    settings = Settings(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Settings)})
    with output_folder(args.output) as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they are notes of the report
        result = reconstruct_file(
            args.file,
            settings,
            trajectory=args.trajectory,
            noise_file=args.noise_file,
            progress=sys.stderr.isatty(),
        )
        kinds = ImageFiles().kinds + ('complex',) * args.complex
        if not write_images(folder, result, ImageFiles(kinds)):
            result.notes.append("No PNG without matplotlib: pip install 'mrpro-lambda[plot]'.")
        write_sweep(folder, result)
        text = write_report(folder / 'report.json', result, time.perf_counter() - start)
    _say(f'{text}\n{"output":16}{args.output}')
    return _code(result.solution.reason)
