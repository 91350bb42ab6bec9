"""Kill `mrpro-lambda compare` at random times, go on, and compare with the table of a run that was left alone.

    python benchmarks/compare_kills.py [--kills 20] [--seed 0]

A tiny comparison of four methods, one of which is trained and one tuned, meets SIGKILL at a random time of each of its
runs, is resumed and killed again, as often as it takes until the number of kills is reached; each comparison that
reaches its end is compared with one that was left alone: `table.csv` but for time and memory, which no two runs share,
and the stored results. Half of the kills are SIGTERM, which must end with the exit code 143. The exit code of the
script is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from tiny_runs import start, wait

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.compare.conftest import CONFIG, write_images

_SECONDS = 300.0
_MORE = """
[[methods]]
name = 'TV'
kind = 'scalar'
n_weights = 3
search_iterations = 5
max_iterations = 20

[[methods]]
name = 'TV by rule'
kind = 'scalar'
choice = 'sure'
max_iterations = 20
"""
_TIMES = ('seconds', 'memory', 'memory_mib')


def outcome(output: Path) -> object:
    """Return what must be equal: the table and the stored results, without times; `None` without a report."""
    if not (output / 'report.html').exists():
        return None
    with (output / 'table.csv').open(newline='') as file:
        rows = [{key: value for key, value in row.items() if key not in _TIMES} for row in csv.DictReader(file)]
    stored = {}
    for path in sorted((output / 'results').rglob('*.json')):
        record = json.loads(path.read_text('utf-8'))
        stored[path.relative_to(output).as_posix()] = {k: v for k, v in record.items() if k not in _TIMES}
    pictures = sorted(path.name for path in (output / 'pictures').iterdir())
    return rows, stored, pictures, [path.name for path in output.rglob('*.partial')]


def main() -> int:
    """Kill, go on and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, n_wrong, met = random.Random(options.seed), 0, list[str]()  # noqa: S311
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_images(root, 'training', 4, 0)
        write_images(root, 'test', 2, 1)
        (root / 'config.toml').write_text(CONFIG + _MORE)

        def arguments(name: str) -> list[str]:
            resume = ['--resume'] if (root / name).exists() else []
            return ['compare', '--config', str(root / 'config.toml'), '--output', str(root / name), *resume, '--quiet']

        before = time.monotonic()
        if (code := wait(start(arguments('alone'), root / 'alone.log'), _SECONDS)) != 0:
            sys.exit(f'the run failed with {code}: {(root / "alone.log").read_text()}')
        seconds = time.monotonic() - before
        expected = outcome(root / 'alone')
        runs = 0
        while len(met) < options.kills:
            name, log, n_before = f'run-{runs}', root / f'run-{runs}.log', len(met)
            runs += 1
            while True:
                enough = len(met) - n_before >= 4 or len(met) >= options.kills
                process = start(arguments(name), log)
                if not enough:
                    time.sleep(rng.uniform(0, seconds))
                    number = (signal.SIGKILL, signal.SIGTERM)[len(met) % 2]
                    os.kill(process, number)  # a process that has ended keeps its number until it is waited for
                code = wait(process, _SECONDS)
                if code == 0:
                    break
                if enough or code not in (143, -signal.SIGKILL, -signal.SIGTERM):
                    print(f'{name}: exit code {code}: {log.read_text().splitlines()[-1:]}')
                    n_wrong += 1
                    break
                n_results = len(list((root / name).rglob('results/**/*.json')))
                trained = (root / name / 'methods' / 'TV-Lambda' / 'weights.safetensors').exists()
                stage = f'after {n_results} results' if n_results else 'after the training' if trained else 'before'
                met.append(f'{signal.Signals(number).name}: {stage}')
                print(f'{name}: {met[-1]}', flush=True)
            same = outcome(root / name) == expected
            print(f'{name}: {"the same table and results" if same else "ANOTHER RESULT"}', flush=True)
            n_wrong += not same
    print('| met | kills |\n|---|---|')
    for stage in sorted({*met}):
        print(f'| {stage} | {met.count(stage)} |')
    print(f'\n{len(met)} kills in {runs} comparisons, {n_wrong} wrong')
    return min(n_wrong, 1)


if __name__ == '__main__':
    sys.exit(main())
