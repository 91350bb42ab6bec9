"""Motion of the heart between two frames."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import grid_sample


def estimate_motion(fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
    r"""Estimate the displacement :math:`v` with `moving` at :math:`r + v(r)` next to `fixed` at :math:`r` [ZAC2007]_.

    Parameters
    ----------
    fixed, moving
        Magnitude images, shape `(y, x)`.

    Returns
    -------
        Displacement along y and x in pixels, float32, shape `(2, y, x)`.

    Raises
    ------
    ValueError
        If the extra `train` is not installed.

    References
    ----------
    .. [ZAC2007] Zach C, Pock T, Bischof H (2007) A duality based approach for realtime TV-L1 optical flow. DAGM
       https://doi.org/10.1007/978-3-540-74936-3_22
    """
    try:
        from skimage.registration import optical_flow_tvl1
    except ImportError as error:
        raise ValueError(f"Motion needs the extra 'train', pip install 'mrpro-lambda[train]': {error}.") from error
    scale = max(fixed.max().item(), moving.max().item())
    return torch.from_numpy(optical_flow_tvl1((fixed / scale).numpy(), (moving / scale).numpy())).float()


def displace(image: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    r"""Return the image at :math:`r + v(r)`, by linear interpolation.

    Parameters
    ----------
    image
        Real image, shape `(y, x)`; its border continues beyond it.
    displacement
        Displacement along y and x in pixels, shape `(2, y, x)`.
    """
    n_y, n_x = image.shape
    y = torch.arange(n_y)[:, None] + displacement[0]
    x = torch.arange(n_x) + displacement[1]
    grid = torch.stack((2 * x / max(n_x - 1, 1) - 1, 2 * y / max(n_y - 1, 1) - 1), -1)
    return grid_sample(image[None, None], grid[None], align_corners=True, padding_mode='border')[0, 0]


def contraction(phase: float, systole: float, relaxation: float) -> float:
    """Return how far the heart is contracted, 0 at the end of the diastole and 1 at the end of the systole.

    Parameters
    ----------
    phase
        Time as a fraction of the cardiac cycle, from the end of the diastole on.
    systole, relaxation
        Durations of contraction and relaxation, as fractions of the cycle; in the rest of it nothing moves.
    """
    phase = phase % 1.0
    if phase < systole:
        return math.sin(0.5 * math.pi * phase / systole) ** 2
    return math.cos(0.5 * math.pi * min(1.0, (phase - systole) / relaxation)) ** 2
