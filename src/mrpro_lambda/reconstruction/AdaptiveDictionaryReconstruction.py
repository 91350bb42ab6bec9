"""Reconstruction with a convolutional dictionary and a weight that is a number, a map or a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mrpro.data import CsmData, DcfData, IData, KData, KNoise
from mrpro.operators import DensityCompensationOp, LinearOperator, SensitivityOp

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary
from mrpro_lambda.recipes import CERTIFYING_PENALTY_FACTOR
from mrpro_lambda.reconstruction.LearnedReconstruction import LearnedReconstruction
from mrpro_lambda.regularizers.DictionarySparsity import DictionarySparsity
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.FISTA import FISTA
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Weight import Weight


class AdaptiveDictionaryReconstruction(LearnedReconstruction):
    r"""Reconstruction :math:`x = x_{low} + D s` with sparse coefficients of a convolutional dictionary [KOF2025]_.

    .. math::

        x_{low} &= (I + \beta \nabla^H \nabla)^{-1} x_0 \\
        s &= \arg\min_s \frac{1}{2} \|A D s - (y - A x_{low})\|_2^2 + \|\Lambda \cdot s\|_1

    The weight :math:`\Lambda` is a number, one number for each filter, a map for each filter, a rule that finds a
    number, or a network that chooses the maps. The problem is solved to a certified tolerance.

    References
    ----------
    .. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
       for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
    """

    def __init__(
        self,
        kdata: KData | None = None,
        fourier_op: LinearOperator | None = None,
        csm: Callable[[IData], CsmData] | CsmData | SensitivityOp | None = CsmData.from_idata_walsh,
        noise: KNoise | None = None,
        dcf: DcfData | DensityCompensationOp | None = None,
        *,
        filters: torch.Tensor,
        max_iterations: int = 1000,
        tolerance: float = 1e-2,
        beta: float = 4.0,
        regularization_weight: float | Sequence[float] | torch.Tensor | Weight | None = None,
        lambda_net: LambdaNet | None = None,
        boundary: DictionaryBoundary = 'circular',
        noise_std: float | None = None,
        whiten_background: bool | torch.Tensor = False,
        progress: bool = False,
    ) -> None:
        r"""Initialize the reconstruction.

        Parameters
        ----------
        kdata
            Data that the Fourier operator, density compensation and coil sensitivities are set up from.
        fourier_op
            Fourier operator. If `None`, set up from `kdata`.
        csm
            Coil sensitivities, or how to calculate them from `kdata`. `None` reconstructs each coil on its own.
        noise
            Noise measurement for prewhitening, see `~mrpro_lambda.reconstruction.prewhiten`. `None`: no prewhitening.
        dcf
            Density compensation, see `LearnedReconstruction`.
        filters
            Filters of unit norm, shape `(n_filters, [kz,] ky, kx)` with odd sizes, see
            `~mrpro_lambda.dictionary.load_dictionary`.
        max_iterations
            Largest number of iterations. If they end the solve, there is a `UserWarning`.
        tolerance
            Stop when the certified gap of each image is below `tolerance` times its objective. The gap is an upper
            bound, the true error of the objective is usually much smaller.
        beta
            Strength :math:`\beta` of the low-pass filter of the smooth part.
        regularization_weight
            A number, one number for each filter, or a map of shape `(n_filters, *other, 1, z, y, x)`, all in the units
            of the image. Or multiples of the noise level, `~mrpro_lambda.weighting.NoiseWeight`, a rule that finds one
            number on the scan, such as `~mrpro_lambda.weighting.Sure`, or another `~mrpro_lambda.weighting.Weight`.
        lambda_net
            Network that chooses the maps, in place of `regularization_weight`.
        boundary
            Boundary of the convolutions.
        noise_std
            Standard deviation of the complex noise of a k-space sample, for networks that use it.
        whiten_background
            Whiten noise that differs between the phase encodings, as it shows in the air of the data that are
            reconstructed, see `~mrpro_lambda.reconstruction.estimate_noise_weight`.
        progress
            Show a progress bar.

        Raises
        ------
        ValueError
            If not exactly one of `regularization_weight` and `lambda_net` is given, if the filters are not valid, if
            the network does not give one map for each of them, or if neither `kdata` nor `fourier_op` is given.
        """
        regularizer = DictionarySparsity(filters, boundary=boundary, beta=beta)
        solver: Solver
        if boundary == 'zero':
            solver = FISTA(regularizer, max_iterations=max_iterations, tolerance=tolerance)
        else:
            solver = ADMM(
                regularizer,
                max_iterations=max_iterations,
                tolerance=tolerance,
                penalty_factor=CERTIFYING_PENALTY_FACTOR,
            )
        super().__init__(
            kdata,
            fourier_op,
            csm,
            noise,
            dcf,
            model=LambdaMapModel(lambda_net, solver, band_limit=False),
            regularization_weight=regularization_weight,
            noise_std=noise_std,
            whiten_background=whiten_background,
            progress=progress,
        )
