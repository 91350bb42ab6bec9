"""Continuation of images beyond their borders."""

from __future__ import annotations

import torch


def continued(x: torch.Tensor, dim: int, before: int, after: int, *, circular: bool) -> torch.Tensor:
    """Continue an array beyond its ends along one axis, periodically or by reflection, by any number of samples.

    Parameters
    ----------
    x
        Array.
    dim
        Axis.
    before, after
        Numbers of samples to add at the ends.
    circular
        Continue periodically instead of by reflection about the outermost samples.
    """
    n = x.shape[dim]
    index = torch.arange(-before, n + after, device=x.device)
    if circular or n == 1:
        index = index % n
    else:
        index = index % (2 * n - 2)
        index = torch.minimum(index, 2 * n - 2 - index)
    return x.index_select(dim, index)
