"""The implicit gradient is the one that the iterations have in the limit."""

import re
from typing import Any

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, FISTA, PDHG, ActiveSetBackward, ImplicitBackward

from tests.helper import relative_image_difference
from tests.solvers.cases import TV, Case, SolverClass, clipping_solvers, default_case, get_case
from tests.solvers.test_backward import Gradients

SOLVED = [
    (ADMM, 'single coil'),
    (ADMM, 'real denoising'),
    (PDHG, 'single coil'),
    (ADMM, 'dictionary, single coil'),
    (ADMM, 'dictionary, three coils'),
    (ADMM, 'dictionary, real denoising'),
    (FISTA, 'dictionary, single coil'),
    (FISTA, 'dictionary, real denoising'),
]


def gradients(cls: SolverClass, case: Case, **options: Any) -> Gradients:
    data, img, lambda_map = (x.detach().clone().requires_grad_() for x in (case.data, *case[3:]))
    output = cls(case.regularizer, **options)(data, case.acquisition_op, img, lambda_map)
    direction = RandomGenerator(5).randn_tensor(output.shape, output.dtype)
    loss = (direction.conj() * output).real.sum()
    return Gradients(output.detach(), *torch.autograd.grad(loss, (lambda_map, data, img), materialize_grads=True))


def accurate() -> ImplicitBackward:
    return ImplicitBackward(tolerance=1e-6, accuracy=1e-7, max_iterations=20_000)


@pytest.mark.parametrize(('cls', 'name'), SOLVED)
def test_equals_the_gradient_of_many_iterations(cls: SolverClass, name: str) -> None:
    """For a fixed number of iterations and for a solve to a tolerance."""
    case = get_case(name)
    reference = gradients(cls, case, n_iterations=650, backward=ActiveSetBackward())
    synthesis = case.regularizer.synthesis_op is not None
    for options in ({'n_iterations': 650}, {'max_iterations': 10_000, 'tolerance': 1e-9}):
        found = gradients(cls, case, backward=accurate(), **options)
        for field, expected, value in zip(Gradients._fields, reference, found, strict=True):
            if field == 'initial_image' and not synthesis:
                assert not value.any()
                assert expected.abs().max() < 1e-6 * reference.data.abs().max()
            else:
                assert relative_image_difference(value, expected) < 1e-5, (field, options)


@pytest.mark.parametrize(
    ('cls', 'name'),
    [(ADMM, 'real denoising'), (ADMM, 'dictionary, real denoising'), (FISTA, 'dictionary, real denoising')],
)
def test_equals_finite_differences_of_the_minimizer(cls: SolverClass, name: str) -> None:
    case = get_case(name)
    rng = RandomGenerator(3)
    direction = rng.randn_tensor(case.lambda_map.shape, torch.float64)
    solver = cls(case.regularizer, max_iterations=10_000, tolerance=1e-13, backward=accurate())
    lambda_map = case.lambda_map.clone().requires_grad_()
    weight = rng.randn_tensor(case.initial_image.shape, torch.float64)
    (gradient,) = torch.autograd.grad((weight * solver(*case[1:4], lambda_map)).sum(), lambda_map)

    def loss(step: float) -> torch.Tensor:
        return (weight * solver(*case[1:4], case.lambda_map + step * direction)).sum()

    finite_difference = (loss(1e-5) - loss(-1e-5)) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), finite_difference, rtol=1e-5, atol=0)


def test_grouped_maps_and_a_map_that_broadcasts() -> None:
    """One number for each map, of a dynamic image with different masks."""
    case = get_case('dynamic')
    found: list[torch.Tensor] = []
    for backward in (accurate(), ActiveSetBackward()):
        weights = torch.tensor([0.05, 0.1], dtype=torch.float64, requires_grad=True)
        img = ADMM(case.regularizer, n_iterations=400, backward=backward)(*case[1:4], weights)
        found += torch.autograd.grad(img.abs().square().sum(), weights)
    torch.testing.assert_close(*found, rtol=1e-5, atol=0)


@clipping_solvers
def test_image_is_that_of_the_solve(cls: SolverClass) -> None:
    case = default_case(cls)
    solver = cls(case.regularizer, max_iterations=2000, tolerance=1e-4, backward=ImplicitBackward())
    img = solver(*case[1:4], case.lambda_map.clone().requires_grad_())
    assert img.requires_grad
    assert torch.equal(img.detach(), solver.solve(*case[1:]).img)
    assert not solver(*case[1:]).requires_grad


