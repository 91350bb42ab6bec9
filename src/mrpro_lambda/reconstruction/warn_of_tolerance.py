"""Warnings of solutions that are not proven to their tolerance."""

import warnings

from mrpro_lambda.solvers.Solver import Solution


def warn_of_tolerance(solution: Solution, tolerance: float, *, stacklevel: int) -> None:
    """Warn if a solution is not proven to the tolerance of its solver.

    Parameters
    ----------
    solution
        Solution.
    tolerance
        Tolerance of the solver.
    stacklevel
        Frames from the caller of this function to the one that the warning is for, itself included.
    """
    if solution.reason == 'maximum number of iterations':
        warnings.warn(
            f'The solver has not reached its tolerance: after {solution.n_iterations} iterations the certified gap is '
            f'{solution.relative_gap:.2g} of the objective, not {tolerance:g}. Raise max_iterations or tolerance.',
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    elif solution.reason == 'estimate within the tolerance':
        warnings.warn(
            f'The solution is not proven to its tolerance of {tolerance:g}: after {solution.n_iterations} iterations '
            f'the certified gap is {solution.relative_gap:.2g} of the objective, and {solution.relative_estimate:.2g} '
            'by an estimate that assumes a size of the minimizer. Weights near 0 leave no room for a proof.',
            UserWarning,
            stacklevel=stacklevel + 1,
        )
