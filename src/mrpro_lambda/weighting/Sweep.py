"""What is measured at the weights that a rule tries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch

from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.solvers.Continuation import Continuation
from mrpro_lambda.solvers.Solver import Solution, Solver
from mrpro_lambda.weighting.Scan import Scan

_LOGGER = logging.getLogger(__name__)
_STEP = 0.1
"""Length of the finite difference relative to the noise.

For a brain, steps of 0.01 and 0.1 gave 0.592 and 0.596 of the degrees of freedom, a step of 1 gave 0.66 and the exact
derivative of the minimizer 0.594. That one would need an elementwise norm and a small gap.
"""


class SweepPoint(NamedTuple):
    """What was measured at a weight, or at several along a first axis, for each image of a batch.

    The tensors (float64) have the shape of the image, of size 1 along axes that the problem couples.
    """

    factor: torch.Tensor
    """Weight in units of the noise."""
    residual: torch.Tensor
    r"""Residual :math:`\|A x - y\|_2^2` relative to its expectation for the true image, the energy of the noise."""
    regularization: torch.Tensor
    """Regularization, its weight divided out."""
    degrees_of_freedom: torch.Tensor
    """Degrees of freedom of the reconstruction, relative to the number of data; NaN if they were not asked for."""
    converged: torch.Tensor
    """Whether the solve has ended within its tolerance, as far as is known without a proof."""
    n_iterations: torch.Tensor
    """Number of iterations of the solve."""

    @classmethod
    def stack(cls, points: Sequence[Self]) -> Self:
        """Put points together along a first axis, with ascending factors for each image."""
        order = torch.stack([point.factor for point in points]).argsort(0)
        return cls(*(torch.stack(values).gather(0, order) for values in zip(*points, strict=True)))


class Sweep:
    r"""Solves of a scan with weights :math:`\Lambda_k = c\, r_k \sigma`, and what rules need to know about them.

    The degrees of freedom of a reconstruction :math:`A \hat x(y)` are the divergence :math:`\mathrm{tr}\, \partial (A
    \hat x) / \partial y`. They are estimated with one random vector :math:`b` of real and imaginary parts 1 or -1 from
    the difference of the reconstructions of :math:`y` and :math:`y + \epsilon b` after the same numbers of iterations
    [RAM2008]_, which is exact for the images as they are, converged or not.

    References
    ----------
    .. [RAM2008] Ramani S, Blu T, Unser M (2008) Monte-Carlo SURE: a black-box optimization of regularization parameters
       for general denoising algorithms. IEEE Trans Image Process 17(9) https://doi.org/10.1109/TIP.2008.2001404
    """

    def __init__(self, scan: Scan, solver: Solver, ratios: Sequence[float], *, degrees: bool, seed: int) -> None:
        """Set the scan up.

        Parameters
        ----------
        scan
            Data, acquisition operator, initial image and noise level.
        solver
            Solver, with the stop of the sweep.
        ratios
            Ratio of the weight of each map to that of the sweep.
        degrees
            Whether the degrees of freedom are estimated, which doubles the time.
        seed
            Seed of the random vectors.

        Raises
        ------
        ValueError
            If data or noise level are missing, or if the noise level varies within an image.
        """
        data, acquisition_op = scan.measured()
        self.noise_std = noise_std = scan.noise_level.double()
        if noise_std.shape[-4:].numel() > 1:
            raise ValueError(
                'A rule that chooses the weight needs one noise level for each image, got noise_std of shape '
                f'{tuple(noise_std.shape)}.'
            )
        img = scan.initial_image
        term = LeastSquares(acquisition_op)
        self._op = term.acquisition_op
        self._data = data
        self._ratios = torch.tensor(ratios, dtype=torch.float64, device=img.device).reshape(-1, *(1,) * img.ndim)
        self._main = Continuation(solver, data, term, img)
        problem = self._main.problem(self.lambda_map(1.0))
        self._total = problem.total
        generator = torch.Generator().manual_seed(seed)

        def random(like: torch.Tensor) -> torch.Tensor:
            """Draw numbers that are the same for each image of a batch, as if it were alone."""
            shape = [n if d in problem.axes else 1 for d, n in zip(range(-like.ndim, 0), like.shape, strict=True)]
            return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device).expand(like.shape)

        # a sample that no image reaches was not measured
        measured = (self._op(random(img))[0] != 0).expand(data.shape)
        self.n_samples = self._total(measured)
        self._perturbed: Continuation | None = None
        if degrees:
            draw = random(data)
            probe = torch.complex(draw.real.sign(), draw.imag.sign()) if data.is_complex() else draw.sign()
            self._probe = probe * measured
            step = (_STEP * self.noise_std).to(data.dtype.to_real()) * self._probe
            # the initial image follows the data: the smooth part beside a dictionary is an estimate as well
            initial_image = img + self._op.adjoint(step)[0]
            self._perturbed = Continuation(solver, data + step, term, initial_image)
        self._points: list[SweepPoint] = []

    def lambda_map(self, factor: torch.Tensor | float) -> torch.Tensor:
        """Return the Lambda map of a weight in units of the noise."""
        return self._ratios * factor * self.noise_std

    @property
    def points(self) -> SweepPoint:
        """What was measured, with ascending factors for each image."""
        return SweepPoint.stack(self._points)

    def solve(self, factor: torch.Tensor | float) -> Solution:
        """Solve with a weight in units of the noise, a number or one for each image."""
        solution = self._main.solve(self.lambda_map(factor), proof=False)
        (response,) = self._op(solution.img)
        energy = self._total((response - self._data).abs().double().square())
        relative = self._total(((response - self._data).abs().double() / self.noise_std).square())
        factors = torch.as_tensor(factor, dtype=torch.float64, device=energy.device).expand(energy.shape)
        _LOGGER.info(
            'weight of %.3g times the noise level: %d iterations, %s',
            factors.mean().item(),
            solution.n_iterations,
            solution.reason,
        )
        # with the noise of an image that the regularizer couples to others, the weight is not one number
        noise = self.noise_std.expand(torch.broadcast_shapes(self.noise_std.shape, energy.shape))
        unit = noise if noise.shape == energy.shape else self._total(noise)
        regularization = (solution.objective.reshape(energy.shape) - 0.5 * energy) / (factors * unit)
        degrees = torch.full_like(energy, torch.nan)
        if self._perturbed is not None:
            perturbed = self._perturbed.solve(self.lambda_map(factor), n_iterations=solution.n_iterations, proof=False)
            change = (self._op(perturbed.img)[0] - response) * self._probe.conj() / (_STEP * self.noise_std)
            count = self.n_samples * (2 if self._data.is_complex() else 1)
            degrees = self._total(change.real.double()) / count
        self._points.append(
            SweepPoint(
                factors,
                relative / self.n_samples,
                regularization,
                degrees,
                torch.full_like(energy, solution.reason != 'maximum number of iterations', dtype=torch.bool),
                torch.full_like(energy, solution.n_iterations, dtype=torch.int64),
            )
        )
        return solution
