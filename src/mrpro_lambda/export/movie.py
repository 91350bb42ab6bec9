"""Movies of series."""

from __future__ import annotations

from pathlib import Path

import torch

from mrpro_lambda.plotting import gray_picture, gray_window

_DURATION = 100
"""Time of a frame in ms. Many viewers slow down shorter ones."""


def write_movie(path: Path, frames: torch.Tensor, *, aspect: float = 1.0) -> None:
    """Write the magnitudes of slices as a GIF that is repeated forever, with one gray window for all of them.

    Parameters
    ----------
    path
        File that ends with `.gif`.
    frames
        Real or complex images, shape `(n_frames, y, x)`.
    aspect
        Height of a pixel relative to its width.

    Raises
    ------
    ValueError
        If the shape is another one.
    """
    if frames.ndim != 3 or not frames.numel():
        raise ValueError(f'frames must have shape (n_frames, y, x), got shape {tuple(frames.shape)}.')
    window = gray_window(frames)
    first, *others = (gray_picture(frame, window=window, aspect=aspect) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=_DURATION, loop=0)
