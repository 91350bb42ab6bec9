"""Real and imaginary part of complex numbers as real ones."""

from __future__ import annotations

import torch


def real_parts(x: torch.Tensor) -> torch.Tensor:
    """View real and imaginary part as a last axis, of size 1 for real tensors."""
    return torch.view_as_real(x) if x.is_complex() else x.unsqueeze(-1)


def weights_of_parts(weight: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return weights with the axis of real and imaginary part, of size 1 if both have the same.

    Parameters
    ----------
    weight
        Weights in the shape of the numbers, or with an axis of size 2 more.
    like
        The numbers.
    """
    return weight if weight.ndim > like.ndim else weight.unsqueeze(-1)


def weighted(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Multiply numbers with weights, see `weights_of_parts`."""
    if weight.ndim <= x.ndim:
        return weight * x
    return torch.view_as_complex(weight * torch.view_as_real(x))


@torch.no_grad()
def contiguous_weights(weight: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Copy weights for the real numbers of real or complex tensors to contiguous memory."""
    parts = weights_of_parts(weight, like)
    return parts.expand(*parts.shape[:-1], 2 if like.is_complex() else 1).contiguous()
