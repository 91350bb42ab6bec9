"""Time and iterations until the objective and the image are accurate.

The reference minimizer is a long run of ADMM in double precision, with the certificate of its gap. Images are evaluated
after about 1.15^k iterations, with the clock stopped; the first of them below a tolerance counts. Every method runs
through once to find these, and then repeatedly to them, in turns.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from mrpro_lambda.metrics import psnr
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from tqdm import tqdm

from measure import number, synchronize, table
from methods import TV, Method, acquisition_norm_squared, image_of, mrpro_pdhg, our_admm, our_pdhg, step_size
from peers import bart_method, deepinv_pdcp, missing, sigpy_tv
from problems import Norm, Problem, central_box, magnitude, radial, random_lines

TOLERANCES = (('objective', 1e-2), ('objective', 1e-3), ('objective', 1e-4), ('image', 1e-2), ('image', 1e-3))
WEIGHT = 0.05

Reached = dict[tuple[str, float], tuple[int, float]]
"""Iterations and seconds to each tolerance."""


@dataclass
class Reference:
    """Minimizer, minimum and how far they can be off."""

    problem: Problem
    img: torch.Tensor
    objective: float
    norm: Norm
    text: str
    tolerances: Sequence[tuple[str, float]] = TOLERANCES

    def errors(self, img: torch.Tensor) -> dict[str, float]:
        """Return the relative objective and the image error."""
        img = img.to(self.img)
        excess = self.problem.objective(img, self.norm) / self.objective - 1
        return {'objective': excess, 'image': ((img - self.img).norm() / self.img.norm()).item()}


def reference_of(problem: Problem, regularizer: TotalVariation, norm: Norm, n_iterations: int) -> Reference:
    """Solve a problem in double precision."""
    p = problem.to(device=problem.data.device.type, double=True)
    solver = ADMM(regularizer, n_iterations=n_iterations)
    solution = solver.solve(p.data, p.operator, p.initial_image, p.lambda_map)
    objective = p.objective(solution.img, norm)
    start = p.objective(p.initial_image, norm)
    psnr_start, psnr_end = (psnr(img, p.truth).mean().item() for img in (p.initial_image, solution.img))
    text = (
        f'F* = {objective:.6g} (ADMM, float64, {n_iterations} iterations, certified gap '
        f'{solution.relative_gap:.0e} F*), initial image {start:.6g}, PSNR {psnr_start:.1f} dB; '
        f'minimizer {psnr_end:.1f} dB.'
    )
    return Reference(p, solution.img, objective, norm, text)


class Watch:
    """A monitor that evaluates images with its clock stopped and keeps when tolerances were reached."""

    def __init__(self, reference: Reference, budget: float, known: Reached | None = None) -> None:
        """Start the clock; with known iterations only those are evaluated."""
        self.reference, self.budget = reference, budget
        self.device = str(reference.img.device)
        self.reached: Reached = {}
        self.last: dict[str, float] = {}
        self.n_iterations = 0
        self._known = known
        self._grid = None if known is None else sorted({n for n, _ in known.values()})
        self._total = 0.0
        self.next = self._after(0)
        self.restart()

    def restart(self, start_up: float = 0.0) -> None:
        """Start the clock for iterations from the beginning, after seconds that do not count."""
        synchronize(self.device)
        self.seconds = -start_up
        self._start = time.perf_counter()

    def _after(self, n: int) -> int:
        """Return the next number of iterations to look at."""
        if self._grid is None:
            return max(n + 1, round(n * 1.15))
        return next((k for k in self._grid if k > n), 0)

    def visit(self, n_iterations: int, image: Callable[[], torch.Tensor]) -> bool:
        """Evaluate an image; go on until all tolerances are reached or the time is up."""
        synchronize(self.device)
        elapsed = time.perf_counter() - self._start
        self.seconds += elapsed
        self._total += elapsed
        self.n_iterations = n_iterations
        if self._known is None:
            self.last = self.reference.errors(image())
            for key, tolerance in self.reference.tolerances:
                if self.last[key] <= tolerance:
                    self.reached.setdefault((key, tolerance), (n_iterations, self.seconds))
            complete = len(self.reached) == len(self.reference.tolerances)
        else:
            found = {t: (n_iterations, self.seconds) for t, (n, _) in self._known.items() if n == n_iterations}
            self.reached.update(found)
            complete = len(self.reached) == len(self._known)
        # methods that start again for each number of iterations take several times as long in all
        out_of_time = self.seconds > self.budget or self._total > 2 * self.budget
        if complete or (self._known is None and out_of_time):
            return False
        self.next = self._after(n_iterations)
        self._start = time.perf_counter()
        return True


def compare(methods: dict[str, Method], reference: Reference, repeats: int, budget: float) -> str:
    """Run all methods in turns and return a table; the ratios are to the first one that is not mrpro's default."""
    tolerances = reference.tolerances
    for method in methods.values():
        image_of(method, 2)  # plans of Fourier transforms, compilation
    first: dict[str, Watch] = {}
    seconds: dict[str, dict[tuple[str, float], list[float]]] = {name: {t: [] for t in tolerances} for name in methods}
    with tqdm(total=(repeats + 1) * len(methods), leave=False) as bar:
        for repeat in range(repeats + 1):
            for name, method in methods.items():
                bar.set_description(f'{reference.problem.name}, {name}')
                if repeat == 0:
                    first[name] = Watch(reference, budget)
                    method(first[name])
                elif first[name].reached:
                    watch = Watch(reference, budget, first[name].reached)
                    method(watch)
                    for tolerance, (_, elapsed) in watch.reached.items():
                        seconds[name][tolerance].append(elapsed)
                bar.update()
    baseline = next(iter(methods))
    rows = []
    for name in methods:
        cells = [
            _cell(t, first[name], seconds[name][t], first[baseline], seconds[baseline][t], name != baseline)
            for t in tolerances
        ]
        last = ', '.join(f'{key} {error:.1e}' for key, error in first[name].last.items())
        rows.append([name, *cells, f'{first[name].n_iterations} its: {last}'])
    header = ['', *(f'{key} {tolerance:.0e}' for key, tolerance in tolerances), 'where it stopped']
    return f'{reference.text}\n\n' + table(header, rows)


