"""Settings and fixtures for all tests."""

import gc
import os
import signal

# pytest-xdist starts one process per core, so more than one thread per process would only compete for the cores; the
# variable is for FINUFFT, and has to be set before it is loaded
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch

torch.set_num_threads(1)

# a shell has jobs in the background ignore it, which would hide what an interrupt does
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that are marked with `cuda` if there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if item.get_closest_marker('cuda') is not None:
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Keep modules and tests, which stay until the end, out of each garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let them go."""
    gc.unfreeze()
