"""Every way to differentiate a solver gives the derivative of the same image."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, Regularizer, TotalVariation
from mrpro_lambda.solvers import (
    ADMM,
    FISTA,
    ActiveSetBackward,
    Backward,
    CheckpointedBackward,
    FullBackward,
    ImplicitBackward,
    PreconditionedPDHG,
    TruncatedBackward,
)

from tests.helper import relative_image_difference
from tests.solvers.cases import (
    BACKWARDS,
    DICTIONARY,
    REFUSED,
    SOLVERS,
    TV,
    Case,
    SolverClass,
    all_solvers,
    default_case,
    get_case,
    mask,
    solver_case_parameters,
)

OTHERS: list[type[Backward]] = [backward for backward in BACKWARDS if backward is not FullBackward]


class Gradients(NamedTuple):
    """Image and derivatives of a linear functional of it."""

    img: torch.Tensor
    lambda_map: torch.Tensor
    data: torch.Tensor
    initial_image: torch.Tensor


def gradients(cls: SolverClass, case: Case, backward: Backward, **options: float) -> Gradients:
    solver = cls(case.regularizer, n_iterations=13, backward=backward, **options)
    data, img, lambda_map = (x.detach().clone().requires_grad_() for x in (case.data, *case[3:]))
    output = solver(data, case.acquisition_op, img, lambda_map)
    direction = RandomGenerator(5).randn_tensor(output.shape, output.dtype)
    loss = (direction.conj() * output).real.sum()
    return Gradients(output.detach(), *torch.autograd.grad(loss, (lambda_map, data, img), materialize_grads=True))


@cache
def full_gradients(cls: SolverClass, name: str) -> Gradients:
    """Gradients of autograd, once for all ways to differentiate."""
    return gradients(cls, get_case(name), FullBackward())


def assert_close(value: torch.Tensor, expected: torch.Tensor, field: str, tolerance: float = 1e-9) -> None:
    """Compare images or derivatives. The exact ADMM does not depend on the initial image."""
    if field == 'initial_image' and not expected.any():
        assert not value.any()
    else:
        assert relative_image_difference(value, expected) < tolerance, field


@pytest.mark.parametrize('backward', OTHERS)
@solver_case_parameters()
def test_all_ways_give_the_same_gradient(cls: SolverClass, name: str, backward: type[Backward]) -> None:
    case = get_case(name)
    if backward is ActiveSetBackward and not case.regularizer.elementwise:
        pytest.skip('refused')
    found = gradients(cls, case, backward.exact(13))
    for field, expected, value in zip(Gradients._fields, full_gradients(cls, name), found, strict=True):
        assert_close(value, expected, field, 1e-4 if case.single_precision else 1e-9)


@pytest.mark.parametrize('backward', OTHERS)
@all_solvers
def test_gradient_with_other_parameters(cls: SolverClass, backward: type[Backward]) -> None:
    case = default_case(cls, 1)
    if backward is ActiveSetBackward and not case.regularizer.elementwise:
        pytest.skip('refused')
    reference = gradients(cls, case, FullBackward(), **cls.examples())
    found = gradients(cls, case, backward.exact(13), **cls.examples())
    for field, expected, value in zip(Gradients._fields, reference, found, strict=True):
        assert_close(value, expected, field)


@pytest.mark.parametrize('backward', BACKWARDS)
@all_solvers
def test_image_with_and_without_gradient_is_the_same(cls: SolverClass, backward: type[Backward]) -> None:
    case = default_case(cls)
    if backward is ActiveSetBackward and not case.regularizer.elementwise:
        pytest.skip('refused')
    solver = cls(case.regularizer, n_iterations=13, backward=backward.exact(13))
    img = gradients(cls, case, backward.exact(13)).img
    assert relative_image_difference(solver(*case[1:]), img) < 1e-13


@pytest.mark.parametrize('n_segments', [1, 2, 5, 13, 20])
@solver_case_parameters('isotropic complex modulus', 'dictionary, single coil')
def test_number_of_segments_does_not_matter(cls: SolverClass, name: str, n_segments: int) -> None:
    found = gradients(cls, get_case(name), CheckpointedBackward(n_segments))
    for expected, value in zip(full_gradients(cls, name), found, strict=True):
        assert torch.equal(value, expected)


@all_solvers
def test_truncation_is_a_gradient_of_the_last_iterations(cls: SolverClass) -> None:
    """With all iterations it is exact; with fewer it is biased, and the image stays the same."""
    case = default_case(cls)
    reference = gradients(cls, case, FullBackward())
    for n_iterations in (13, 14, 100):
        exact = gradients(cls, case, TruncatedBackward(n_iterations))
        for expected, value in zip(reference, exact, strict=True):
            assert torch.equal(value, expected)
    truncated = gradients(cls, case, TruncatedBackward(4))
    assert relative_image_difference(truncated.img, reference.img) < 1e-13
    assert relative_image_difference(truncated.lambda_map, reference.lambda_map) > 1e-2
    # the smooth part of a dictionary depends on it also at the end
    assert bool(truncated.initial_image.any()) == (case.regularizer.synthesis_op is not None)


@solver_case_parameters('dynamic', 'dictionary, single coil')
def test_gradient_of_a_map_that_broadcasts_is_the_sum(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    solver = cls(case.regularizer, n_iterations=13)
    weights = torch.tensor([0.05, 0.1], dtype=torch.float64, requires_grad=True)
    full = weights.detach().reshape(2, *(1,) * 5).expand(2, *case.initial_image.shape).clone().requires_grad_()
    losses = [solver(*case[1:4], x).abs().square().sum() for x in (weights, full)]
    (gradient,) = torch.autograd.grad(losses[0], weights)
    (each,) = torch.autograd.grad(losses[1], full)
    torch.testing.assert_close(gradient, each.flatten(1).sum(1), rtol=1e-10, atol=0)


@pytest.fixture
def fixed_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Penalties depend on the map and are not differentiated, as the minimizer does not depend on them."""
    for cls in (ADMM, PreconditionedPDHG):
        module = importlib.import_module(cls.__module__)
        monkeypatch.setattr(module, 'dual_to_primal_ratio', lambda *_: torch.full((1,) * 5, 0.3, dtype=torch.float64))


