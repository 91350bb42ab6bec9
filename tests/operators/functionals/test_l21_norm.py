"""Tests for the sum of Euclidean norms of groups."""

from collections.abc import Callable

import pytest
import torch
from mrpro.operators.functionals import L1Norm
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import GradientOp
from mrpro_lambda.operators.functionals import L21Norm, WeightedTotalVariation


@pytest.fixture(params=[torch.float64, torch.complex128], ids=['real', 'complex'])
def x(request: pytest.FixtureRequest) -> torch.Tensor:
    return RandomGenerator(0).randn_tensor((3, 4, 5), request.param)


def test_value(x: torch.Tensor) -> None:
    """The definition, group by group."""
    rng = RandomGenerator(1)
    weight, target = rng.randn_tensor((4, 1), torch.complex128), rng.randn_tensor((4, 5), x.dtype)
    (value,) = L21Norm(target, weight, group_dim=(0, -1))(x)
    groups = [weight[i, 0].abs() * (x[:, i] - target[i]).abs().square().sum().sqrt() for i in range(4)]
    torch.testing.assert_close(value, torch.stack(groups).sum())


def test_prox_by_cases() -> None:
    """One group beyond the threshold, one at it, one within, and one at the target."""
    target = torch.tensor([1.0, 2.0, 3.0, 4.0])
    difference = torch.tensor([[6.0, 3.0, 0.0, 0.0], [8.0, 4.0, -1.0, 0.0]])  # norms 10, 5, 1, 0
    functional = L21Norm(target, weight=2.0)
    expected = torch.tensor([[3.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]]) + target
    torch.testing.assert_close(functional.prox(difference + target, 2.5)[0], expected)
    expected = torch.tensor([[1.2, 1.2, 0.0, 0.0], [1.6, 1.6, -1.0, 0.0]])
    torch.testing.assert_close(functional.prox_convex_conj(difference + 3 * target, 3.0)[0], expected)


def test_groups_of_one_element_are_mrpros_norm(x: torch.Tensor) -> None:
    x, target = x[:1], RandomGenerator(1).randn_like(x[:1])
    for divide_by_n in (False, True):
        functional, reference = (f(target, 0.7, divide_by_n=divide_by_n) for f in (L21Norm, L1Norm))
        torch.testing.assert_close(functional(x), reference(x))
        torch.testing.assert_close(functional.prox(x, 0.3), reference.prox(x, 0.3))
        torch.testing.assert_close(functional.prox_convex_conj(x, 0.3), reference.prox_convex_conj(x, 0.3))


@pytest.mark.parametrize('keepdim', [False, True])
@pytest.mark.parametrize('divide_by_n', [False, True], ids=['sum', 'mean'])
def test_batch_axes(x: torch.Tensor, divide_by_n: bool, keepdim: bool) -> None:
    """Axes that are not in `dim` are batches: each has its own value, and prox does not couple them."""
    batched = L21Norm(None, 0.7, group_dim=0, dim=(0, -1), divide_by_n=divide_by_n, keepdim=keepdim)
    single = L21Norm(None, 0.7, group_dim=0, divide_by_n=divide_by_n)
    (value,), (prox,), (conjugate,) = batched(x), batched.prox(x, 2.0), batched.prox_convex_conj(x, 2.0)
    assert value.shape == ((1, 4, 1) if keepdim else (4,))
    for i in range(4):
        torch.testing.assert_close(value.flatten()[i], single(x[:, i])[0])
        torch.testing.assert_close(prox[:, i], single.prox(x[:, i], 2.0)[0])
        torch.testing.assert_close(conjugate[:, i], single.prox_convex_conj(x[:, i], 2.0)[0])


def test_mean_divides_by_number_of_elements(x: torch.Tensor) -> None:
    torch.testing.assert_close(L21Norm(divide_by_n=True)(x)[0], L21Norm()(x)[0] / x.numel())


def test_isotropic_total_variation(x: torch.Tensor) -> None:
    functional = L21Norm(group_dim=0) @ GradientOp((-2, -1))
    reference = WeightedTotalVariation(1.0, (-2, -1), isotropic=True, complex_modulus=True)
    torch.testing.assert_close(functional(x), reference(x))


def test_gradient_at_zero_is_zero() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    for function in (L21Norm().forward, L21Norm().prox, L21Norm().prox_convex_conj):
        (gradient,) = torch.autograd.grad(function(x)[0].sum(), x)
        assert gradient.isfinite().all()


def test_sigma_of_each_group(x: torch.Tensor) -> None:
    sigma = RandomGenerator(1).float64_tensor((4, 5))
    (prox,) = L21Norm(weight=0.5).prox(x, sigma)
    torch.testing.assert_close(prox[:, 2, 3], L21Norm(weight=0.5).prox(x[:, 2, 3], sigma[2, 3].item())[0])


@pytest.mark.parametrize(
    ('create', 'message'),
    [
        (lambda: L21Norm(weight=torch.tensor([1.0, 2.0, 1.0]).reshape(3, 1, 1)), 'weight must be constant'),
        (lambda: L21Norm(weight=torch.ones(2, 3, 4, 5)), 'weight must broadcast'),
        (lambda: L21Norm(weight=torch.ones(6)), 'weight must broadcast'),
        (lambda: L21Norm(torch.zeros(2, 1, 1, 1)), 'target must broadcast'),
        (lambda: L21Norm(group_dim=(0, 1), dim=(0, 2)), 'dim must hold the axes of group_dim'),
    ],
)
def test_arguments_that_do_not_match_the_input(create: Callable[[], L21Norm], message: str) -> None:
    functional, x = create(), torch.ones(3, 4, 5)
    for function in (functional.forward, functional.prox, functional.prox_convex_conj):
        with pytest.raises(ValueError, match=message):
            function(x)


@pytest.mark.parametrize('function', ['prox', 'prox_convex_conj'])
def test_sigma_that_does_not_match_the_input(function: str) -> None:
    with pytest.raises(ValueError, match='sigma must be constant'):
        getattr(L21Norm(), function)(torch.ones(2, 3), torch.tensor([[1.0], [2.0]]))
    with pytest.raises(ValueError, match='sigma must broadcast'):
        getattr(L21Norm(), function)(torch.ones(2, 3), torch.ones(4))


def test_constant_weight_of_full_size(x: torch.Tensor) -> None:
    weight = RandomGenerator(1).float64_tensor((4, 5))
    functional, reference = L21Norm(weight=weight.expand(3, 4, 5)), L21Norm(weight=weight)
    torch.testing.assert_close(functional(x), reference(x))
    torch.testing.assert_close(functional.prox(x), reference.prox(x))


def test_group_without_axes() -> None:
    with pytest.raises(ValueError, match='at least one axis'):
        L21Norm(group_dim=())
