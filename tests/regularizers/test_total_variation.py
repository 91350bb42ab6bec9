"""Total variation by its definition, sums over voxels, groups and directions."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import TotalVariation

from tests.regularizers.cases import CASES, Case, random_inputs, real_and_complex


def total_variation(regularizer: TotalVariation, img: torch.Tensor, lambda_map: torch.Tensor) -> float:
    """Evaluate the definition voxel by voxel."""

    def difference(index: tuple[int, ...], axis: int) -> complex:
        neighbor = list(index)
        neighbor[axis] += 1
        here = complex(img[index])
        if neighbor[axis] < img.shape[axis]:
            return complex(img[tuple(neighbor)]) - here
        neighbor[axis] = 0
        beyond = {'circular': complex(img[tuple(neighbor)]), 'neumann': here, 'zero': 0}
        boundary = regularizer.boundary
        if not isinstance(boundary, str):
            boundary = boundary[regularizer.dim.index(axis)]
        return beyond[boundary] - here

    value = 0.0
    for index in itertools.product(*map(range, img.shape)):
        for g, group in enumerate(regularizer.groups):
            differences = [difference(index, axis) for axis in group]
            if getattr(regularizer.coefficient_norm, 'modulus', False):
                parts = [[abs(d) for d in differences]]
            else:
                parts = [[abs(d.real) for d in differences], [abs(d.imag) for d in differences]]
            norm = math.hypot if getattr(regularizer.coefficient_norm, 'group_of_row', None) else lambda *x: sum(x)
            value += float(lambda_map[(g, *index)]) * sum(norm(*part) for part in parts)
    return value


total_variations = pytest.mark.parametrize(
    'case', [pytest.param(case, id=name) for name, case in CASES.items() if isinstance(case[0], TotalVariation)]
)


@total_variations
@real_and_complex
def test_value_is_the_definition(case: Case, dtype: torch.dtype) -> None:
    regularizer, shape = case
    assert isinstance(regularizer, TotalVariation)
    img, _, _ = random_inputs(case, dtype)
    lambda_map = RandomGenerator(2).float64_tensor((regularizer.n_maps, *shape))
    value = regularizer.value(regularizer.transform(img), regularizer.expand(lambda_map, img))
    assert value.item() == pytest.approx(total_variation(regularizer, img, lambda_map), rel=1e-12)


@pytest.mark.parametrize(
    ('n_directions', 'dtype', 'isotropic', 'complex_modulus'),
    [
        pytest.param(1, torch.complex128, False, False, id='square of real and imaginary part'),
        pytest.param(2, torch.float64, False, False, id='square of two directions'),
        pytest.param(1, torch.complex128, True, False, id='isotropic keeps the parts apart'),
        pytest.param(2, torch.float64, True, False, id='disk of two directions'),
        pytest.param(1, torch.complex128, False, True, id='disk of real and imaginary part'),
        pytest.param(1, torch.complex128, True, True, id='disk of real and imaginary part, isotropic'),
        pytest.param(2, torch.float64, True, True, id='disk of two directions, complex modulus'),
    ],
)
def test_projection_by_brute_force(
    n_directions: int, dtype: torch.dtype, isotropic: bool, complex_modulus: bool
) -> None:
    r"""Proximal mapping of the conjugate, by search among the points of a plane.

    The conjugate of a norm is 0 where :math:`\langle q, c \rangle \le R(c)` for all directions `c`, and infinite
    elsewhere. Two real numbers share a voxel here, so the nearest of all feasible points is found on a grid.
    """
    regularizer = TotalVariation((-2, -1)[-n_directions:], isotropic=isotropic, complex_modulus=complex_modulus)
    radius, spacing = 0.8, 0.01
    threshold = torch.full((n_directions, 1, 1, 1, 1, 1), radius, dtype=torch.float64)

    def coefficients(numbers: torch.Tensor) -> torch.Tensor:
        return (numbers.view(dtype) if dtype.is_complex else numbers).reshape(threshold.shape)

    angle = torch.arange(360, dtype=torch.float64) * math.pi / 180
    directions = torch.stack((angle.cos(), angle.sin()), -1)
    support = torch.stack([regularizer.value(coefficients(c), threshold) for c in directions])
    axis = torch.arange(-120, 121, dtype=torch.float64) * spacing
    grid = torch.cartesian_prod(axis, axis)
    feasible = grid[(grid @ directions.T <= support + 1e-9).all(-1)]
    assert 1000 < len(feasible) < len(grid)
    for point in torch.tensor([[1.1, 0.3], [-0.9, 1.0], [0.2, -0.5], [0.1, -2.0]], dtype=torch.float64):
        projected = regularizer.project(coefficients(point), threshold).flatten()
        projected = torch.view_as_real(projected).flatten() if dtype.is_complex else projected
        nearest = feasible[(feasible - point).square().sum(-1).argmin()]
        distance = (projected - point).norm()
        assert (
            distance <= (nearest - point).norm() + 1e-4 * radius
        )  # the polygon of 360 corners is larger than the disk
        assert (nearest - point).norm() <= distance + spacing
        assert (projected - nearest).norm() < 12 * spacing  # the distance changes little along the border of a disk


def test_projection_is_the_clip_and_prox_is_shrinkage() -> None:
    threshold = torch.tensor(0.5, dtype=torch.float64).expand(1, 1, 1, 1, 1, 4)
    coefficients = torch.tensor([2 + 0.1j, -0.2 - 3j, 0.5 - 0.5j, 0], dtype=torch.complex128).reshape(threshold.shape)
    projected = TotalVariation((-1,)).project(coefficients, threshold).flatten()
    torch.testing.assert_close(
        projected, torch.tensor([0.5 + 0.1j, -0.2 - 0.5j, 0.5 - 0.5j, 0], dtype=torch.complex128), rtol=0, atol=0
    )
    shrunk = (
        coefficients.flatten() - TotalVariation((-1,), complex_modulus=True).project(coefficients, threshold).flatten()
    )
    modulus = coefficients.flatten().abs()
    expected = coefficients.flatten() * (1 - 0.5 / modulus.clamp_min(1e-9)).clamp_min(0)
    torch.testing.assert_close(shrunk, expected, rtol=1e-14, atol=1e-14)


def test_thresholds_of_tied_directions() -> None:
    """Space shares a map and time has one of its own, whatever the order of the axes."""
    regularizer = TotalVariation((-1, -5, -2))
    assert regularizer.groups == ((-1, -2), (-5,))
    assert regularizer.n_maps == 2
    img = torch.zeros(3, 1, 1, 2, 4)
    lambda_map = RandomGenerator(0).float32_tensor((2, *img.shape))
    threshold = regularizer.expand(lambda_map, img)
    torch.testing.assert_close(threshold, torch.stack((lambda_map[0], lambda_map[1], lambda_map[0])), rtol=0, atol=0)


@pytest.mark.parametrize(
    ('dim', 'groups'),
    [
        ((-2, -1), ((-2, -1),)),
        ((-3, -2, -1), ((-3, -2, -1),)),
        ((-5, -2, -1), ((-2, -1), (-5,))),
        ((-6, -5, -1), ((-1,), (-6,), (-5,))),
        ((-5,), ((-5,),)),
        ((-4,), ((-4,),)),
    ],
)
def test_default_groups(dim: Sequence[int], groups: Sequence[Sequence[int]]) -> None:
    assert TotalVariation(dim).groups == groups


def test_value_does_not_depend_on_the_order_of_axes_and_groups() -> None:
    case = CASES['space and time']
    img, _, _ = random_inputs(case, torch.complex128)
    values = []
    for dim, groups, weight in [
        ((-5, -2, -1), ((-2, -1), (-5,)), [0.3, 0.7]),
        ((-1, -2, -5), ((-5,), (-1, -2)), [0.7, 0.3]),
        ((-2, -5, -1), ((-1,), (-5,), (-2,)), [0.3, 0.7, 0.3]),
    ]:
        regularizer = TotalVariation(dim, groups=groups)
        threshold = regularizer.expand(regularizer.lambda_map(weight, img), img)
        values.append(regularizer.value(regularizer.transform(img), threshold))
    torch.testing.assert_close(torch.stack(values), values[0].expand(3), rtol=1e-13, atol=0)


@pytest.mark.parametrize('isotropic', [False, True])
def test_complex_modulus_is_invariant_to_a_global_phase(isotropic: bool) -> None:
    case = CASES['circular']
    img, _, threshold = random_inputs(case, torch.complex128)

    def value(complex_modulus: bool, angle: float) -> float:
        regularizer = TotalVariation((-2, -1), isotropic=isotropic, complex_modulus=complex_modulus)
        phase = complex(math.cos(angle), math.sin(angle))
        return regularizer.value(regularizer.transform(phase * img), threshold).item()

    assert value(True, 0.7) == pytest.approx(value(True, 0), rel=1e-12)
    assert value(False, 0.7) != pytest.approx(value(False, 0), rel=1e-3)


@pytest.mark.parametrize(
    ('dim', 'message'),
    [
        ((), 'at least one axis'),
        ((-1, -1), 'each axis once'),
        ((0, -1), 'dim must hold negative axes'),
        ((3, 4), 'dim must hold negative axes'),
    ],
)
def test_invalid_dim(dim: Sequence[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TotalVariation(dim)


def test_axis_that_the_image_lacks() -> None:
    with pytest.raises(ValueError, match='axes of the image'):
        TotalVariation((-6, -1)).transform(torch.zeros(1, 1, 1, 3, 4))


def test_unknown_boundary() -> None:
    with pytest.raises(ValueError, match='boundary must be one of'):
        TotalVariation((-1,), boundary='reflect')  # type: ignore[arg-type]


@pytest.mark.parametrize(
    'groups',
    [
        (),
        ((-2,),),
        ((-2, -1), (-1,)),
        ((-2, -1), (-5,)),
        ((-2, -1), ()),
        ((-2, -2, -1),),
    ],
)
def test_groups_must_be_a_partition(groups: Sequence[Sequence[int]]) -> None:
    with pytest.raises(ValueError, match='groups must hold each axis of dim exactly once'):
        TotalVariation((-2, -1), groups=groups)
