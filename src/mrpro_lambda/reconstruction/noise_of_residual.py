"""Noise of the data of several coils in what no image explains of them."""

from __future__ import annotations

import torch
from mrpro.algorithms.optimizers import cg
from mrpro.data import KData
from mrpro.operators import IdentityOp, LinearOperator, SensitivityOp

from mrpro_lambda.operators.acquisition_factors import acquisition_factors, with_true_adjoint
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.reconstruction.k_space_shells import gaussian_variance, k_space_shells

_DAMPING = 1e-3
"""Tikhonov weight of the image that the data are compared with, relative to the mean of the diagonal of the Gram
operator. Any weight gives an upper bound; that of the brain with 16 coils changed by 1 % below it."""

_N_ITERATIONS = 30
"""Iterations for it: 15 gave 5 % more for single points, 100 gave 1 % less."""

_FREEDOM = 0.2
"""Smallest fraction of the noise that such an image leaves in a shell that is looked at."""


@torch.no_grad()
def residual_variances(kdata: KData, acquisition_op: LinearOperator) -> list[float]:
    """Estimate the variance of complex white noise in the outer shells of k-space, an upper bound in each.

    The samples of all coils are more than the points of the image. What the image that is nearest to them leaves is
    divided by what it leaves of white noise, which is measured in the same way; errors of the coil sensitivities fall
    with the signal. Of 8 shells, the inner half is left out: sensitivities that come from the center of the data
    explain its noise, too.

    Parameters
    ----------
    kdata
        k-space data.
    acquisition_op
        Acquisition operator of these data.

    Returns
    -------
        Variances, the means over coils, of up to 4 shells from the inner to the outer one. None without coil
        sensitivities.
    """
    if not any(isinstance(factor, SensitivityOp) for factor in acquisition_factors(acquisition_op)):
        return []
    acquisition_op = with_true_adjoint(acquisition_op)
    generator = torch.Generator().manual_seed(0)  # on the CPU, for the same numbers on each device
    probe = torch.randn(kdata.data.shape, dtype=kdata.data.dtype, generator=generator).to(kdata.data.device)
    mean_diagonal = acquisition_op.adjoint(probe)[0].abs().square().mean().item()
    system = gram_operator(acquisition_op) + _DAMPING * mean_diagonal * IdentityOp()
    left = []
    for samples in (kdata.data, probe):
        (img,) = cg(system, acquisition_op.adjoint(samples)[0], max_iterations=_N_ITERATIONS, tolerance=0)
        shells = k_space_shells(kdata, samples - acquisition_op(img)[0], 8)[4:]
        left.append([gaussian_variance(shell) for shell in shells])
    return [variance / freedom for variance, freedom in zip(*left, strict=True) if freedom > _FREEDOM]
