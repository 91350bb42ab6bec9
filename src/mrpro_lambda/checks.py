"""Checks of what a user passes: each error names the rule, the value and its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch

_PRECISIONS = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def check_tensor(name: str, value: Any, *, finite: bool = True) -> None:  # noqa: ANN401
    """Raise an error unless a value is a tensor that can be computed with.

    Parameters
    ----------
    name
        Name of the value in the error.
    value
        Value.
    finite
        Refuse NaN and Inf.

    Raises
    ------
    TypeError
        If it is no tensor.
    ValueError
        If it is not of single or double precision, empty, on the meta device, or not finite.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f'{name} must be a tensor, got {type(value).__name__}.')
    what = f'got {value.dtype} of shape {tuple(value.shape)}'
    if value.dtype not in _PRECISIONS:
        raise ValueError(f'{name} must be float32 or float64, real or complex, {what}.')
    if value.is_meta or not value.numel():
        raise ValueError(f'{name} must hold numbers, {what} on {value.device}.')
    if finite and not bool((is_finite := value.detach().isfinite()).all()):
        raise ValueError(
            f'{name} must be finite, got {int((~is_finite).sum())} NaN or Inf in shape {tuple(value.shape)}.'
        )


def check_broadcast(**tensors: torch.Tensor) -> None:
    """Raise an error unless the shapes of tensors, given by their names, broadcast to each other.

    Raises
    ------
    ValueError
        If they do not.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for sizes in zip_longest(*(shape[::-1] for shape in shapes.values()), fillvalue=1):
        if len({*sizes, 1}) > 2:
            raise ValueError(f'{" and ".join(tensors)} must broadcast to each other, got shapes {shapes}.')


def check_number(
    name: str,
    value: Any,  # noqa: ANN401
    low: float = 0,
    high: float = math.inf,
    *,
    integer: bool = False,
    positive: bool = False,
) -> None:
    """Raise an error unless a value is a finite number, or an integer, from a lowest to a highest one.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of the range, not finite, or not above 0 although it must be positive.
    """
    rule = f'an integer from {low}' if integer else f'a finite number from {low}'
    rule += ' on' if high == math.inf else f' to {high}'
    if not integer and high == math.inf and low == 0:
        rule = 'positive and finite' if positive else 'a finite, non-negative number'
    if isinstance(value, torch.Tensor):
        if value.ndim or value.is_complex() or value.is_meta or (integer and value.is_floating_point()):
            raise ValueError(f'{name} must be {rule}, got a tensor of {value.dtype}, shape {tuple(value.shape)}.')
        value = value.item()
    if not isinstance(value, int if integer else int | float):
        raise TypeError(f'{name} must be {rule}, got {value!r}.')
    if not (low <= value <= high and math.isfinite(value)) or (positive and value == 0):
        raise ValueError(f'{name} must be {rule}, got {value!r}.')


def check_axes(name: str, value: Any, *, negative: bool = True) -> None:  # noqa: ANN401
    """Raise an error unless a value is a sequence of axes, negative if they must be.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    rule = f'{name} must hold {"negative axes" if negative else "axes"}'
    if not isinstance(value, Sequence) or isinstance(value, str) or any(not isinstance(d, int) for d in value):
        raise TypeError(f'{rule}, got {name}={value!r}.')
    if negative and any(d >= 0 for d in value):
        raise ValueError(f'{rule}, got {name}={value!r}.')


def check_type(name: str, value: Any, expected: type | tuple[type, ...]) -> None:  # noqa: ANN401
    """Raise an error unless a value is of a type.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(value, expected):
        types = expected if isinstance(expected, tuple) else (expected,)
        raise TypeError(f'{name} must be {" or ".join(t.__name__ for t in types)}, got {type(value).__name__}.')


def as_noise_std(
    noise_std: Any,  # noqa: ANN401
    img: torch.Tensor,
    high: torch.Tensor | float = math.inf,
) -> torch.Tensor:
    """Check the noise level that belongs to an image and return it as a tensor.

    Parameters
    ----------
    noise_std
        Standard deviation of the noise, a number or a tensor that broadcasts to the image.
    img
        Image.
    high
        What it must be below.

    Returns
    -------
        Standard deviation, in the precision of the image and on its device.

    Raises
    ------
    TypeError
        If it is neither a number nor a tensor.
    ValueError
        If it is missing, does not broadcast to the image, or is not positive and finite.
    """
    if noise_std is None:
        raise ValueError('The noise level is needed: give noise_std.')
    check_type('noise_std', noise_std, (torch.Tensor, int, float))
    noise_std = torch.as_tensor(noise_std, dtype=img.dtype.to_real(), device=img.device)
    if noise_std.ndim > img.ndim or any(
        n not in (1, m) for n, m in zip(noise_std.shape[::-1], img.shape[::-1], strict=False)
    ):
        raise ValueError(
            f'noise_std must broadcast to the image, got shapes {tuple(noise_std.shape)} and {tuple(img.shape)}.'
        )
    if not bool(((noise_std > 0) & noise_std.isfinite() & (noise_std < high)).all()):
        raise ValueError(
            'noise_std must be positive and finite, and below 1e10 times the largest magnitude of the image, got '
            f'values from {noise_std.min().item()} to {noise_std.max().item()}.'
        )
    return noise_std
