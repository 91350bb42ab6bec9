"""Metrics and losses of complex images, in the whole image or in a mask."""

from __future__ import annotations

import torch
from mrpro.operators.functionals.SSIM import ssim3d
from scipy.ndimage import binary_fill_holes

from mrpro_lambda.checks import check_number, check_tensor, check_type

_WINDOW = 7


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
    check_number('threshold', threshold)
    _check_image('target', target)
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
    _check(img, target, mask)
    value = _mean((img - target).abs().square(), mask)
    if not bool(value.isfinite().all()):
        raise ValueError(f'The squared error must be a number of {value.dtype}, got {value.max():g}: scale the images.')
    return value


def _check_image(name: str, img: torch.Tensor) -> None:
    """Raise an error unless a tensor is an image."""
    check_tensor(name, img)
    if img.ndim < 4:
        raise ValueError(f'{name} must have shape (*other, coils, z, y, x), got shape {tuple(img.shape)}.')


def _check(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> None:
    """Raise an error unless images are finite and of the same shape, with non-negative weights for each."""
    _check_image('img', img)
    _check_image('target', target)
    if mask is not None:
        check_type('mask', mask, torch.Tensor)
    if img.shape != target.shape or (mask is not None and mask.shape != target.shape):
        shapes = [tuple(t.shape) for t in (img, target, mask) if t is not None]
        raise ValueError(f'Image, target and mask must have the same shape, got {shapes}.')
    if mask is None:
        return
    what = f'got {mask.dtype}, shape {tuple(mask.shape)} on {mask.device}'
    if mask.is_complex() or mask.is_meta or not bool((mask.isfinite() & (mask >= 0)).all()):
        raise ValueError(f'mask must be real, finite and not negative, {what}.')
    if not bool((mask > 0).flatten(-4).any(-1).all()):
        raise ValueError(f'Each mask must have a point, {what}.')


def _root_mean_square(error: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the root of the mean squared modulus of each image, whose square may be out of the range of its type."""
    largest = error.detach().abs().amax((-4, -3, -2, -1), keepdim=True)
    squared = (error / torch.where(largest > 0, largest, 1)).abs().square()
    return largest[..., 0, 0, 0, 0] * _mean(squared, mask).sqrt()


def _mean(squared: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Return the weighted mean of each image."""
    if weight is None:
        return squared.mean((-4, -3, -2, -1))
    weight = weight.to(squared.dtype)
    return (weight * squared).sum((-4, -3, -2, -1)) / weight.sum((-4, -3, -2, -1))


def psnr(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the peak signal-to-noise ratio of each image in dB; the peak is the largest magnitude of the target.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    _check(img, target, mask)
    return 20 * torch.log10(_peak(target)[..., 0, 0, 0, 0] / _root_mean_square(img - target, mask))


def _peak(target: torch.Tensor) -> torch.Tensor:
    """Return the largest magnitude of each image, after checking that it is not zero."""
    peak = target.abs().amax((-4, -3, -2, -1), keepdim=True)
    if not bool((peak > 0).all()):
        raise ValueError(f'target must not be zero, got shape {tuple(target.shape)}.')
    return peak


def nrmse(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the root mean squared error of each image relative to the root mean square of the target.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    _check(img, target, mask)
    norm = _root_mean_square(target, mask)
    if not bool((norm > 0).all()):
        raise ValueError(f'target must not be zero in the mask, got shape {tuple(target.shape)}.')
    return _root_mean_square(img - target, mask) / norm


def ssim(img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return mrpro's structural similarity of the magnitudes of each image, with windows of 7 pixels.

    With a mask, windows that lie in it are averaged.

    Parameters
    ----------
    img, target, mask
        As in `mse`.
    """
    _check(img, target, mask)
    peak = _peak(target)
    weight = None if mask is None else mask.to(target.real.dtype)
    if min(target.shape[-2:]) < _WINDOW:
        raise ValueError(f'Images must have at least {_WINDOW} pixels along y and x, got shape {tuple(target.shape)}.')
    scaled, one = ((target / peak).abs(), (img / peak).abs()), torch.ones_like(peak)
    similarity = ssim3d(*scaled, data_range=one, weight=weight, reduction='volume')
    if not bool(similarity.isfinite().all()):
        raise ValueError(f'A window of {_WINDOW} pixels must lie in each mask, got shape {tuple(img.shape)}.')
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

    Raises
    ------
    ValueError
        If the extra `train` is not installed.
    """
    try:
        from skimage.measure import blur_effect
    except ImportError as error:
        raise ValueError(f"The blur needs the extra 'train', pip install 'mrpro-lambda[train]': {error}.") from error

    _check_image('img', img)
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
    logarithm: bool = False,
) -> torch.Tensor:
    """Return the training loss: the squared error relative to that of the initial image, mean over the batch.

    The ratio balances noise levels and accelerations. The background counts less than the object, as an unweighted
    error rewards smooth air. Images that can hardly be improved still count more than others; their logarithms count
    alike.

    Parameters
    ----------
    img, target, initial_image
        Images, shape `(*other, coils, z, y, x)`.
    background_weight
        Weight of the points outside the foreground, relative to those inside.
    mask
        Foreground, from `foreground_mask`. If `None`, it is that of the target, which leaves the device.
    logarithm
        Return the mean of the logarithms of the ratios, which is the gain in PSNR with another sign and unit.
    """
    check_number('background_weight', background_weight)
    for name, tensor in (('img', img), ('target', target), ('initial_image', initial_image)):
        check_tensor(name, tensor, finite=False)  # numbers are not looked at: a training step does not wait for them
    shapes = [tuple(tensor.shape) for tensor in (img, target, initial_image)]
    if len({*shapes}) > 1 or target.ndim < 4:
        raise ValueError(f'Images must have the same shape (*other, coils, z, y, x), got {shapes}.')
    mask = foreground_mask(target) if mask is None else mask
    weight = torch.where(mask, 1.0, background_weight)
    if background_weight == 0:
        _check(img, target, weight)
    peak = torch.maximum(target.detach().abs(), initial_image.detach().abs()).amax((-4, -3, -2, -1), keepdim=True)
    error, reference = ((x - target) / torch.where(peak > 0, peak, 1) for x in (img, initial_image))
    ratio = _mean(error.abs().square(), weight) / _mean(reference.abs().square(), weight)
    return (ratio.log() if logarithm else ratio).mean()
