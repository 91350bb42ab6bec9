"""Times that alternate between methods, peak memory of fresh processes, and tables in Markdown."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from tqdm import tqdm

PACKAGES = ('torch', 'mrpro', 'mrpro-lambda', 'numpy', 'pytorch-finufft', 'sigpy', 'deepinv', 'sporco', 'scico', 'jax')


def synchronize(device: str) -> None:
    """Wait for a GPU; without it only the launch of its work is timed."""
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def seconds(function: Callable[[], object], device: str) -> float:
    """Time one call."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def alternate(functions: Mapping[str, Callable[[], object]], repeats: int, device: str) -> dict[str, list[float]]:
    """Time functions in turns, so that other load on the machine hits all the same, after one warm-up of each."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    with tqdm(total=(repeats + 1) * len(functions), leave=False) as bar:
        for repeat in range(repeats + 1):
            for name, function in functions.items():
                bar.set_description(name)
                elapsed = seconds(function, device)
                if repeat:
                    times[name].append(elapsed)
                bar.update()
    return times


class PeakMemory:
    """Peak memory of a block above what was in use before: of the GPU, or resident memory of the process.

    Memory that the process has freed but not returned is reused unseen, hence a fresh process for each measurement.
    """

    def __init__(self, device: str) -> None:
        """Choose what is measured."""
        self.device = device
        self.megabytes = float('nan')
        self._before = 0.0

    def __enter__(self) -> PeakMemory:
        """Reset the peak."""
        if self.device.startswith('cuda'):
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            with suppress(OSError):  # reset of the peak; without it, it is that since the start of the process
                Path('/proc/self/clear_refs').write_text('5')
            self._before = _status('VmRSS')
        return self

    def __exit__(self, *_: object) -> None:
        """Read the peak."""
        if self.device.startswith('cuda'):
            torch.cuda.synchronize(self.device)
            peak = float(torch.cuda.max_memory_allocated(self.device))
        else:
            peak = _status('VmHWM')
        self.megabytes = max(0.0, peak - self._before) / 1e6


def _status(key: str) -> float:
    """Read an entry of the process status in bytes (Linux)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key + ':'):
            return float(line.split()[1]) * 1024
    return float('nan')


def fresh_process(script: Path, job: Mapping[str, object]) -> dict[str, float] | str:
    """Run `script --job JSON` in a fresh process and read the JSON that it prints; a string tells why it failed."""
    command = [sys.executable, str(script), '--job', json.dumps(job)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode == -9:
        return 'killed, out of memory'
    if result.returncode:
        message = result.stderr.strip().splitlines()
        return 'failed: ' + (message[-1][:120] if message else f'code {result.returncode}')
    return json.loads(result.stdout.strip().splitlines()[-1])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table in Markdown."""
    lines = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    lines += ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def number(value: float) -> str:
    """Format a number with three digits."""
    if value != value:
        return '-'
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:#.3g}'


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """Format minimum, median and maximum."""
    if not values:
        return '-'
    return ' / '.join(number(scale * v) for v in (min(values), statistics.median(values), max(values)))


def ratio(reference: Sequence[float], values: Sequence[float]) -> str:
    """Format the ratio of the medians."""
    if not (reference and values) or statistics.median(values) <= 0:
        return '-'
    return number(statistics.median(reference) / statistics.median(values)) + ' x'


def machine(device: str) -> str:
    """Describe the machine and the versions."""
    cpu = platform.processor() or platform.machine()
    information = Path('/proc/cpuinfo')
    if information.exists():
        models = [
            line.split(':', 1)[1].strip() for line in information.read_text().splitlines() if 'model name' in line
        ]
        cpu = models[0] if models else cpu
    lines = [f'- CPU: {cpu}, {os.cpu_count()} logical cores, {platform.system()} {platform.release()}']
    if device.startswith('cuda'):
        lines.append(f'- GPU: {torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}')
    versions = [f'Python {platform.python_version()}']
    for package in PACKAGES:
        try:
            versions.append(f'{package} {importlib.metadata.version(package)}')
        except importlib.metadata.PackageNotFoundError:
            versions.append(f'{package} not installed')
    bart = shutil.which('bart')
    if bart is None:
        versions.append('bart not installed')
    else:
        result = subprocess.run([bart, 'version'], capture_output=True, text=True, check=False)  # noqa: S603
        versions.append('bart ' + (result.stdout.strip() or result.stderr.strip()))
    lines.append('- ' + ', '.join(versions))
    return '\n'.join(lines) + '\n'
