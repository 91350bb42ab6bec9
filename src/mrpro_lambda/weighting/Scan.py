"""What a weight may look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import as_noise_std
from mrpro_lambda.data_terms import DataTerm, LeastSquares
from mrpro_lambda.nets.intensity import intensity
from mrpro_lambda.solvers.Solver import Solver


class Scan(NamedTuple):
    """One acquisition with the solver of its reconstruction."""

    data: torch.Tensor | None
    """k-space data, shape `(*other, coils, k2, k1, k0)`; `None` where only the image is known."""
    acquisition_op: LinearOperator | DataTerm | None
    """Acquisition operator, from images to data, or a data term; `None` without data."""
    initial_image: torch.Tensor
    """Initial image, shape `(*other, coils, z, y, x)`."""
    noise_std: torch.Tensor | float | None
    """Standard deviation of the complex noise of a k-space sample, if it is known."""
    solver: Solver
    """Solver, with the regularizer that the map is for."""
    initial: Callable[[torch.Tensor], torch.Tensor] | None = None
    """How the initial image comes from data, for weights that change these. `None`: by the adjoint operator."""

    @property
    def noise_level(self) -> torch.Tensor:
        """Standard deviation of the noise, in the precision and with the number of axes of the image.

        Raises
        ------
        ValueError
            If it is missing, does not broadcast to the image, or is not positive and finite.
        """
        img = self.initial_image
        noise_std = as_noise_std(self.noise_std, img)
        return noise_std.reshape(*(1,) * (img.ndim - noise_std.ndim), *noise_std.shape)

    @property
    def intensity(self) -> torch.Tensor:
        """Intensity of each image that the regularizer couples, see `~mrpro_lambda.nets.intensity`."""
        return intensity(self.initial_image, self.solver.regularizer.dim)

    def measured(self) -> tuple[torch.Tensor, LinearOperator]:
        """Return data and acquisition operator, for rules that reconstruct.

        Raises
        ------
        ValueError
            If only the image is known, or if the data term is not least squares.
        """
        if self.data is None or self.acquisition_op is None:
            raise ValueError('This weight needs data and acquisition_op: call the model, or give both to choose.')
        if isinstance(self.acquisition_op, LinearOperator):
            return self.data, self.acquisition_op
        if not isinstance(self.acquisition_op, LeastSquares):
            raise ValueError(
                f'A rule that reconstructs needs least squares, got {type(self.acquisition_op).__name__}: use a '
                'network or a number.'
            )
        return self.data, self.acquisition_op.acquisition_op
