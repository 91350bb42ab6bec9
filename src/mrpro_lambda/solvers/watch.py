"""When to look at the iterations of a solve, how closely, and when to stop."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Literal

from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.solvers.certificate import Bound, Certificate, certificate_of_state
from mrpro_lambda.solvers.Iteration import Iteration

Reason = Literal[
    'tolerance reached',
    'estimate within the tolerance',
    'maximum number of iterations',
    'fixed number of iterations',
]

_LOGGER = logging.getLogger(__name__)
_SETTLED = 0.7
"""How much of the tolerance the objective may have fallen in the second half of the iterations to be worth a thorough
repair: its distance to the minimum is about as large then, and the gap that is proven some two times that."""
_PRICE = 600
"""Iterations that the estimate must be away from the tolerance for a thorough repair, which costs about as many."""
_UNPROVEN = 0.2
"""How much of the tolerance the objective may have fallen in the second half of the iterations, without a proof."""
_PATIENCE = 1.5
"""How many times the iterations after which the estimate is within the tolerance may be spent on the proof."""


class Watch:
    """Watches the iterations of one solve. This one counts them, and stops after a fixed number."""

    def __init__(self, iteration: Iteration, limit: int, tolerance: float) -> None:
        """Begin to watch.

        Parameters
        ----------
        iteration
            Iteration that is run.
        limit
            Largest number of iterations.
        tolerance
            Gap relative to the objective that is wanted.
        """
        self.iteration, self.limit, self.tolerance = iteration, limit, tolerance
        self.found: Certificate | None = None

    def n_steps(self, done: int) -> int:
        """Return the number of iterations until the next look."""
        return min(max(10, done // 10), self.limit - done)

    def look(self, state: Any, done: int) -> Reason | None:  # noqa: ANN401, ARG002
        """Look at the state after some iterations, and tell why to stop; `None` to go on."""
        return 'fixed number of iterations' if done == self.limit else None

    def certify(self, state: Any, bound: Bound) -> Certificate:  # noqa: ANN401
        """Evaluate the certificate of a state, and keep the better of the bounds that were found so far.

        A better bound costs more: some 4, 10, 200 and 600 iterations.
        """
        self.found = certificate_of_state(self.iteration, state, bound, self.found)
        return self.found

    @property
    def provable(self) -> bool:
        """Whether a plain bound proves as much as a repaired one: where the transform is the identity."""
        return isinstance(self.iteration.problem.regularizer.transform_op, IdentityTransform)


class FinalLook(Watch):
    """Stops after a fixed number of iterations, and proves how far they have come."""

    def look(self, state: Any, done: int) -> Reason | None:  # noqa: ANN401
        """Look at the last state."""
        if (reason := super().look(state, done)) and self.certify(state, 'plain').relative_gap > self.tolerance:
            self.certify(state, 'repaired')
        return reason


class FinalEstimate(Watch):
    """Stops after a fixed number of iterations, with a cheap bound of how far they have come."""

    def look(self, state: Any, done: int) -> Reason | None:  # noqa: ANN401
        """Look at the last state."""
        if reason := super().look(state, done):
            self.certify(state, 'plain' if self.provable else 'trivial')
        return reason


class EstimateWatch(Watch):
    """Stops where the estimate of the gap, or the fall of the objective, is within the tolerance: maybe too early."""

    def __init__(self, iteration: Iteration, limit: int, tolerance: float) -> None:
        """Begin to watch."""
        super().__init__(iteration, limit, tolerance)
        self._course: list[tuple[int, Certificate]] = []

    def n_steps(self, done: int) -> int:
        """Return the number of iterations until the next look."""
        return min(max(20, done // 4), self.limit - done)

    def look(self, state: Any, done: int) -> Reason | None:  # noqa: ANN401
        """Look at a state."""
        found = self.certify(state, 'plain' if self.provable else 'trivial')
        self._course.append((done, found))
        near = min(found.relative_gap, found.relative_estimate) <= self.tolerance
        if near or _fall(self._course, self.tolerance) <= _UNPROVEN:
            return 'estimate within the tolerance'
        return 'maximum number of iterations' if done == self.limit else None


class ProofWatch(Watch):
    """Stops where the gap is proven to be within the tolerance, and spends on proofs what they may be worth.

    Where the estimate has been within the tolerance for half as many iterations as that took, and no repair proves it,
    this ends by that name.
    """

    def __init__(self, iteration: Iteration, limit: int, tolerance: float) -> None:
        """Begin to watch."""
        super().__init__(iteration, limit, tolerance)
        self._course: list[tuple[int, Certificate]] = []
        self._bound_from = self._repair_from = self._thorough_from = 0.0
        self._estimate_until = math.inf

    def look(self, state: Any, done: int) -> Reason | None:  # noqa: ANN401
        """Look at a state."""
        provable, tolerance = self.provable, self.tolerance
        found = self.certify(state, 'trivial')
        self._course.append((done, found))
        within = found.relative_estimate <= tolerance and not provable
        self._estimate_until = min(self._estimate_until, _PATIENCE * done) if within else math.inf
        last = done == self.limit or done >= self._estimate_until
        if last or done >= self._bound_from:
            found = self.certify(state, 'plain')
            self._bound_from = done * (1.25 if found.relative_gap < 1 else 4)  # there may be none yet
        # the estimate of a slope is late
        factor = 2 if self.iteration.problem.regularizer.transform_op.n_components is None else 4
        likely = found.relative_estimate <= tolerance or found.relative_gap <= factor * tolerance
        # for the coefficients of a dictionary it gains less than as many iterations do
        pays = not provable and likely and done >= self._repair_from
        if found.relative_gap > tolerance and (last or pays):
            found = self.certify(state, 'repaired')
            self._repair_from = done * (1.25 if found.relative_gap < 1 else 4)
        pays = last or (not likely and done >= self._thorough_from and _settled(self._course, tolerance))
        if not provable and found.relative_gap > tolerance and pays:
            found = self.certify(state, 'thoroughly repaired')
            self._thorough_from = 1.5 * done
        _LOGGER.debug('%d iterations of at most %d, certified gap %.1e', done, self.limit, found.relative_gap)
        if found.relative_gap <= tolerance:
            return 'tolerance reached'
        if done >= self._estimate_until:
            return 'estimate within the tolerance'
        return 'maximum number of iterations' if done == self.limit else None


def _settled(course: Sequence[tuple[int, Certificate]], tolerance: float) -> bool:
    """Tell whether the image is there but the proof would take many iterations more, going by the last half of them."""
    if _fall(course, tolerance) > _SETTLED:
        return False
    done, last = course[-1]
    earlier = [found for n_iterations, found in course if 2 * n_iterations <= done]
    before, now = earlier[-1].relative_estimate, last.relative_estimate
    order = math.log(max(before / now, 1.01))
    return math.log(now / tolerance) * math.log(2) / order > math.log(1 + _PRICE / done)


def _fall(course: Sequence[tuple[int, Certificate]], tolerance: float) -> float:
    """Return how much the objective has fallen in the last half of the iterations, relative to the tolerance."""
    done, last = course[-1]
    earlier = [found for n_iterations, found in course if 2 * n_iterations <= done]
    if not earlier:
        return math.inf
    return ((earlier[-1].objective - last.objective) / (tolerance * last.objective)).amax().item()
