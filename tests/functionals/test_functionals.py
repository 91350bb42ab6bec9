"""Tests of what holds for every proximable functional. They find the functionals by themselves."""

import inspect
import itertools
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch
from mrpro.operators.Functional import ProximableFunctional
from mrpro.utils import RandomGenerator
from mrpro_lambda import functionals

FUNCTIONALS: dict[str, type[ProximableFunctional]] = dict(
    inspect.getmembers(functionals, lambda x: inspect.isclass(x) and issubclass(x, ProximableFunctional))
)
SHAPE = (3, 4, 2)


@dataclass
class Case:
    """A functional with an input."""

    functional: ProximableFunctional
    x: torch.Tensor
    rng: RandomGenerator
    sigma: float = 0.6

    def objective(self, p: torch.Tensor) -> torch.Tensor:
        """Value that the proximal mapping minimizes."""
        return self.sigma * self.functional(p)[0].sum() + 0.5 * (p - self.x).abs().square().sum()


def options(functional: type[ProximableFunctional]) -> list[dict[str, bool]]:
    """All combinations of the switches of a functional."""
    parameters = inspect.signature(functional).parameters.values()
    switches = [p.name for p in parameters if isinstance(p.default, bool)]
    return [
        dict(zip(switches, values, strict=True)) for values in itertools.product([False, True], repeat=len(switches))
    ]


def create(functional: type[ProximableFunctional], weight: str, dtype: torch.dtype, **options: bool) -> Case:
    """Create a functional from the parameters that it has, and a random input."""
    rng = RandomGenerator(7)
    x = 1.5 * rng.randn_tensor(SHAPE, dtype)
    arguments: dict[str, Any] = {
        'weight': 0.4 if weight == 'number' else rng.float64_tensor((1, 4, 2)),
        'target': 0.3 * rng.randn_tensor(SHAPE, dtype),
        'tolerance': 1e-9,
    }
    parameters = inspect.signature(functional).parameters
    arguments = {name: value for name, value in arguments.items() if name in parameters}
    if 'dim' in parameters and parameters['dim'].default is inspect.Parameter.empty:
        arguments['dim'] = (-3, -2)
    return Case(functional(**arguments, **options), x, rng)


