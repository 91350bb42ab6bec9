"""Total variation denoising with a weight that varies in space, time and direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from mrpro.data import IData
from mrpro.operators import IdentityOp
from mrpro.utils import normalize_index

from mrpro_lambda.checks import as_noise_std, check_axes, check_tensor, check_type
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.operators.GradientOp import Boundaries
from mrpro_lambda.reconstruction.check_inputs import check_series
from mrpro_lambda.reconstruction.estimate_image_noise import estimate_image_noise
from mrpro_lambda.reconstruction.warn_of_tolerance import warn_of_tolerance
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.as_weight import as_weight
from mrpro_lambda.weighting.GivenWeight import GivenWeight
from mrpro_lambda.weighting.Sure import Sure
from mrpro_lambda.weighting.Weight import Weight

RegularizationWeight = float | Sequence[float] | torch.Tensor | LambdaNet | Weight


@overload
def adaptive_total_variation_denoising(
    idata: IData,
    regularization_dim: Sequence[int],
    regularization_weight: RegularizationWeight | None = None,
    initial_image: torch.Tensor | None = None,
    max_iterations: int = 1000,
    tolerance: float = 1e-3,
    *,
    boundary: Boundaries = 'neumann',
    noise_std: float | torch.Tensor | None = None,
) -> IData: ...


@overload
def adaptive_total_variation_denoising(
    idata: torch.Tensor,
    regularization_dim: Sequence[int],
    regularization_weight: RegularizationWeight | None = None,
    initial_image: torch.Tensor | None = None,
    max_iterations: int = 1000,
    tolerance: float = 1e-3,
    *,
    boundary: Boundaries = 'neumann',
    noise_std: float | torch.Tensor | None = None,
) -> torch.Tensor: ...


def adaptive_total_variation_denoising(
    idata: IData | torch.Tensor,
    regularization_dim: Sequence[int],
    regularization_weight: RegularizationWeight | None = None,
    initial_image: torch.Tensor | None = None,
    max_iterations: int = 1000,
    tolerance: float = 1e-3,
    *,
    boundary: Boundaries = 'neumann',
    noise_std: float | torch.Tensor | None = None,
) -> IData | torch.Tensor:
    r"""Denoise an image or a series: :math:`\min_x \frac{1}{2} \|x - y\|_2^2 + \|\Lambda \cdot \nabla x\|_1`.

    The weight :math:`\Lambda` is a number, a map, or what chooses one [KOF2023]_.

    It takes the place of mrpro's `~mrpro.algorithms.denoiser.total_variation_denoising`. The data term of that function
    has no factor 1/2, contrary to its documentation: its weight is twice ours.

    Parameters
    ----------
    idata
        Image or series, real or complex.
    regularization_dim
        Axes along which total variation is taken, such as time, y and x, ``(-5, -2, -1)``. The spatial axes, the last
        three, share a weight; others have one of their own.
    regularization_weight
        A number, one for each axis, one for each group of axes (space first), or a map of shape `(n_maps, *image)`, all
        in the units of the image; a network; or a weight: multiples of the noise,
        `~mrpro_lambda.weighting.NoiseWeight`, a rule such as `~mrpro_lambda.weighting.Sure`, the default, or a map that
        is fitted to the image, `~mrpro_lambda.weighting.FittedToScan`.
    initial_image
        Image to start from. `None`: the noisy image.
    max_iterations
        Largest number of iterations. If they end the solve, there is a `UserWarning`.
    tolerance
        Stop when the certified gap of each image is below `tolerance` times its objective.
    boundary
        Value assumed beyond the last sample, one for all axes or one for each of `regularization_dim`, see
        `~mrpro_lambda.operators.GradientOp`. For the frames of a cardiac cycle it is `circular` in time.
    noise_std
        Standard deviation of the noise, :math:`E|n|^2 = \sigma^2`, for weights that use it; a number or one for each
        image, broadcastable to the image. `None`: estimated, see `estimate_image_noise`.

    Returns
    -------
        Denoised image.

    Raises
    ------
    TypeError, ValueError
        If the image is not finite, if axes are repeated or not those of the image, if a series has one frame only, if
        the weight does not fit, or if the noise can not be estimated.

    Warns
    -----
    UserWarning
        If the solver has not reached its tolerance.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """
    check_type('idata', idata, (IData, torch.Tensor))
    given = idata if isinstance(idata, torch.Tensor) else idata.data
    check_tensor('idata', given)
    check_axes('regularization_dim', regularization_dim, negative=False)
    if any(not -given.ndim <= d < given.ndim for d in regularization_dim):
        raise ValueError(
            f'regularization_dim must be axes of the image, got {regularization_dim=} for shape {tuple(given.shape)}.'
        )
    dim = tuple(normalize_index(given.ndim, d) - given.ndim for d in regularization_dim)
    shape = (*(1,) * (5 - given.ndim), *given.shape)  # without a copy of the axes that tensors may lack
    img = given.detach().reshape(shape)
    start = img
    if initial_image is not None:
        check_tensor('initial_image', initial_image)
        if initial_image.shape != given.shape:
            raise ValueError(
                f'initial_image must have the shape of the image, got {tuple(initial_image.shape)} and '
                f'{tuple(given.shape)}.'
            )
        start = initial_image.to(img).reshape(shape)
    weight = Sure() if regularization_weight is None else as_weight(regularization_weight)
    regularizer = TotalVariation(dim, boundary=boundary)
    check_series(regularizer, shape)
    if isinstance(weight, GivenWeight) and weight.value.shape == (len(dim),):
        regularizer = TotalVariation(dim, groups=[(d,) for d in dim], boundary=boundary)
    solver: Solver
    if ADMM.refusal(regularizer) is None:
        solver = ADMM(regularizer, max_iterations=max_iterations, tolerance=tolerance)
    else:
        solver = PDHG(regularizer, max_iterations=max_iterations, tolerance=tolerance)
    model = LambdaMapModel(weight, solver, band_limit=False).to(img.device)
    std = None
    if weight.uses_noise_level:
        std = estimate_image_noise(img, dim) if noise_std is None else as_noise_std(noise_std, img)
    identity_op = IdentityOp()
    lambda_map = model.choose(img, identity_op, img, std).lambda_map.detach()
    solution = solver.solve(img, identity_op, start, lambda_map)
    warn_of_tolerance(solution, tolerance, stacklevel=2)
    denoised = solution.img.reshape(given.shape)
    return denoised if isinstance(idata, torch.Tensor) else IData(denoised, idata.header)
