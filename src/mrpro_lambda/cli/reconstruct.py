"""The command `reconstruct`."""

from __future__ import annotations

import argparse
import csv
import json
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mrpro_lambda.cli.annotations import add_fields, given_fields
from mrpro_lambda.cli.command import (
    INVALID,
    LOGGER,
    NOT_REACHED,
    Add,
    add_output_options,
    code_of,
    completes_files,
    say,
    shows_progress,
    table,
)
from mrpro_lambda.cli.RunSettings import RunSettings
from mrpro_lambda.export import output_folder, write_images, write_report, write_sweep
from mrpro_lambda.progress import Progress
from mrpro_lambda.raw_data import TRAJECTORIES
from mrpro_lambda.reconstruct import reconstruct_file

_METAVARS = {
    'calibration_file': 'FILE',
    'coil_maps_file': 'FILE',
    'compression': 'F',
    'dictionary': 'NAME_OR_PATH',
    'fit_time': 'SECONDS',
    'max_iterations': 'N',
    'model': 'NAME_OR_PATH',
    'noise_file': 'FILE',
    'noise_std': 'S',
    'tolerance': 'T',
    'upsample': 'F',
    'weight': 'C',
}
_SUFFIXES = ('.h5', '.hdf5', '.mrd', '.npy', '.cfl')
"""Endings of the raw data files that are taken from a folder."""
_SEVERITY = (0, NOT_REACHED, 2, 1)
"""Exit codes from good to bad."""


def add_reconstruct(add: Add) -> None:
    """Add the command."""
    command = add('reconstruct', _run, 'Reconstruct raw data files and write DICOM, NIfTI, PNG and a report for each.')
    paths = [
        command.add_argument('files', nargs='+', type=Path, metavar='FILE', help='raw data, or a folder of them'),
        command.add_argument(
            '--output',
            type=Path,
            required=True,
            metavar='DIR',
            help='new or empty folder to write; several files have a folder each in it',
        ),
        command.add_argument(
            '--settings', type=Path, metavar='FILE', help='settings (TOML), such as the settings.toml of a result'
        ),
    ]
    for action in paths:
        completes_files(action)
    command.add_argument('--resume', action='store_true', help='leave out what is done with the same settings')
    add_output_options(command, 'auto')
    add_fields(command, RunSettings, _METAVARS, {'trajectory': ('auto', *TRAJECTORIES)}, ('model', 'weight'))


@dataclass
class _Outcome:
    """What became of a file: a row of the summary."""

    file: str
    """Raw data file."""
    status: str = 'failed'
    """`done`, `skipped` as it was done before, or `failed`."""
    code: int = 2
    """Exit code of the file."""
    folder: str = ''
    """Folder of the result."""
    model: str = ''
    """Weights or method."""
    noise_std: float | None = None
    """Noise level."""
    iterations: int | None = None
    """Number of iterations."""
    relative_gap: float | None = None
    """Certified gap relative to the objective."""
    seconds: float | None = None
    """Duration."""
    message: str = ''
    """Why the solver stopped, or the error."""
    text: str = field(default='', repr=False)
    """Summary for people, which is not a part of the row."""

    @classmethod
    def of_report(cls, path: Path, folder: Path, status: str, text: str = '') -> _Outcome:
        """Return the outcome that the report of a result tells."""
        report = json.loads((folder / 'report.json').read_text('utf-8'))
        certificate = report['certificate'] or {'n_iterations': None, 'relative_gap': None, 'reason': 'no certificate'}
        return cls(
            str(path),
            status,
            folder=str(folder),
            model=report['model'],
            noise_std=report['noise_std'],
            iterations=certificate['n_iterations'],
            relative_gap=certificate['relative_gap'],
            seconds=report['seconds'],
            message=certificate['reason'],
            text=text,
        )


def _run(args: argparse.Namespace) -> int:
    """Reconstruct a file, or several."""
    settings = RunSettings() if args.settings is None else RunSettings.from_toml(args.settings)
    settings = settings.replaced_by(given_fields(args, RunSettings))
    if len(args.files) == 1 and not args.files[0].is_dir():
        outcome = _reconstruct(args.files[0], args.output, settings, args)
        outcome.code = code_of(outcome.message)
        say(f'{outcome.text}\n{"output":16}{args.output}', args)
        return outcome.code
    files = _raw_files(args.files)
    names = _result_names(files)
    if not args.resume and args.output.exists() and (not args.output.is_dir() or any(args.output.iterdir())):
        raise ValueError(f'The output folder must be empty or not exist, or give --resume: got {args.output}.')
    outcomes: list[_Outcome] = []
    with Progress(len(files), 'Files', show=shows_progress(args)) as bar:
        for path, name in zip(files, names, strict=True):
            bar.update(0, {'file': name})
            outcomes.append(_outcome(path, args.output / name, settings, args))
            bar.update()
            _write_summary(args.output / 'summary.csv', outcomes)
            if args.received:  # a signal, whose exception a library has swallowed
                break
    say(_summary(outcomes), args)
    say(f'\nImages, reports and summary.csv are in {args.output}.', args)
    return max((outcome.code for outcome in outcomes), key=_SEVERITY.index)


