"""Metrics and losses of complex images, in the whole image or in a mask."""

from __future__ import annotations

import math

import torch
from mrpro.operators.functionals.SSIM import ssim3d
from scipy.ndimage import binary_fill_holes


def foreground_mask(target: torch.Tensor, threshold: float = 0.1) -> torch.Tensor:
    """Return the filled region in which the magnitude exceeds a fraction of its maximum.

    Parameters
    ----------
    target
        Images, shape `(*other, coils, z, y, x)`. Each slice is filled on its own.
    threshold
        Fraction of the maximum of each slice.

    Returns
    -------
        Boolean mask.
    """
    magnitude = target.detach().abs()
    mask = magnitude > threshold * magnitude.amax((-2, -1), keepdim=True)
    filled = [torch.from_numpy(binary_fill_holes(m)) for m in mask.flatten(0, -3).cpu().numpy()]
    return torch.stack(filled).reshape(mask.shape).to(target.device)


def mse(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean squared modulus of the error of each image.

    The mean is over the mask if there is one. mrpro's functionals divide by the number of all elements, so that the
    background of a mask dilutes the error.

    Parameters
    ----------
    img, target
        Images, shape `(*other, coils, z, y, x)`.
    mask
        Weights, of the same shape.

    Returns
    -------
        Mean squared error, shape `other`.
    """
    if img.shape != target.shape or (mask is not None and mask.shape != target.shape):
        shapes = [tuple(t.shape) for t in (img, target, mask) if t is not None]
        raise ValueError(f'Image, target and mask must have the same shape, got {shapes}.')
    error = (img - target).abs().square()
    if mask is None:
        return error.mean((-4, -3, -2, -1))
    weight = mask.to(error.dtype)
    total = weight.sum((-4, -3, -2, -1))
    if not bool((total > 0).all()):
        raise ValueError(f'Each mask must have a point, got shape {tuple(mask.shape)}.')
    return (weight * error).sum((-4, -3, -2, -1)) / total


def psnr(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the peak signal-to-noise ratio of each image in dB; the peak is the largest magnitude of the target.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    peak = target.abs().amax((-4, -3, -2, -1))
    return 10 * torch.log10(peak.square() / mse(img, target, mask))


def nrmse(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the root mean squared error of each image relative to the root mean square of the target.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    return (mse(img, target, mask) / mse(torch.zeros_like(target), target, mask)).sqrt()


def ssim(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return mrpro's structural similarity of the magnitudes of each image, with windows of 7 pixels.

    With a mask, windows that lie in it are averaged.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    peak = target.abs().amax((-4, -3, -2, -1), keepdim=True)
    weight = None if mask is None else mask.to(target.real.dtype)
    similarity = ssim3d(target.abs(), img.abs(), data_range=peak, weight=weight, reduction='volume')
    return similarity.mean(-1)


def blur(img: torch.Tensor) -> torch.Tensor:
    """Return the perceptual blur of the magnitude of each slice, 0 (sharp) to 1, averaged over slices [CRE2007]_.

    Parameters
    ----------
    img
        Images, shape `(*other, coils, z, y, x)`.

    References
    ----------
    .. [CRE2007] Crete F, Dolmiere T, Ladret P, Nicolas M (2007) The blur effect: perception and estimation with a new
       no-reference perceptual blur metric. SPIE 6492 https://doi.org/10.1117/12.702790
    """
    from skimage.measure import blur_effect

    slices = img.detach().abs().cpu().flatten(0, -3).numpy()
    values = torch.tensor([float(blur_effect(s)) for s in slices])
    return values.reshape(*img.shape[:-4], -1).mean(-1)


def relative_mse(
    img: torch.Tensor,
    target: torch.Tensor,
    initial_image: torch.Tensor,
    background_weight: float = 0.2,
    *,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the training loss: the squared error relative to that of the initial image, mean over the batch.

    The ratio balances noise levels and accelerations. The background counts less than the object, as an unweighted
    error rewards smooth air.

    Parameters
    ----------
    img, target, initial_image
        Images, shape `(*other, coils, z, y, x)`.
    background_weight
        Weight of the points outside the foreground, relative to those inside.
    mask
        Foreground, from `foreground_mask`. If `None`, it is that of the target, which leaves the device.
    """
    if not 0 <= background_weight < math.inf:
        raise ValueError(f'background_weight must be finite and not negative, got {background_weight}.')
    mask = foreground_mask(target) if mask is None else mask
    weight = torch.where(mask, 1.0, background_weight)
    return (mse(img, target, weight) / mse(initial_image, target, weight)).mean()