@clipping_solvers
@pytest.mark.parametrize('options', [{'n_iterations': 3}, {'max_iterations': 3, 'tolerance': 1e-5}])
def test_unconverged_solves_are_refused(cls: SolverClass, options: dict[str, Any]) -> None:
    """The message tells the certified gap, a thorough one, and what to do. Without a gradient the image is given."""
    case = default_case(cls)
    solver = cls(case.regularizer, **options, backward=ImplicitBackward(1e-4))
    solution = solver.solve(*case[1:])
    message = r'needs a converged solution.*below 0\.0001 of the objective, got ([\d.e-]+): take more iterations'
    with pytest.raises(ValueError, match=message) as error:
        solver(*case[1:4], case.lambda_map.clone().requires_grad_())
    found = re.search(message, str(error.value))
    assert found is not None
    assert 1e-4 < float(found[1]) <= solution.relative_gap * (1 + 1e-4)
    assert torch.equal(solver(*case[1:]), solution.img)


@clipping_solvers
def test_the_tolerance_of_the_backward_decides(cls: SolverClass) -> None:
    """Not that of the solver: a coarse solve is refused, and accepted by a backward that asks for less."""
    case = default_case(cls)
    lambda_map = case.lambda_map.clone().requires_grad_()
    for tolerance in (1e-5, 0.1):
        backward = ImplicitBackward(tolerance)
        solver = cls(case.regularizer, max_iterations=2000, tolerance=0.05, backward=backward)
        if tolerance < 0.05:
            with pytest.raises(ValueError, match='needs a converged solution'):
                solver(*case[1:4], lambda_map)
        else:
            assert solver(*case[1:4], lambda_map).requires_grad


def test_reverse_that_does_not_converge() -> None:
    case = get_case('single coil')
    solver = ADMM(TV, n_iterations=300, backward=ImplicitBackward(max_iterations=15, accuracy=1e-12))
    img = solver(*case[1:4], case.lambda_map.clone().requires_grad_())
    with pytest.raises(RuntimeError, match=r'has not converged after 15 transposed steps .* accuracy 1e-12'):
        img.abs().sum().backward()


@pytest.mark.parametrize('cls', [ADMM, PDHG])
def test_gradient_of_the_data_where_the_map_has_none(cls: SolverClass) -> None:
    """With a large weight the image is the mean of the data, whose derivative is known."""
    case = get_case('real denoising')
    data = case.data.clone().requires_grad_()
    solver = cls(TV, n_iterations=800, backward=accurate())
    img = solver(data, case.acquisition_op, case.initial_image, 10.0)
    (gradient,) = torch.autograd.grad(img[..., 2, 3].sum(), data)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 1 / gradient.numel()), rtol=1e-4, atol=0)


def test_gradient_of_a_pixel_far_from_the_next_jump() -> None:
    r"""Two flat halves are the means of the data, moved by :math:`2 \lambda / n` towards each other, circularly."""
    regularizer = TotalVariation((-1,))
    data = 0.01 * RandomGenerator(0).randn_tensor((1, 1, 1, 1, 64), torch.float64)
    data[..., 32:] += 1
    weight = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
    img = PDHG(regularizer, n_iterations=3000, backward=accurate())(data, IdentityOp(), data, weight)
    torch.testing.assert_close(img[..., 48].sum(), data[..., 32:].mean() - 2 * 0.2 / 32, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(img[..., 48].sum(), weight)
    torch.testing.assert_close(gradient, torch.full_like(gradient, -2 / 32), rtol=1e-4, atol=0)


@pytest.mark.parametrize('options', [{'isotropic': True}, {'complex_modulus': True}])
@pytest.mark.parametrize('cls', [ADMM, PDHG])
def test_grouped_norms_are_refused(cls: SolverClass, options: dict[str, Any]) -> None:
    case = get_case('single coil')
    solver = cls(TotalVariation((-2, -1), **options), n_iterations=3, backward=ImplicitBackward())
    with pytest.raises(ValueError, match='ImplicitBackward needs a regularizer that treats each real number'):
        solver(*case[1:4], case.lambda_map.clone().requires_grad_())


@clipping_solvers
def test_it_can_not_be_differentiated_twice(cls: SolverClass) -> None:
    case = default_case(cls)
    lambda_map = case.lambda_map.clone().requires_grad_()
    solver = cls(case.regularizer, max_iterations=2000, tolerance=1e-3, backward=ImplicitBackward())
    loss = solver(*case[1:4], lambda_map).abs().square().sum()
    (gradient,) = torch.autograd.grad(loss, lambda_map, create_graph=True)
    with pytest.raises(RuntimeError, match='differentiate twice'):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'tolerance': 0.0}, 'must be positive'),
        ({'tolerance': float('nan')}, 'must be positive'),
        ({'accuracy': -1.0}, 'must be positive'),
        ({'max_iterations': 0}, 'max_iterations must be an integer from 1 on'),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImplicitBackward(**options)
