"""The fully sampled center of a Cartesian k-space."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import torch

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


def largest_sampled_box(sampled: torch.Tensor) -> tuple[int, ...]:
    """Return the widths of the largest centered box of sampled points.

    It is that with the longest shortest side, and among these that with most points.

    Parameters
    ----------
    sampled
        Whether a point is sampled, shape `(z, y, x)`, with the center of k-space at index ``n // 2``.

    Returns
    -------
        Widths along `(z, y, x)`, all zero if the center is not sampled.
    """
    # from the center outwards, such that the first w of them are the central w
    for d, n in enumerate(sampled.shape):
        offset = torch.arange(n, device=sampled.device) - n // 2
        order = torch.where(offset < 0, -2 * offset - 1, 2 * offset).argsort()
        sampled = sampled.index_select(d, order)
    full = sampled.int()
    for d in range(3):
        full = full.cummin(d).values
    if not bool(full.any()):
        return (0, 0, 0)
    boxes = full.nonzero() + 1
    long = torch.tensor([n > 1 for n in sampled.shape], device=boxes.device)
    shortest = torch.where(long, boxes, boxes.amax()).amin(-1)
    boxes = boxes[shortest == shortest.amax()]
    box: list[int] = boxes[boxes.prod(-1).argmax()].tolist()
    return tuple(box)


def calibration_box(gram: CirculantGramOp, sizes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the fully sampled center of k-space of each image of a Cartesian acquisition.

    Parameters
    ----------
    gram
        Gram operator of the acquisition.
    sizes
        Sizes `(z, y, x)` of the image.

    Returns
    -------
        Boxes of zeros and ones in the order of `torch.fft.fftn`, shape `(*other, 1, z, y, x)`, and their widths in
        samples of the k-space of the image, shape `(*other, 1, 3)`. Axes of `other` of size 1 broadcast.
    """
    sampled = gram.transfer > 0
    sampled = sampled.reshape(*(1,) * max(4 - sampled.ndim, 0), *sampled.shape).all(-4, keepdim=True)
    encoded = list(sizes)
    if gram.pad_op is not None:
        for d, n in zip(gram.pad_op.dim, gram.pad_op.padded_shape, strict=True):
            encoded[d] = n
    sampled = torch.fft.fftshift(sampled.expand(*sampled.shape[:-3], *encoded), dim=(-3, -2, -1))
    boxes, widths = [], []
    for points in sampled.flatten(0, -4):
        found = largest_sampled_box(points)
        width = [min(floor(w * n / m), n) for w, n, m in zip(found, sizes, encoded, strict=True)]
        box = torch.zeros(*sizes, device=sampled.device)
        start = [n // 2 - w // 2 for w, n in zip(width, sizes, strict=True)]
        box[tuple(slice(s, s + w) for s, w in zip(start, width, strict=True))] = 1
        boxes.append(torch.fft.ifftshift(box))
        widths.append(torch.tensor(width))
    leading = sampled.shape[:-3]
    return torch.stack(boxes).reshape(*leading, *sizes), torch.stack(widths).reshape(*leading, 3)
