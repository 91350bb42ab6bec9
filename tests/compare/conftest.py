"""Images and a configuration to compare with."""

from pathlib import Path

import numpy as np
import pytest
from mrpro.utils import RandomGenerator

CONFIG = """
title = 'Tiny'
noise = [0.1, 0.3]
validation_noise = [0.2]
crop = 16
validation_interval = 2

[sampling]
name = 'CentralBox'
fraction = 0.5

[[images]]
path = 'training.npy'

[[tests]]
name = 'squares'
[[tests.images]]
path = 'test.npy'

[[methods]]
name = 'zero-filled'
kind = 'zero-filled'

[[methods]]
name = 'TV-Lambda'
kind = 'train'
max_steps = 3
batch_size = 2
[methods.model]
n_features = 2
n_resolutions = 2
padding = 3
n_iterations = 4
max_iterations = 5
"""


def write_images(folder: Path, name: str, n_images: int, seed: int) -> None:
    """Write images of a bright rectangle."""
    images = RandomGenerator(seed).float32_tensor((n_images, 20, 18), 0.0, 0.3)
    images[:, 4:15, 5:14] += 0.7
    np.save(folder / f'{name}.npy', images.numpy())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with images and a configuration."""
    write_images(tmp_path, 'training', 4, 0)
    write_images(tmp_path, 'test', 2, 1)
    (tmp_path / 'config.toml').write_text(CONFIG)
    return tmp_path
