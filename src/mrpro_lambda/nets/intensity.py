"""Intensity of the object in an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_tensor


def intensity(img: torch.Tensor, dim: Sequence[int]) -> torch.Tensor:
    r"""Return the intensity :math:`s = \big( \sum |x|^4 / \sum |x|^2 \big)^{1/2}` of an object, whatever air is around.

    Parameters
    ----------
    img
        Image.
    dim
        Axes of the sums.

    Returns
    -------
        Intensity, real, in the shape of the image with axes of size 1 for those of the sums.

    Raises
    ------
    ValueError
        If the image is zero or not finite along the axes.
    """
    check_tensor('initial_image', img, finite=False)
    modulus = img.abs()
    dim = tuple(dim)
    largest = modulus.detach().amax(dim, keepdim=True)
    if not bool(((largest > 0) & largest.isfinite()).all()):
        raise ValueError(f'The initial image must be finite and not be zero, got shape {tuple(img.shape)}.')
    energy = (modulus / largest).square()  # fourth powers of raw data would leave the range of single precision
    return largest * (energy.square().sum(dim, keepdim=True) / energy.sum(dim, keepdim=True)).sqrt()
