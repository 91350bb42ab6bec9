"""Noise level of k-space data."""

from __future__ import annotations

import math
from contextlib import suppress

import torch
from mrpro.data import KData
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_type
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity, with_true_adjoint
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.reconstruction.check_inputs import check_kdata
from mrpro_lambda.reconstruction.estimate_noise_weight import line_variance

_AIR = 1.3
"""Largest level of a strip of air relative to the smallest one."""


def estimate_noise_std(kdata: KData, fourier_op: LinearOperator) -> float:
    r"""Estimate the standard deviation :math:`\sigma` of the complex noise of k-space samples, :math:`E|n|^2=\sigma^2`.

    Where the acquisition samples its whole band, the noise of the image shows in the air at its borders, in strips of a
    sixteenth of the image. The modulus of complex Gaussian noise has the median :math:`\sigma \sqrt{\ln 2}`. The rows
    at the top and at the bottom are used: they hold all positions along the readout, between which the noise may
    differ. A row counts as air if its level is at most 1.3 times that of the smallest of the four borders; if neither
    of the two does, the smallest is taken. An undersampled image has aliasing in the air. Then it is the smallest level
    of 16 shells of k-space of the same number of samples, from the median of the modulus.

    If there is air at the ends of a complete readout, the level there is taken if it is smaller, see
    `estimate_noise_weight`. Undersampling does not matter for it.

    Measured on simulations of 160 x 160 pixels, five images of heads and hearts, with noise of 0.02, 0.05, 0.1 and 0.3
    times the root mean square of the image; ratio of the estimate to the truth, mean and in brackets the range:

    - one coil, random points with R = 4 or 8: 2.0 (1.8-2.2), 1.3 (1.2-1.4), 1.1 (1.0-1.1), 1.0 (0.9-1.0),
    - 8 coils, the same: 1.2 (1.1-1.3), 1.0 (1.0-1.1), 1.0 (1.0-1.0), 1.0 (1.0-1.0),
    - lines of complete readouts with R = 4 or 8, air at their ends: 0.92-1.0, with 8 coils 0.98-1.0,
    - the same without air: with one coil up to 1.6 (R = 4) and 3.7 (R = 8) at 0.02, up to 1.25 from 0.1,
    - all of a box: 0.94-1.0 with air, without it up to 3.7, 1.9, 1.5, 1.2, with 8 coils up to 1.8, 1.3, 1.2, 1.2.

    Coils are averaged as squares. Data of several coils should be prewhitened.

    Parameters
    ----------
    kdata
        k-space data.
    fourier_op
        Fourier operator of these data.

    Returns
    -------
        Standard deviation, in the units of the data. For noise that is not white, it is the root mean square over the
        samples, or that of the shell with the least noise if the data are undersampled.
    """
    check_kdata(kdata)
    check_type('fourier_op', fourier_op, LinearOperator)
    variance = _variance_of_air(kdata, fourier_op)
    if variance is None:
        axes = torch.broadcast_tensors(*_axes(kdata))
        radius = torch.stack(axes).square().sum(0).expand(*kdata.data.shape[:-4], 1, *kdata.data.shape[-3:]).flatten()
        samples = kdata.data.movedim(-4, 0).flatten(1)[:, radius.argsort()]
        variance = min(_variance(shell) for shell in samples.tensor_split(min(16, samples.shape[1]), dim=1))
    with suppress(ValueError):  # there is no air along the readout
        line_variances, line = line_variance(kdata)
        variance = min(variance, line_variances[line].mean().item())
    return math.sqrt(variance)


def _variance_of_air(kdata: KData, fourier_op: LinearOperator) -> float | None:
    """Return the variance of the noise in the air at the borders of the image, `None` for undersampled data."""
    gram = gram_operator(fourier_op)
    if not isinstance(gram, CirculantGramOp):
        return None
    band_limit_op = BandLimitOp.from_gram(gram)
    band = torch.ones(()) if band_limit_op is None else band_limit_op.band
    fraction = (gram.transfer > 0).float().mean().item()
    if fraction <= 0.9 * band.mean().item():
        return None
    # the mean of repeated samples: their sum would blur the image into the air
    count = sample_multiplicity(fourier_op)
    (img,) = with_true_adjoint(fourier_op).adjoint(kdata.data if count is None else kdata.data / count)
    variances = []
    for dim in (-2, -1):
        n = img.shape[dim]
        width = max(1, n // 16)
        strips = (img.narrow(dim, 0, width), img.narrow(dim, n - width, width))
        variances += [_variance(strip.movedim(-4, 0).flatten(1)) for strip in strips]
    rows = [variance for variance in variances[:2] if variance <= _AIR**2 * min(variances)]
    # white noise of the samples spreads over the image in proportion to the fraction of sampled points, each of which
    # has the noise of the mean of its samples
    spread = torch.where(gram.transfer > 0, 1 / gram.transfer, 0).mean().item()
    return (sum(rows) / len(rows) if rows else min(variances)) / spread


def _variance(coils: torch.Tensor) -> float:
    """Return the variance of complex Gaussian noise of shape `(coils, samples)`, the mean over coils."""
    return coils.abs().median(1).values.double().square().mean().item() / math.log(2)


def _axes(kdata: KData) -> list[torch.Tensor]:
    """Return the k-space coordinates relative to the extent of the encoded k-space, for axes that have one."""
    size = kdata.header.encoding_matrix
    axes = ((kdata.traj.kz, size.z), (kdata.traj.ky, size.y), (kdata.traj.kx, size.x))
    return [k / n for k, n in axes if n > 1]
