"""Total variation reconstruction with a weight that is a number, a map or a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mrpro.data import CsmData, DcfData, IData, KData, KNoise
from mrpro.operators import DensityCompensationOp, LinearOperator, SensitivityOp
from mrpro.utils import normalize_index

from mrpro_lambda.checks import check_axes
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.operators.GradientOp import Boundaries
from mrpro_lambda.reconstruction.check_inputs import check_kdata, check_weight
from mrpro_lambda.reconstruction.LearnedReconstruction import LearnedReconstruction
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Weight import Weight


class AdaptiveTotalVariationReconstruction(LearnedReconstruction):
    r"""Total variation reconstruction :math:`\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda \cdot \nabla x\|_1`.

    The weight :math:`\Lambda` is a number, one number for each group of directions (space, and time or any other axis),
    a map, a rule that finds a number, or a network that chooses the map [KOF2023]_. The problem is solved to a
    certified tolerance.

    It takes the place of mrpro's `~mrpro.algorithms.reconstruction.TotalVariationRegularizedReconstruction`. A weight
    of that class corresponds to half of it here, as its data term has no factor 1/2.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        kdata: KData | None = None,
        fourier_op: LinearOperator | None = None,
        csm: Callable[[IData], CsmData] | CsmData | SensitivityOp | None = CsmData.from_idata_walsh,
        noise: KNoise | None = None,
        dcf: DcfData | DensityCompensationOp | None = None,
        *,
        max_iterations: int = 1000,
        tolerance: float = 1e-2,
        regularization_dim: Sequence[int],
        regularization_weight: float | Sequence[float] | torch.Tensor | Weight | None = None,
        lambda_net: LambdaNet | None = None,
        boundary: Boundaries = 'circular',
        band_limit: bool = True,
        noise_std: float | None = None,
        whiten_background: bool | torch.Tensor = False,
        progress: bool = False,
    ) -> None:
        """Initialize the reconstruction.

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
        max_iterations
            Largest number of iterations. If they end the solve, there is a `UserWarning`.
        tolerance
            Stop when the certified gap of each image is below `tolerance` times its objective. The gap is an upper
            bound, the true error of the objective is usually much smaller.
        regularization_dim
            Axes along which the total variation is taken.
        regularization_weight
            A number, one number for each group of directions, or a map of shape `(n_maps, *other, 1, z, y, x)`, all
            in the units of the image. `~mrpro_lambda.weighting.NoiseWeight` takes multiples of the noise level, as the
            command line does: they serve many scans.
            Directions are grouped as in `~mrpro_lambda.regularizers.TotalVariation`. As many numbers as axes, as in
            mrpro, make each axis a group of its own. Or a rule that finds the weight on the scan, such as
            `~mrpro_lambda.weighting.Sure`, or another `~mrpro_lambda.weighting.Weight`.
        lambda_net
            Network that chooses the map, in place of `regularization_weight`.
        boundary
            Value assumed beyond the last sample of the image, one for all axes or one for each of `regularization_dim`,
            see `~mrpro_lambda.operators.GradientOp`: `circular` in time for the frames of a cardiac cycle, `neumann`
            for a series in real time.
        band_limit
            Limit the image to the measured band of k-space, see `~mrpro_lambda.operators.BandLimitOp`.
        noise_std
            Standard deviation of the complex noise of a k-space sample, for weights that use it. If `None`, it is 1 for
            prewhitened data and otherwise estimated from the data.
        whiten_background
            Whiten noise that differs between the phase encodings, as it shows in the air of the data that are
            reconstructed, see `~mrpro_lambda.reconstruction.estimate_noise_weight`.
        progress
            Show a progress bar.

        Raises
        ------
        ValueError
            If not exactly one of `regularization_weight` and `lambda_net` is given, if axes are repeated or not
            those of the image, if the weight is not valid, or if neither `kdata` nor `fourier_op` is given.
        """
        if kdata is not None:
            check_kdata(kdata)
        ndim = 5 if kdata is None else kdata.data.ndim
        check_axes('regularization_dim', regularization_dim, negative=False)
        if kdata is not None and any(not -ndim <= d < ndim for d in regularization_dim):
            raise ValueError(
                f'regularization_dim must be axes of the image, got {regularization_dim=} for {ndim} axes.'
            )
        if any(d >= 0 for d in regularization_dim):
            if kdata is None:
                raise ValueError(f'Without kdata, axes must be negative, got {regularization_dim=}.')
            regularization_dim = tuple(normalize_index(ndim, d) - ndim for d in regularization_dim)
        regularizer = TotalVariation(regularization_dim, boundary=boundary)
        weight = check_weight(regularization_weight)
        weight_shape = weight.shape if isinstance(weight, torch.Tensor) else ()
        if weight_shape == (len(regularizer.dim),) != (regularizer.n_maps,):
            regularizer = TotalVariation(regularization_dim, groups=[(d,) for d in regularizer.dim], boundary=boundary)
        solver: Solver
        if ADMM.refusal(regularizer) is None:
            solver = ADMM(regularizer, max_iterations=max_iterations, tolerance=tolerance)
        else:
            solver = PDHG(regularizer, max_iterations=max_iterations, tolerance=tolerance)
        super().__init__(
            kdata,
            fourier_op,
            csm,
            noise,
            dcf,
            model=LambdaMapModel(lambda_net, solver, band_limit=band_limit),
            regularization_weight=weight,
            noise_std=noise_std,
            whiten_background=whiten_background,
            progress=progress,
        )
        self.regularization_dim = tuple(regularization_dim)
