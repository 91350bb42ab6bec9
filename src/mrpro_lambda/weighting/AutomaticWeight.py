"""Base class of the rules that find one weight on the scan itself."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.GivenWeight import as_numbers
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Sweep import Sweep, SweepPoint
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class AutomaticWeight(Weight):
    r"""A rule that finds the weight :math:`c` of :math:`\Lambda_k = c\, r_k \sigma` by trying several.

    The scan is solved with weights from large to small, in equal steps of their logarithm, each from where the last
    one has ended (small weights take the most iterations, and a rule that has seen enough leaves them out), then a few
    times next to the best. Each solve stops where its objective is within a tolerance, without a proof, which would
    take more time than the iterations. A subclass writes `criterion`.

    Each image of a batch gets its own weight, from its own data, and images that the problem couples share one. As the
    images of a batch stop together, that of one may take more iterations than it would alone: its weight is the same up
    to what the tolerance leaves open. The same scan gives the same weight, bit for bit.
    """

    name: str
    """Name of the rule."""
    needs_degrees = False
    """Whether the rule needs the degrees of freedom of the reconstruction, which doubles the time."""

    def __init__(
        self,
        *,
        ratios: Sequence[float] | torch.Tensor | None = None,
        low: float = 0.02,
        high: float = 4.0,
        n_weights: int = 11,
        n_refinements: int = 2,
        tolerance: float = 3e-2,
        max_iterations: int = 1000,
        seed: int = 0,
    ) -> None:
        r"""Initialize the rule.

        Parameters
        ----------
        ratios
            Ratios :math:`r_k` of the weights of a regularizer with several maps. `None`: all are 1.
        low, high
            Smallest and largest weight :math:`c` that is tried, in units of the noise.
        n_weights
            Number of weights from `high` to `low`, at least 3.
        n_refinements
            Number of weights after them, next to the best.
        tolerance
            Distance of the objective of each solve to its minimum, relative to it, as far as it can be told without a
            proof. The weight hardly depends on it, and the image is solved for with the tolerance of the solver.
        max_iterations
            Largest number of iterations of each solve. The report tells what has missed the tolerance.
        seed
            Seed of the random vectors.

        Raises
        ------
        ValueError
            If a number is out of its range, or a ratio is not positive.
        """
        super().__init__()
        for label, value in (('low', low), ('high', high), ('tolerance', tolerance)):
            check_number(label, value, positive=True)
        if low >= high:
            raise ValueError(f'low must be below high, got {low=} and {high=}.')
        check_number('n_weights', n_weights, 3, integer=True)
        check_number('n_refinements', n_refinements, integer=True)
        check_number('max_iterations', max_iterations, 1, integer=True)
        check_number('seed', seed, integer=True)
        numbers = None if ratios is None else as_numbers('ratios', ratios)
        if numbers is not None and (numbers.ndim != 1 or not bool((numbers > 0).all())):
            raise ValueError(f'ratios must hold one positive number for each map, got {ratios!r}.')
        self.ratios: list[float] | None = None if numbers is None else numbers.tolist()
        self.low, self.high, self.n_weights, self.n_refinements = low, high, n_weights, n_refinements
        self.tolerance, self.max_iterations, self.seed = tolerance, max_iterations, seed

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed, which it is."""
        return True

    @property
    def uses_data(self) -> bool:
        """Whether data and acquisition operator are needed, which they are."""
        return True

    @abstractmethod
    def criterion(self, points: SweepPoint) -> torch.Tensor:
        """Return what the rule looks at, for several weights and each image."""

    def best(self, points: SweepPoint) -> torch.Tensor:
        """Return the factor that the rule chooses for each image: the vertex of a parabola at the smallest criterion.

        At an end of the weights that is the end.
        """
        return vertex(points.factor, self.criterion(points))

    def refined(self, points: SweepPoint) -> torch.Tensor:
        """Return the next factor to try for each image: it halves the wider of the two gaps beside the best."""
        index = self.criterion(points).argmin(0).clamp(1, len(points.factor) - 2)
        left, middle, right = (points.factor.gather(0, (index + k)[None])[0] for k in (-1, 0, 1))
        return (middle * torch.where(middle / left > right / middle, left, right)).sqrt()

    def enough(self, points: SweepPoint) -> bool:
        """Tell whether smaller weights need not be tried: the criterion has risen twice beyond its minimum."""
        return bool((self.criterion(points).argmin(0) >= 2).all())

    def notes(self, points: SweepPoint) -> list[str]:  # noqa: ARG002
        """Return what is to be warned of, beside what all rules warn of."""
        return []

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if there is not one ratio for each map."""
        n_maps = solver.regularizer.n_maps
        if self.ratios is not None and len(self.ratios) != n_maps:
            raise ValueError(
                f'There are {len(self.ratios)} ratios, {self.ratios}, but {type(solver.regularizer).__name__} has '
                f'{n_maps} map(s).'
            )

    @torch.no_grad()
    def choose(self, scan: Scan) -> WeightChoice:
        """Try weights and choose one.

        Returns
        -------
            Map, and a report in types that JSON knows: rule, weight, and what was measured at all weights.

        Warns
        -----
        UserWarning
            If the weight is at an end of those tried, or if a solve next to it has missed the tolerance.
        """
        self.check_solver(scan.solver)
        solver = scan.solver.replace(max_iterations=self.max_iterations, tolerance=self.tolerance)
        ratios = [1.0] * solver.regularizer.n_maps if self.ratios is None else self.ratios
        sweep = Sweep(scan, solver, ratios, degrees=self.needs_degrees, seed=self.seed)
        step = (self.low / self.high) ** (1 / (self.n_weights - 1))
        for i in range(self.n_weights):
            sweep.solve(self.high * step**i)
            if i >= 2 and self.enough(sweep.points):
                break
        for _ in range(self.n_refinements):
            sweep.solve(self.refined(sweep.points))
        points = sweep.points
        factor = self.best(points)
        lambda_map = solver.regularizer.lambda_map(sweep.lambda_map(factor), scan.initial_image)
        return WeightChoice(lambda_map, self._report(sweep, points, factor))

    def _report(self, sweep: Sweep, points: SweepPoint, factor: torch.Tensor) -> dict[str, Any]:
        """Put the report together and warn of what is not as it was asked for."""
        at_end = (factor <= points.factor[0]) | (factor >= points.factor[-1])
        if bool(at_end.any()):
            warnings.warn(
                f'{type(self).__name__} has found no weight between the smallest and the largest of those tried, '
                f'{points.factor.min():.3g} and {points.factor.max():.3g} times the noise, but took an end: check the '
                'noise level, or change low or high.',
                stacklevel=4,
            )
        near = (points.factor / factor).log().abs() <= math.log(self.high / self.low) / (self.n_weights - 1)
        missed = (near & ~points.converged).flatten(1).any(1)
        if bool(missed.any()):
            warnings.warn(
                f'{type(self).__name__} has chosen a weight next to {int(missed.sum())} solve(s) that have not reached '
                f'the tolerance of {self.tolerance:g} in {self.max_iterations} iterations.',
                stacklevel=4,
            )
        for note in self.notes(points):
            warnings.warn(note, stacklevel=4)
        columns = {
            'factor': points.factor,
            'criterion': self.criterion(points),
            'residual': points.residual,
            'regularization': points.regularization,
            'converged': points.converged,
            'n_iterations': points.n_iterations,
        }
        if self.needs_degrees:
            columns['degrees_of_freedom'] = points.degrees_of_freedom
        return {
            'rule': self.name,
            'factor': _plain(factor),
            'ratios': [1.0] if self.ratios is None else self.ratios,
            'noise_std': _plain(sweep.noise_std),
            'n_samples': _plain(sweep.n_samples),
            'tolerance': self.tolerance,
            'tolerance_reached': bool(points.converged.all()),
            'at_end': bool(at_end.any()),
            'sweep': {name: _plain(values.movedim(0, -1)) for name, values in columns.items()},
        }


def vertex(factors: torch.Tensor, criterion: torch.Tensor) -> torch.Tensor:
    """Return the minimum of a criterion for each image, by a parabola in the logarithm of the factor.

    Parameters
    ----------
    factors
        Ascending factors, shape `(n, *other)` with `n` of at least 3.
    criterion
        Criterion at each of them. Infinite where there is none.

    Returns
    -------
        Factor of the vertex of the parabola through the smallest criterion and its neighbors; at an end that end.
    """
    index = criterion.argmin(0)
    inner = index.clamp(1, len(criterion) - 2)
    x, y = ([values.gather(0, (inner + k)[None])[0] for k in (-1, 0, 1)] for values in (factors.log(), criterion))
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curvature = (right - left) / (x[2] - x[0])
    inside = (index == inner) & (curvature > 0) & curvature.isfinite()
    found = 0.5 * (x[0] + x[1] - left / torch.where(inside, curvature, 1))
    return torch.where(inside, found.exp(), factors.gather(0, index[None])[0])


def _plain(values: torch.Tensor) -> Any:  # noqa: ANN401
    """Return numbers in types that JSON knows, without axes of size 1; `None` where there is none."""

    def known(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [known(v) for v in value]
        return value if math.isfinite(value) else None

    return known(values.squeeze().tolist())
