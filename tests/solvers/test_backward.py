"""Every way to differentiate a solver gives the derivative of the same image."""

import importlib
from typing import Any, NamedTuple

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import (
    ADMM,
    ActiveSetBackward,
    Backward,
    CheckpointedBackward,
    FullBackward,
    TruncatedBackward,
)

from tests.helper import relative_image_difference
from tests.solvers.cases import (
    BACKWARDS,
    TV,
    UNUSUAL_OPTIONS,
    Case,
    SolverClass,
    all_solvers,
    exact_backward,
    get_case,
    mask,
    solver_case_parameters,
)


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


@pytest.mark.parametrize('backward', BACKWARDS)
@solver_case_parameters()
def test_all_ways_give_the_same_gradient(cls: SolverClass, name: str, backward: type[Backward]) -> None:
    case = get_case(name)
    if backward is ActiveSetBackward and not case.regularizer.elementwise:
        pytest.skip('refused')
    reference = gradients(cls, case, FullBackward())
    found = gradients(cls, case, exact_backward(backward, 13))
    tolerance = 1e-4 if case.single_precision else 1e-9
    for field, expected, value in zip(Gradients._fields, reference, found, strict=True):
        if field == 'initial_image' and not expected.any():
            assert not value.any()  # the exact ADMM does not depend on it
        else:
            assert relative_image_difference(value, expected) < tolerance, field


@pytest.mark.parametrize('backward', BACKWARDS)
@all_solvers
def test_gradient_with_other_parameters(cls: SolverClass, backward: type[Backward]) -> None:
    case = get_case('dynamic')
    reference = gradients(cls, case, FullBackward(), **UNUSUAL_OPTIONS[cls])
    found = gradients(cls, case, exact_backward(backward, 13), **UNUSUAL_OPTIONS[cls])
    for field, expected, value in zip(Gradients._fields, reference, found, strict=True):
        assert relative_image_difference(value, expected) < 1e-9, field


@pytest.mark.parametrize('backward', BACKWARDS)
@all_solvers
def test_image_with_and_without_gradient_is_the_same(cls: SolverClass, backward: type[Backward]) -> None:
    case = get_case('three coils')
    solver = cls(case.regularizer, n_iterations=13, backward=exact_backward(backward, 13))
    img = gradients(cls, case, exact_backward(backward, 13)).img
    assert relative_image_difference(solver(*case[1:]), img) < 1e-13


@pytest.mark.parametrize('n_segments', [1, 2, 5, 13, 20])
@all_solvers
def test_number_of_segments_does_not_matter(cls: SolverClass, n_segments: int) -> None:
    case = get_case('isotropic complex modulus')
    reference = gradients(cls, case, FullBackward())
    for expected, value in zip(reference, gradients(cls, case, CheckpointedBackward(n_segments)), strict=True):
        assert torch.equal(value, expected)


@all_solvers
def test_truncation_is_a_gradient_of_the_last_iterations(cls: SolverClass) -> None:
    """With all iterations it is exact; with fewer it is biased, and the image stays the same."""
    case = get_case('three coils')
    reference = gradients(cls, case, FullBackward())
    for n_iterations in (13, 14, 100):
        exact = gradients(cls, case, TruncatedBackward(n_iterations))
        for expected, value in zip(reference, exact, strict=True):
            assert torch.equal(value, expected)
    truncated = gradients(cls, case, TruncatedBackward(4))
    assert relative_image_difference(truncated.img, reference.img) < 1e-13
    assert relative_image_difference(truncated.lambda_map, reference.lambda_map) > 1e-2
    assert not truncated.initial_image.any()


@all_solvers
def test_gradient_of_a_map_that_broadcasts_is_the_sum(cls: SolverClass) -> None:
    case = get_case('dynamic')
    solver = cls(case.regularizer, n_iterations=13)
    weights = torch.tensor([0.05, 0.1], dtype=torch.float64, requires_grad=True)
    full = weights.detach().reshape(2, *(1,) * 5).expand(2, *case.initial_image.shape).clone().requires_grad_()
    losses = [solver(*case[1:4], x).abs().square().sum() for x in (weights, full)]
    (gradient,) = torch.autograd.grad(losses[0], weights)
    (each,) = torch.autograd.grad(losses[1], full)
    torch.testing.assert_close(gradient, each.flatten(1).sum(1), rtol=1e-10, atol=0)


@pytest.fixture
def fixed_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    """ADMM's penalty depends on the map and is not differentiated, as the minimizer does not depend on it."""
    module = importlib.import_module(ADMM.__module__)
    monkeypatch.setattr(module, '_dual_to_primal_ratio', lambda *_: torch.full((1,) * 5, 0.3, dtype=torch.float64))


