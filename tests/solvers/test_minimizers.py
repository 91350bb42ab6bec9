"""All solvers reach the same minimizer, and the certificate tells how far they are from it."""

import math

import numpy as np
import pytest
import torch
from mrpro.operators import ConvSynthesisDictionaryOp, IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation
from mrpro_lambda.solvers.certificate import certificate, certificate_of_state
from mrpro_lambda.solvers.lower_bound import DualPair
from scipy.optimize import lsq_linear

from tests.helper import relative_image_difference
from tests.regularizers.test_total_variation import total_variation
from tests.solvers.cases import (
    REFUSED,
    SOLVERS,
    TV,
    Case,
    SolverClass,
    all_solvers,
    default_case,
    get_case,
    minimizer,
    solve_exactly,
    solve_once,
    solver_case_parameters,
)


def image_and_objective(case: Case, unknown: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Evaluate the definitions."""
    regularizer, lambda_map = case.regularizer, case.lambda_map.expand(-1, *case.initial_image.shape)
    if isinstance(regularizer, TotalVariation):
        img, regularization = unknown, total_variation(regularizer, unknown, lambda_map)
    elif isinstance(regularizer, DictionarySparsity):
        boundary = {'circular': 'circular', 'zero': 'constant'}[regularizer.synthesis_op.boundary]
        dictionary_op = ConvSynthesisDictionaryOp(regularizer.synthesis_op.filters, boundary)  # type: ignore[arg-type]
        (img,) = dictionary_op(unknown)
        img = img + regularizer.low_pass_op(case.initial_image)[0]
        parts = torch.view_as_real(unknown) if unknown.is_complex() else unknown.unsqueeze(-1)
        regularization = float((lambda_map.unsqueeze(-1) * parts.abs()).sum())
    else:  # the tests of the regularizer have its definition
        problem = case.problem
        img = problem.image(unknown)
        regularization = float(regularizer.value(regularizer.transform(unknown), problem.threshold))
    residual = case.acquisition_op(img)[0] - case.data
    return img, 0.5 * float(residual.abs().square().sum()) + regularization


@solver_case_parameters()
def test_minimizer(cls: SolverClass, name: str) -> None:
    """The certificate is met, the objective is that of the definition and no point around is lower."""
    case, solution, unknown = get_case(name), solve_exactly(cls, name), minimizer(cls, name)
    assert solution.reason == 'tolerance reached'
    assert solution.relative_gap <= case.tolerance
    assert solution.img.shape == case.initial_image.shape
    assert solution.img.dtype == case.initial_image.dtype
    precision = 1e-5 if case.single_precision else 1e-10
    img, value = image_and_objective(case, unknown)
    assert relative_image_difference(solution.img, img) < precision
    assert solution.objective.sum().item() == pytest.approx(value, rel=precision)
    rng = RandomGenerator(0)
    problem = case.problem
    dual = case.regularizer.transform(torch.zeros_like(unknown))
    lowest = (solution.objective - solution.gap).sum()
    for distance in (1e-3, 1e-2, 0.1, 1.0):
        direction = rng.randn_tensor(unknown.shape, unknown.dtype)
        assert certificate(problem, unknown + distance * direction, dual, bound='trivial').objective.sum() > lowest


@solver_case_parameters()
def test_all_solvers_reach_the_same_minimizer(cls: SolverClass, name: str) -> None:
    reference, solution = solve_once(name), solve_exactly(cls, name)
    gap = solution.gap.maximum(reference.gap)
    assert bool(((solution.objective - reference.objective).abs() <= gap).all())
    tolerance = 1e-6 if get_case(name).tolerance < 1e-8 else 1e-3
    assert relative_image_difference(solution.img, reference.img) < tolerance


@solver_case_parameters('single coil', 'neumann', 'zero')
def test_denoising_is_a_bounded_least_squares_problem(cls: SolverClass, name: str) -> None:
    r"""By duality the image is :math:`y - K^T q` with :math:`\min \|y - K^T q\|_2^2`, :math:`|q| \le \Lambda`.

    The solver of SciPy shares no code with ours.
    """
    regularizer = get_case(name).regularizer
    rng = RandomGenerator(0)
    shape = (1, 1, 1, 4, 5)
    data = rng.randn_tensor(shape, torch.float64)
    lambda_map = rng.float64_tensor((1, *shape), 0.1, 0.5)
    basis = torch.eye(20, dtype=torch.float64)
    matrix = torch.stack([regularizer.transform(column.reshape(shape)).flatten() for column in basis], -1)
    bound = regularizer.expand(lambda_map, data).flatten().numpy()
    dual = lsq_linear(matrix.T.numpy(), data.flatten().numpy(), (-bound, bound), tol=1e-14, method='bvls').x
    expected = data - torch.from_numpy(matrix.T.numpy() @ np.asarray(dual)).reshape(shape)
    solver = cls(regularizer, max_iterations=5000, tolerance=1e-13)
    torch.testing.assert_close(solver(data, IdentityOp(), data, lambda_map), expected, rtol=0, atol=1e-6)


@solver_case_parameters()
def test_gap_is_an_upper_bound_and_vanishes(cls: SolverClass, name: str) -> None:
    """From the first iterate on, with the lower bound as it is."""
    case = get_case(name)
    smallest = min(solve_exactly(s, name).objective.sum() for s in SOLVERS if (s, name) not in REFUSED)
    rounding = 3e-6 if case.single_precision else 1e-13
    iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
    state = iteration.owned(iteration.init())
    gaps, done = [], 0
    tolerance = max(case.tolerance, 1e-5)
    for until in (*range(1, 11), 15, 20, 30, 50, 70, 100, 140, 200, 300, 400, 600, 900, 1300, 1900):
        iteration.run(state, done, until - done)
        done = until
        found = certificate_of_state(iteration, state, 'plain')
        assert found.gap.sum() >= found.objective.sum() - smallest - rounding * smallest
        gaps.append(found.gap.sum() / smallest)
        if gaps[-1] < tolerance:
            break
    if 'Tikhonov' not in name:  # that is exact after a few steps
        assert gaps[9] > 1e-4
    assert gaps[-1] < tolerance


@solver_case_parameters()
def test_dual_is_feasible(cls: SolverClass, name: str) -> None:
    """The certificate holds for feasible duals only: those that the projection does not change."""
    case = get_case(name)
    problem = case.problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.owned(iteration.init())
    for index in range(5):
        iteration.step_(state, index)
        dual = iteration.dual(state)
        if dual is None:
            dual = DualPair.create(problem, problem.forward(state.primal) - problem.data, None).regularizer
        torch.testing.assert_close(case.regularizer.project(dual, problem.threshold), dual, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('cls', [cls for cls in SOLVERS if (cls, 'dictionary, real denoising') not in REFUSED])
def test_denoising_with_a_single_point_as_filter_is_soft_thresholding(cls: SolverClass) -> None:
    """The smooth part stays. It is that of the quadratic problem with the matrix of the gradient."""
    regularizer = DictionarySparsity(torch.ones(1, 1, 1, dtype=torch.float64), beta=0.7)
    rng = RandomGenerator(0)
    shape = (1, 1, 1, 4, 5)
    data, initial_image = rng.randn_tensor(shape, torch.float64), rng.randn_tensor(shape, torch.float64)
    lambda_map = rng.float64_tensor((1, *shape), 0.1, 0.8)
    basis = torch.eye(20, dtype=torch.float64)
    matrix = torch.stack([TV.transform(column.reshape(shape)).flatten() for column in basis], -1)
    smooth = torch.linalg.solve(basis + 0.7 * matrix.T @ matrix, initial_image.flatten()).reshape(shape)
    expected = smooth + torch.nn.functional.relu((data - smooth).abs() - lambda_map[0]) * (data - smooth).sign()
    assert 0.2 < float((expected == smooth).double().mean()) < 0.8
    solver = cls(regularizer, max_iterations=5000, tolerance=1e-13)
    torch.testing.assert_close(solver(data, IdentityOp(), initial_image, lambda_map), expected, rtol=0, atol=1e-6)


@all_solvers
def test_without_regularization_the_data_are_inverted(cls: SolverClass) -> None:
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, 8, 7, dtype=torch.float64))
    case = default_case(cls, 1)
    img = case.initial_image
    (data,) = acquisition_op(img)
    solver = cls(case.regularizer, n_iterations=300 if case.regularizer.synthesis_op is None else 3000)
    assert relative_image_difference(solver(data, acquisition_op, torch.ones_like(img), 0.0), img) < 1e-10


@solver_case_parameters('real denoising', 'dictionary, real denoising')
def test_large_weights_give_the_mean_or_the_smooth_part(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    solver = cls(case.regularizer, max_iterations=5000, tolerance=1e-12)
    img = solver(case.data, case.acquisition_op, case.initial_image, 10.0)
    smooth = case.regularizer.offset(case.initial_image)
    expected = case.data.mean().expand_as(img) if smooth is None else smooth
    torch.testing.assert_close(img, expected, rtol=0, atol=1e-8)


@solver_case_parameters('single coil', 'three coils', 'isotropic complex modulus', 'radial', 'dictionary, three coils')
@pytest.mark.parametrize('scale', [1e-6, 3.7, 1e6])
def test_scale_equivariance(cls: SolverClass, name: str, scale: float) -> None:
    case = get_case(name)
    solver = cls(case.regularizer, n_iterations=20)
    data, img, lambda_map = case.data.to(torch.complex64), case.initial_image.to(torch.complex64), case.lambda_map
    expected = scale * solver(data, case.acquisition_op, img, lambda_map)
    scaled = solver(scale * data, case.acquisition_op, scale * img, scale * lambda_map)
    assert relative_image_difference(scaled, expected) < 1e-5


@solver_case_parameters('isotropic complex modulus')
def test_complex_modulus_is_equivariant_to_a_global_phase(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    solver = cls(case.regularizer, n_iterations=20)
    phase = complex(math.cos(0.7), math.sin(0.7))
    rotated = solver(phase * case.data, case.acquisition_op, phase * case.initial_image, case.lambda_map)
    expected = phase * solver(case.data, case.acquisition_op, case.initial_image, case.lambda_map)
    assert relative_image_difference(rotated, expected) < 1e-12


@all_solvers
@pytest.mark.parametrize('coils', ['normalized', 'of different size', 'none'])
def test_batch_entries_do_not_influence_each_other(cls: SolverClass, coils: str) -> None:
    """Each entry gives, on its own, the same image after any number of steps."""
    case = default_case(cls)
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    mask, csm = case.acquisition_op.mask, case.acquisition_op.csm
    data = case.data[:, :1] if coils == 'none' else case.data
    assert csm is not None
    if coils == 'of different size':
        csm = csm * torch.tensor([1.0, 3.0], dtype=torch.float64).reshape(2, 1, 1, 1, 1)
    factor = torch.tensor([1.0, 100.0], dtype=torch.float64).reshape(2, 1, 1, 1, 1)  # entries of different intensity

    def image(entries: slice) -> torch.Tensor:
        acquisition_op = CartesianAcquisitionOp(mask[entries], None if coils == 'none' else csm[entries])
        selected = (factor * data)[entries]
        (initial_image,) = acquisition_op.adjoint(selected)
        solver = cls(case.regularizer, n_iterations=15)
        return solver(selected, acquisition_op, initial_image, (factor * case.lambda_map)[:, entries])

    alone = torch.cat([image(slice(0, 1)), image(slice(1, 2))])
    together = image(slice(None))
    for i in range(2):
        assert relative_image_difference(together[i], alone[i]) < 1e-10


@all_solvers
def test_map_of_one_image_is_that_of_all_if_it_broadcasts(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=15)
    one = case.lambda_map[:, :1]
    img = solver(*case[1:4], one)
    assert relative_image_difference(img, solver(*case[1:4], one.expand_as(case.lambda_map))) < 1e-13
