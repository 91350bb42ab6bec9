"""Checks of what reconstructions are given, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mrpro.data import KData, KNoise
from mrpro.operators import LinearOperator, SensitivityOp

from mrpro_lambda.checks import check_broadcast, check_tensor, check_type
from mrpro_lambda.models.Model import Model
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.weighting.Weight import Weight


def check_kdata(kdata: KData) -> None:
    """Raise an error if k-space data hold NaN or Inf, are all zero, or are not of single or double precision."""
    check_type('k-space data', kdata, KData)
    check_tensor('k-space data', kdata.data)
    if not kdata.data.is_complex() or kdata.data.ndim < 5:
        raise ValueError(
            f'k-space data must be complex with shape (*other, coils, k2, k1, k0), got {kdata.data.dtype}, shape '
            f'{tuple(kdata.data.shape)}.'
        )
    if not bool(kdata.data.any()):
        raise ValueError(f'k-space data must not be all zero, got shape {tuple(kdata.data.shape)}.')


@contextmanager
def of_the_acquisition(kdata: KData) -> Iterator[None]:
    """Raise an error that tells the shapes where an operator does not take the data: those of mrpro do not."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            'The data must have the trajectory, coils and image that the reconstruction was set up for, got '
            f'shape {tuple(kdata.data.shape)}: {error}'
        ) from error


def check_csm(csm_op: SensitivityOp | None, kdata: KData | None) -> None:
    """Raise an error unless coil sensitivities are finite and have the coils and images of k-space data."""
    if csm_op is None:
        return
    csm = csm_op.csm_tensor
    check_tensor('csm', csm)
    power = csm.detach().abs().square().sum()
    if csm.ndim < 4 or not bool(power.isfinite() & (power > 0)):
        raise ValueError(
            'csm must have shape (*other, coils, z, y, x) and moduli around 1, got moduli up to '
            f'{csm.abs().max():g}, shape {tuple(csm.shape)}.'
        )
    if kdata is None:
        return
    if csm.shape[-4] != kdata.data.shape[-4]:
        raise ValueError(
            f'csm must have the {kdata.data.shape[-4]} coils of the data, got {csm.shape[-4]} in shape '
            f'{tuple(csm.shape)} for data of shape {tuple(kdata.data.shape)}.'
        )
    check_broadcast(**{'other axes of csm': csm[..., 0, 0, 0, 0], 'other axes of data': kdata.data[..., 0, 0, 0, 0]})


def check_noise(noise: KNoise | None, kdata: KData | None) -> None:
    """Raise an error unless a noise measurement is finite, of the coils of k-space data, and long enough."""
    if noise is None:
        return
    check_type('noise', noise, KNoise)
    check_tensor('noise', noise.data)
    if noise.data.ndim < 4:
        raise ValueError(f'noise must have shape (*other, coils, k2, k1, k0), got shape {tuple(noise.data.shape)}.')
    if not bool(noise.data.any()):
        raise ValueError(f'noise must not be all zero, got shape {tuple(noise.data.shape)}.')
    n_coils = noise.data.shape[-4]
    if kdata is not None and n_coils != kdata.data.shape[-4]:
        raise ValueError(
            f'noise must have the {kdata.data.shape[-4]} coils of the data, got {n_coils} in shape '
            f'{tuple(noise.data.shape)}.'
        )
    if noise.data.numel() // n_coils < n_coils:
        raise ValueError(
            f'noise must have at least as many samples as the {n_coils} coils, got shape {tuple(noise.data.shape)}.'
        )


def check_refusal(model: Model, kdata: KData, fourier_op: LinearOperator, *, combined: bool) -> None:
    """Raise an error if a model can not reconstruct the acquisition of k-space data, before coil maps are calculated.

    A model decides by operators and shapes, see `~mrpro_lambda.models.Model.refusal`. Here the coils have no maps but
    the same sensitivity everywhere.

    Parameters
    ----------
    model
        Model.
    kdata
        k-space data.
    fourier_op
        Fourier operator.
    combined
        Whether there will be coil sensitivities, so that the image has one coil.
    """
    n_coils, size = kdata.data.shape[-4], kdata.header.recon_matrix.zyx
    image = kdata.data.new_zeros(()).expand(*kdata.data.shape[:-4], 1 if combined else n_coils, *size)
    acquisition_op = fourier_op
    if combined:
        uniform = kdata.data.new_full((1, n_coils, 1, 1, 1), n_coils**-0.5)
        acquisition_op = fourier_op @ SensitivityOp(uniform.expand(1, n_coils, *size))
    if (reason := model.refusal(kdata.data, acquisition_op, image)) is not None:
        raise ValueError(f'The model can not reconstruct this acquisition: {reason}')


def check_noise_std(noise_std: Any) -> float | None:  # noqa: ANN401
    """Return the noise level as a number, after checking that it is one, positive and finite."""
    if noise_std is None:
        return None
    if isinstance(noise_std, torch.Tensor) and (noise_std.numel() != 1 or noise_std.is_complex() or noise_std.is_meta):
        raise ValueError(f'noise_std must be one number, got {noise_std.dtype}, shape {tuple(noise_std.shape)}.')
    try:
        value = float(noise_std)
    except (TypeError, ValueError) as error:
        raise TypeError(f'noise_std must be a number, got {noise_std!r}.') from error
    if not 0 < value < math.inf:
        raise ValueError(f'noise_std must be positive and finite, got noise_std={value}.')
    return value


def check_weight(weight: float | Sequence[float] | torch.Tensor | Weight | None) -> torch.Tensor | Weight | None:
    """Return numbers as a tensor, after checking that they are real, finite and not negative, others as they are."""
    if weight is None or isinstance(weight, Weight):
        return weight
    try:
        tensor = torch.as_tensor(weight)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f'regularization_weight must be a number, a sequence of numbers, a tensor or a Weight, got '
            f'{type(weight).__name__}: '
            f'{error}.'
        ) from error
    what = f'got {tensor.dtype}, shape {tuple(tensor.shape)}'
    if tensor.is_complex() or tensor.is_meta or not tensor.numel():
        raise ValueError(f'regularization_weight must hold real numbers, {what} on {tensor.device}.')
    if not bool((tensor.isfinite() & (tensor >= 0)).all()):
        raise ValueError(
            f'regularization_weight must be finite and not negative, {what}, smallest value {tensor.min()}.'
        )
    return tensor


def check_weight_shape(
    regularizer: Regularizer, weight: torch.Tensor | Weight | None, kdata: KData | None, *, combined: bool
) -> None:
    """Raise an error if a weight does not fit the image of k-space data, which has one coil if it is combined."""
    if kdata is None or not isinstance(weight, torch.Tensor):
        return
    other, n_coils = kdata.data.shape[:-4], kdata.data.shape[-4]
    shape = (*other, 1 if combined else n_coils, *kdata.header.recon_matrix.zyx)
    regularizer.lambda_map(weight, kdata.data.new_zeros(()).expand(shape))


def check_series(regularizer: Regularizer, shape: Sequence[int]) -> None:
    """Raise an error if a regularizer takes differences along an axis before that of the coils with one entry only."""
    single = [d for d in regularizer.dim if d < -4 and -d <= len(shape) and shape[d] == 1]
    if single:
        raise ValueError(
            f'Differences in time need at least two frames, but the axes {single} of an image of shape '
            f'{tuple(shape)} have one: leave them out of the axes of the regularizer, which are {regularizer.dim}.'
        )