def tiny_case(dtype: torch.dtype, *, isotropic: bool = False) -> Case:
    """Two frames of 3 x 4 pixels with generic values: no coefficient is at the edge of its bound."""
    rng = RandomGenerator(11)
    shape = (2, 1, 1, 3, 4)
    regularizer = TotalVariation((-5, -2, -1), isotropic=isotropic)
    acquisition_op = CartesianAcquisitionOp(mask(shape)) if dtype.is_complex else IdentityOp()
    (data,) = acquisition_op(rng.randn_tensor(shape, dtype))
    img = rng.randn_tensor(shape, dtype)
    return Case(regularizer, data, acquisition_op, img, rng.float64_tensor((2, *shape), 0.05, 0.3))


@pytest.mark.usefixtures('fixed_penalty')
@pytest.mark.parametrize('backward', BACKWARDS)
@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])
@all_solvers
def test_gradcheck(cls: SolverClass, dtype: torch.dtype, backward: type[Backward]) -> None:
    """The gradient with respect to the map is that of finite differences."""
    case = tiny_case(dtype)
    solver = cls(case.regularizer, n_iterations=6, backward=exact_backward(backward, 6))

    def image(lambda_map: torch.Tensor) -> torch.Tensor:
        return solver(*case[1:4], lambda_map)

    assert torch.autograd.gradcheck(image, case.lambda_map.clone().requires_grad_())


@pytest.mark.usefixtures('fixed_penalty')
@all_solvers
def test_gradcheck_of_data_and_initial_image(cls: SolverClass) -> None:
    case = tiny_case(torch.float64)
    solver = cls(case.regularizer, n_iterations=4, backward=ActiveSetBackward())

    def image(data: torch.Tensor, initial_image: torch.Tensor) -> torch.Tensor:
        return solver(data, case.acquisition_op, initial_image, case.lambda_map)

    assert torch.autograd.gradcheck(image, (case.data.clone().requires_grad_(), case[3].clone().requires_grad_()))


@pytest.mark.usefixtures('fixed_penalty')
@all_solvers
def test_gradcheck_of_a_grouped_norm(cls: SolverClass) -> None:
    case = tiny_case(torch.float64, isotropic=True)
    solver = cls(case.regularizer, n_iterations=6)

    def image(lambda_map: torch.Tensor) -> torch.Tensor:
        return solver(*case[1:4], lambda_map)

    assert torch.autograd.gradcheck(image, case.lambda_map.clone().requires_grad_())


@all_solvers
def test_gradient_after_many_iterations_is_that_of_the_minimizer(cls: SolverClass) -> None:
    """Also without a fixed penalty."""
    case = tiny_case(torch.float64)
    solver = cls(case.regularizer, n_iterations=400)
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


@all_solvers
def test_active_set_backward_can_not_be_differentiated_twice(cls: SolverClass) -> None:
    case = tiny_case(torch.float64)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, n_iterations=3, backward=ActiveSetBackward())
    loss = solver(*case[1:4], lambda_map).square().sum()
    (gradient,) = torch.autograd.grad(loss, lambda_map, create_graph=True)
    with pytest.raises(RuntimeError, match='differentiate twice'):
        gradient.sum().backward()


@all_solvers
def test_full_backward_can_be_differentiated_twice(cls: SolverClass) -> None:
    case = tiny_case(torch.float64)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, n_iterations=3, backward=FullBackward())
    loss = solver(*case[1:4], lambda_map).square().sum()
    (gradient,) = torch.autograd.grad(loss, lambda_map, create_graph=True)
    gradient.square().sum().backward()
    assert lambda_map.grad is not None
    assert bool(lambda_map.grad.any())


@pytest.mark.parametrize('options', [{'isotropic': True}, {'complex_modulus': True}])
@all_solvers
def test_active_set_backward_refuses_grouped_norms(cls: SolverClass, options: dict[str, Any]) -> None:
    case = get_case('single coil')
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
    case = get_case('single coil')
    case = case._replace(**{name: getattr(case, name).clone().requires_grad_()})
    with pytest.raises(ValueError, match='can not be differentiated: use n_iterations'):
        cls(TV, max_iterations=3)(*case[1:])


@pytest.mark.parametrize('number', [0, -1])
def test_invalid_numbers(number: int) -> None:
    with pytest.raises(ValueError, match='number of iterations with gradient must be positive'):
        TruncatedBackward(number)
    with pytest.raises(ValueError, match='number of segments must be positive'):
        CheckpointedBackward(number)


@pytest.mark.cuda
@pytest.mark.parametrize('backward', BACKWARDS)
@all_solvers
def test_cuda(cls: SolverClass, backward: type[Backward]) -> None:
    case = get_case('dynamic')
    expected = gradients(cls, case, FullBackward())
    on_gpu = Case(
        case.regularizer,
        case.data.cuda(),
        case.acquisition_op.cuda(),
        case.initial_image.cuda(),
        case.lambda_map.cuda(),
    )
    found = gradients(cls, on_gpu, exact_backward(backward, 13))
    case.acquisition_op.cpu()
    for value, reference in zip(found, expected, strict=True):
        assert value.is_cuda
        assert torch.linalg.vector_norm(value.cpu() - reference) <= 1e-9 * torch.linalg.vector_norm(reference)
