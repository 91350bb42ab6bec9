"""Images that are made from a known dictionary."""

import torch
from mrpro.utils import RandomGenerator

PLANTED = torch.zeros(4, 5, 5)
"""A line, a diagonal, an edge and a dot with a ring; of unit norm."""
PLANTED[0, 2] = 1
PLANTED[1] = torch.eye(5)
PLANTED[2, 1:4, :2], PLANTED[2, 1:4, 3:] = 1, -1
PLANTED[3, 1:4, 1:4] = -1
PLANTED[3, 2, 2] = 3
PLANTED /= PLANTED.flatten(1).norm(dim=1)[:, None, None]


def synthetic_images(n_images: int, size: int = 32, density: float = 0.01) -> list[torch.Tensor]:
    """Create images with a smooth background and few copies of the planted filters."""
    rng = RandomGenerator(5)
    images = []
    for _ in range(n_images):
        amplitude = rng.float32_tensor((4, size, size), 0.5, 1.0) * (rng.float32_tensor((4, size, size)) < density)
        sign = torch.where(rng.float32_tensor((4, size, size)) < 0.5, -1.0, 1.0)
        padded = torch.nn.functional.pad((sign * amplitude)[None], (2, 2, 2, 2), mode='circular')
        image = torch.nn.functional.conv2d(padded, PLANTED[None])[0, 0]
        image = image - image.min()
        images.append(image / image.max())
    return images
