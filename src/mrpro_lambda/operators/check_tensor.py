"""Check of what a user passes as a tensor."""

from __future__ import annotations

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