CASES = {
    '-'.join((name, weight, str(dtype)[6:], *(key for key, value in switches.items() if value))): (
        functional,
        weight,
        dtype,
        switches,
    )
    for name, functional in FUNCTIONALS.items()
    for switches in options(functional)
    for weight in (('map',) if any(switches.values()) else ('number', 'map'))
    for dtype in (torch.float64, torch.complex128)
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    functional, weight, dtype, switches = CASES[request.param]
    return create(functional, weight, dtype, **switches)


def test_functionals_are_found() -> None:
    assert 'WeightedTotalVariation' in FUNCTIONALS


def test_value_is_real_and_convex(case: Case) -> None:
    x, y = case.x, case.rng.randn_like(case.x)
    (value_x,), (value_y,), (value_mean,) = case.functional(x), case.functional(y), case.functional(0.3 * x + 0.7 * y)
    assert value_x.dtype == torch.float64
    assert (value_x > 0).all()
    assert (value_mean <= 0.3 * value_x + 0.7 * value_y).all()


def test_gradient_of_value(case: Case) -> None:
    torch.autograd.gradcheck(lambda x: case.functional(x)[0], case.x.requires_grad_(), fast_mode=True)


def test_prox_minimizes_its_definition(case: Case) -> None:
    """Neither random steps nor gradient descent find a lower value of the objective than the proximal mapping."""
    (prox,) = case.functional.prox(case.x, case.sigma)
    value = case.objective(prox)
    assert value < case.objective(case.x)
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(10):
            assert case.objective(prox + size * case.rng.randn_like(prox)) >= value
    p = case.x.clone().requires_grad_()
    optimizer = torch.optim.Adam([p], lr=0.1)
    lowest = torch.tensor(torch.inf)
    for _ in range(150):
        optimizer.zero_grad()
        objective = case.objective(p)
        objective.backward()
        lowest = torch.minimum(lowest, objective.detach())
        optimizer.step()
        optimizer.param_groups[0]['lr'] *= 0.96
    assert value * (1 - 1e-9) <= lowest <= 1.001 * value


def test_moreau_identity(case: Case) -> None:
    r"""Both proximal mappings split the input: x = prox_{sigma f}(x) + sigma prox_{f* / sigma}(x / sigma)."""
    (prox,) = case.functional.prox(case.x, case.sigma)
    (conjugate,) = case.functional.prox_convex_conj(case.x / case.sigma, 1 / case.sigma)
    torch.testing.assert_close(prox + case.sigma * conjugate, case.x, atol=1e-5, rtol=1e-5)


def test_prox_convex_conj_is_in_the_domain_of_the_conjugate(case: Case) -> None:
    """With p = prox_f(x) and q = prox_f*(x), p minimizes f(u) - <u, q> over all u, and p + q = x."""
    (prox,) = case.functional.prox(case.x, 1.0)
    (conjugate,) = case.functional.prox_convex_conj(case.x, 1.0)

    def difference(u: torch.Tensor) -> torch.Tensor:
        return case.functional(u)[0].sum() - (u.conj() * conjugate).real.sum()

    for size in (1e-2, 1.0, 10.0):
        assert difference(size * case.rng.randn_like(prox)) >= difference(prox) - 1e-6
    torch.testing.assert_close(prox + conjugate, case.x, atol=1e-5, rtol=1e-5)


def test_prox_is_nonexpansive(case: Case) -> None:
    y = case.rng.randn_like(case.x)
    for mapping in (case.functional.prox, case.functional.prox_convex_conj):
        distance = torch.linalg.vector_norm(mapping(case.x, case.sigma)[0] - mapping(y, case.sigma)[0])
        assert distance <= torch.linalg.vector_norm(case.x - y)


def test_scaled_functional(case: Case) -> None:
    scaled = 3.0 * case.functional
    torch.testing.assert_close(scaled(case.x)[0], 3.0 * case.functional(case.x)[0])
    torch.testing.assert_close(scaled.prox(case.x, 0.2)[0], case.functional.prox(case.x, 0.6)[0], atol=1e-5, rtol=1e-5)


def test_weight_is_a_factor(case: Case) -> None:
    """A factor of the weight is one of the value and of sigma."""
    (value,), (prox,) = case.functional(case.x), case.functional.prox(case.x, 2 * case.sigma)
    case.functional.weight = 2 * cast(torch.Tensor, case.functional.weight)
    torch.testing.assert_close(case.functional(case.x)[0], 2 * value)
    torch.testing.assert_close(case.functional.prox(case.x, case.sigma)[0], prox, atol=1e-5, rtol=1e-5)


def test_zero_weight_or_sigma(case: Case) -> None:
    torch.testing.assert_close(case.functional.prox(case.x, 0.0)[0], case.x)
    (conjugate,) = case.functional.prox_convex_conj(case.x, 0.0)
    assert conjugate.isfinite().all()
    case.functional.weight = 0 * cast(torch.Tensor, case.functional.weight)
    assert not case.functional(case.x)[0].any()
    torch.testing.assert_close(case.functional.prox(case.x, case.sigma)[0], case.x)


@pytest.mark.parametrize('sigma', [-1.0, 1j, torch.tensor(-1.0), torch.tensor(1j), float('nan')])
def test_invalid_sigma(case: Case, sigma: Any) -> None:
    for mapping in (case.functional.prox, case.functional.prox_convex_conj):
        with pytest.raises(ValueError, match='sigma'):
            mapping(case.x, sigma)


def test_single_precision_is_kept(case: Case) -> None:
    """Also with a weight in double precision."""
    if hasattr(case.functional, 'target'):
        case.functional.target = case.functional.target.to(torch.complex64 if case.x.is_complex() else torch.float32)
    x = case.x.to(torch.complex64 if case.x.is_complex() else torch.float32)
    assert case.functional(x)[0].dtype == torch.float32
    (expected,) = case.functional.prox(case.x, case.sigma)
    for sigma in (torch.tensor(case.sigma), torch.tensor([case.sigma])):
        (prox,) = case.functional.prox(x, sigma)
        assert prox.dtype == x.dtype
        torch.testing.assert_close(prox.to(expected.dtype), expected, atol=1e-5, rtol=1e-5)
    assert case.functional.prox_convex_conj(x, case.sigma)[0].dtype == x.dtype
