"""Combination of coils without arrays that do not fit the cache."""

from __future__ import annotations

from collections.abc import Callable

import torch

_CHUNK = 2**17
"""Numbers of the coil images that are treated at once on a CPU, 1 MiB in single precision."""


def coil_by_coil(
    x: torch.Tensor, csm: torch.Tensor, gram: Callable[[torch.Tensor], torch.Tensor], *, size: int = 1
) -> torch.Tensor:
    r"""Apply :math:`\sum_c S_c^H G S_c` to some coils at a time. Not differentiable.

    On a CPU, arrays of all coils, and new memory for them in each call, took as long as the FFTs.

    Parameters
    ----------
    x
        Image, complex, shape `(*other, 1, z, y, x)`.
    csm
        Coil sensitivities, shape `(*other, coils, z, y, x)`.
    gram
        Gram operator :math:`G` of the images of single coils. It may overwrite its argument.
    size
        Size of the arrays within the Gram operator, relative to the image.
    """
    chunk = max(1, _CHUNK // (size * x.numel())) if x.device.type == 'cpu' else csm.shape[-4]
    out = torch.zeros_like(x)
    for s in csm.split(chunk, dim=-4):
        out += gram(s * x).conj_physical_().mul_(s).sum(-4, keepdim=True)
    return out.conj_physical_()
