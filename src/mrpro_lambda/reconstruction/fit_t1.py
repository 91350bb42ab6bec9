"""T1 maps from series of images."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from mrpro.algorithms.optimizers import lbfgs
from mrpro.data import IData
from mrpro.operators import ConstraintsOp
from mrpro.operators.models import InversionRecovery, SaturationRecovery

from mrpro_lambda.checks import check_axes, check_number, check_tensor, check_type

_N_VALUES = 200
"""Values of T1 that are tried before the fit."""


class T1Maps(NamedTuple):
    """Parameters of the signal model, in the shape of the series without the axis of the times."""

    t1: torch.Tensor
    """T1 in seconds, 0 outside of the mask."""
    m0: torch.Tensor
    """Equilibrium signal, complex for complex series, 0 outside of the mask."""
    residual: torch.Tensor
    """Root mean squared distance of the signal model to the series."""


def fit_t1(
    idata: IData | torch.Tensor,
    signal_model: InversionRecovery | SaturationRecovery,
    *,
    time_dim: int = -5,
    t1_range: tuple[float, float] = (0.05, 6.0),
    mask: torch.Tensor | None = None,
    max_iterations: int = 30,
    chunk_size: int = 2**15,
) -> T1Maps:
    r"""Fit T1 and equilibrium signal to each pixel, :math:`\min_{M_0, T_1} \sum_i |q(t_i; M_0, T_1) - x_i|^2`.

    For each T1, :math:`M_0` is known in closed form (variable projection). The fit begins at the best of 200 values of
    T1 and goes on with mrpro's L-BFGS. The sign of the signal must be known: magnitudes of an inversion recovery do not
    tell it.

    Parameters
    ----------
    idata
        Series of images, real or complex.
    signal_model
        Signal model with the times of the series in seconds.
    time_dim
        Axis of the times, negative.
    t1_range
        Smallest and largest T1 in seconds.
    mask
        Pixels to fit, broadcastable to the shape of the series without the axis of the times. `None`: all that are not
        zero.
    max_iterations
        Largest number of iterations of L-BFGS.
    chunk_size
        Number of pixels that are fitted at a time, which bounds the memory.

    Raises
    ------
    TypeError, ValueError
        If the series is not finite or has not as many images as the model has times, if there are less than 3 times, if
        they are negative, equal or not in ascending order, or if a range is not valid.
    """
    check_type('idata', idata, (IData, torch.Tensor))
    check_type('signal_model', signal_model, (InversionRecovery, SaturationRecovery))
    series = (idata if isinstance(idata, torch.Tensor) else idata.data).detach()
    check_tensor('idata', series)
    check_axes('time_dim', (time_dim,))
    of_model = signal_model.ti if isinstance(signal_model, InversionRecovery) else signal_model.saturation_time
    times = of_model.detach()
    if times.ndim != 1 or len(times) < 3 or not bool(times.isfinite().all()):
        raise ValueError(f'The signal model must have at least 3 finite times, got {times.tolist()}.')
    if bool((times < 0).any()) or bool((times.diff() <= 0).any()):
        raise ValueError(f'The times must be in ascending order and not negative, got {times.tolist()} s.')
    if -time_dim > series.ndim or series.shape[time_dim] != len(times):
        raise ValueError(
            f'The series must have one image for each of the {len(times)} times along axis {time_dim}, got shape '
            f'{tuple(series.shape)}.'
        )
    low, high = t1_range
    check_number('t1_range', low, positive=True)
    check_number('t1_range', high, positive=True)
    if low >= high:
        raise ValueError(f't1_range must be (smallest, largest), got {t1_range}.')
    check_number('max_iterations', max_iterations, 1, integer=True)
    check_number('chunk_size', chunk_size, 1, integer=True)
    pixels = series.movedim(time_dim, 0)
    shape = pixels.shape[1:]
    inside = (pixels != 0).any(0)
    if mask is not None:
        check_type('mask', mask, torch.Tensor)
        try:
            inside = inside & (mask.to(series.device) != 0).expand(shape)
        except RuntimeError as error:
            raise ValueError(f'mask must broadcast to {tuple(shape)}, got shape {tuple(mask.shape)}.') from error
    t1 = torch.zeros(shape, dtype=series.dtype.to_real(), device=series.device)
    m0, residual = torch.zeros_like(t1, dtype=series.dtype), torch.zeros_like(t1)
    model = type(signal_model)(times.to(t1))
    parts = pixels[:, inside].split(chunk_size, 1) if bool(inside.any()) else ()
    fits = [_fit(part, model, low, high, max_iterations) for part in parts]
    for out, found in zip((t1, m0, residual), zip(*fits, strict=True), strict=False):
        out[inside] = torch.cat(found)
    return T1Maps(t1, m0, residual)


def _fit(
    x: torch.Tensor, model: InversionRecovery | SaturationRecovery, low: float, high: float, max_iterations: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fit pixels, shape `(times, pixels)`."""
    size = x.abs().square().mean(0).sqrt()
    y = x / size  # dark pixels converge as bright ones do
    # inside of the range, as the borders are at infinity for the constrained parameter
    tried = torch.linspace(math.log(1.001 * low), math.log(high / 1.001), _N_VALUES).exp().to(size)
    (signals,) = model(torch.ones_like(tried), tried)
    products = (signals / torch.linalg.vector_norm(signals, dim=0)).T.to(y) @ y
    constraints_op = ConstraintsOp(((low, high),))

    def project(t1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the equilibrium signal that fits best, and what is left."""
        (signal,) = model(torch.ones_like(t1), t1)
        m0 = (signal * y).sum(0) / signal.square().sum(0)
        return m0, y - m0 * signal

    def distance(*parameters: torch.Tensor) -> tuple[torch.Tensor]:
        """Return the sum of all pixels, whose terms do not share a parameter."""
        t1 = constraints_op(*parameters)[0]
        return (project(t1)[1].abs().square().sum(),)

    start = constraints_op.inverse(tried[products.abs().argmax(0)])
    with torch.enable_grad():
        found = lbfgs(distance, start, max_iterations=max_iterations)
    t1 = constraints_op(*found)[0].detach()
    m0, difference = project(t1)
    return t1, size * m0, size * difference.abs().square().mean(0).sqrt()
