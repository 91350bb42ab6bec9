"""Images and a configuration to train with."""

from pathlib import Path

import numpy as np
import pytest
from mrpro.utils import RandomGenerator

CONFIG = """
noise = [0.1, 0.3]
validation_noise = [0.1, 0.2]
n_coils = [1, 2]
crop = 16
max_steps = 4
batch_size = 2
seed = 3
accelerator = 'cpu'

[model]
n_features = 2
n_resolutions = 2
padding = 3
n_iterations = 4

[sampling]
name = 'CartesianLines'
acceleration = [1.5, 2.0]
n_center_lines = 4

[validation_sampling]
name = 'CartesianLines'
acceleration = 2.0
n_center_lines = 4

[[images]]
path = 'training.npy'
repeat = 2

[[validation_images]]
path = 'validation.npy'
slices = { start = 0, stop = 2 }

[card]
data = 'none'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with images and a configuration."""
    rng = RandomGenerator(0)
    for name, n_images in (('training', 4), ('validation', 3)):
        images = rng.float32_tensor((n_images, 20, 18), 0.0, 0.3)
        images[:, 4:15, 5:14] += 0.7
        np.save(tmp_path / f'{name}.npy', images.numpy())
    (tmp_path / 'config.toml').write_text(CONFIG)
    return tmp_path
