"""Generated bad inputs of the public interface: each must be a clear error or a right result.

    python benchmarks/hostile_inputs.py --number 500

Each input is a valid call, see `hostile_calls`, in which one argument is spoiled: another shape, precision, device or
type, NaN, Inf, nothing, negative, huge or tiny. A clear error is one that is raised by a line of the package, or of
mrpro where the value is passed on. A result is right if it is finite and agrees with that of double precision.
"""

from __future__ import annotations

import argparse
import faulthandler
import linecache
import random
import signal
import sys
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mrpro
import mrpro_lambda
import torch
from mrpro.data import CsmData, KData, KNoise
from mrpro_lambda.solvers import Solution
from tqdm import tqdm

from hostile_calls import Call, calls

WATCHDOG = 20
"""Seconds after which a call hangs."""

BAD = ('obscure error', 'not finite', 'silently wrong', 'hang')
_PACKAGES = tuple(str(Path(package.__file__ or '').parent) for package in (mrpro_lambda, mrpro))
_LINEAR = ('.forward', '.adjoint', '.transform', '.offset')
_OPERATORS = ('Op.', 'TotalVariation.', 'DictionarySparsity.', 'UNet.')
_UNLOOKED = {'relative_mse'}
"""Functions that hand NaN and Inf on, and may overflow, as they do not look at numbers."""
_SIGNALS = {'data', 'kdata', 'initial_image', 'img', 'images'}
_COUNTS = {'n_iterations', 'max_iterations', 'n_steps', 'n_sweeps'}
"""Numbers of which any is allowed: a large one takes long, as was asked for."""

Spoil = Callable[[Any], Any]


def _constant(value: Any, _: Any) -> Any:  # noqa: ANN401
    """Replace an argument."""
    return value


_TENSORS: dict[str, Spoil] = {
    'one axis less': lambda x: x[0],
    'one axis more': lambda x: x[None],
    'transposed': lambda x: x.mT.contiguous(),
    'another size': lambda x: x[..., :-3],
    'twice the first axis': lambda x: torch.cat([x, x]),
    'empty': lambda x: x[..., :0],
    'no axes': lambda x: x.flatten()[0],
    'half precision': lambda x: x.to(torch.complex32 if x.is_complex() else torch.float16),
    'integers': lambda x: x.real.to(torch.int64),
    'booleans': lambda x: x.real > 0,
    'real part': lambda x: x.real if x.is_complex() else x + 0j,
    'meta device': lambda x: x.to('meta'),
    'NaN': lambda x: _with_value(x, float('nan')),
    'Inf': lambda x: _with_value(x, float('inf')),
    'zero': lambda x: 0 * x,
    'negative': lambda x: -x,
    'huge': lambda x: 1e25 * x,
    'large': lambda x: 2.0**33 * x,
    'small': lambda x: 2.0**-33 * x,
    'tiny': lambda x: 1e-25 * x,
    'text': lambda _: 'x',
    'None': lambda _: None,
    'list': lambda x: x.tolist(),
}
_VALUES: tuple[Any, ...] = (0, -1, 0.5, 10**9, 1e25, 1e-30, 'x', None, [])
_NUMBERS: dict[str, Spoil] = {
    **{repr(value): partial(_constant, value) for value in _VALUES},
    'NaN': lambda _: float('nan'),
    'Inf': lambda _: float('inf'),
    'tensor of two': lambda _: torch.ones(2),
}
_SEQUENCES: dict[str, Spoil] = {
    'empty': lambda x: x[:0],
    'repeated': lambda x: (*x, x[-1]),
    'beyond': lambda _: (-9, 9),
    'text inside': lambda _: ('x',),
    'number': lambda _: 1.5,
    'None': lambda _: None,
}
_OTHERS: dict[str, Spoil] = {
    'None': lambda _: None,
    'text': lambda _: 'nonsense',
    'number': lambda _: 3,
    'another object': lambda _: torch.nn.Identity(),
}


