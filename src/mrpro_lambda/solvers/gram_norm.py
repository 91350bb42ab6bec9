"""Upper bound of the norm of a Gram operator."""

from __future__ import annotations

import torch

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.solvers.Problem import Problem


def gram_norm(problem: Problem, n_iterations: int = 32, margin: float = 1.05) -> float:
    r"""Return a deterministic upper bound of :math:`\|A^H A\|_2`.

    It is in closed form for Cartesian acquisitions. For others it is mrpro's power iteration from a seeded start: 20
    iterations under-estimated known norms by up to 1.5 % (2.4 % in the square), hence more iterations and a margin.

    Parameters
    ----------
    problem
        Problem with the acquisition operator.
    n_iterations
        Number of power iterations.
    margin
        Factor on the estimated squared norm.
    """
    if isinstance(problem.gram, CirculantGramOp):
        return problem.gram.norm_squared_bound().item()
    img = problem.initial_image
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(img.shape, generator=generator, dtype=img.dtype).to(img.device)
    with torch.no_grad():
        norm = problem.acquisition_op.operator_norm(
            start, dim=None, max_iterations=n_iterations, relative_tolerance=0.0, absolute_tolerance=0.0
        )
    return margin * norm.item() ** 2
