"""Gray pictures without matplotlib."""

from __future__ import annotations

import torch
from PIL import Image

from mrpro_lambda.plotting.panels import one_slice

_PICTURE = 256  # smallest side of a picture in pixels


def gray_picture(img: torch.Tensor, *, window: float | None = None, aspect: float = 1.0) -> Image.Image:
    """Return the magnitude of one slice as a gray picture with its rows along y, without matplotlib.

    Pixels are repeated until no side is shorter than 256.

    Parameters
    ----------
    img
        Image, shape `(y, x)`; further axes of size 1 are dropped.
    window
        Magnitude shown as white. If `None`, the 99.8 percentile of the image.
    aspect
        Height of a pixel relative to its width.
    """
    img = one_slice(img, 'img').abs()
    levels = (255 * img / (gray_window(img) if window is None else window)).clamp(0, 255).round().byte()
    picture, repeats = Image.fromarray(levels.numpy()), -(-_PICTURE // min(img.shape))
    size = repeats * img.shape[1], round(repeats * img.shape[0] * aspect)
    return picture.resize(size, Image.Resampling.NEAREST)


def gray_window(img: torch.Tensor) -> float:
    """Return the magnitude that is shown as white, the 99.8 percentile, which is not 0.

    Parameters
    ----------
    img
        Image of any shape.
    """
    magnitude = img.abs().double().flatten()
    n = magnitude.numel()
    value = magnitude.kthvalue(max(1, min(n, round(0.998 * n)))).values.item()
    return value or magnitude.max().item() or 1.0