def _with_value(x: torch.Tensor, value: float) -> torch.Tensor:
    """Put a value into the middle of a tensor."""
    x = x.clone()
    x.view(-1)[x.numel() // 2] = value
    return x


def _spoil_data(spoil: Spoil) -> Spoil:
    """Spoil the tensor of a data object."""

    def spoiled(x: Any) -> Any:  # noqa: ANN401
        x = x.clone()
        x.data = spoil(x.data)
        return x

    return spoiled


def spoils(value: Any) -> dict[str, Spoil]:  # noqa: ANN401
    """Return the ways to spoil an argument."""
    if isinstance(value, torch.Tensor):
        return _TENSORS
    if isinstance(value, KData | KNoise | CsmData):
        inner = {name: _spoil_data(spoil) for name, spoil in _TENSORS.items() if name not in ('text', 'None', 'list')}
        return {**inner, **_OTHERS}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _NUMBERS
    if isinstance(value, tuple | list):
        return _SEQUENCES
    return _OTHERS


def tensors(value: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """Iterate over the numbers of a result."""
    if isinstance(value, Solution):
        # gaps and estimates are bounds that were found by some iterations: each precision has its own, and both hold
        value = (value.img, value.objective, value.coefficients)
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, float):
        yield torch.tensor(value, dtype=torch.float64)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors(part)


def judge(error: Exception) -> str:
    """Tell whether an error is one of the package's own rules."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    rule = linecache.getline(frame.filename, frame.lineno or 0).strip().startswith('raise')
    types = (ValueError, TypeError, FileNotFoundError, RuntimeError)
    clear = isinstance(error, types) and rule and frame.filename.startswith(_PACKAGES)
    return 'clear error' if clear else 'obscure error'


def run(call: Call, argument: str, spoil: Spoil) -> Any:  # noqa: ANN401
    """Call with one argument spoiled."""
    function, arguments = call
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        return function(**{**arguments, argument: spoil(arguments[argument])})


def check(single: Call, double: Call, argument: str, spoil: Spoil) -> tuple[str, str]:
    """Return the class of an input and what happened."""

    def on_alarm(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(WATCHDOG)
    try:
        result = run(single, argument, spoil)
    except TimeoutError:
        return 'hang', f'more than {WATCHDOG} s'
    except Exception as error:  # noqa: BLE001
        return judge(error), f'{type(error).__name__}: {str(error)[:150]}'
    finally:
        signal.alarm(0)
    found = [x for x in tensors(result) if not x.is_meta]
    if not all(bool(x.isfinite().all()) for x in found):
        return 'not finite', f'{sum(int((~x.isfinite()).sum()) for x in found)} numbers'
    try:
        expected = [x for x in tensors(run(double, argument, spoil)) if not x.is_meta]
    except Exception as error:  # noqa: BLE001
        return 'right result', f'without reference: {type(error).__name__}'
    # what is below the rounding errors of the data and images that were given is not wrong
    given = {**single[1], argument: spoil(single[1][argument])}
    inputs = [
        x
        for key, value in given.items()
        if key in _SIGNALS
        for x in tensors(value.data if isinstance(value, KData) else value)
    ]
    rounding = 1e-5 * max([x.to(torch.complex128).norm().item() for x in inputs if not x.is_meta], default=0.0)
    for value, reference in zip(found, expected, strict=True):
        if value.shape != reference.shape:
            return 'silently wrong', f'shapes {tuple(value.shape)}, {tuple(reference.shape)}'
        if value.is_complex() != reference.is_complex():
            return 'silently wrong', f'{value.dtype}, {reference.dtype}'
        if not bool(reference.isfinite().all()) or not value.is_floating_point() | value.is_complex():
            continue
        wide = torch.complex128 if value.is_complex() else torch.float64
        error_norm, norm = ((value.to(wide) - reference).norm().item(), reference.to(wide).norm().item())
        if error_norm > max(1e-2 * norm, rounding):
            return 'silently wrong', f'relative error {error_norm / norm if norm else float("inf"):.1e}'
    return 'right result', ''


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--number', type=int, default=500, help='number of inputs')
    parser.add_argument('--seed', type=int, default=0, help='seed of the inputs')
    parser.add_argument('--only', default='', help='calls whose name holds this text')
    args = parser.parse_args()
    faulthandler.enable()
    torch.set_num_threads(1)
    singles, doubles = calls(torch.float32), calls(torch.float64)
    names = [name for name in singles if args.only in name]
    inputs = []
    for name in names:
        for argument, value in singles[name][1].items():
            ways = spoils(value)
            # linear operators and networks hand NaN and Inf on, as a check would take as long as they do
            linear = name.endswith(_LINEAR) and any(part in name for part in _OPERATORS)
            skipped = {'NaN', 'Inf'} if linear else {'NaN', 'Inf', 'huge'} if name in _UNLOOKED else set()
            skipped |= {repr(10**9)} if argument in _COUNTS else set()
            inputs += [(name, argument, way) for way in ways if way not in skipped]
    random.Random(args.seed).shuffle(inputs)  # noqa: S311
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    problems = []
    for name, argument, way in tqdm(inputs[: args.number], disable=None):
        faulthandler.dump_traceback_later(10 * WATCHDOG, exit=True)  # for a call that does not return to Python
        spoil = spoils(singles[name][1][argument])[way]
        kind, what = check(singles[name], doubles[name], argument, spoil)
        counts[kind][name.split('.')[0]] += 1
        if kind in BAD:
            problems.append(f'{kind:15} {name}({argument}: {way}) {what}')
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.write('\n'.join(sorted(problems)) + '\n\n')
    for kind in ('clear error', 'right result', *BAD):
        sys.stdout.write(f'{kind:15} {counts[kind].total():5}\n')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
