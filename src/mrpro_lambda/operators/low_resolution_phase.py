"""Phase of an image at low resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import avg_pool1d, max_pool1d

from mrpro_lambda.checks import check_number, check_tensor

_SMOOTHING, _MARGIN = 9, 9  # voxels of the window that finds the object, and of what is added around it


def low_resolution_phase(
    img: torch.Tensor, dim: Sequence[int], width: float = 6.0, *, object_only: bool = True
) -> torch.Tensor:
    r"""Return :math:`e^{i \varphi}` for the phase :math:`\varphi` of the center of the k-space of an image.

    The center is a Gaussian window. In air the phase is that of the noise and of aliasing: there the result is 1, as
    the noise would be made real by it. The object is where the logarithm of the magnitude, averaged over 9 voxels along
    each axis, is above the threshold of Otsu [OTS1979]_, with a margin of 4 voxels.

    Parameters
    ----------
    img
        Complex image, shape `(*other, coils, z, y, x)`. Images have phases of their own.
    dim
        Negative axes of the Fourier transform.
    width
        Standard deviation of the window in samples of k-space.
    object_only
        Whether the phase is that of the object only.

    Returns
    -------
        Numbers of modulus 1 in the shape of the image.

    References
    ----------
    .. [OTS1979] Otsu N (1979) A Threshold Selection Method from Gray-Level Histograms. IEEE Trans Syst Man Cybern 9(1)
       https://doi.org/10.1109/TSMC.1979.4310076
    """
    check_tensor('img', img, finite=False)
    check_number('width', width, positive=True)
    if not img.is_complex():
        raise ValueError(f'A phase needs a complex image, got {img.dtype} of shape {tuple(img.shape)}.')
    dim, img = tuple(dim), img.detach()
    spectrum = torch.fft.fftn(img, dim=dim)
    for d in dim:
        n = img.shape[d]
        frequency = torch.fft.fftfreq(n, d=1 / n, device=img.device, dtype=img.dtype.to_real())
        spectrum = spectrum * torch.exp(-0.5 * (frequency / width).square()).reshape(n, *(1,) * (-d - 1))
    smooth = torch.fft.ifftn(spectrum, dim=dim)
    magnitude = smooth.abs()
    phase = torch.where(magnitude > 0, smooth / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny), 1)
    if not object_only:
        return phase
    averaged = img.abs()
    for d in dim:
        averaged = _windows(averaged, d, _SMOOTHING, largest=False)
    # of logarithms: bright fat or blood is not the object, and the levels of noise and of aliasing are far below it
    level = (
        averaged.clamp_min(1e-6 * averaged.amax(dim, keepdim=True)).clamp_min(torch.finfo(averaged.dtype).tiny).log()
    )
    inside = (level > _otsu(level, dim)).to(averaged.dtype)
    for d in dim:
        inside = _windows(inside, d, _MARGIN, largest=True)
    return torch.where(inside > 0, phase, 1)


def _windows(x: torch.Tensor, dim: int, size: int, *, largest: bool) -> torch.Tensor:
    """Return averages or maxima over windows along an axis."""
    rows = x.movedim(dim, -1)
    flat = rows.reshape(1, -1, rows.shape[-1])
    if largest:
        flat = max_pool1d(flat, size, stride=1, padding=size // 2)
    else:
        flat = avg_pool1d(flat, size, stride=1, padding=size // 2, count_include_pad=False)
    return flat.reshape(rows.shape).movedim(-1, dim)


def _otsu(x: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    """Return the threshold that separates two classes of numbers best, for each image."""
    last = tuple(range(-len(dim), 0))
    values = x.movedim(dim, last).flatten(-len(dim)).double().sort(-1).values
    n = values.shape[-1]
    if n == 1:  # a single voxel is the object
        return torch.full_like(x, -torch.inf)
    below = torch.arange(1, n, dtype=torch.float64, device=x.device)
    total = values.cumsum(-1)
    low, high = total[..., :-1] / below, (total[..., -1:] - total[..., :-1]) / (n - below)
    index = (below * (n - below) * (high - low).square()).argmax(-1, keepdim=True)
    threshold = values.gather(-1, index).to(x.dtype)
    return threshold.unflatten(-1, (1,) * len(dim)).movedim(last, dim)
