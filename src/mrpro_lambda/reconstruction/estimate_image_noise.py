"""Noise level of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_axes, check_tensor

_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normally distributed number of variance 1."""


def estimate_image_noise(img: torch.Tensor, dim: Sequence[int] = (-2, -1)) -> torch.Tensor:
    r"""Estimate the standard deviation :math:`\sigma` of the white noise of images, :math:`E|n|^2 = \sigma^2`.

    It is the median magnitude of the diagonal Haar coefficients of the finest level along y and x, or of differences of
    neighbors where one of them has no extent, over that of normal noise [DON1994]_. Edges change few of them.
    Coefficients that are zero, as where images were masked, do not count. In the air of magnitude images the noise is
    not normal, and estimated about a third too small.

    Parameters
    ----------
    img
        Images, real or complex, shape `(*other, coils, z, y, x)`.
    dim
        Negative axes that have one noise level, besides those of z, y and x.

    Returns
    -------
        Standard deviation, real, in the shape of the images with axes of size 1 for those that share it.

    Raises
    ------
    ValueError
        If images have less than two pixels along y and x, or if most of one is zero or constant.

    References
    ----------
    .. [DON1994] Donoho DL, Johnstone IM (1994) Ideal spatial adaptation by wavelet shrinkage. Biometrika 81(3)
       https://doi.org/10.1093/biomet/81.3.425
    """
    check_tensor('img', img)
    check_axes('dim', dim)
    if img.ndim < 4 or max(img.shape[-2:]) < 2:
        raise ValueError(
            f'Images must have shape (*other, coils, z, y, x), with 2 pixels along y or x, got {tuple(img.shape)}.'
        )
    coefficients = torch.view_as_real(img) if img.is_complex() else img[..., None]
    for axis in (-3, -2):  # y and x, before real and imaginary part
        if (n := coefficients.shape[axis] // 2) > 0:
            pairs = coefficients.narrow(axis, 0, 2 * n).unflatten(axis, (n, 2)).unbind(axis)
            coefficients = (pairs[1] - pairs[0]) / 2**0.5
    shared = sorted({*(d for d in dim), -3, -2, -1})
    kept = [d for d in range(-img.ndim, 0) if d not in shared]
    groups = coefficients.abs().movedim([d - 1 for d in kept], list(range(len(kept))))
    groups = groups.reshape(*(img.shape[d] for d in kept), -1)
    values = torch.where(groups > 0, groups, torch.nan).nanmedian(-1).values / _MEDIAN
    if not bool((values > 0).all()):
        raise ValueError(f'The noise can not be estimated from an image without any, got shape {tuple(img.shape)}.')
    std = 2**0.5 * values if img.is_complex() else values
    return std.reshape([1 if d in shared else img.shape[d] for d in range(-img.ndim, 0)])
