"""Base class of the solvers: one loop for all."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.progress import Progress
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.backward import ActiveSetBackward, Backward, CheckpointedBackward, ImplicitBackward
from mrpro_lambda.solvers.Iteration import Iteration
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.watch import EstimateWatch, FinalEstimate, FinalLook, ProofWatch, Reason, Watch


class Solution(NamedTuple):
    """Result of a solve, with its certificate."""

    img: torch.Tensor
    """Image, shape `(*other, coils, z, y, x)`."""
    objective: torch.Tensor
    r"""Objective :math:`F(x)` of each image (float64), shape `other`, of size 1 along axes that the problem couples."""
    gap: torch.Tensor
    r"""Upper bound of :math:`F(x) - \min F` for each image, see `mrpro_lambda.solvers.lower_bound`."""
    relative_gap: float
    """Largest gap relative to the objective of its image, see `Certificate.relative_gap`: proven."""
    n_iterations: int
    """Number of iterations taken."""
    reason: Reason
    """Why the solver stopped."""
    relative_estimate: float
    """Estimate of the relative gap, which may be too small as it assumes a size of the minimizer, see `certificate`."""
    coefficients: torch.Tensor | None = None
    """Coefficients of a dictionary, shape `(n_filters, *img.shape)`; `None` for a regularizer of the image."""

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        return (
            f'Solution(shape={tuple(self.img.shape)}, relative_gap={self.relative_gap:.2g}, '
            f'n_iterations={self.n_iterations}, reason={self.reason!r})'
        )


class Solver(torch.nn.Module, ABC):
    r"""A solver of :math:`\min_u \frac{1}{2} \|B u - y\|_2^2 + \|\Lambda \cdot K u\|_N`, see `Problem`.

    With `n_iterations` it is a fixed unrolled network, differentiable with respect to the Lambda map, the data and the
    initial image. With `max_iterations` and `tolerance` it stops on its certificate; then `ImplicitBackward`
    differentiates the solution.
    """

    def __init__(
        self,
        regularizer: Regularizer,
        n_iterations: int | None,
        max_iterations: int | None,
        tolerance: float | None,
        backward: Backward | None,
    ) -> None:
        """Check and store what all solvers share; subclasses document the parameters."""
        super().__init__()
        check_type('regularizer', regularizer, Regularizer)
        check_type('backward', backward, (Backward, type(None)))
        if (reason := self.refusal(regularizer)) is not None:
            raise ValueError(reason)
        self.regularizer = regularizer
        self.set_stop(n_iterations, max_iterations, tolerance, backward)

    def set_stop(
        self, n_iterations: int | None, max_iterations: int | None, tolerance: float | None, backward: Backward | None
    ) -> None:
        """Check and store when to stop and how to differentiate."""
        if (n_iterations is None) == (max_iterations is None):
            raise ValueError(f'Give either n_iterations or max_iterations, got {n_iterations=}, {max_iterations=}.')
        if n_iterations is not None and tolerance is not None:
            raise ValueError(f'A fixed number of iterations has no tolerance, got {n_iterations=}, {tolerance=}.')
        for name, number in (('n_iterations', n_iterations), ('max_iterations', max_iterations)):
            if number is not None:
                check_number(name, number, 1, integer=True)
        if tolerance is not None:
            check_number('tolerance', tolerance, positive=True)
        self.n_iterations = n_iterations
        self.max_iterations = max_iterations
        self.tolerance = 1e-2 if tolerance is None else tolerance
        if backward is None:
            backward = ActiveSetBackward() if self.regularizer.elementwise else CheckpointedBackward(8)
        self.backward = backward

    @classmethod
    def examples(cls) -> Mapping[str, float]:
        """Return a value other than the default for each parameter of the algorithm, which the tests try."""
        return {}

    @classmethod
    def refusal(cls, regularizer: Regularizer) -> str | None:  # noqa: ARG003
        """Tell why the algorithm can not solve problems with a regularizer, `None` if it can."""
        return None

    def with_regularizer(self, regularizer: Regularizer) -> Self:
        """Return the same solver for another regularizer.

        Raises
        ------
        ValueError
            If the algorithm can not solve problems with it.
        """
        check_type('regularizer', regularizer, Regularizer)
        if (reason := self.refusal(regularizer)) is not None:
            raise ValueError(reason)
        solver = self._copy()
        solver.regularizer = regularizer
        if isinstance(solver.backward, ActiveSetBackward) and not regularizer.elementwise:
            solver.backward = CheckpointedBackward(8)
        return solver

    def replace(
        self,
        *,
        n_iterations: int | None = None,
        max_iterations: int | None = None,
        tolerance: float | None = None,
        backward: Backward | None = None,
    ) -> Self:
        """Return the same algorithm with another stop, and another way to differentiate unless that is `None`.

        Parameters
        ----------
        n_iterations
            Fixed number of iterations. Excludes the other two.
        max_iterations
            Largest number of iterations of a solve to a tolerance; by default that of the solver.
        tolerance
            Stop when the certified gap is below `tolerance` times the objective; by default that of the solver.
        backward
            How to differentiate the iterations.
        """
        check_type('backward', backward, (Backward, type(None)))
        if n_iterations is None:
            max_iterations = max_iterations or self.max_iterations
            tolerance = self.tolerance if tolerance is None else tolerance
        solver = self._copy()
        solver.set_stop(n_iterations, max_iterations, tolerance, backward or self.backward)
        return solver

    def _copy(self) -> Self:
        """Return a copy with the same regularizer, but with tables of its own of what belongs to it."""
        solver = copy.copy(self)
        solver.__dict__.update({name: dict(value) for name, value in vars(self).items() if isinstance(value, dict)})
        return solver

    @abstractmethod
    def iteration(self, problem: Problem) -> Iteration:
        """Bind the algorithm to a problem."""

    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator | DataTerm,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor,
    ) -> torch.Tensor:
        """Solve the problem and return the image.

        Parameters
        ----------
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data, or a data term: then a second call has no set-up.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        lambda_map
            A number, one number for each map of the regularizer, or a map of shape `(n_maps, *other, 1, z, y, x)`.

        Returns
        -------
            Image, shape `(*other, coils, z, y, x)`.

        Raises
        ------
        ValueError
            If an input is not valid, see `Problem.create`, or if a gradient is wanted of a solve to a tolerance.
        """
        return self.unroll(Problem.create(self.regularizer, data, acquisition_op, initial_image, lambda_map))

    def unroll(self, problem: Problem, state: Any = None) -> torch.Tensor:  # noqa: ANN401
        """Solve a problem and return the image, see `forward`.

        Parameters
        ----------
        problem
            Problem.
        state
            State to begin with, see `resume`, which gets no gradient. `None`: the start.
        """
        iteration = self.iteration(problem)
        if state is not None:
            iteration.begin(state)
        if not problem.requires_grad:
            return problem.image(self._iterate(self._watch(iteration, certify=False))[0].primal)
        if isinstance(self.backward, ImplicitBackward):
            state = self._iterate(self._watch(iteration, certify=False))[0]
            return problem.with_offset(self.backward.at_solution(iteration, state))
        if self.n_iterations is None:
            raise ValueError('A solve to a tolerance needs ImplicitBackward for a gradient; or use n_iterations.')
        return problem.with_offset(self.backward(iteration, self.n_iterations))

    @torch.no_grad()
    def solve(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator | DataTerm,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor,
        *,
        progress: bool = False,
    ) -> Solution:
        """Solve the problem without gradient and return the image with its certificate.

        Parameters
        ----------
        data, acquisition_op, initial_image, lambda_map
            As in `forward`.
        progress
            Show a progress bar.

        Returns
        -------
            Image, objective, certified gap, number of iterations, and why the solver stopped.
        """
        problem = Problem.create(self.regularizer, data, acquisition_op, initial_image, lambda_map)
        return self.resume(problem, progress=progress)[0]

    @torch.no_grad()
    def advance(self, problem: Problem, state: Any = None, *, n_iterations: int) -> Any:  # noqa: ANN401
        """Take iterations from a state, without certificate, and return the state that is reached, see `resume`."""
        iteration = self.iteration(problem)
        state = iteration.owned(iteration.init()) if state is None else iteration.resumed(state)
        return iteration.run(state, 0, n_iterations)

    @torch.no_grad()
    def resume(
        self,
        problem: Problem,
        state: Any = None,  # noqa: ANN401
        *,
        proof: bool = True,
        progress: bool = False,
    ) -> tuple[Solution, Any]:
        """Solve a problem from a state of the iteration, and return the state that is reached as well.

        Parameters
        ----------
        problem
            Problem.
        state
            State that the same algorithm has reached for the same scan with any Lambda map. `None`: the start.
        proof
            Prove the gap. Otherwise only a cheap bound is tried, and a solve to a tolerance stops as well where the
            estimate or the fall of the objective are within it, which may be too early: a proof can take more time than
            the iterations.
        progress
            Show a progress bar.
        """
        iteration = self.iteration(problem)
        # the image of the last solution may be the memory of its state
        state = None if state is None else iteration.resumed(state)
        watch = self._watch(iteration, proof=proof)
        state, n_iterations, reason = self._iterate(watch, state, progress=progress)
        found = watch.found
        if found is None or not bool(found.objective.isfinite().all()):
            raise RuntimeError(
                f'The iterations have overflowed for data of shape {tuple(problem.data.shape)}: scale initial image '
                'and Lambda map to the size of the data.'
            )
        coefficients = problem.scale * state.primal if problem.has_dictionary else None
        objective, gap = (problem.scale**2 * value[..., 0, 0, 0, 0] for value in (found.objective, found.gap))
        solution = Solution(
            problem.image(state.primal),
            objective,
            gap,
            found.relative_gap,
            n_iterations,
            reason,
            found.relative_estimate,
            coefficients,
        )
        return solution, state

    def _watch(self, iteration: Iteration, *, certify: bool = True, proof: bool = True) -> Watch:
        """Return what tells when to stop: after the number of iterations, or at the tolerance."""
        limit = self.n_iterations or self.max_iterations or 0
        if self.n_iterations is None:
            kind: type[Watch] = ProofWatch if proof else EstimateWatch
        elif certify:
            kind = FinalLook if proof else FinalEstimate
        else:
            kind = Watch
        return kind(iteration, limit, self.tolerance)

    @staticmethod
    @torch.no_grad()
    def _iterate(watch: Watch, state: Any = None, *, progress: bool = False) -> tuple[Any, int, Reason]:  # noqa: ANN401
        """Iterate in place until told to stop, and return state, number of iterations and reason."""
        iteration = watch.iteration
        state = iteration.owned(iteration.first()) if state is None else state
        done, reason = 0, None
        with Progress(watch.limit, 'Iterations', show=progress) as bar:
            while reason is None:
                n_steps = watch.n_steps(done)
                iteration.run(state, done, n_steps)
                done += n_steps
                reason = watch.look(state, done)
                bar.update(n_steps, {} if watch.found is None else {'gap': f'{watch.found.relative_gap:.1e}'})
        return state, done, reason