TV_IN_TIME = TotalVariation((-5, -2, -1))
tiny_problems = pytest.mark.parametrize(
    ('cls', 'regularizer'),
    [
        (cls, regularizer)
        for regularizer, name in ((TV_IN_TIME, 'dynamic'), (DICTIONARY, 'dictionary, single coil'))
        for cls in SOLVERS
        if (cls, name) not in REFUSED
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)


def tiny_case(regularizer: Regularizer, dtype: torch.dtype) -> Case:
    """Two frames of 3 x 4 pixels with generic values: no coefficient is at the edge of its bound."""
    rng = RandomGenerator(11)
    shape = (2, 1, 1, 3, 4)
    acquisition_op = CartesianAcquisitionOp(mask(shape)) if dtype.is_complex else IdentityOp()
    (data,) = acquisition_op(rng.randn_tensor(shape, dtype))
    img = rng.randn_tensor(shape, dtype)
    low, high = (0.05, 0.3) if regularizer.synthesis_op is None else (0.6, 0.9)
    return Case(regularizer, data, acquisition_op, img, rng.float64_tensor((2, *shape), low, high))


def assert_gradient_of_finite_differences(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    """Compare along random directions of all inputs and outputs at once, and closely: the image is nearly affine."""
    wanted = tuple(x.clone().requires_grad_() for x in inputs)
    assert torch.autograd.gradcheck(function, wanted, fast_mode=True, atol=1e-8, rtol=1e-5)


@pytest.mark.usefixtures('fixed_penalty')
@pytest.mark.parametrize('backward', BACKWARDS)
@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
@tiny_problems
def test_gradcheck(cls: SolverClass, regularizer: Regularizer, dtype: torch.dtype, backward: type[Backward]) -> None:
    """The gradient with respect to the map is that of finite differences."""
    case = tiny_case(regularizer, dtype)
    solver = cls(case.regularizer, n_iterations=6, backward=backward.exact(6))

    def image(lambda_map: torch.Tensor) -> torch.Tensor:
        return solver(*case[1:4], lambda_map)

    assert_gradient_of_finite_differences(image, case.lambda_map)


@pytest.mark.usefixtures('fixed_penalty')
@tiny_problems
def test_gradcheck_of_data_and_initial_image(cls: SolverClass, regularizer: Regularizer) -> None:
    case = tiny_case(regularizer, torch.float64)
    solver = cls(case.regularizer, n_iterations=4, backward=ActiveSetBackward())

    def image(data: torch.Tensor, initial_image: torch.Tensor) -> torch.Tensor:
        return solver(data, case.acquisition_op, initial_image, case.lambda_map)

    assert_gradient_of_finite_differences(image, case.data, case.initial_image)


@pytest.mark.usefixtures('fixed_penalty')
@solver_case_parameters('isotropic complex modulus')
def test_gradcheck_of_a_grouped_norm(cls: SolverClass, name: str) -> None:
    case = tiny_case(TotalVariation((-5, -2, -1), isotropic=True), torch.float64)
    solver = cls(case.regularizer, n_iterations=6)

    def image(lambda_map: torch.Tensor) -> torch.Tensor:
        return solver(*case[1:4], lambda_map)

    assert_gradient_of_finite_differences(image, case.lambda_map)


@tiny_problems
def test_gradient_after_many_iterations_is_that_of_the_minimizer(cls: SolverClass, regularizer: Regularizer) -> None:
    """Also without a fixed penalty."""
    case = tiny_case(regularizer, torch.float64)
    solver = cls(case.regularizer, n_iterations=800)
    exact = cls(case.regularizer, max_iterations=4000, tolerance=1e-13)
    lambda_map = case.lambda_map.clone().requires_grad_()
    rng = RandomGenerator(3)
    weight, direction = (
        rng.randn_tensor(case[3].shape, torch.float64),
        rng.randn_tensor(lambda_map.shape, torch.float64),
    )
    (gradient,) = torch.autograd.grad((weight * solver(*case[1:4], lambda_map)).sum(), lambda_map)

    def loss(step: float) -> torch.Tensor:
        return (weight * exact(*case[1:4], case.lambda_map + step * direction)).sum()

    finite_difference = (loss(1e-4) - loss(-1e-4)) / 2e-4
    torch.testing.assert_close((gradient * direction).sum(), finite_difference, rtol=1e-5, atol=0)


@tiny_problems
def test_active_set_backward_can_not_be_differentiated_twice(cls: SolverClass, regularizer: Regularizer) -> None:
    case = tiny_case(regularizer, torch.float64)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, n_iterations=3, backward=ActiveSetBackward())
    loss = solver(*case[1:4], lambda_map).square().sum()
    (gradient,) = torch.autograd.grad(loss, lambda_map, create_graph=True)
    with pytest.raises(RuntimeError, match='differentiate twice'):
        gradient.sum().backward()


@tiny_problems
def test_full_backward_can_be_differentiated_twice(cls: SolverClass, regularizer: Regularizer) -> None:
    case = tiny_case(regularizer, torch.float64)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, n_iterations=8, backward=FullBackward())
    loss = solver(*case[1:4], lambda_map).square().sum()
    (gradient,) = torch.autograd.grad(loss, lambda_map, create_graph=True)
    gradient.square().sum().backward()
    assert lambda_map.grad is not None
    assert bool(lambda_map.grad.any())


