"""Reconstruction with a learned Lambda map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.data_terms import DataTerm, LeastSquares
from mrpro_lambda.models.Model import Model, ModelSolution
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.regularizers.PhaseAware import PhaseAware
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.as_weight import as_weight
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice

_FIRST = 100
"""Iterations of a first image. 30 of them gained 0.48, 150 0.75 dB (R = 4, phases of raw scans, training images)."""


class LambdaMapModel(Model):
    r"""A weight chooses the Lambda map of a scan, a solver solves the convex problem with it [KOF2023]_.

    .. math::

        \hat x = P \arg\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda \cdot K x\|_1, \qquad
        \Lambda = \Lambda_\theta(y, A, x_0, \sigma)

    :math:`P` limits the image to the measured band of a Cartesian acquisition, see
    `~mrpro_lambda.operators.BandLimitOp`. Where the samples reach the edges of k-space it is the identity.

    Where a first image tells more about the regularizer than :math:`x_0` does, such as the phase of
    `~mrpro_lambda.regularizers.PhaseAware`, 100 iterations with the same map come first, without gradient.

    In place of the operator a data term may be given, such as `~mrpro_lambda.data_terms.PoissonCounts`. Weights that
    scale with the scan are then relative to its unit, see `~mrpro_lambda.data_terms.DataTerm.weight_unit`.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        weight: float | Sequence[float] | torch.Tensor | LambdaNet | Weight | None,
        solver: Solver,
        *,
        band_limit: bool = True,
    ) -> None:
        """Initialize the model.

        Parameters
        ----------
        weight
            What chooses the map: a network or any other `~mrpro_lambda.weighting.Weight`, a number, one number for each
            map, or a map. `None` if it is given at each call.
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
        check_type('solver', solver, Solver)
        self.weight = None if weight is None else as_weight(weight)
        if self.weight is not None:
            self.weight.check_solver(solver)
        self.solver = solver
        self.band_limit = band_limit

    @property
    def lambda_net(self) -> LambdaNet | None:
        """Network that chooses the map, `None` if something else does."""
        return self.weight.lambda_net if isinstance(self.weight, NetworkWeight) else None

    @property
    def uses_noise_level(self) -> bool:
        """Whether the weight needs the noise level."""
        return self.weight is not None and self.weight.uses_noise_level

    def phase_aware(self, imaginary_factor: float = 1.4, refined_width: float | None = 24.0) -> LambdaMapModel:
        """Return the same model for real and imaginary part of the demodulated image, without another training.

        Parameters
        ----------
        imaginary_factor
            Weights of the imaginary part relative to those of the real part, see
            `~mrpro_lambda.regularizers.PhaseAware`.
        refined_width
            Width of the window for the phase of a first image, `None`: there is no first image.
        """
        regularizer = PhaseAware(
            self.solver.regularizer, imaginary_factor=imaginary_factor, refined_width=refined_width
        )
        return type(self)(self.weight, self.solver.with_regularizer(regularizer), band_limit=self.band_limit)

    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator | DataTerm,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
        *,
        lambda_map: float | Sequence[float] | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Reconstruct.

        Parameters
        ----------
        data, acquisition_op, initial_image, noise_std
            As in `Model.forward`.
        lambda_map
            Weight in place of that of the model: a number, one number for each map, or a map of shape
            `(n_maps, *other, 1, z, y, x)`.

        Returns
        -------
            Image, shape `(*other, coils, z, y, x)`.
        """
        choice = self.choose(data, acquisition_op, initial_image, noise_std, lambda_map=lambda_map)
        data_term = LeastSquares.of(acquisition_op)
        solver = self._refined(data, data_term, initial_image, choice.lambda_map)
        return self._limit(solver(data, data_term, initial_image, choice.lambda_map), data_term)

    @torch.no_grad()
    def solve(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator | DataTerm,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
        *,
        lambda_map: float | Sequence[float] | torch.Tensor | None = None,
        initial: Callable[[torch.Tensor], torch.Tensor] | None = None,
        progress: bool = False,
    ) -> ModelSolution:
        """Reconstruct without gradient, with the map and the certificate of the solver, see `forward`.

        The certificate is that of the convex problem, before the image is limited to the measured band. `initial` is
        as in `choose`.
        """
        choice = self.choose(data, acquisition_op, initial_image, noise_std, lambda_map=lambda_map, initial=initial)
        data_term = LeastSquares.of(acquisition_op)
        solver = self._refined(data, data_term, initial_image, choice.lambda_map)
        solution = solver.solve(data, data_term, initial_image, choice.lambda_map, progress=progress)
        img = self._limit(solution.img, data_term)
        return ModelSolution(img, choice.lambda_map, solution._replace(img=img), choice.report)

    def choose(
        self,
        data: torch.Tensor | None,
        acquisition_op: LinearOperator | DataTerm | None,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
        *,
        lambda_map: float | Sequence[float] | torch.Tensor | None = None,
        initial: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> WeightChoice:
        """Choose the Lambda map, as `forward` does, and report how.

        Parameters
        ----------
        data, acquisition_op, initial_image, noise_std, lambda_map
            As in `forward`. Weights that look at the initial image only need neither data nor operator.
        initial
            How the initial image comes from data, for weights that change these, see `Scan`.
        """
        check_tensor('initial_image', initial_image, finite=False)
        if isinstance(noise_std, torch.Tensor) and noise_std.ndim > initial_image.ndim:  # a map, most likely
            raise ValueError(
                f'noise_std must broadcast to the image, got shapes {tuple(noise_std.shape)} and '
                f'{tuple(initial_image.shape)}. A map is given as lambda_map=...'
            )
        if lambda_map is not None:
            return WeightChoice(self.solver.regularizer.lambda_map(lambda_map, initial_image))
        if self.weight is None:
            raise ValueError('A model without a weight needs lambda_map.')
        if data is None or not isinstance(acquisition_op, DataTerm):
            return self.weight.choose(Scan(data, acquisition_op, initial_image, noise_std, self.solver, initial))
        if noise_std is None and self.uses_noise_level:
            noise_std = acquisition_op.noise_std(data, initial_image)
        choice = self.weight.choose(Scan(data, acquisition_op, initial_image, noise_std, self.solver, initial))
        if not self.weight.relative:
            return choice
        return choice._replace(lambda_map=acquisition_op.weight_unit(data, initial_image) * choice.lambda_map)

    def estimate(self, initial_image: torch.Tensor, noise_std: torch.Tensor | float | None = None) -> torch.Tensor:
        """Estimate the Lambda map from the initial image alone.

        Parameters
        ----------
        initial_image, noise_std
            As in `forward`.

        Returns
        -------
            Lambda map, shape `(n_maps, *other, 1, z, y, x)`.
        """
        return self.choose(None, None, initial_image, noise_std).lambda_map

    def numbers(self) -> list[torch.nn.Parameter]:
        """Return those of the weight."""
        return [] if self.weight is None else self.weight.numbers()

    def start_from(self, earlier: Model) -> None:
        """Take the parameters of the weight of another model, see `Weight.start_from`."""
        check_type('The model of the initial weights', earlier, LambdaMapModel)
        if isinstance(earlier, LambdaMapModel) and self.weight is not None and earlier.weight is not None:
            self.weight.start_from(earlier.weight)

    @torch.no_grad()
    def _refined(
        self, data: torch.Tensor, data_term: DataTerm, initial_image: torch.Tensor, lambda_map: torch.Tensor
    ) -> Solver:
        """Return the solver, with what a first image of some iterations tells about the regularizer."""
        regularizer = self.solver.regularizer
        if not regularizer.refinable:
            return self.solver
        first = self.solver.replace(n_iterations=_FIRST)(data, data_term, initial_image, lambda_map)
        return self.solver.with_regularizer(regularizer.refined(first))

    def _limit(self, img: torch.Tensor, data_term: DataTerm) -> torch.Tensor:
        """Limit an image to the measured band."""
        if not self.band_limit or not isinstance(data_term, LeastSquares):
            return img
        band_limit_op = data_term.band_limit_op(self.solver.regularizer.dim)
        return img if band_limit_op is None else band_limit_op(img)[0]
