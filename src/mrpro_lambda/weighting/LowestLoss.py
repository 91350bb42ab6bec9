"""Weight of the lowest loss on the scan itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.losses import ScanLoss
from mrpro_lambda.weighting.AutomaticWeight import vertex
from mrpro_lambda.weighting.fit_weight import ScanTask
from mrpro_lambda.weighting.NoiseWeight import NoiseWeight
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class LowestLoss(Weight):
    r"""The number :math:`c` of :math:`\Lambda = c \sigma` with the lowest loss on the scan, which needs no target.

    It is found by trying several, in equal steps of their logarithm, with the same draws of the loss for each; the
    result is the vertex of a parabola through the lowest loss and its neighbors. All images of a batch share one
    number, and all maps of a regularizer. With `~mrpro_lambda.losses.Thinned` it is a rule for counts of photons, which
    the rules of Gaussian noise, such as `Sure`, do not take.
    """

    def __init__(
        self,
        loss: ScanLoss | None = None,
        *,
        low: float = 2e-3,
        high: float = 0.5,
        n_weights: int = 9,
        n_iterations: int = 30,
        seed: int = 0,
    ) -> None:
        r"""Initialize the weight.

        Parameters
        ----------
        loss
            Loss. `None`: `~mrpro_lambda.losses.default_loss`.
        low, high
            Smallest and largest weight :math:`c` that is tried, in units of the noise.
        n_weights
            Number of weights, at least 3.
        n_iterations
            Iterations of each solve, after 40 others for counts, 16 where a Fourier solve is exact and 100 elsewhere.
        seed
            Seed of what the loss draws.

        Raises
        ------
        ValueError
            If a number is out of its range.
        """
        super().__init__()
        check_type('loss', loss, (ScanLoss, type(None)))
        for label, value in (('low', low), ('high', high)):
            check_number(label, value, positive=True)
        if low >= high:
            raise ValueError(f'low must be below high, got {low=} and {high=}.')
        check_number('n_weights', n_weights, 3, integer=True)
        check_number('n_iterations', n_iterations, 1, integer=True)
        check_number('seed', seed, integer=True)
        self.loss, self.low, self.high = loss, low, high
        self.n_weights, self.n_iterations, self.seed = n_weights, n_iterations, seed

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:  # noqa: ARG003
        """Return one that tries few weights."""
        return {'lowest loss': cls(low=0.05, high=2.0, n_weights=3, n_iterations=4)}

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed, which it is."""
        return True

    @property
    def uses_data(self) -> bool:
        """Whether data and acquisition operator are needed, which they are."""
        return True

    def choose(self, scan: Scan) -> WeightChoice:
        """Try weights and choose one.

        Returns
        -------
            Map, and a report in types that JSON knows: the number, and the losses of all that were tried.

        Warns
        -----
        UserWarning
            If the weight is at an end of those tried.
        """
        task = ScanTask(scan, self.loss, self.n_iterations)
        factors = torch.logspace(math.log10(self.low), math.log10(self.high), self.n_weights, dtype=torch.float64)
        losses = [task.compare(NoiseWeight(factor), self.seed) for factor in factors.tolist()]
        mean = torch.tensor(losses, dtype=torch.float64).mean(1)
        factor = vertex(factors, mean).item()
        if int(mean.argmin()) in (0, self.n_weights - 1):
            warnings.warn(
                f'LowestLoss has found the lowest loss at an end of the weights that were tried, at {factor:.3g} times '
                'the noise: change low or high.',
                stacklevel=4,
            )
        report = {
            'rule': 'lowest loss',
            'loss': type(task.loss).__name__,
            'factor': factor,
            'tried': [list(pair) for pair in zip(factors.tolist(), mean.tolist(), strict=True)],
        }
        return WeightChoice(NoiseWeight(factor)(scan), report)