@pytest.mark.parametrize('options', [{'isotropic': True}, {'complex_modulus': True}])
@solver_case_parameters('single coil')
def test_active_set_backward_refuses_grouped_norms(cls: SolverClass, name: str, options: dict[str, Any]) -> None:
    case = get_case(name)
    regularizer = TotalVariation((-2, -1), **options)
    solver = cls(regularizer, n_iterations=3, backward=ActiveSetBackward())
    with pytest.raises(ValueError, match='use CheckpointedBackward'):
        solver(*case[1:4], case.lambda_map.clone().requires_grad_())
    # the default of the solver suits the regularizer
    assert isinstance(cls(regularizer, n_iterations=3).backward, CheckpointedBackward)
    assert isinstance(cls(TV, n_iterations=3).backward, ActiveSetBackward)


@pytest.mark.parametrize('name', ['data', 'initial_image', 'lambda_map'])
@all_solvers
def test_solve_to_a_tolerance_has_no_gradient(cls: SolverClass, name: str) -> None:
    case = default_case(cls, 1)
    case = case._replace(**{name: getattr(case, name).clone().requires_grad_()})
    with pytest.raises(ValueError, match='needs ImplicitBackward for a gradient; or use n_iterations'):
        cls(case.regularizer, max_iterations=3)(*case[1:])


