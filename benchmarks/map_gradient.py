"""Error of the gradient with respect to the Lambda map against full back-propagation in double precision."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable

import torch
from mrpro.operators import LinearOperator
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import ADMM, FISTA, PDHG, ActiveSetBackward, Backward, FullBackward
from tqdm import tqdm

from measure import table
from methods import TV, mrpro_solve, step_size
from problems import Problem, central_box, magnitude, random_lines


def cosine_filters(size: int = 7, n_frequencies: int = 4) -> torch.Tensor:
    """Return the filters of unit norm of a discrete cosine transform, of low frequencies but without the constant."""
    position = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    waves = (torch.arange(n_frequencies)[:, None] * position).cos()
    filters = (waves[:, None, :, None] * waves[None, :, None, :]).flatten(0, 1)[1:]
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


def dictionary_solver(n: int, backward: Backward) -> Callable[..., torch.Tensor]:
    """Return FISTA for a small dictionary, with the same map for all filters."""
    filters = cosine_filters().float()  # the same numbers in both precisions

    def solve(
        data: torch.Tensor, operator: LinearOperator, initial_image: torch.Tensor, lambda_map: torch.Tensor
    ) -> torch.Tensor:
        regularizer = DictionarySparsity(filters.to(lambda_map), beta=4.0)
        # coefficients are penalized more, and more evenly, than differences
        lambda_map = (0.06 + 0.14 * lambda_map / lambda_map.detach().amax()).expand(len(filters), *lambda_map.shape[1:])
        return FISTA(regularizer, n_iterations=n, backward=backward)(data, operator, initial_image, lambda_map)

    return solve


SOLVERS: dict[str, Callable[[int, Backward], Callable[..., torch.Tensor]]] = {
    'PDHG': lambda n, backward: PDHG(TV, n_iterations=n, backward=backward),
    'ADMM': lambda n, backward: ADMM(TV, n_iterations=n, backward=backward),
    'FISTA, 15 filters': lambda n, backward: dictionary_solver(n // 4, backward),
}

PROBLEMS: dict[str, Callable[[torch.Tensor], Problem]] = {
    'one coil, central box': central_box,
    '8 coils, random lines': random_lines,
}


def map_gradient(problem: Problem, solve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return the derivative of half the squared error of the image with respect to the map, in double precision."""
    lambda_map = problem.lambda_map.clone().requires_grad_()
    img = solve(lambda_map)
    (gradient,) = torch.autograd.grad(0.5 * torch.view_as_real(img - problem.truth).square().sum(), lambda_map)
    return gradient.double()


def gradient_of(problem: Problem, solver: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Return the gradient through a solver of this package."""
    p = problem
    return map_gradient(p, lambda lambda_map: solver(p.data, p.operator, p.initial_image, lambda_map))


def mrpro_gradient(problem: Problem, n_iterations: int) -> torch.Tensor:
    """Return the gradient of mrpro's `pdhg`, with the steps in the precision of the problem."""
    step = step_size(problem)
    return map_gradient(problem, lambda lambda_map: mrpro_solve(problem, lambda_map, step, n_iterations))


def run(args: Namespace) -> str:
    """Return the table of this section."""
    # small enough that full back-propagation in double precision fits into memory
    size, n = (32, 8) if args.quick else (160, 128)
    image = magnitude(size, args.image)
    rows = []
    cases = [(title, name) for title in PROBLEMS for name in SOLVERS]
    for title, name in tqdm(cases, desc='gradients', leave=False):
        single = PROBLEMS[title](image).to(device=args.device)
        double = single.to(device=args.device, double=True)
        reference = gradient_of(double, SOLVERS[name](n, FullBackward()))
        variants = {
            'ActiveSetBackward, float64': (double, ActiveSetBackward()),
            'ActiveSetBackward, float32': (single, ActiveSetBackward()),
            'FullBackward, float32': (single, FullBackward()),
        }
        gradients = {v: gradient_of(p, SOLVERS[name](n, backward)) for v, (p, backward) in variants.items()}
        if name == 'PDHG':
            gradients['mrpro pdhg and autograd, float64'] = mrpro_gradient(double, n)
        rows += [
            [title, name, variant, *gradient_errors(gradient, reference)] for variant, gradient in gradients.items()
        ]
    header = ['problem', 'solver', 'gradient', 'relative error', '1 - cosine']
    return (
        f'### {size} x {size}, T = {n} ({n // 4} with filters); reference: FullBackward in float64\n\n'
        + table(header, rows)
        + (
            '\nIn float32 numbers next to the threshold fall on its other side, in the forward iteration already: '
            'hence the row of full back-propagation in float32.\n'
        )
    )


def gradient_errors(gradient: torch.Tensor, reference: torch.Tensor) -> list[str]:
    """Compare two gradients."""
    error = (gradient - reference).norm() / reference.norm()
    cosine = torch.cosine_similarity(gradient.ravel(), reference.ravel(), dim=0)
    return [f'{error.item():.1e}', f'{1 - cosine.item():.1e}']