def _raw_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant, those of folders in the order of their names."""
    files: list[Path] = []
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in _SUFFIXES)
            if not found:
                raise ValueError(f'The folder {path} must hold raw data that end with {", ".join(_SUFFIXES)}.')
        files += found
    return files


def _result_names(files: Sequence[Path]) -> list[str]:
    """Return a different name for each file: its own, after those of as many parent folders as this takes."""
    parents = [file.resolve().parent.parts[1:] for file in files]
    for depth in range(1 + max(map(len, parents))):
        names = [
            '-'.join((*parts[max(0, len(parts) - depth) :], file.stem))
            for file, parts in zip(files, parents, strict=True)
        ]
        if len(set(names)) == len(names):
            return names
    twice = next(file for i, file in enumerate(files) if names[i] in names[:i])
    raise ValueError(
        f'Files must have different names without their endings, which their results get, got {twice} twice.'
    )


def _outcome(path: Path, folder: Path, settings: RunSettings, args: argparse.Namespace) -> _Outcome:
    """Reconstruct one of several files; an error of one must not stop the others."""
    try:
        outcome = _reconstruct(path, folder, settings, args)
        outcome.code = code_of(outcome.message, name=str(path))
        return outcome
    except Exception as error:
        if args.received:
            raise
        if args.debug or not isinstance(error, INVALID):
            traceback.print_exc()
        LOGGER.error('%s: %s', path, error)
        return _Outcome(str(path), code=2 if isinstance(error, INVALID) else 1, message=' '.join(str(error).split()))


def _reconstruct(path: Path, output: Path, settings: RunSettings, args: argparse.Namespace) -> _Outcome:
    """Reconstruct a file, unless that is done."""
    if args.resume and _is_done(path, output, settings):
        return _Outcome.of_report(path, output, 'skipped', f'{"file":16}{path}\n{"skipped":16}as it was done before')
    start = time.perf_counter()
    LOGGER.info('reading %s', path)
    with output_folder(output) as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they are notes of the report
        result = reconstruct_file(
            path,
            settings,
            trajectory=settings.trajectory,
            averages=settings.averages,
            noise_file=settings.noise_file,
            calibration_file=settings.calibration_file,
            coil_maps_file=settings.coil_maps_file,
            progress=shows_progress(args),
        )
        if not write_images(folder, result, settings.image_files):
            result.notes.append("No PNG without matplotlib: pip install 'mrpro-lambda[plot]'.")
        for note in result.notes:
            LOGGER.info('%s: %s', path.name, note)
        write_sweep(folder, result)
        (folder / 'settings.toml').write_text(settings.to_toml(), 'utf-8')
        text = write_report(folder / 'report.json', result, time.perf_counter() - start)
    LOGGER.info('%s: written to %s', path.name, output)
    return _Outcome.of_report(path, output, 'done', text)


def _is_done(path: Path, folder: Path, settings: RunSettings) -> bool:
    """Tell whether a folder holds the result of a file with the same settings, which is complete if it is there.

    Raises
    ------
    ValueError
        If it holds another result.
    """
    report = folder / 'report.json'
    if not report.is_file() or not (folder / 'settings.toml').is_file():
        return False
    earlier = RunSettings.from_toml(folder / 'settings.toml').to_toml().splitlines()
    different = sorted(set(earlier) ^ set(settings.to_toml().splitlines()))
    if different:
        raise ValueError(f'{folder} holds a result with other settings, it differs in {different}: remove it first.')
    try:
        name = Path(json.loads(report.read_text('utf-8'))['file']).name
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{report} is damaged: remove {folder} first ({error!r:.200}).') from error
    if name != path.name or (path.is_file() and path.stat().st_mtime > report.stat().st_mtime):
        raise ValueError(f'{folder} holds the result of another or an earlier file {name}: remove it first.')
    return True


def _write_summary(path: Path, outcomes: Sequence[_Outcome]) -> None:
    """Write the summary as a table for programs, complete at any time."""
    names = [f.name for f in fields(_Outcome) if f.name != 'text']
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    with partial.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(outcome, name) for name in names] for outcome in outcomes)
    partial.replace(path)


def _summary(outcomes: Sequence[_Outcome]) -> str:
    """Format the summary as a table for people."""

    def number(value: Any, form: str) -> str:  # noqa: ANN401
        return '-' if value is None else f'{value:{form}}'

    rows = [['file', 'status', 'exit code', 'seconds', 'iterations', 'gap', 'message']]
    for o in outcomes:
        numbers = [number(o.seconds, '.1f'), number(o.iterations, 'd'), number(o.relative_gap, '.1e')]
        rows.append([o.file, o.status, str(o.code), *numbers, o.message])
    return table(rows)
