"""Command line `mrpro-lambda`."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from mrpro.data import CsmData
from mrpro.operators import FourierOp

from mrpro_lambda import __version__
from mrpro_lambda.demo import metrics_table, run_demo
from mrpro_lambda.dictionary import list_dictionaries, load_dictionary
from mrpro_lambda.export import output_folder, write_images, write_report
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.raw_data import (
    TRAJECTORIES,
    prewhiten_with_file,
    read_kdata,
    sampled_fraction,
    to_unit_range,
    upsample,
)
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    estimate_noise_std,
    estimate_noise_weight,
)
from mrpro_lambda.training.dictionary import learn_from_config
from mrpro_lambda.training.TrainingConfig import TrainingConfig

_DICTIONARY = 'k32-9x9-medium'
_CSM = {'walsh': CsmData.from_idata_walsh, 'inati': CsmData.from_idata_inati, 'none': None}


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


def _number(kind: type[int] | type[float], low: float, *, above: bool = False) -> Callable[[str], float]:
    """Return a reader of finite numbers of at least `low`, or above it."""

    def number(text: str) -> float:
        value = kind(text)
        if not math.isfinite(value) or value < low or (above and value == low):
            raise argparse.ArgumentTypeError(f'must be finite and {"above" if above else "at least"} {low}, got {text}')
        return value

    return number


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
    demo.add_argument('--seed', type=_number(int, 0), default=0, help='seed of the simulation, default: %(default)s')

    rec = add('reconstruct', _reconstruct, 'Reconstruct an ISMRMRD file and write DICOM, NIfTI, PNG and a report.')
    rec.add_argument('file', type=Path, metavar='FILE', help='raw data (ISMRMRD, HDF5)')
    rec.add_argument('--output', type=Path, required=True, metavar='DIR', help='new or empty folder to write')
    rec.add_argument(
        '--method', choices=('tv', 'cdl'), default='tv', help='total variation or dictionary, default: %(default)s'
    )
    rec.add_argument('--dictionary', metavar='NAME_OR_PATH', help='filters for cdl; default: those of the weights')
    how = rec.add_mutually_exclusive_group()
    how.add_argument('--model', metavar='NAME_OR_PATH', help='trained weights; default: chosen from the sampling')
    how.add_argument('--weight', type=_number(float, 0), metavar='C', help='one weight instead: C times the noise')
    positive = _number(float, 0, above=True)
    rec.add_argument('--noise-std', type=positive, metavar='S', help='noise level, default: estimated from the data')
    rec.add_argument('--noise-file', metavar='FILE', help="noise measurement for prewhitening; 'none': no prewhitening")
    whitening = ('auto', 'background', 'none')
    rec.add_argument('--whitening', choices=whitening, default='auto', help='noise weights from the air, default: auto')
    rec.add_argument('--trajectory', choices=TRAJECTORIES, default='cartesian', help='default: %(default)s')
    rec.add_argument('--csm', choices=_CSM, help='coil sensitivities, default: inati, or none for one coil')
    rec.add_argument('--upsample', type=_number(float, 1), metavar='F', help='F times finer grid, default: 2 or 1')
    rec.add_argument('--device', choices=('cpu', 'cuda'), default='cpu', help='default: %(default)s')
    rec.add_argument('--tolerance', type=positive, default=1e-2, help='relative certified gap, default: %(default)s')
    rec.add_argument('--max-iterations', type=_number(int, 1), default=1000, metavar='N', help='default: %(default)s')
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
    with output_folder(args.output) as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError('This computer has no CUDA device: use --device cpu.')
        if args.dictionary is not None and args.method != 'cdl' and args.model is None:
            raise ValueError('A dictionary needs --method cdl.')
        filters = None if args.dictionary is None else load_dictionary(args.dictionary).filters
        name, (model, card) = args.model, (None, {}) if args.model is None else _load(args.model, filters)
        if args.method == 'cdl' and model is not None and model.solver.regularizer.synthesis_op is None:
            raise ValueError(f'--method cdl needs the weights of a model with a dictionary, got {name}.')
        kdata, prewhitened = read_kdata(args.file, args.trajectory), False
        if args.noise_file != 'none':
            noise_file = Path(args.noise_file or args.file)
            kdata, prewhitened = prewhiten_with_file(kdata, noise_file, required=args.noise_file is not None)
        kdata, factor = to_unit_range(kdata)
        if factor != 1:
            warnings.warn(f'Data, image and noise level were multiplied by {factor:g}.', stacklevel=1)
        fraction = sampled_fraction(kdata)
        fully_sampled = fraction is not None and fraction > 0.9
        if model is None and args.weight is None:
            if args.method == 'cdl':
                name = 'cdl-v3-low-field' if fully_sampled else 'cdl-v3'
            else:
                name = 'tv-low-field' if fully_sampled else 'tv-variable-density'
            model, card = _load(name, filters)
        low_resolution = fully_sampled and name in list_pretrained() and name != 'tv-variable-density'
        refinement = args.upsample or (2.0 if low_resolution else 1.0)
        kdata = upsample(kdata, refinement).to(args.device)
        fourier_op = FourierOp.from_kdata(kdata)
        if args.noise_std is not None or prewhitened:
            noise_std = factor * (args.noise_std or 1.0)
        else:
            noise_std = estimate_noise_std(kdata, fourier_op)
        if not noise_std > 0:
            raise ValueError('The noise level can not be estimated from these data: give --noise-std.')
        whitening = 'noise measurement' if prewhitened else 'none'
        if args.whitening == 'background' or (args.whitening == 'auto' and fully_sampled and not prewhitened):
            try:
                estimate_noise_weight(kdata)
                whitening = f'{whitening} and background' if prewhitened else 'background'
            except ValueError:
                if args.whitening == 'background':
                    raise
        csm = args.csm or ('none' if kdata.data.shape[-4] == 1 else 'inati')

        options: dict[str, Any] = {'max_iterations': args.max_iterations, 'tolerance': args.tolerance}
        noise: dict[str, Any] = {'noise_std': noise_std, 'whiten_background': whitening.endswith('background')}
        reconstruction: LearnedReconstruction
        if model is not None:
            solver = model.solver
            solver.max_iterations, solver.tolerance = args.max_iterations, args.tolerance
            reconstruction = LearnedReconstruction(kdata, fourier_op, _CSM[csm], model=model, **noise)
        elif args.method == 'cdl':
            name = f'dictionary with {args.weight:g} times the noise level'
            reconstruction = AdaptiveDictionaryReconstruction(
                kdata,
                fourier_op,
                _CSM[csm],
                filters=load_dictionary(_DICTIONARY).filters if filters is None else filters,
                regularization_weight=args.weight * noise_std,
                **noise,
                **options,
            )
        else:
            name, weight = f'total variation with {args.weight:g} times the noise level', args.weight * noise_std
            reconstruction = AdaptiveTotalVariationReconstruction(
                kdata,
                fourier_op,
                _CSM[csm],
                regularization_dim=(-2, -1),
                regularization_weight=weight,
                **noise,
                **options,
            )
        reconstruction.progress = sys.stderr.isatty()
        result = reconstruction.to(args.device).solve(kdata)
        dictionary_op = reconstruction.model.solver.regularizer.dictionary_op
        _check_finite('The map', result.lambda_map, 'the data or the weights are not those of a scan')
        # the square, which the root of the sum of squares over coils needs
        _check_finite(
            'The image',
            result.solution.img.abs().square(),
            'data, noise level and weight must be in the range of float32',
        )
        complete = write_images(folder, result, noise_std, complex_image=args.complex, dictionary_op=dictionary_op)

        notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning | RuntimeWarning)]
        notes += [] if complete else ["No PNG without matplotlib: pip install 'mrpro-lambda[plot]'."]
        report = {
            'version': __version__,
            'file': str(args.file),
            'shape': list(kdata.data.shape),
            'sampled_fraction': fraction,
            'model': name,
            'method': 'tv' if dictionary_op is None else 'cdl',
            'dictionary': args.dictionary,
            'card': card,
            'prewhitened': prewhitened,
            'whitening': whitening,
            'noise_given': args.noise_std is not None,
            'settings': options | {'trajectory': args.trajectory, 'csm': csm, 'upsample': refinement},
            'notes': list(dict.fromkeys(notes)),
        }
        text = write_report(folder / 'report.json', report, result, noise_std, time.perf_counter() - start)
    _say(f'{text}\n{"output":16}{args.output}')
    return _code(result.solution.reason)


def _check_finite(name: str, values: torch.Tensor, advice: str) -> None:
    """Raise an error for NaN and Inf."""
    if n_bad := int((~values.isfinite()).sum()):
        raise ValueError(f'{name} must be finite, got {n_bad} NaN or Inf in shape {tuple(values.shape)}: {advice}.')


def _load(name: str, filters: torch.Tensor | None = None) -> tuple[LambdaMapModel, dict[str, str]]:
    """Load weights by their name or from a file, with other filters if there are any."""
    if name.endswith('.safetensors') or Path(name).is_file():
        return load_weights(name, filters)
    return load_pretrained(name, filters), list_pretrained()[name]
