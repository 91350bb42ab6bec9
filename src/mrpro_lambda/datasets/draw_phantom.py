"""Random objects for computed tomography."""

import math

import torch
from torch.nn.functional import avg_pool2d, max_pool2d

_FINE = 3
"""Fine pixels of a pixel along each axis."""
_POINTS = 400
"""Points of a vessel."""


def draw_phantom(size: int, generator: torch.Generator) -> torch.Tensor:
    """Draw an object of what other training images lack: thin bright vessels, also in air, next to bone and tissue.

    A body with or without a skull and a scalp, of tissue or empty, has organs, calcifications, holes in its bone and a
    table below. Vessels go through all of it. Edges are blurred by one pixel or two, and some objects have a gradient
    or a texture, as patients have.

    Parameters
    ----------
    size
        Number of pixels along each axis.
    generator
        Random number generator.

    Returns
    -------
        Attenuation, shape `(size, size)`, not negative, with a maximum of 1.
    """

    def number(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    def chance(probability: float) -> bool:
        return number(0, 1) < probability

    def count(most: int) -> int:
        return int(torch.randint(most + 1, (), generator=generator))

    n, pixel = size * _FINE, 2 / size
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n),) * 2, indexing='ij')

    def radius(center: tuple[float, float], axes: tuple[float, float], angle: float) -> torch.Tensor:
        """Return the distance from the center of an ellipse, 1 at its edge."""
        dx, dy = x - center[0], y - center[1]
        u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
        return (u / axes[0]).hypot(v / axes[1])

    def somewhere(extent: float, smallest: float, largest: float) -> torch.Tensor:
        """Return where a random ellipse is."""
        center = number(-extent, extent), number(-extent, extent)
        return radius(center, (number(smallest, largest), number(smallest, largest)), number(0, math.pi)) < 1

    img = torch.zeros(n, n)
    tissue = 0.0 if chance(0.35) else number(0.15, 0.55)
    center, axes, angle = (number(-0.1, 0.1), number(-0.1, 0.1)), (number(0.5, 0.9), number(0.5, 0.9)), number(0, 3.2)
    if chance(0.6):
        scalp = number(2, 6) * pixel
        img[radius(center, (axes[0] + scalp, axes[1] + scalp), angle) < 1] = max(tissue, number(0.15, 0.4))
    inside = radius(center, axes, angle) < 1
    if chance(0.7):
        img[inside] = number(0.6, 1)
        thickness = number(1.5, 6) * pixel
        inside = radius(center, (axes[0] - thickness, axes[1] - thickness), angle) < 1
    img[inside] = tissue
    for _ in range(count(3)):  # holes, mostly at the edge of the body
        hole = somewhere(0.9, pixel, 6 * pixel)
        img[hole & ~inside] = 0
    for _ in range(count(6)):
        organ = somewhere(0.6, 0.03, 0.3)
        img[organ & inside] = max(0.0, tissue + number(-0.4, 0.4))
    for _ in range(count(4)):
        img[somewhere(0.7, 0.6 * pixel, 4 * pixel)] = number(0, 1)
    for _ in range(1 + count(7)):
        turn = torch.randn(_POINTS, generator=generator, dtype=torch.float64).cumsum(0) * number(0.02, 0.15)
        direction = torch.stack([turn.sin(), turn.cos()]) * number(0.2, 1.2) / _POINTS
        path = torch.tensor([[number(-0.6, 0.6)], [number(-0.6, 0.6)]]) + direction.cumsum(1)
        path = path[:, (path.abs() < 1).all(0)]
        row, column = ((path + 1) / 2 * (n - 1)).round().long()
        vessel = torch.zeros(1, 1, n, n)
        vessel[..., row, column] = number(0.1, 1)
        width = 1 + 2 * count(2)
        img = torch.maximum(img, max_pool2d(vessel, width, 1, width // 2)[0, 0])
    if chance(0.5):
        table = (radius((0, number(-0.6, 0.2)), (1, number(0.8, 1.1)), 0) - 1).abs() < number(0.3, 1) * pixel
        img[table & (y > 0.5)] = number(0.05, 0.3)
    if chance(0.5):
        img = img * (1 + number(-0.15, 0.15) * x + number(-0.15, 0.15) * y)
    width = _FINE + 2 * count(2)
    img = avg_pool2d(img[None, None], width, _FINE, (width - _FINE) // 2, count_include_pad=False)[0, 0]
    if chance(0.5):
        grain = torch.randn(1, 1, size, size, generator=generator)
        grain = grain if chance(0.5) else 3 * avg_pool2d(grain, 3, 1, 1)
        img = (img + number(0.002, 0.04) * (img > 0.02) * grain[0, 0]).clamp_min(0)
    return img / img.max()
