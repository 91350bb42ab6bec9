"""Reconstruction with a learned Lambda map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.solvers.Solver import Solution, Solver


class LambdaMapModel(torch.nn.Module):
    r"""A network chooses the Lambda map of the initial image, a solver solves the convex problem with it [KOF2023]_.

    .. math::

        \hat x = P \arg\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda_\theta(x_0) \cdot K x\|_1

    :math:`P` limits the image to the measured band of a Cartesian acquisition, see
    `~mrpro_lambda.operators.BandLimitOp`. Where the samples reach the edges of k-space it is the identity.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(self, lambda_net: LambdaNet | None, solver: Solver, *, band_limit: bool = True) -> None:
        """Initialize the model.

        Parameters
        ----------
        lambda_net
            Network that estimates the map. `None` if a map or a number is given at each call.
        solver
            Solver of the convex problem.
        band_limit
            Limit the image to the measured band of k-space.

        Raises
        ------
        ValueError
            If the number of maps is not that of the regularizer.
        """
        super().__init__()
        check_type('lambda_net', lambda_net, (LambdaNet, type(None)))
        check_type('solver', solver, Solver)
        n_maps = getattr(lambda_net.backbone, 'n_channels_out', None) if lambda_net is not None else None
        if lambda_net is not None and lambda_net.responses != 'none' and solver.regularizer.synthesis_op is None:
            raise ValueError(
                f'A network for the responses of filters needs a dictionary, got {type(solver.regularizer).__name__}.'
            )
        if (
            n_maps not in (None, solver.regularizer.n_maps)
            and lambda_net is not None
            and lambda_net.responses != 'each'
        ):
            raise ValueError(
                f'The network gives {n_maps} map(s), but {type(solver.regularizer).__name__} needs '
                f"{solver.regularizer.n_maps}. Networks with responses='each' (V3) take dictionaries of any size."
            )
        self.lambda_net = lambda_net
        self.solver = solver
        self.band_limit = band_limit

    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor | None = None,
        noise_std: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        r"""Reconstruct.

        Parameters
        ----------
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        lambda_map
            Weight in place of that of the network: a number, one number for each map, or a map of shape
            `(n_maps, *other, 1, z, y, x)`.
        noise_std
            Standard deviation of the complex noise of a k-space sample, for networks that use it.

        Returns
        -------
            Image, shape `(*other, coils, z, y, x)`.
        """
        if lambda_map is None:
            lambda_map = self.estimate(initial_image, noise_std)
        return self._limit(self.solver(data, acquisition_op, initial_image, lambda_map), acquisition_op)

    def solve(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor | None = None,
        noise_std: torch.Tensor | float | None = None,
        *,
        progress: bool = False,
    ) -> Solution:
        """Reconstruct without gradient, with the certificate of the solver, see `forward` and `Solver.solve`.

        The certificate is that of the convex problem, before the image is limited to the measured band.
        """
        with torch.no_grad():
            if lambda_map is None:
                lambda_map = self.estimate(initial_image, noise_std)
            solution = self.solver.solve(data, acquisition_op, initial_image, lambda_map, progress=progress)
            return solution._replace(img=self._limit(solution.img, acquisition_op))

    def estimate(self, initial_image: torch.Tensor, noise_std: torch.Tensor | float | None = None) -> torch.Tensor:
        """Estimate the Lambda map.

        Parameters
        ----------
        initial_image, noise_std
            As in `forward`.

        Returns
        -------
            Lambda map, shape `(n_maps, *other, 1, z, y, x)`.
        """
        check_tensor('initial_image', initial_image, finite=False)
        if self.lambda_net is None:
            raise ValueError('A model without a network needs lambda_map.')
        synthesis_op, responses = self.solver.regularizer.synthesis_op, None
        if self.lambda_net.responses != 'none' and synthesis_op is not None:
            smooth = self.solver.regularizer.offset(initial_image) if self.lambda_net.high_pass else None
            (responses,) = synthesis_op.adjoint(initial_image if smooth is None else initial_image - smooth)
        return self.lambda_net(initial_image, noise_std, responses)

    def _limit(self, img: torch.Tensor, acquisition_op: LinearOperator) -> torch.Tensor:
        """Limit an image to the measured band."""
        if not self.band_limit:
            return img
        band_limit_op = BandLimitOp.from_gram(gram_operator(acquisition_op), self.solver.regularizer.dim)
        return img if band_limit_op is None else band_limit_op(img)[0]
