"""Interrupt `train`, `learn-dictionary` and `reconstruct` at random times, go on, and compare with the end of a run.

    python benchmarks/kills.py [--kills 20] [--seed 0]

Twenty SIGKILL and twenty SIGTERM meet a tiny run on a CPU, besides those that come after its end. Then the run is
resumed, or started anew where there is nothing to resume. The result must be bitwise that of a run without
interruption, nothing half-written may be taken for a result or stay, and SIGTERM must end with the exit code 143. The
exit code of the script is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nibabel
import torch
from safetensors import safe_open

from tiny_runs import start, wait, write_inputs

_SECONDS = 120.0
_SUCCESS = (0, 3)
"""Exit codes of runs that wrote their result; 3: a solve has not reached its tolerance."""


def arguments(command: str, inputs: Path, output: Path) -> list[str]:
    """Return the arguments of a run."""
    if command == 'reconstruct':
        return [command, str(inputs / 'scan.h5'), '--output', str(output), '--max-iterations', '50']
    config = 'train.toml' if command == 'train' else 'dictionary.toml'
    return [command, '--config', str(inputs / config), '--output', str(output), '--no-progress']


def result(command: str, output: Path) -> object:
    """Return what must be equal, `None` if there is no result yet."""
    if command != 'reconstruct':
        path = output / ('weights.safetensors' if command == 'train' else 'dictionary.safetensors')
        if not path.exists():
            return None
        with safe_open(str(path), framework='np') as file:  # which writes the entries in any order
            return file.metadata(), {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
    if not output.exists():
        return None
    report = json.loads((output / 'report.json').read_text('utf-8'))
    images = {
        p.name: nibabel.Nifti1Image.from_filename(p).get_fdata().tobytes() for p in sorted(output.glob('*.nii.gz'))
    }
    figures = {p.name: p.read_bytes() for p in sorted(output.glob('*.png'))}
    n_dicom = len(list((output / 'dicom').iterdir()))
    return report | {'seconds': 0}, images, figures, n_dicom, sorted(p.name for p in output.iterdir())


def interrupted(
    command: str, number: signal.Signals, delay: float, inputs: Path, folder: Path, expected: object
) -> tuple[str, list[str]]:
    """Interrupt a run after a time, go on, and return where it was met, and what is wrong."""
    folder.mkdir()
    output, log, wrong = folder / 'out', folder.with_suffix('.log'), []
    process = start(arguments(command, inputs, output), log)
    time.sleep(delay)
    os.kill(process, number)  # a process that has ended keeps its number until it is waited for
    code = wait(process, _SECONDS)
    allowed = (*_SUCCESS, -signal.SIGKILL) if number == signal.SIGKILL else (*_SUCCESS, 143, -signal.SIGTERM)
    if code not in allowed:
        wrong.append(f'exit code {code}')
    found = result(command, output)
    if found is not None and found != expected:
        wrong.append('half-written result')
    if found is None and code in _SUCCESS:
        wrong.append('success without a result')
    where = 'after the end' if code in _SUCCESS else 'before anything was written'
    if code not in _SUCCESS and (output.exists() or any(folder.iterdir())):
        where = 'after a checkpoint' if any(output.glob('*.ckpt')) else 'before a checkpoint'
        where = 'while writing' if command == 'reconstruct' else where
    if command == 'reconstruct' and number == signal.SIGTERM and code not in _SUCCESS and any(folder.iterdir()):
        wrong.append('files of a terminated run')
    if not (command == 'reconstruct' and found is not None):
        resume = ['--resume'] if command != 'reconstruct' and output.exists() else []
        if wait(start([*arguments(command, inputs, output), *resume], log), _SECONDS) not in _SUCCESS:
            wrong.append(f'can not go on: {log.read_text().splitlines()[-1:]}')
    if result(command, output) != expected:
        wrong.append('another result')
    if [path.name for path in folder.iterdir()] != ['out'] or any(output.glob('*.partial')):
        wrong.append(f'files that stay: {sorted(p.name for p in [*folder.iterdir(), *output.glob("*.partial")])}')
    return where, wrong


def main() -> int:
    """Run everything and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=20, help='of each signal')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, n_wrong, counts = random.Random(options.seed), 0, Counter[tuple[str, str, str]]()  # noqa: S311
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        inputs = root / 'inputs'
        write_inputs(inputs)
        commands = ('train', 'learn-dictionary', 'reconstruct')
        expected, seconds = {}, {}
        for command in 2 * commands:  # the second time is that of a machine that has warmed up
            shutil.rmtree(root / command, ignore_errors=True)
            (root / command).mkdir()
            before = time.monotonic()
            code = wait(start(arguments(command, inputs, root / command / 'out'), root / f'{command}.log'), _SECONDS)
            if code not in _SUCCESS:
                sys.exit(f'{command} failed: {(root / f"{command}.log").read_text()}')
            seconds[command] = time.monotonic() - before
            expected[command] = result(command, root / command / 'out')
        for number in (signal.SIGKILL, signal.SIGTERM):
            for i in range(options.kills):
                command, where = commands[i % len(commands)], ''
                while where in ('', 'after the end'):
                    delay = rng.uniform(0, seconds[command])
                    folder = root / f'{number.name}-{counts.total()}'
                    where, wrong = interrupted(command, number, delay, inputs, folder, expected[command])
                    counts[number.name, command, where] += 1
                    if where == 'after the end':  # the load of the machine has changed
                        seconds[command] *= 0.9
                    n_wrong += bool(wrong)
                    if wrong:
                        print(f'{number.name} of {command} after {delay:.2f} s, {where}: {"; ".join(wrong)}')
    print('| signal | command | met | runs |\n|---|---|---|---|')
    for (name, command, where), n in sorted(counts.items()):
        print(f'| {name} | {command} | {where} | {n} |')
    print(f'\n{counts.total()} runs, {n_wrong} wrong')
    return min(n_wrong, 1)


if __name__ == '__main__':
    sys.exit(main())
