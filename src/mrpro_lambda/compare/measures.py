"""What is measured of each image."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.metrics import blur, foreground_mask, nrmse, psnr, ssim


class Measure(NamedTuple):
    """A column of the tables."""

    title: str
    """Title."""
    digits: int
    """Digits behind the point."""


MEASURES = {
    'psnr': Measure('PSNR', 2),
    'ssim': Measure('SSIM', 4),
    'nrmse': Measure('NRMSE', 4),
    'blur': Measure('blur', 3),
    'psnr_foreground': Measure('PSNR, foreground', 2),
    'ssim_foreground': Measure('SSIM, foreground', 4),
    'nrmse_foreground': Measure('NRMSE, foreground', 4),
}
"""Measures of the quality of an image by their names in files."""


def comparable(img: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and true image as they are compared.

    Of a real true image the magnitude is compared, after the one factor that fits it best.

    Parameters
    ----------
    img, target
        Images, shape `(1, 1, z, y, x)`.
    """
    img, target = img.detach().cpu(), target.cpu()
    if target.is_complex():
        return img, target
    magnitude = img.abs()
    factor = (magnitude * target).sum() / magnitude.square().sum().clamp_min(torch.finfo(magnitude.dtype).tiny)
    return factor * magnitude, target


def truth_of(sample: EvaluationSample) -> str:
    """Return a hash of the true image, by which the same image is found in other tests.

    Parameters
    ----------
    sample
        Sample.
    """
    target = sample.target.cpu().contiguous()
    return hashlib.sha256(target.numpy().tobytes() + repr(target.shape).encode()).hexdigest()[:16]


def measure(img: torch.Tensor, sample: EvaluationSample) -> dict[str, float]:
    """Measure the quality of an image, see `MEASURES`.

    Parameters
    ----------
    img
        Image of a method.
    sample
        Sample with the true image.

    Raises
    ------
    ValueError
        If the image holds NaN or Inf or has another shape than the true one.
    """
    img, target = comparable(img, sample.target)
    mask = foreground_mask(target)
    values = {
        'psnr': psnr(img, target),
        'ssim': ssim(img, target),
        'nrmse': nrmse(img, target),
        'blur': blur(img),
        'psnr_foreground': psnr(img, target, mask),
        'ssim_foreground': ssim(img, target, mask),
        'nrmse_foreground': nrmse(img, target, mask),
    }
    return {name: value.item() for name, value in values.items()}
