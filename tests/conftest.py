"""Settings and fixtures for all tests."""

import pytest
import torch

# pytest-xdist starts one process per core, so more than one thread per process would only compete for the cores.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that are marked with `cuda` if there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if item.get_closest_marker('cuda') is not None:
            item.add_marker(skip)
