"""Sparse codes of real images in a convolutional dictionary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_number, check_tensor, check_type
from mrpro_lambda.operators.ConvolutionalDictionaryOp import check_filters
from mrpro_lambda.operators.LowPassOp import LowPassOp

_CHUNK = 2**18
"""Numbers of coefficients that are coded at once on a CPU, 1 MiB in single precision, to stay in the cache."""

_RELAXATION = 1.8


def sparse_codes(
    filters: torch.Tensor,
    images: torch.Tensor,
    sparsity: float,
    n_iterations: int = 50,
    *,
    penalty: float | None = None,
) -> torch.Tensor:
    r"""Minimize :math:`\frac{1}{2} \|\sum_k d_k \star s_k - x\|_2^2 + \alpha \|s\|_1` for each image.

    It is over-relaxed ADMM with a circular boundary. In the Fourier domain the quadratic step is, for each frequency, a
    system with a matrix of rank one plus a multiple of the identity, which the formula of Sherman and Morrison solves
    exactly [WOH2016]_.

    Parameters
    ----------
    filters
        Real filters, shape `(n_filters, ky, kx)`.
    images
        Real images, shape `(n, y, x)`.
    sparsity
        Weight :math:`\alpha`.
    n_iterations
        Number of iterations.
    penalty
        Penalty of ADMM. It changes the speed, not the minimizer. Default: one that suits high-passed images in units of
        their maximum.

    Returns
    -------
        Codes, shape `(n, n_filters, y, x)`, of which most are exactly 0.

    References
    ----------
    .. [WOH2016] Wohlberg B (2016) Efficient Algorithms for Convolutional Sparse Representations. IEEE Trans Image
       Process 25(1) https://doi.org/10.1109/TIP.2015.2495260
    """
    check_coding(filters, sparsity, n_iterations)
    check_tensor('images', images)
    if images.ndim != 3 or images.is_complex() or images.dtype != filters.dtype:
        raise ValueError(
            f'images must be real with shape (n, y, x) and the precision of the filters, got {images.dtype} of shape '
            f'{tuple(images.shape)} for filters of {filters.dtype}.'
        )
    if any(n > m for n, m in zip(filters.shape[1:], images.shape[1:], strict=True)):
        raise ValueError(
            f'filters must not be larger than the images, got {tuple(filters.shape)} and {tuple(images.shape)}.'
        )
    if penalty is not None:
        check_number('penalty', penalty, positive=True)
    shape = images.shape[1:]
    rho = math.sqrt(len(filters) / 32) * (1 + 40 * sparsity) if penalty is None else penalty
    transfer = real_spectrum(filters, images)
    gain = transfer.conj() / (rho + transfer.abs().square().sum(0))
    size = max(1, _CHUNK // (len(filters) * shape.numel())) if images.device.type == 'cpu' else len(images)
    codes = []
    for x in images.split(size):
        target = torch.fft.rfft2(x)
        s = images.new_zeros(len(x), len(filters), *shape)
        dual = torch.zeros_like(s)
        for _ in range(n_iterations):
            # the new spectrum is that of s - dual, corrected by its residual along the transfer functions
            spectrum = torch.fft.rfft2(s - dual)
            residual = target - (spectrum * transfer).sum(1)
            spectrum += gain * residual[:, None]
            quadratic = torch.fft.irfft2(spectrum, s=shape)
            dual.add_(quadratic, alpha=_RELAXATION).add_(s, alpha=1 - _RELAXATION)
            # shrinkage keeps what exceeds the interval, and the dual variable is what lies within
            s, dual = dual, dual.clamp(-sparsity / rho, sparsity / rho)
            s -= dual
        codes.append(s)
    return torch.cat(codes)


def real_spectrum(filters: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the transfer functions of real filters for the half of the frequencies that `torch.fft.rfft2` gives."""
    ky, kx = filters.shape[1:]
    padded = images.new_zeros(len(filters), *images.shape[1:])
    # a correlation shifts against the offset of a weight, hence the flip; then the center goes to the origin
    padded[:, :ky, :kx] = filters.flip(-2, -1)
    return torch.fft.rfft2(padded.roll((-(ky // 2), -(kx // 2)), (-2, -1)))


def objective_values(filters: torch.Tensor, images: torch.Tensor, codes: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the objective of codes, one value for each image."""
    synthesis = torch.einsum('nkyx,kyx->nyx', torch.fft.rfft2(codes), real_spectrum(filters, images))
    residual = torch.fft.irfft2(synthesis, s=images.shape[1:]) - images
    return residual.square().sum((-2, -1)) / 2 + sparsity * codes.abs().sum((-3, -2, -1))


def high_pass(images: Sequence[torch.Tensor], beta: float) -> list[torch.Tensor]:
    """Return what a low-pass filter leaves of each image."""
    check_sequence(images)
    low_pass_op = LowPassOp(beta, (-2, -1))
    return [image - low_pass_op(image)[0] for image in images]


def check_coding(filters: torch.Tensor, sparsity: float, n_iterations: int) -> None:
    """Check that filters are real with shape `(n_filters, ky, kx)`, and the settings of sparse coding."""
    check_filters(filters)
    if filters.ndim != 3 or filters.is_complex():
        raise ValueError(
            f'filters must be real with shape (n_filters, ky, kx), got {filters.dtype}, shape {tuple(filters.shape)}.'
        )
    check_number('sparsity', sparsity)
    check_number('n_iterations', n_iterations, 1, integer=True)


def check_sequence(images: Sequence[torch.Tensor]) -> None:
    """Check that images are a sequence of at least one tensor with numbers."""
    check_type('images', images, (Sequence, torch.Tensor))
    if not len(images):
        raise ValueError('images must hold at least one image, got none.')
    for i, image in enumerate(images):
        check_tensor(f'Image number {i}', image, finite=False)


def check_images(images: Sequence[torch.Tensor]) -> int:
    """Check that images are finite, real and at most 1, and return the length of the shortest side."""
    check_sequence(images)
    for i, image in enumerate(images):
        if image.ndim != 2 or image.is_complex():
            raise ValueError(
                f'images must be real with shape (y, x), got {image.dtype}, shape {tuple(image.shape)}, for number {i}.'
            )
        if not bool(image.isfinite().all()):
            raise ValueError(f'images must be finite, but number {i} of shape {tuple(image.shape)} is not.')
        if image.min() < 0 or image.max() > 1 + 1e-6 or not image.any():
            raise ValueError(
                'images must be magnitudes scaled to a maximum of 1, got values from '
                f'{image.min():g} to {image.max():g} for number {i} of shape {tuple(image.shape)}.'
            )
    return min(n for image in images for n in image.shape)
