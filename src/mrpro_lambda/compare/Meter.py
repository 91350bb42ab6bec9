"""Time and memory of a computation."""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

_STATUS = Path('/proc/self/status')


class Meter:
    """Seconds and peak memory of what is done in its context.

    On a GPU the peak is that of PyTorch's allocator, without what was there before. On a CPU it is the growth of the
    resident memory of the process, which Linux keeps; elsewhere it is unknown. Free memory is given back to the system
    before, as far as the C library can, so that what another computation has left does not count.
    """

    def __init__(self, device: str) -> None:
        """Initialize.

        Parameters
        ----------
        device
            Device of the computation.
        """
        self.device = device
        self.seconds = 0.0
        self.memory: float | None = None
        """Peak memory in MiB, `None` if it is unknown."""
        self._before: float | None = None
        self._start = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        if self.device == 'cuda':
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / 2**20
        else:
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
            with suppress(OSError):
                Path('/proc/self/clear_refs').write_text('5')  # the peak begins again
            self._before = _resident('VmRSS')
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        if self.device == 'cuda':
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._start
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.device == 'cuda' else _resident('VmHWM')
        self.memory = None if peak is None or self._before is None else max(0.0, peak - self._before)


def _resident(name: str) -> float | None:
    """Return a number of the memory of the process in MiB."""
    with suppress(OSError):
        for line in _STATUS.read_text('ascii').splitlines():
            if line.startswith(f'{name}:'):
                return int(line.split()[1]) / 1024
    return None
