"""Solvers with counts of photons: minimizer, certificate and gradient."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.norms import HuberNorm
from mrpro_lambda.operators import GradientOp, ParallelBeam, RayTransformOp
from mrpro_lambda.regularizers import Regularizer, TotalVariation
from mrpro_lambda.solvers import (
    PD3O,
    ActiveSetBackward,
    Backward,
    FullBackward,
    ImplicitBackward,
    PreconditionedPDHG,
    Problem,
    TruncatedBackward,
    certificate,
)
from mrpro_lambda.solvers.certificate import certificate_of_state
from scipy.optimize import LinearConstraint, minimize

from tests.helper import relative_image_difference
from tests.solvers.cases import BACKWARDS, SolverClass

TV = TotalVariation((-2, -1), boundary='neumann')
SHAPE = (1, 1, 1, 4, 3)
SOLVERS: list[SolverClass] = [PD3O, PreconditionedPDHG]
"""Those that take data terms that are no square."""
counting_solvers = pytest.mark.parametrize('cls', SOLVERS)


class ScanCase(NamedTuple):
    """The arguments of a problem, in the order of `Problem.create`."""

    regularizer: Regularizer
    data: torch.Tensor
    term: PoissonCounts
    initial_image: torch.Tensor
    lambda_map: torch.Tensor

    @property
    def problem(self) -> Problem:
        return Problem.create(*self)


def scan_case(shape: tuple[int, ...] = SHAPE, regularizer: Regularizer = TV, seed: int = 0, **options: Any) -> ScanCase:
    """Counts of few photons of an image with air, in double precision: some pixels are 0 at the minimum."""
    rng = RandomGenerator(seed)
    pixel_size = 0.26 / max(shape)
    geometry = ParallelBeam.half_turn(7, 8, pixel_size)
    op = RayTransformOp(geometry, shape[-2:], pixel_size).double()
    term = PoissonCounts(op, **{'n_photons': 200.0, **options})
    img = 0.05 * rng.float64_tensor(shape)
    img[..., 1:4, 1:3] += 0.4
    img[..., 0, :] = 0
    counts = term.draw(img, torch.Generator().manual_seed(seed)).clamp_min(1)
    lambda_map = rng.float64_tensor((1, *shape), 3.0, 12.0)
    start = img + 0.1 * rng.randn_tensor(shape, torch.float64)
    return ScanCase(regularizer, term.from_counts(counts), term, start, lambda_map)


def objective_by_scipy(case: ScanCase) -> tuple[float, torch.Tensor]:
    """Minimize with a variable for the size of each difference, by sequential quadratic programming."""
    n = case.initial_image.numel()
    term, shape = case.term, case.initial_image.shape
    differences = torch.stack([TV.transform(e.reshape(shape)).flatten() for e in torch.eye(n).double()], 1).numpy()
    m = len(differences)
    weight = case.problem.threshold.flatten().numpy()
    rhs = term.rhs(case.data)
    scale = 1e-2  # of the objective, for the line search

    def function(v: np.ndarray) -> tuple[float, np.ndarray]:
        img = torch.as_tensor(v[:n]).reshape(shape)
        value = term.value(term.acquisition_op(img)[0], case.data).sum().item()
        gradient = term.gradient(img, rhs).flatten().numpy()
        return scale * (value + weight @ v[n:]), scale * np.concatenate((gradient, weight))

    img = case.initial_image.clamp_min(0).flatten().numpy()
    start = np.concatenate((img, np.abs(differences @ img) + 0.01))
    signs = np.block([[differences, np.eye(m)], [-differences, np.eye(m)]])
    found = minimize(
        function,
        start,
        jac=True,
        method='SLSQP',
        bounds=[(0, None)] * (n + m),
        constraints=[LinearConstraint(signs, 0, np.inf)],
        options={'maxiter': 500, 'ftol': 1e-14},
    )
    return found.fun / scale, torch.as_tensor(found.x[:n]).reshape(shape)


@counting_solvers
@pytest.mark.parametrize('seed', [0, 2])
def test_minimizer_is_that_of_scipy(cls: SolverClass, seed: int) -> None:
    case = scan_case(seed=seed)
    solution = cls(TV, n_iterations=1600).solve(*case[1:])
    value, img = objective_by_scipy(case)
    assert solution.objective.item() == pytest.approx(value, rel=1e-7)
    assert relative_image_difference(solution.img, img) < 1e-5
    assert bool((solution.img >= 0).all())
    assert bool((solution.img == 0).any())  # the constraint is active


@counting_solvers
@pytest.mark.parametrize('default', [True, False])
@pytest.mark.parametrize(
    'regularizer',
    [TV, TotalVariation((-2, -1), isotropic=True), Regularizer(GradientOp((-2, -1)), HuberNorm(0.01))],
    ids=['total variation', 'isotropic', 'smoothed'],
)
def test_gap_is_an_upper_bound_and_vanishes(cls: SolverClass, regularizer: Regularizer, default: bool) -> None:
    """From the first iterate on, with each of the bounds; no largest value of the image is assumed."""
    case = scan_case(regularizer=regularizer)
    if cls.refusal(regularizer) is not None:
        pytest.skip(f'{cls.__name__} refuses it.')
    smallest = PD3O(regularizer, n_iterations=1500).solve(*case[1:])
    assert smallest.relative_gap < 1e-3
    options = {} if default else cls.examples()
    iteration = cls(regularizer, n_iterations=1, **options).iteration(case.problem)
    state = iteration.owned(iteration.init())
    lowest = smallest.objective.item() - smallest.gap.item()
    done = 0
    for until in (1, 3, 10, 100, 700):
        iteration.run(state, done, until - done)
        done = until
        for bound in ('trivial', 'plain', 'repaired', 'thoroughly repaired'):
            found = certificate_of_state(iteration, state, bound)
            assert found.objective.item() >= lowest
            assert found.objective.item() - found.gap.item() <= smallest.objective.item() * (1 + 1e-12)
    assert found.relative_gap < 5e-2


@pytest.mark.parametrize('bound', ['plain', 'repaired'])
def test_lower_bound_of_any_pair(bound: Any) -> None:
    """Of images and dual variables that have nothing to do with the data."""
    case = scan_case()
    smallest = PD3O(TV, n_iterations=1000).solve(*case[1:]).objective.item()
    for seed in range(5):
        rng = RandomGenerator(seed)
        img = rng.float64_tensor(SHAPE, 0.0, 0.7)
        dual = case.lambda_map * (2 * rng.float64_tensor((2, *SHAPE)) - 1)
        found = certificate(case.problem, img, dual, bound=bound)
        assert found.objective.item() - found.gap.item() <= smallest * (1 + 1e-12)
        assert found.gap.item() <= found.objective.item()


@counting_solvers
def test_estimate_is_a_bound_where_the_image_is_not_larger(cls: SolverClass) -> None:
    case = scan_case()
    smallest = PD3O(TV, n_iterations=1000).solve(*case[1:])
    iteration = cls(TV, n_iterations=1).iteration(case.problem)
    state = iteration.owned(iteration.init())
    for _ in range(10):
        iteration.run(state, 0, 10)
        assert smallest.img.amax() <= 1.5 * state.primal.amax()
        found = certificate_of_state(iteration, state, 'trivial')
        assert found.estimate.item() >= found.objective.item() - smallest.objective.item()


@counting_solvers
def test_without_regularization_of_an_image_it_is_the_data(cls: SolverClass) -> None:
    """Where they are not negative, and 0 where they are."""
    data = torch.tensor([[[[[0.01, -0.003, 0.002, 0.0]]]]], dtype=torch.float64)
    img = cls(TV, n_iterations=400)(data, PoissonCounts(IdentityOp()), torch.zeros_like(data), 0.0)
    torch.testing.assert_close(img, data.clamp_min(0), rtol=1e-8, atol=1e-10)


@counting_solvers
def test_large_weights_give_the_best_constant(cls: SolverClass) -> None:
    case = scan_case()
    img = cls(TV, n_iterations=1000)(*case[1:4], 1e5)
    assert (img - img.mean()).abs().max() < 1e-3 * img.mean()
    slope = case.term.gradient(img.mean().expand(SHAPE), case.problem.rhs).sum()
    curvature = case.term.curvature(img, torch.ones(SHAPE).double()).sum()
    assert (slope / curvature).abs() < 1e-3 * img.mean()


@counting_solvers
def test_images_of_a_batch_are_independent(cls: SolverClass) -> None:
    """Each with its own number of photons."""
    n_photons = torch.tensor([100.0, 900.0]).double().reshape(2, 1, 1, 1, 1)
    case = scan_case((2, *SHAPE[1:]), n_photons=n_photons)
    together = cls(TV, n_iterations=50).solve(*case[1:])
    for i in range(2):
        op = case.term.acquisition_op
        term = PoissonCounts(op, n_photons=n_photons[i].item())
        alone = cls(TV, n_iterations=50).solve(
            case.data[i : i + 1], term, case.initial_image[i : i + 1], case.lambda_map[:, i : i + 1]
        )
        torch.testing.assert_close(together.img[i : i + 1], alone.img, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(together.objective[i : i + 1], alone.objective, rtol=1e-10, atol=0)


def gradients(cls: SolverClass, case: ScanCase, backward: Backward, n_iterations: int = 13) -> tuple[torch.Tensor, ...]:
    inputs = [x.clone().requires_grad_() for x in (case.data, case.initial_image, case.lambda_map)]
    img = cls(TV, n_iterations=n_iterations, backward=backward)(inputs[0], case.term, *inputs[1:])
    direction = RandomGenerator(5).randn_tensor(img.shape, torch.float64)
    return img.detach(), *torch.autograd.grad((direction * img).sum(), inputs, materialize_grads=True)


@counting_solvers
@pytest.mark.parametrize('backward', [backward for backward in BACKWARDS if backward is not FullBackward])
def test_all_ways_give_the_same_gradient(cls: SolverClass, backward: type[Backward]) -> None:
    """Where the clip and the constraint are active."""
    case = scan_case((2, *SHAPE[1:]))
    reference, found = (gradients(cls, case, way) for way in (FullBackward(), backward.exact(13)))
    assert bool((reference[0] == 0).any())
    for value, expected in zip(found, reference, strict=True):
        assert bool(expected.any())
        assert relative_image_difference(value, expected) < 1e-9


@counting_solvers
@pytest.mark.parametrize('backward', BACKWARDS)
def test_gradcheck(cls: SolverClass, backward: type[Backward]) -> None:
    case = scan_case(seed=2)
    solver = cls(TV, n_iterations=6, backward=backward.exact(6))

    def image(data: torch.Tensor, img: torch.Tensor, lambda_map: torch.Tensor) -> torch.Tensor:
        return solver(data, case.term, img, lambda_map)

    inputs = tuple(x.clone().requires_grad_() for x in (case.data, case.initial_image, case.lambda_map))
    assert torch.autograd.gradcheck(image, inputs, eps=1e-7, atol=1e-7, rtol=1e-4)


@counting_solvers
def test_implicit_gradient_is_that_of_many_iterations(cls: SolverClass) -> None:
    case = scan_case(seed=2)
    exact = gradients(cls, case, ActiveSetBackward(), 1000)
    implicit = gradients(cls, case, ImplicitBackward(1e-3, accuracy=1e-5), 1000)
    for index in (1, 3):
        assert relative_image_difference(implicit[index], exact[index]) < 1e-3


@counting_solvers
def test_truncation_keeps_the_image(cls: SolverClass) -> None:
    case = scan_case()
    full, truncated = gradients(cls, case, FullBackward()), gradients(cls, case, TruncatedBackward(5))
    assert relative_image_difference(truncated[0], full[0]) < 1e-13
    assert relative_image_difference(truncated[3], full[3]) > 1e-3


@counting_solvers
def test_step_in_place_is_the_plain_step(cls: SolverClass) -> None:
    case = scan_case((2, *SHAPE[1:]))
    iteration = cls(TV, n_iterations=1).iteration(case.problem)
    state, in_place = iteration.init(), iteration.owned(iteration.init())
    patterns = iteration.new_patterns(10)
    for index in range(10):
        state = iteration.step(state, index)
        iteration.step_(in_place, index, patterns[index])
        for plain, found in zip(state, in_place, strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)


def test_memory_of_the_reverse_pass() -> None:
    """The iterate, or the dual variable of the 56 samples, and a byte for four differences or pixels."""
    case = scan_case((1, 1, 1, 8, 8))
    shapes = [cls(TV, n_iterations=1).iteration(case.problem).new_patterns(3).shape for cls in SOLVERS]
    assert shapes == [(3, 64 * 8 + 2 * 64 // 4), (3, 56 * 8 + 3 * 64 // 4)]


@pytest.mark.parametrize(
    ('cls', 'options'),
    [
        (PD3O, {'primal_step': 1.0}),
        (PD3O, {'primal_step': 0.0}),
        (PD3O, {'dual_step': 1.1}),
        (PreconditionedPDHG, {'data_step': 0.0}),
        (PreconditionedPDHG, {'constraint_step': -1.0}),
        (PreconditionedPDHG, {'over_relaxation': 2.0}),
    ],
)
def test_steps_out_of_range(cls: SolverClass, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        cls(TV, n_iterations=1, **options)


def test_problem_of_counts_has_no_gram_operator() -> None:
    problem = Problem.create(*scan_case())
    with pytest.raises(ValueError, match='needs least squares, got PoissonCounts'):
        _ = problem.gram
