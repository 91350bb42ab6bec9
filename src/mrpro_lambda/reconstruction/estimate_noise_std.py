"""Noise level of k-space data."""

from __future__ import annotations

import math

import torch
from mrpro.data import KData
from mrpro.operators import FourierOp, LinearOperator

from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator


def estimate_noise_std(kdata: KData, fourier_op: LinearOperator) -> float:
    r"""Estimate the standard deviation :math:`\sigma` of the complex noise of k-space samples, :math:`E|n|^2=\sigma^2`.

    Where the acquisition samples its whole band, the noise of the image shows in the air at its borders. It is the
    smallest median of the modulus over the four border strips of a sixteenth of the image, as the modulus of complex
    Gaussian noise has the median :math:`\sigma \sqrt{\ln 2}`. The corners of k-space are not used here: at 0.055 T they
    under-estimated the noise by a factor of 1.6 to 2, because the scanner's noise is not white along the phase-encoding
    direction.

    An undersampled image has aliasing in the air. Then the smallest median over 16 shells of k-space of the same number
    of samples is used, which over-estimates where the signal is above the noise everywhere.

    Coils are averaged as squares. Data of several coils should be prewhitened.

    Parameters
    ----------
    kdata
        k-space data.
    fourier_op
        Fourier operator of these data.

    Returns
    -------
        Standard deviation, in the units of the data.
    """
    gram = gram_operator(fourier_op)
    to_std = 1 / math.sqrt(math.log(2))
    if isinstance(fourier_op, FourierOp) and isinstance(gram, CirculantGramOp):
        band_limit_op = BandLimitOp.from_gram(gram)
        band = torch.ones(()) if band_limit_op is None else band_limit_op.band
        sampled = (gram.transfer > 0).float().mean() / band.mean()
        if sampled > 0.9:
            modulus = fourier_op.adjoint(kdata.data)[0].abs()
            strips = []
            for dim in (-2, -1):
                n = modulus.shape[dim]
                width = max(1, n // 16)
                strips += [modulus.narrow(dim, 0, width), modulus.narrow(dim, n - width, width)]
            medians = torch.stack([strip.movedim(-4, 0).flatten(1).median(1).values for strip in strips]).amin(0)
            # white noise of the samples spreads over the image in proportion to the fraction of sampled points
            fraction = (gram.transfer > 0).float().mean()
            return to_std * (medians.square().mean() / fraction).sqrt().item()
    radius = (
        torch.stack([k.expand(torch.broadcast_shapes(*(j.shape for j in _axes(kdata)))) for k in _axes(kdata)])
        .square()
        .sum(0)
    )
    radius = radius.expand(*kdata.data.shape[:-4], 1, *kdata.data.shape[-3:]).flatten()
    samples = kdata.data.movedim(-4, 0).flatten(1)[:, radius.argsort()]
    shells = samples.abs().tensor_split(min(16, samples.shape[1]), dim=1)
    medians = torch.stack([shell.median(1).values for shell in shells]).amin(0)
    return to_std * medians.square().mean().sqrt().item()


def _axes(kdata: KData) -> list[torch.Tensor]:
    """Return the k-space coordinates relative to the extent of the encoded k-space, for axes that have one."""
    size = kdata.header.encoding_matrix
    axes = ((kdata.traj.kz, size.z), (kdata.traj.ky, size.y), (kdata.traj.kx, size.x))
    return [k / n for k, n in axes if n > 1]
