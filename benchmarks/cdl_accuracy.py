"""Time and iterations with a convolutional dictionary until the objective and the image are accurate.

As in `time_to_accuracy`, but the unknowns are coefficients: the objective is that of the coefficients of an iteration,
and the image error that of the image they synthesize.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.metrics import psnr
from mrpro_lambda.solvers import ADMM

from cdl_problems import DictionaryProblem, central_box_dictionary
from cdl_reference import certified_coefficients, mrpro_pgd, our_admm, our_fista, sparsity
from methods import Method
from problems import magnitude
from time_to_accuracy import Reference, compare

DICTIONARY = 'k32-9x9-medium'
TOLERANCES = (('objective', 1e-2), ('objective', 1e-3), ('image', 1e-2))


@dataclass
class DictionaryReference(Reference):
    """Minimizer of a problem whose unknowns are coefficients."""

    problem: DictionaryProblem

    def errors(self, img: torch.Tensor) -> dict[str, float]:
        """Return the relative objective of coefficients and the error of their image."""
        coefficients = img.to(self.img)
        excess = self.problem.objective(coefficients) / self.objective - 1
        image = self.problem.image(coefficients)
        return {'objective': excess, 'image': ((image - self.img).norm() / self.img.norm()).item()}


def reference_of(problem: DictionaryProblem, n_iterations: int) -> DictionaryReference:
    """Solve a problem in double precision."""
    p = problem.to(device=problem.data.device.type, double=True)
    solver = ADMM(sparsity(p), n_iterations=n_iterations)
    coefficients, gap = certified_coefficients(solver, p, n_iterations)
    objective = p.objective(coefficients)
    nothing = p.objective(torch.zeros_like(coefficients))
    img = p.image(coefficients)
    psnr_start, psnr_end = (psnr(x, p.truth).mean().item() for x in (p.initial_image, img))
    text = (
        f'F* = {objective:.6g} (ADMM, float64, {n_iterations} iterations, certified gap {gap:.0e} '
        f'F*), no coefficients {nothing:.6g}; PSNR of the initial image {psnr_start:.1f} dB, of the '
        f'minimizer {psnr_end:.1f} dB. Squared norm of acquisition and dictionary {p.norm_squared():.3g}.'
    )
    return DictionaryReference(p, img, objective, 'parts', text, TOLERANCES)


def run(args: Namespace) -> Iterator[str]:
    """Yield the table of this section."""
    size, n_reference = (32, 60) if args.quick else (320, 1000)
    image = magnitude(size, args.image)
    filters = load_dictionary(DICTIONARY).filters
    problem = central_box_dictionary(image, filters).to(device=args.device)
    methods: dict[str, Method] = {
        'mrpro pgd': mrpro_pgd(problem),
        'FISTA': our_fista(problem),
        'ADMM': our_admm(problem),
        'ADMM, twice the penalty': our_admm(problem, penalty_factor=2.0),
    }
    text = f'### One coil, central box, {size} x {size}, dictionary {DICTIONARY}\n\n'
    yield (
        text
        + compare(methods, reference_of(problem, n_reference), args.repeats, args.budget)
        + (
            '\nmrpro: smooth part by 12 conjugate gradient steps, step size given. FISTA and ADMM: whole calls with '
            'that number of iterations, set-up included. The objective is that of the coefficients that the image is '
            'synthesized of.\n'
        )
    )
