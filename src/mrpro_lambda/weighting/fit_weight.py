"""Training of a weight on one scan."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms import DataTerm, LeastSquares, PoissonCounts
from mrpro_lambda.losses import Measured, ScanLoss, default_loss
from mrpro_lambda.losses.default_loss import judging_loss
from mrpro_lambda.progress import Progress
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight

_WARM_UP = 10
_FEWEST = 100
"""Smallest number of samples, without coils, of a fit."""
_EXACT, _LINEARIZED, _COUNTS = 16, 100, 40
"""Iterations without gradient, where a circulant solve is exact (Cartesian, one coil), where it is not, and for counts
of photons."""
_DRAWS = 4
"""Number of draws that two weights are compared with."""


class Fit(NamedTuple):
    """How a weight was fitted to a scan."""

    losses: list[float]
    """Loss in each step, in units of the energy of the noise."""
    seconds: float
    """Duration."""
    stopped: bool
    """Whether the time was over before the last step."""


class ScanTask:
    """The loss of a weight on a scan, with solves of a fixed number of iterations.

    Most of them have no gradient, the last ones have. They begin anew in each step: iterations that went on from those
    of the step before would know what is held out now, and the fit would learn to keep it.
    """

    def __init__(self, scan: Scan, loss: ScanLoss | None, n_iterations: int | None) -> None:
        """Set the scan up, once for all steps.

        Parameters
        ----------
        scan
            Data, acquisition operator, initial image, noise level and solver.
        loss
            Loss. `None`: `~mrpro_lambda.losses.default_loss`.
        n_iterations
            Number of iterations of each solve with gradient, after those without. `None`: solves without gradient as
            the solver of the scan would do them, without the proof.

        Raises
        ------
        ValueError
            If data or noise level are missing, if the noise level varies within an image, if there are fewer than 100
            samples, if the loss does not suit the scan, or if it is not known how the initial image of counts of
            photons comes from them.
        """
        noise_std = scan.noise_level
        if noise_std.shape[-4:].numel() > 1:
            raise ValueError(
                'A fit to the scan needs one noise level for each image, got noise_std of shape '
                f'{tuple(noise_std.shape)}.'
            )
        self._scan = scan
        self._term: DataTerm
        if scan.data is not None and isinstance(scan.acquisition_op, PoissonCounts):
            if scan.initial is None:
                raise ValueError(
                    'A fit to counts of photons needs to know how the initial image comes from data of shape '
                    f'{tuple(scan.data.shape)}: give initial, or use AdaptiveLowDoseReconstruction.'
                )
            data, self._term = scan.data, scan.acquisition_op
            self._measured = Measured.of_photons(data, self._term, noise_std)
        else:
            data, acquisition_op = scan.measured()
            self._term = LeastSquares(acquisition_op)
            self._measured = Measured.create(data, self._term.acquisition_op, noise_std, scan.initial_image)
        n_samples = int(self._measured.sampled.amax(-4).sum())
        if n_samples < _FEWEST:
            raise ValueError(
                f'A fit to the scan needs at least {_FEWEST} samples, got {n_samples} in data of shape '
                f'{tuple(data.shape)}: give a weight.'
            )
        self.loss = default_loss(self._measured) if loss is None else loss
        self.loss.check(self._measured)
        # with the phase of the data as they are: that of noisier data would be another acquisition in each step
        regularizer = scan.solver.regularizer.with_modulation_of(scan.initial_image)
        self._solver = scan.solver.with_regularizer(regularizer)
        self._complete = n_iterations is None
        if n_iterations is not None:
            self._solver = self._solver.replace(n_iterations=n_iterations)

    def __call__(self, weight: Callable[[Scan], torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a weight, or of anything else that gives the map of a scan."""

        def reconstruct(
            data: torch.Tensor, acquisition_op: LinearOperator | DataTerm, noise_std: torch.Tensor
        ) -> torch.Tensor:
            term = self._term if acquisition_op is self._term.acquisition_op else LeastSquares.of(acquisition_op)
            initial = self._scan.initial
            initial_image = term.acquisition_op.adjoint(data)[0] if initial is None else initial(data)
            lambda_map = weight(Scan(data, acquisition_op, initial_image, noise_std, self._solver))
            lambda_map = term.weight_unit(data, initial_image) * lambda_map
            problem = Problem.create(self._solver.regularizer, data, term, initial_image, lambda_map)
            if self._complete:
                return self._solver.resume(problem, proof=False)[0].img
            first = _EXACT if problem.circulant_bound.exact else _LINEARIZED
            state = self._solver.advance(problem, n_iterations=first if term.quadratic else _COUNTS)
            return self._solver.unroll(problem, state)

        return self.loss(reconstruct, self._measured, generator)

    def judge(self) -> ScanTask:
        """Return the task that weights are compared with: complete solves, and samples that are held out.

        With a fixed number of iterations a map on spokes that the solver had not come to the end of in 1000 seemed
        better than one weight, and was 6 dB worse.

        Where none can be held out the loss is that of the fit, see `~mrpro_lambda.losses.default_loss.judging_loss`.
        """
        return ScanTask(self._scan, judging_loss(self._measured) or self.loss, None)

    @torch.no_grad()
    def compare(self, weight: Callable[[Scan], torch.Tensor], seed: int) -> list[float]:
        """Return the losses of a weight for draws that are the same for all weights."""
        return [self(weight, torch.Generator().manual_seed(seed + i)).item() for i in range(_DRAWS)]


def fit_weight(
    weight: Weight,
    task: ScanTask,
    *,
    n_steps: int,
    learning_rate: float,
    generator: torch.Generator,
    seconds: float = math.inf,
    progress: bool = False,
) -> Fit:
    """Train a weight on one scan, in place.

    Adam with a warm-up of 10 steps and a cosine schedule. Numbers, see `Weight.numbers`, have a learning rate five
    times as large.

    Parameters
    ----------
    weight
        Weight with parameters.
    task
        Loss on the scan.
    n_steps
        Number of steps.
    learning_rate
        Largest learning rate.
    generator
        Random number generator of the loss.
    seconds
        After this time no further step begins.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        If a number is out of its range, if the weight has no parameters, or if the loss is not finite.
    """
    check_type('weight', weight, Weight)
    check_type('task', task, ScanTask)
    check_type('generator', generator, torch.Generator)
    check_number('n_steps', n_steps, 1, integer=True)
    check_number('learning_rate', learning_rate, positive=True)
    numbers = weight.numbers()
    others = [p for p in weight.parameters() if all(p is not number for number in numbers)]
    if not numbers and not others:
        raise ValueError(f'A weight that is fitted needs parameters, {type(weight).__name__} has none.')
    groups = [(others, learning_rate), (numbers, 5 * learning_rate)]
    optimizer = torch.optim.Adam([{'params': params, 'lr': rate} for params, rate in groups if params])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / n_steps)),
    )
    start, losses = time.monotonic(), list[float]()
    with torch.enable_grad(), Progress(n_steps, 'Fit', show=progress) as bar:
        for step in range(n_steps):
            if time.monotonic() - start > seconds:
                break
            optimizer.zero_grad()
            value = task(weight, generator)
            if not bool(value.isfinite()):
                raise ValueError(f'The loss of a fit must be finite, it is not at step {step}: lower learning_rate.')
            value.backward()
            optimizer.step()
            schedule.step()
            losses.append(value.item())
            bar.update(1, {'loss': f'{losses[-1]:.4g}'})
    return Fit(losses, time.monotonic() - start, len(losses) < n_steps)
