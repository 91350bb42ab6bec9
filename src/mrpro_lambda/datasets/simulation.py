"""Simulation of what magnitude images lack: phase, coil sensitivities and noise."""

from math import pi, sqrt

import torch


def smooth_phase(shape: tuple[int, int], generator: torch.Generator, *, std: float = 0.7) -> torch.Tensor:
    """Draw a smooth phase, the sum of a bicubic surface through 5 x 5 control points, a plane and a constant.

    Parameters
    ----------
    shape
        Size of the image `(y, x)`.
    generator
        Random number generator.
    std
        Standard deviation of the normally distributed control points in rad. The plane changes by up to pi across the
        image along each axis, and the constant is any angle.

    Returns
    -------
        Phase in rad, float32, shape `(y, x)`.
    """
    control_points = std * torch.randn(1, 1, 5, 5, generator=generator)
    surface = torch.nn.functional.interpolate(control_points, size=shape, mode='bicubic', align_corners=True)[0, 0]
    slope_y, slope_x, constant = (pi * (2 * torch.rand(3, generator=generator) - 1)).unbind()
    y, x = (torch.linspace(-0.5, 0.5, n) for n in shape)
    return surface + slope_y * y[:, None] + slope_x * x + constant


def simulate_coil_maps(n_coils: int, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    r"""Draw coil sensitivities :math:`c_i` with :math:`\sum_i |c_i|^2 = 1` at each pixel.

    The coils are placed on a ring around the image, evenly but for a random rotation. Their magnitudes are Gaussian
    functions of the distance, their phases are random planes. A single coil is one everywhere.

    Parameters
    ----------
    n_coils
        Number of coils.
    shape
        Size of the image `(y, x)`.
    generator
        Random number generator.

    Returns
    -------
        Sensitivities, complex64, shape `(coils, 1, y, x)`.

    Raises
    ------
    ValueError
        If there is no coil.
    """
    if n_coils < 1:
        raise ValueError(f'n_coils must be at least 1, got {n_coils}.')
    if n_coils == 1:
        return torch.ones(1, 1, *shape, dtype=torch.complex64)
    # coordinates in units of half the field of view
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape)
    y = y[:, None]
    random = torch.rand(5, n_coils, 1, 1, generator=generator, dtype=torch.float64)
    angle = 2 * pi * (torch.arange(n_coils)[:, None, None] / n_coils + random[0, 0])
    radius, width = 1.1 + 0.3 * random[1], 0.8 + 0.4 * random[2]
    distance = torch.hypot(y - radius * angle.sin(), x - radius * angle.cos())
    log_magnitude = -0.5 * (distance / width).square()
    log_norm = 0.5 * (2 * log_magnitude).logsumexp(0)
    phase = 2 * pi * random[3] + (random[4] - 0.5) * pi * (y * angle.sin() + x * angle.cos())
    return torch.polar((log_magnitude - log_norm).exp(), phase).to(torch.complex64)[:, None]


def complex_noise(shape: tuple[int, ...], noise_std: float | torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    r"""Draw complex white noise `n` with :math:`E|n|^2 = \sigma^2`.

    The real and the imaginary part are independent and normally distributed with variance :math:`\sigma^2 / 2` each.

    Parameters
    ----------
    shape
        Shape of the noise.
    noise_std
        Standard deviation :math:`\sigma`, broadcastable to the shape.
    generator
        Random number generator.

    Returns
    -------
        Noise, complex64.
    """
    return noise_std * torch.randn(shape, generator=generator, dtype=torch.complex64)


def k1_noise_weight(mask: torch.Tensor, edge_factors: tuple[float, float]) -> torch.Tensor:
    r"""Relative standard deviation of noise that is not white along `k1`.

    The standard deviation is highest at the k-space center and falls like a cosine towards the first and the last
    sampled line, where it is :math:`f` times that of the center: :math:`w = f + (1 - f) \cos(\pi u / 2)` for the
    distance `u` from the center relative to that of the outermost line. All is scaled such that the mean of
    :math:`w^2` over the sampled points is 1, i.e. white noise times `w` keeps its mean variance.

    Parameters
    ----------
    mask
        Sampling mask of zeros and ones, shape `(k1, k0)`.
    edge_factors
        Factors `f` at the first and the last sampled line. They may exceed 1.

    Returns
    -------
        Weights, float32, shape `(k1, 1)`.

    Raises
    ------
    ValueError
        If nothing is sampled.
    """
    n_samples = mask.double().sum(-1)
    lines = n_samples.nonzero()[:, 0] - len(mask) // 2
    if not len(lines):
        raise ValueError(f'mask must have at least one sampled point, got none in shape {tuple(mask.shape)}.')
    k1 = torch.arange(len(mask), dtype=torch.float64) - len(mask) // 2
    before = k1 < 0
    extent = torch.where(before, -float(lines[0]), float(lines[-1])).clamp_min(1)
    u = (k1.abs() / extent).clamp_max(1)
    factor = torch.where(before, *edge_factors).double()
    weight = factor + (1 - factor) * torch.cos(pi / 2 * u)
    mean_square = float((n_samples * weight.square()).sum() / n_samples.sum())
    return (weight / sqrt(mean_square)).float()[:, None]
