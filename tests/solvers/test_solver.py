"""The loop that all solvers share: when it stops, what it leaves alone, and what it refuses."""

import inspect
import math
import re
from typing import Any

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.operators.real_parts import real_parts, weights_of_parts
from mrpro_lambda.solvers import ADMM, FISTA, PDHG, Problem, Solver
from mrpro_lambda.solvers.certificate import certificate_of_state
from mrpro_lambda.solvers.Iteration import pack_signs, unpack_signs

from tests.helper import relative_image_difference
from tests.solvers.cases import (
    REFUSED,
    SOLVERS,
    TV,
    SolverClass,
    all_solvers,
    clipping_solvers,
    default_case,
    get_case,
    mask,
    solver_case_parameters,
)


def unpacked(pattern: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Unpack a pattern to the shape of real numbers."""
    memory = torch.full((*pattern.shape[:1], 4, *pattern.shape[1:]), torch.nan, dtype=like.dtype)
    return unpack_signs(pattern, like.shape, memory)


@pytest.mark.parametrize('shape', [(2, 3, 4), (3, 1), (1, 5), (2, 2, 7), (4, 9)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.complex128])
def test_signs_survive_packing(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Every sign comes back, whether or not four of them fill each byte; it takes a byte for four."""
    x = torch.zeros(shape, dtype=dtype)
    parts = real_parts(x)
    parts.copy_(torch.randint(-1, 2, parts.shape, generator=torch.Generator().manual_seed(1)))
    expected = parts.clone()
    parts.mul_(0.3)
    n_numbers = expected[0].numel()
    pattern = torch.empty(len(x), -(-n_numbers // 4), dtype=torch.uint8)
    pack_signs(x, pattern)
    assert torch.equal(unpacked(pattern, expected), expected)


@pytest.mark.parametrize('unusual', [False, True])
@solver_case_parameters()
def test_step_in_place_is_the_plain_step(cls: SolverClass, name: str, unusual: bool) -> None:
    """State by state, with and without a record of the activity."""
    case = get_case(name)
    options = cls.examples() if unusual else {}
    iteration = cls(case.regularizer, n_iterations=1, **options).iteration(case.problem)
    state = iteration.init()
    in_place, recorded = (iteration.owned(iteration.init()) for _ in range(2))
    tolerance = 2e-5 if case.single_precision else 1e-11
    active = False
    for index in range(16):
        state = iteration.step(state, index)
        iteration.step_(in_place, index)
        (pattern,) = iteration.new_patterns(1)
        iteration.step_(recorded, index, pattern)
        for field, expected, plain, with_record in zip(state._fields, state, in_place, recorded, strict=True):
            assert torch.equal(plain, with_record), field
            if expected.any():
                assert relative_image_difference(plain, expected) < tolerance, field
            else:  # no coefficients in the first steps from none, and a field that is not needed has no numbers
                assert not plain.any()
        dual = iteration.dual(in_place)
        signs = unpacked(pattern, real_parts(in_place.primal if dual is None else dual))
        if case.regularizer.dictionary_op is not None:  # what is not zero was shrunk
            assert torch.equal(signs, real_parts(in_place.primal).sign())
            active |= bool(signs.any())
        elif case.regularizer.elementwise:
            assert dual is not None
            bound = weights_of_parts(case.problem.threshold, dual)
            at_the_bound = torch.where(signs != 0, real_parts(dual) - signs * bound, 0)
            if getattr(iteration, 'over_relaxation', 1.0) == 1.0:  # which moves them away again
                torch.testing.assert_close(at_the_bound, torch.zeros_like(at_the_bound), rtol=0, atol=1e-6)
            active |= bool(signs.any())
    assert active or not case.regularizer.elementwise


@solver_case_parameters()
def test_same_input_gives_the_same_image_and_nothing_else_changes(cls: SolverClass, name: str) -> None:
    """Neither the global random number generator nor the inputs."""
    case = get_case(name)
    inputs = [case.data.clone(), case.initial_image.clone(), case.lambda_map.clone()]
    solver = cls(case.regularizer, n_iterations=7)
    state = torch.random.get_rng_state()
    first = solver(*case[1:])
    assert torch.equal(state, torch.random.get_rng_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        second = solver(*case[1:])
    # the NUFFT adds up in parallel, so that two calls differ by rounding
    assert torch.equal(second, first) if name != 'radial' else relative_image_difference(second, first) < 1e-5
    for tensor, before in zip((case.data, case.initial_image, case.lambda_map), inputs, strict=True):
        assert torch.equal(tensor, before)


@clipping_solvers
def test_fixed_number_of_iterations(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=23)
    solution = solver.solve(*case[1:])
    assert solution.n_iterations == 23
    assert solution.reason == 'fixed number of iterations'
    assert bool((solution.gap > 0).all())
    assert torch.equal(solution.img, solver(*case[1:]))
    iteration = solver.iteration(case.problem)
    state = iteration.init()
    for index in range(23):
        state = iteration.step(state, index)
    assert relative_image_difference(solution.img, case.problem.image(state.primal)) < 1e-12
    found = certificate_of_state(iteration, state, 'plain')
    torch.testing.assert_close(solution.objective, found.objective[..., 0, 0, 0, 0], rtol=1e-9, atol=0)
    assert bool((solution.gap <= (1 + 1e-9) * found.gap[..., 0, 0, 0, 0]).all())


@all_solvers
@pytest.mark.parametrize('tolerance', [1e-2, 1e-4, None])
def test_stop_at_tolerance(cls: SolverClass, tolerance: float | None) -> None:
    case = default_case(cls)
    solution = cls(case.regularizer, max_iterations=500, tolerance=tolerance).solve(*case[1:])
    assert solution.reason == 'tolerance reached'
    assert solution.relative_gap <= (tolerance or 1e-2)
    assert bool((solution.gap <= (tolerance or 1e-2) * solution.objective).all())
    checks = [1, 10]
    while checks[-1] < solution.n_iterations:
        checks.append(checks[-1] + max(10, checks[-1] // 10))
    assert checks[-1] == solution.n_iterations < 500


@clipping_solvers
def test_stop_at_the_maximum_number_of_iterations(cls: SolverClass) -> None:
    case = default_case(cls)
    solution = cls(case.regularizer, max_iterations=13, tolerance=1e-9).solve(*case[1:])
    assert solution.reason == 'maximum number of iterations'
    assert solution.n_iterations == 13
    assert solution.relative_gap > 1e-9


@all_solvers
def test_no_graph_without_a_wanted_gradient(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=3)
    lambda_map = case.lambda_map.clone().requires_grad_()
    assert solver(*case[1:4], lambda_map).requires_grad
    assert not solver(*case[1:]).requires_grad
    assert not solver.solve(*case[1:4], lambda_map).img.requires_grad
    with torch.no_grad():
        assert not solver(*case[1:4], lambda_map).requires_grad


@all_solvers
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'either n_iterations or max_iterations'),
        ({'n_iterations': 3, 'max_iterations': 3}, 'either n_iterations or max_iterations'),
        ({'n_iterations': 3, 'tolerance': 0.1}, 'fixed number of iterations has no tolerance'),
        ({'n_iterations': 0}, 'n_iterations must be an integer from 1 on, got 0'),
        ({'max_iterations': -1}, 'max_iterations must be an integer from 1 on, got -1'),
        ({'max_iterations': 3, 'tolerance': 0.0}, 'tolerance must be positive'),
        ({'max_iterations': 3, 'tolerance': -1.0}, 'tolerance must be positive'),
        ({'max_iterations': 3, 'tolerance': math.nan}, 'tolerance must be positive'),
    ],
)
def test_invalid_options(cls: SolverClass, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(default_case(cls).regularizer, **options)


@pytest.mark.parametrize(
    ('cls', 'name', 'values'),
    [
        (PDHG, 'step_ratio', (0.0, -1.0, math.nan, math.inf)),
        (PDHG, 'relaxation', (-0.1, 1.1, math.nan)),
        (ADMM, 'penalty_factor', (0.0, -1.0, math.nan, math.inf)),
        (ADMM, 'over_relaxation', (0.0, 2.0, math.nan)),
        (FISTA, 'momentum', (0.0, 2.0, math.nan, math.inf)),
    ],
)
def test_invalid_parameters(cls: SolverClass, name: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f'{name} must be'):
            cls(default_case(cls).regularizer, n_iterations=3, **{name: value})


@all_solvers
def test_each_own_parameter_has_an_example(cls: SolverClass) -> None:
    """Other than its default, so that the tests try it."""
    shared = set(inspect.signature(Solver).parameters)
    own = {name: p.default for name, p in inspect.signature(cls).parameters.items() if name not in shared}
    assert cls.examples().keys() == own.keys()
    assert all(cls.examples()[name] != default for name, default in own.items())


@pytest.mark.parametrize('n_coils', [1, 3])
@all_solvers
def test_data_of_another_shape_are_refused(cls: SolverClass, n_coils: int) -> None:
    """Those that broadcast, too: they would be another problem."""
    case = default_case(cls, n_coils)
    solver = cls(case.regularizer, n_iterations=3)
    shape = re.escape(str(tuple(case.data.shape)))
    for data in (
        case.data[0],
        case.data[..., :1],
        case.data.new_ones(()),
        *([case.data[:, :1]] if n_coils > 1 else []),
    ):
        for run in (solver, solver.solve):
            with pytest.raises(ValueError, match=f'{shape}|must have the axes|shape of A.H data'):
                run(data, *case[2:])


@pytest.mark.parametrize(
    ('cls', 'name', 'value'),
    # that of the constraint has no effect on problems without one, see `test_counts.py`
    [(cls, *option) for cls in SOLVERS for option in cls.examples().items() if option[0] != 'constraint_step'],
)
def test_parameters_change_the_way_and_not_the_minimizer(cls: SolverClass, name: str, value: float) -> None:
    case = default_case(cls)

    def solve(**options: float) -> torch.Tensor:
        return cls(case.regularizer, **options)(*case[1:])

    unusual = {name: value}
    assert relative_image_difference(solve(n_iterations=5, **unusual), solve(n_iterations=5)) > 1e-3
    exact = {'max_iterations': 5000, 'tolerance': 1e-8}
    assert relative_image_difference(solve(**exact, **unusual), solve(**exact)) < 1e-5


def with_value(tensor: torch.Tensor, value: float) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[-1] = value
    return tensor


@all_solvers
@pytest.mark.parametrize('bad', [math.nan, math.inf])
@pytest.mark.parametrize('name', ['data', 'initial_image'])
def test_numbers_that_are_not_finite_are_refused(cls: SolverClass, bad: float, name: str) -> None:
    """Also in one entry of a batch, where they would spoil the others through the norms."""
    case = default_case(cls)
    bad_one: Any = with_value(getattr(case, name), bad)
    case = case._replace(**{name: bad_one})
    solver = cls(case.regularizer, n_iterations=3)
    for call in (solver, solver.solve):
        with pytest.raises(ValueError, match=rf'{name} must be finite, got 1 NaN or Inf in shape \(2, '):
            call(*case[1:])


@all_solvers
def test_invalid_problems(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, n_iterations=3)
    with pytest.raises(ValueError, match='data must not be all zero'):
        solver(torch.zeros_like(case.data), *case[2:])
    with pytest.raises(ValueError, match=r'initial_image must have the shape of A\^H data'):
        solver(*case[1:3], case.initial_image[:1], case.lambda_map[:, :1])
    with pytest.raises(ValueError, match='Each axis of the Lambda map'):
        solver(*case[1:4], case.lambda_map[..., :2])
    with pytest.raises(ValueError, match='non-negative'):
        solver(*case[1:4], with_value(case.lambda_map, -0.1))


def test_admm_refuses_the_zero_boundary_and_names_pdhg() -> None:
    assert (ADMM, 'zero') in REFUSED
    case = get_case('zero')
    with pytest.raises(ValueError, match='use PDHG'):
        ADMM(case.regularizer, n_iterations=3)(*case[1:])


@pytest.mark.parametrize('name', ['single coil', 'three coils', 'dynamic', 'isotropic complex modulus'])
def test_fista_refuses_regularizers_of_the_image_and_names_other_solvers(name: str) -> None:
    assert (FISTA, name) in REFUSED
    with pytest.raises(ValueError, match='of a dictionary, got TotalVariation of an image: use ADMM or PDHG'):
        FISTA(get_case(name).regularizer, n_iterations=3)


def test_admm_refuses_data_without_the_zero_frequency_and_names_pdhg() -> None:
    """Its system matrix has no inverse then."""
    case = get_case('single coil')
    hole = mask((1, 1, 1, 8, 7))
    hole[..., 4, 3] = 0
    acquisition_op = CartesianAcquisitionOp(hole)
    arguments = (case.data, acquisition_op, acquisition_op.adjoint(case.data)[0], case.lambda_map)
    with pytest.raises(ValueError, match='use PDHG'):
        ADMM(TV, n_iterations=3)(*arguments)
    assert bool(PDHG(TV, n_iterations=3)(*arguments).isfinite().all())


def test_problem_requires_grad() -> None:
    case = get_case('single coil')
    assert not case.problem.requires_grad
    for name in ('data', 'initial_image', 'lambda_map'):
        wanted = case._replace(**{name: getattr(case, name).clone().requires_grad_()})
        assert Problem.create(*wanted).requires_grad
        with torch.no_grad():
            assert not Problem.create(*wanted).requires_grad


@all_solvers
def test_progress_bar_changes_nothing(cls: SolverClass, capsys: pytest.CaptureFixture[str]) -> None:
    case = default_case(cls, 1)
    solver = cls(case.regularizer, max_iterations=30, tolerance=1e-9)
    silent = solver.solve(*case[1:])
    assert capsys.readouterr().err == ''
    shown = solver.solve(*case[1:], progress=True)
    assert 'Iterations' in capsys.readouterr().err
    assert torch.equal(shown.img, silent.img)


@pytest.mark.cuda
@solver_case_parameters('single coil', 'three coils', 'dynamic', 'radial', 'dictionary, three coils')
def test_cuda(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    solver = cls(case.regularizer, n_iterations=10)
    expected = solver(*case[1:])
    tensors = case.data.cuda(), case.acquisition_op.cuda(), case.initial_image.cuda(), case.lambda_map.cuda()
    img = solver.cuda()(*tensors)
    case.acquisition_op.cpu()
    assert img.is_cuda
    assert relative_image_difference(img.cpu(), expected) < (1e-4 if case.single_precision else 1e-10)


def test_complex_filters_need_complex_images() -> None:
    case = get_case('dictionary, complex filters')
    img = case.initial_image.real
    with pytest.raises(ValueError, match=r'Complex filters need complex images, got .*float64, shape \(3, '):
        Problem.create(case.regularizer, img, IdentityOp(), img, 0.1)
