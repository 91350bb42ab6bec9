"""Runs of the command line on tiny simulated data, each in a process of its own that starts at once.

The processes are forks of one that has imported everything, so that a run takes a second instead of ten.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.cli import main
from mrpro_lambda.dictionary import Dictionary, save_dictionary
from mrpro_lambda.pretrained import save_weights
from mrpro_lambda.recipes import TotalVariationRecipe
from mrpro_lambda.training import train as _  # noqa: F401  lightning, before the processes fork

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.raw_file import LINES, simulate_kspace, write_raw

TRAINING = """
noise = [0.1, 0.3]
validation_noise = [0.1]
n_coils = [1, 2]
crop = 16
zoom = [0.8, 1.1]
max_steps = 10
batch_size = 2
learning_rate = 0.001
background_weight = 0.2
validation_interval = 3
seed = 3
n_workers = 0
accelerator = 'cpu'

[model]
n_features = 2
n_resolutions = 2
n_convs = 1
padding = 3
n_iterations = 4
initial_scale = 1.0

[sampling]
name = 'CartesianLines'
acceleration = [1.5, 2.0]
n_center_lines = 4

[validation_sampling]
name = 'CentralBox'
fraction = 0.5

[[images]]
path = 'images.npy'
repeat = 2
size = 20

[[validation_images]]
path = 'images.npy'
slices = { start = 0, stop = 2 }

[card]
data = 'none'
"""
DICTIONARY = """
n_filters = 3
filter_size = 3
sparsity = 0.05
beta = 2.0
n_steps = 60
batch_size = 2
crop = 12
seed = 5

[card]
data = 'none'

[[images]]
path = 'images.npy'
repeat = 2

[[validation_images]]
path = 'images.npy'
slices = { start = 0, stop = 2 }
"""
_MEMORY = 16 * 2**30


def write_inputs(folder: Path) -> None:
    """Write raw data, images, configurations, weights and a dictionary."""
    folder.mkdir(parents=True, exist_ok=True)
    write_raw(folder / 'scan.h5', simulate_kspace(n_coils=2), lines=LINES)
    noise = 0.05 * RandomGenerator(seed=2).complex64_tensor((5, 2, 40))
    write_raw(folder / 'noise.h5', simulate_kspace(n_coils=2), noise=noise)
    images = RandomGenerator(0).float32_tensor((4, 20, 18), 0.0, 0.3)
    images[:, 4:15, 5:14] += 0.7
    np.save(folder / 'images.npy', images.numpy())
    (folder / 'train.toml').write_text(TRAINING)
    (folder / 'dictionary.toml').write_text(DICTIONARY)
    config = TotalVariationRecipe(n_features=2, n_resolutions=2, padding=3, noise_level=True)
    save_weights(config.build(), config, {'purpose': 'test'}, folder / 'weights.safetensors')
    filters = RandomGenerator(1).randn_tensor((3, 5, 5), torch.float32)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None]
    save_dictionary(Dictionary(filters, 0.05, 2.0, {}), folder / 'dictionary.safetensors')


def start(arguments: Sequence[str], log: Path) -> int:
    """Run the command line in a fork of this process, with its output in a file, and return the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    if process := os.fork():
        return process
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        code = main(arguments)
    except SystemExit as stop:  # of a signal before or after `main` listens to it
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001  nothing may return into the code of the parent
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(process: int, seconds: float) -> int | None:
    """Return the exit code of a process, negative for a signal, `None` if it did not end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None