def _cell(
    tolerance: tuple[str, float],
    watch: Watch,
    seconds: Sequence[float],
    baseline: Watch,
    baseline_seconds: Sequence[float],
    with_ratio: bool,
) -> str:
    """Format seconds, iterations and the ratio to the baseline, or bounds where the time was up."""
    if tolerance not in watch.reached:
        return f'> {number(watch.seconds)} s'
    n = watch.reached[tolerance][0]
    median = statistics.median(seconds)
    text = f'{number(min(seconds))} / {number(median)} / {number(max(seconds))} s ({n})'
    if not with_ratio:
        return text
    if tolerance in baseline.reached:
        return f'{text} **{number(statistics.median(baseline_seconds) / median)} x**'
    return f'{text} **> {number(baseline.seconds / median)} x**'


def run(args: Namespace) -> Iterator[str]:
    """Yield the tables of this section."""
    quick = args.quick
    image = magnitude(32 if quick else 320, args.image)
    small, spokes = magnitude(32 if quick else 256, args.image), 8 if quick else 48
    problems = {
        'one coil, central box': (central_box(image), 5000),
        '8 coils, random lines, R = 4 with 24 calibration lines': (random_lines(image), 3500),
        f'8 coils, {spokes} radial spokes': (radial(small, spokes), 1500),
    }
    for title, (single, n_reference) in problems.items():
        problem = single.to(device=args.device)
        text = f'### ({problem.name}) {title}, {problem.truth.shape[-2]} x {problem.truth.shape[-1]}\n\n'
        reference = reference_of(problem, TV, 'parts', 200 if quick else n_reference)
        norm_squared = acquisition_norm_squared(problem) if problem.name == 'c' else 1.0
        text += f'Largest eigenvalue of the acquisition {norm_squared:.3g}. '
        text += compare(_methods(problem, step_size(problem, norm_squared), args), reference, args.repeats, args.budget)
        yield text
    yield from _own_objectives(central_box(image), args)
    yield NOTES


NOTES = """Cells: seconds, minimum / median / maximum, (iterations) and how many times faster than the first row.
`> t s`: not reached in the time budget, the last column tells where it was then. The clock includes what a call needs
before it iterates: norm and Toeplitz kernel for non-Cartesian data, inverses; for mrpro with balanced steps
the norm is given. Times of PDHG and ADMM are those of whole calls with that number of iterations. mrpro's default steps
are 0.97 / L^2 each, balanced ones 0.97 / L, for the norm L of the stacked operator (acquisition not scaled to norm 1).
The objective holds the noise energy, which no image can remove: it makes relative objectives look small.
"""


def _methods(problem: Problem, step: torch.Tensor, args: Namespace) -> dict[str, Method]:
    """Return the methods for our objective."""
    methods: dict[str, Method] = {
        'mrpro pdhg, balanced steps': mrpro_pdhg(problem, step),
        'mrpro pdhg, default steps': mrpro_pdhg(problem, None),
        'PDHG': our_pdhg(problem),
        'ADMM': our_admm(problem),
        'ADMM, penalty_factor 0.5': our_admm(problem, penalty_factor=0.5),
    }
    if problem.name == 'a' and 'deepinv' not in missing(gpu=args.device != 'cpu'):
        # its data term is solved exactly, so that only the gradient limits the steps
        methods['deepinv PDCP, Lambda map'] = deepinv_pdcp(problem, 0.97 / 8**0.5)
    return methods


def _own_objectives(problem: Problem, args: Namespace) -> Iterator[str]:
    """Compare SigPy and BART, each with our solvers for the norm that it uses."""
    skipped = missing(gpu=args.device != 'cpu')
    scalar = problem.with_weight(WEIGHT)
    peers: dict[str, tuple[str, TotalVariation, Norm, Callable[[], Method]]] = {
        'sigpy': (
            'SigPy TotalVariationRecon',
            TotalVariation((-2, -1), complex_modulus=True),
            'modulus',
            lambda: sigpy_tv(scalar, WEIGHT),
        ),
        'bart': (
            'BART pics ADMM, CG iterations',
            TotalVariation((-2, -1), isotropic=True, complex_modulus=True),
            'joint',
            lambda: bart_method(scalar, WEIGHT, args.threads),
        ),
    }
    for name, (title, regularizer, norm, method) in peers.items():
        text = f'### (a) with one weight and the norm of {name}\n\n'
        if name in skipped:
            yield f'{text}{name}: skipped, {skipped[name]}.\n'
            continue
        reference = reference_of(scalar, regularizer, norm, 200 if args.quick else 5000)
        methods = {title: method()}
        methods['PDHG'] = our_pdhg(scalar, regularizer)
        methods['ADMM'] = our_admm(scalar, regularizer)
        yield text + compare(methods, reference, args.repeats, args.budget)
    yield (
        'Peers in their own objective: SigPy has the modulus of complex differences for each direction, here `complex_'
        'modulus=True`; BART the joint norm of directions and complex parts, here `isotropic=True, complex_modulus='
        'True`, with backward differences, so that it is given the mirrored problem. Its times are those of whole runs '
        'minus that of a run with one iteration, and `-i` counts conjugate gradient iterations. The clock of SigPy '
        'includes its power iteration.\n'
    )
