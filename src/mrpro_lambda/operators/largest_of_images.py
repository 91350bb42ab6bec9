"""Largest value of each image of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def largest_of_images(x: torch.Tensor, dim: Sequence[int] = ()) -> torch.Tensor:
    """Take the maximum over each image and its coils.

    Parameters
    ----------
    x
        Real tensor, broadcastable to `(*other, coils, z, y, x)`.
    dim
        Further negative axes, along which images share one maximum.

    Returns
    -------
        Maxima, broadcastable to `(*other, 1, 1, 1, 1)`.
    """
    axes = tuple(d for d in {-4, -3, -2, -1, *dim} if -d <= x.ndim)
    return x.amax(axes, keepdim=True) if axes else x
