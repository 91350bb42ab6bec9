"""Weights from what a user gives."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.weighting.GivenWeight import GivenWeight
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.Weight import Weight


def as_weight(value: float | Sequence[float] | torch.Tensor | LambdaNet | Weight) -> Weight:
    """Return the weight that a value stands for.

    Parameters
    ----------
    value
        A number, one number for each map or a map, all in the units of the image; a network; or a weight, which is
        returned as it is.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it holds negative, complex or non-finite numbers.
    """
    if isinstance(value, Weight):
        return value
    if isinstance(value, LambdaNet):
        return NetworkWeight(value)
    if not isinstance(value, int | float | Sequence | torch.Tensor) or isinstance(value, str | bytes):
        raise TypeError(
            'A weight must be a number, a sequence of numbers, a tensor, a LambdaNet or a Weight, got '
            f'{type(value).__name__}.'
        )
    return GivenWeight(value)
