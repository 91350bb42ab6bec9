"""Checks of what a user passes as a tensor."""

from __future__ import annotations

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
