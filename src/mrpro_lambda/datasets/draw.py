"""Random draws from a given generator, never from the global one."""

import math
from collections.abc import Sequence

import torch


def as_range(
    name: str, value: float | Sequence[float], minimum: float, maximum: float = math.inf, *, exclusive: bool = False
) -> tuple[float, float]:
    """Read a number or a range, where a number is a range of width zero.

    Parameters
    ----------
    name
        Name of the parameter for the error message.
    value
        Number or range `(low, high)`.
    minimum
        Smallest allowed value.
    maximum
        Largest allowed value.
    exclusive
        If the minimum itself is not allowed.

    Raises
    ------
    ValueError
        If the value is not a finite number or a range within the limits.
    """
    limits = tuple(value) if isinstance(value, Sequence) else (value, value)
    if (
        len(limits) != 2
        or not all(isinstance(limit, int | float) and math.isfinite(limit) for limit in limits)
        or not minimum <= limits[0] <= limits[1] <= maximum
        or (exclusive and limits[0] == minimum)
    ):
        rule = f'{minimum} {"<" if exclusive else "<="} low <= high <= {maximum}'
        raise ValueError(f'{name} must be a finite number or a range (low, high) with {rule}, got {value!r}.')
    return float(limits[0]), float(limits[1])


def draw_uniform(limits: tuple[float, float], generator: torch.Generator) -> float:
    """Draw a number from a range uniformly.

    Parameters
    ----------
    limits
        Range `(low, high)`.
    generator
        Random number generator.
    """
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def draw_points(density: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Draw points one after the other without replacement, each with a probability proportional to its density.

    Parameters
    ----------
    density
        Positive densities of all points, infinite for points that are always taken.
    n_points
        Number of points to draw.
    generator
        Random number generator.

    Returns
    -------
        Mask of the shape of the density, float32, 1 at the `n_points` drawn points and 0 elsewhere.
    """
    # The largest n of density / exponential variates are distributed like n successive draws (Efraimidis, Spirakis
    # 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    density = density.double()
    waiting_time = torch.empty_like(density).exponential_(generator=generator).clamp_min(1e-300)
    mask = torch.zeros(density.numel())
    mask[(density / waiting_time).flatten().topk(n_points).indices] = 1.0
    return mask.reshape(density.shape)