@pytest.mark.parametrize('backward', [ActiveSetBackward(), ImplicitBackward(1e9)])
@pytest.mark.parametrize('what', ['filters', 'csm'])
def test_operators_that_require_a_gradient(backward: Backward, what: str) -> None:
    """They are refused where they would get none, and get that of autograd otherwise."""
    case = get_case('dictionary, three coils')
    acquisition_op, regularizer = case.acquisition_op, case.regularizer
    assert isinstance(acquisition_op, CartesianAcquisitionOp)
    assert acquisition_op.csm is not None
    assert isinstance(regularizer, DictionarySparsity)
    tensor = (regularizer.synthesis_op.filters if what == 'filters' else acquisition_op.csm).clone().requires_grad_()
    if what == 'filters':
        regularizer = DictionarySparsity(tensor, boundary='zero')
    else:
        acquisition_op = CartesianAcquisitionOp(acquisition_op.mask, tensor)

    def gradient(backward: Backward) -> torch.Tensor:
        solver = FISTA(regularizer, n_iterations=10, backward=backward)
        img = solver(case.data, acquisition_op, case.initial_image, case.lambda_map)
        return torch.autograd.grad(img.abs().square().sum(), tensor)[0]

    with pytest.raises(ValueError, match='gives no gradient with respect to filters, coil sensitivities'):
        gradient(backward)
    expected = gradient(FullBackward())
    assert bool(expected.any())
    torch.testing.assert_close(gradient(CheckpointedBackward(3)), expected)


@pytest.mark.parametrize('number', [0, -1])
def test_invalid_numbers(number: int) -> None:
    with pytest.raises(ValueError, match='number of iterations with gradient must be an integer from 1 on'):
        TruncatedBackward(number)
    with pytest.raises(ValueError, match='number of segments must be an integer from 1 on'):
        CheckpointedBackward(number)


@pytest.mark.cuda
@pytest.mark.parametrize('backward', BACKWARDS)
@all_solvers
def test_cuda(cls: SolverClass, backward: type[Backward]) -> None:
    case = default_case(cls)
    if backward is ActiveSetBackward and not case.regularizer.elementwise:
        pytest.skip('refused')
    expected = gradients(cls, case, FullBackward())
    on_gpu = Case(
        case.regularizer,
        case.data.cuda(),
        case.acquisition_op.cuda(),
        case.initial_image.cuda(),
        case.lambda_map.cuda(),
    )
    found = gradients(cls, on_gpu, backward.exact(13))
    case.acquisition_op.cpu()
    for value, reference in zip(found, expected, strict=True):
        assert value.is_cuda
        assert torch.linalg.vector_norm(value.cpu() - reference) <= 1e-9 * torch.linalg.vector_norm(reference)
