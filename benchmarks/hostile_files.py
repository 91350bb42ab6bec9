"""Give broken files, configurations and options to the command line, and count what comes of it.

    python benchmarks/hostile_files.py [--seed 0] [--only scan] [--verbose]

Each case is one of: bits that flip, truncation, a wrong header, wrong data, a wrong configuration, a wrong checkpoint,
wrong options. All are drawn with the seed. It must end within 20 s with a documented exit code, and either with one
line that says what is wrong and nothing written, or with a result that is finite. The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

# threads of FINUFFT that wait for each other on a machine with other work look like a hang; before it is loaded
os.environ.setdefault('OMP_NUM_THREADS', '1')

import nibabel
import numpy as np
import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.pretrained import load_weights

from hostile_cases import LEARN, TRAIN, arguments, cases
from tiny_runs import start, wait, write_inputs

_SECONDS = 20.0
_CODES = (0, 2, 3)


def verdict(code: int | None, log: str, folder: Path, before: set[Path]) -> str:
    """Return what came of a case; what begins with BAD is wrong."""
    if code is None:
        return 'BAD: hang'
    if 'Traceback' in log:
        return 'BAD: traceback'
    if code not in _CODES:
        return f'BAD: exit code {code}'
    if code == 2:
        lines = log.splitlines()
        if not lines or not lines[-1].startswith('mrpro-lambda: error: ') or len(lines[-1]) > 1200:
            return 'BAD: no clear error'
        new = {path for path in folder.iterdir() if path.name != 'out' or any(path.glob('*.nii.gz'))} - before
        return 'BAD: files of a run that failed' if new else 'error'
    output = folder / 'out'
    for path in output.rglob('*.nii.gz'):
        if not np.isfinite(nibabel.Nifti1Image.from_filename(path).get_fdata()).all():
            return 'BAD: NaN or Inf'
    if (output / 'report.json').exists():
        constants: list[str] = []
        json.loads((output / 'report.json').read_text('utf-8'), parse_constant=constants.append)
        if constants:
            return f'BAD: {constants[0]} in JSON'
    if (output / 'weights.safetensors').exists():
        load_weights(output / 'weights.safetensors')
    if (output / 'dictionary.safetensors').exists():
        load_dictionary(output / 'dictionary.safetensors')
    return 'result'


def main() -> int:
    """Run everything and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', help='one family')
    parser.add_argument('--verbose', action='store_true', help='print what came of each case')
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, bad = Counter[tuple[str, str]](), 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_inputs(root / 'good')
        for command in (TRAIN, LEARN):
            run = arguments(command, root / 'good')
            run[run.index('--output') + 1] = str(root / command[0])
            if wait(start(run, root / 'log'), 120) != 0:
                sys.exit((root / 'log').read_text())
        for number, (family, what, make) in enumerate(cases(options.seed, root)):
            if options.only not in (None, family):
                continue
            folder, log = root / f'case-{number}', root / 'log'
            shutil.copytree(root / 'good', folder)
            command = make(folder)
            before = set(folder.iterdir())
            code = wait(start(command, log), _SECONDS)
            text = log.read_text('utf-8', 'replace')
            found = verdict(code, text, folder, before)
            counts[family, found] += 1
            bad += found.startswith('BAD')
            if found.startswith('BAD') or options.verbose:
                print(f'{family}, {what}: {found}: {text.strip().splitlines()[-1:]}', flush=True)
            shutil.rmtree(folder)
    print('\n| files | outcome | cases |\n|---|---|---|')
    for (family, found), n in sorted(counts.items()):
        print(f'| {family} | {found} | {n} |')
    print(f'\n{sum(counts.values())} cases, {bad} bad')
    return min(bad, 1)


if __name__ == '__main__':
    sys.exit(main())
