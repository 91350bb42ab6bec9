"""Tests for the finite-difference gradient."""

from typing import Literal

import pytest
import torch
from mrpro.operators import FiniteDifferenceOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import GradientOp
from mrpro_lambda.operators.GradientOp import Boundary

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test

BOUNDARIES: tuple[Boundary, ...] = ('circular', 'neumann', 'zero')

SHAPE_AND_DIM = [
    pytest.param((5,), (-1,), id='1d'),
    pytest.param((3, 4, 5), (-1, -2), id='last two, reversed'),
    pytest.param((3, 4, 5), (0, -1), id='first and last'),
    pytest.param((2, 3, 1, 4, 5), (-5, -2, -1), id='time and space'),
    pytest.param((2, 1, 4), (0, 1, 2), id='size 2 and 1'),
    pytest.param((1, 1), (-2, -1), id='size 1'),
]
all_boundaries = pytest.mark.parametrize('boundary', BOUNDARIES)
all_shapes = pytest.mark.parametrize(('shape', 'dim'), SHAPE_AND_DIM)
real_and_complex = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])


def random_image_and_differences(
    shape: tuple[int, ...], dim: tuple[int, ...], dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = RandomGenerator(0)
    return rng.randn_tensor(shape, dtype), rng.randn_tensor((len(dim), *shape), dtype)


def dense(op: GradientOp, shape: tuple[int, ...]) -> torch.Tensor:
    """Matrix of the gradient, by its columns. Rows: directions, then voxels."""
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.stack([op(column.reshape(shape))[0].flatten() for column in basis], -1)


@all_boundaries
@all_shapes
@real_and_complex
def test_adjoint(shape: tuple[int, ...], dim: tuple[int, ...], boundary: Boundary, dtype: torch.dtype) -> None:
    op = GradientOp(dim, boundary)
    img, differences = random_image_and_differences(shape, dim, dtype)
    dotproduct_adjointness_test(op, img, differences, 1e-12, 1e-12)
    gradient_of_linear_operator_test(op, img, differences, 1e-12, 1e-12)


def test_values() -> None:
    """The definition, on an image that can be followed by hand."""
    img = torch.tensor([[1.0, 4.0, 9.0], [2.0, 2.0, 2.0]])
    last_of_boundary: dict[Boundary, list[float]] = {
        'circular': [-8.0, 0.0],
        'neumann': [0.0, 0.0],
        'zero': [-9.0, -2.0],
    }
    for boundary, last in last_of_boundary.items():
        (differences,) = GradientOp((-1,), boundary)(img)
        torch.testing.assert_close(differences, torch.tensor([[[3.0, 5.0, last[0]], [0.0, 0.0, last[1]]]]))


def test_boundary_of_each_axis() -> None:
    """Each direction, its adjoint, the norm and the in-place forms are those of its axis and boundary alone."""
    shape, dim = (3, 4, 5), (-1, 0, 1)
    boundaries: tuple[Boundary, ...] = ('zero', 'circular', 'neumann')
    op = GradientOp(dim, boundaries)
    for dtype in (torch.float64, torch.complex128):
        img, differences = random_image_and_differences(shape, dim, dtype)
        singles = [GradientOp((d,), b) for d, b in zip(dim, boundaries, strict=True)]
        expected = torch.cat([single(img)[0] for single in singles])
        expected_adjoint = torch.stack([s.adjoint(q[None])[0] for s, q in zip(singles, differences, strict=True)])
        torch.testing.assert_close(op(img)[0], expected, rtol=0, atol=0)
        torch.testing.assert_close(op.adjoint(differences)[0], expected_adjoint.sum(0))
        torch.testing.assert_close(op.add_forward_(differences.clone(), img, 0.3), differences + 0.3 * expected)
        found = op.add_adjoint_(img.clone(), differences, -0.7)
        torch.testing.assert_close(found, img - 0.7 * expected_adjoint.sum(0))
        dotproduct_adjointness_test(op, img, differences, 1e-12, 1e-12)
    assert op.norm(shape) == pytest.approx(torch.linalg.matrix_norm(dense(op, shape), 2).item(), rel=1e-12)


@pytest.mark.parametrize(
    ('boundaries', 'circulant'),
    [(('circular', 'circular'), True), (('circular', 'neumann'), False), (('neumann', 'neumann'), False)],
)
def test_symbol_of_mixed_boundaries(boundaries: tuple[Boundary, Boundary], circulant: bool) -> None:
    """It bounds the operator, and is that of it if and only if all axes are circular."""
    shape, dim = (4, 3), (-2, -1)
    op = GradientOp(dim, boundaries)
    mixed, circular = (dense(x, shape) for x in (op, GradientOp(dim)))
    assert op.circulant == circulant
    assert torch.equal(op.symbol(shape), GradientOp(dim).symbol(shape))
    difference = circular.T @ circular - mixed.T @ mixed
    assert torch.linalg.eigvalsh(difference).min() > -1e-12
    assert (difference.abs().max() < 1e-12) == circulant
    with pytest.raises(ValueError, match=r"ADMM needs .* got \('circular', 'zero'\): use PDHG"):
        GradientOp(dim, ('circular', 'zero')).symbol(shape)


@all_boundaries
def test_directions_are_in_the_order_of_dim(boundary: Boundary) -> None:
    img, _ = random_image_and_differences((3, 4, 5), (), torch.float64)
    (differences,) = GradientOp((-1, 0), boundary)(img)
    for direction, axis in zip(differences, (2, -3), strict=True):
        torch.testing.assert_close(direction, GradientOp((axis,), boundary)(img)[0][0], rtol=0, atol=0)


@pytest.mark.parametrize(('boundary', 'pad_mode'), [('zero', 'zeros'), ('circular', 'circular')])
@real_and_complex
def test_equals_mrpro(boundary: Boundary, pad_mode: Literal['zeros', 'circular'], dtype: torch.dtype) -> None:
    dim = (-4, -2, -1)
    img, differences = random_image_and_differences((3, 2, 4, 5), dim, dtype)
    op, reference = GradientOp(dim, boundary), FiniteDifferenceOp(dim, 'forward', pad_mode)
    torch.testing.assert_close(op(img), reference(img))
    torch.testing.assert_close(op.adjoint(differences), reference.adjoint(differences))


@all_boundaries
@pytest.mark.parametrize('shape', [(1,), (2,), (5,), (6,), (1, 4), (3, 2), (2, 3, 5)])
def test_norm_is_the_largest_singular_value(shape: tuple[int, ...], boundary: Boundary) -> None:
    op = GradientOp(range(len(shape)), boundary)
    expected = torch.linalg.matrix_norm(dense(op, shape), 2).item()
    assert op.norm(shape) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@all_boundaries
def test_norm_of_some_axes_ignores_the_others(boundary: Boundary) -> None:
    assert GradientOp((-2,), boundary).norm((7, 5, 3)) == pytest.approx(GradientOp((0,), boundary).norm((5,)))


@pytest.mark.parametrize(('boundary', 'n_null'), [('circular', 1), ('neumann', 1), ('zero', 0)])
def test_null_space_holds_constant_images_only(boundary: Boundary, n_null: int) -> None:
    matrix = dense(GradientOp((-2, -1), boundary), (3, 4))
    assert torch.linalg.matrix_rank(matrix) == 12 - n_null
    constant = matrix @ torch.ones(12, dtype=torch.float64)
    assert bool(constant.any()) == (n_null == 0)


@pytest.mark.parametrize('alpha', [-0.7, 2.0])
@all_boundaries
@pytest.mark.parametrize(('shape', 'dim'), [((3, 4, 5), (1, -1)), ((3, 1, 2), (-2, -1))])
@real_and_complex
def test_add_in_place(
    shape: tuple[int, ...], dim: tuple[int, ...], boundary: Boundary, dtype: torch.dtype, alpha: float
) -> None:
    op = GradientOp(dim, boundary)
    img, differences = random_image_and_differences(shape, dim, dtype)
    out = differences.clone()
    assert op.add_forward_(out, img, alpha) is out
    torch.testing.assert_close(out, differences + alpha * op(img)[0])
    out = img.clone()
    assert op.add_adjoint_(out, differences, alpha) is out
    torch.testing.assert_close(out, img + alpha * op.adjoint(differences)[0])


@all_shapes
@real_and_complex
def test_laplacian_symbol_of_circular_boundary(
    shape: tuple[int, ...], dim: tuple[int, ...], dtype: torch.dtype
) -> None:
    op = GradientOp(dim, 'circular')
    img, _ = random_image_and_differences(shape, dim, dtype)
    symbol = op.laplacian_symbol(shape)
    assert symbol.dtype == torch.float64
    axes = {d % len(shape) for d in dim}
    assert symbol.shape == tuple(n if d in axes else 1 for d, n in enumerate(shape))
    (laplacian,) = op.adjoint(*op(img))
    torch.testing.assert_close(torch.fft.fftn(laplacian), symbol * torch.fft.fftn(img), atol=1e-12, rtol=1e-12)
    assert symbol.max().sqrt().item() == pytest.approx(op.norm(shape))


@pytest.mark.parametrize('shape', [(5,), (3, 4), (1, 2)])
def test_laplacian_symbol_bounds_neumann(shape: tuple[int, ...]) -> None:
    dim = tuple(range(len(shape)))
    circular, neumann = (dense(GradientOp(dim, boundary), shape) for boundary in ('circular', 'neumann'))
    assert torch.linalg.eigvalsh(circular.T @ circular - neumann.T @ neumann).min() > -1e-12
    # the circular matrix is the one of the symbol: same eigenvalues
    eigenvalues = torch.linalg.eigvalsh(circular.T @ circular)
    symbol = GradientOp(dim, 'neumann').laplacian_symbol(shape)
    torch.testing.assert_close(eigenvalues, symbol.flatten().sort().values, atol=1e-12, rtol=1e-12)


def test_single_precision_is_kept() -> None:
    img = RandomGenerator(0).complex64_tensor((4, 5))
    (differences,) = GradientOp((-2, -1))(img)
    assert differences.dtype == torch.complex64
    assert GradientOp((-2, -1)).adjoint(differences)[0].dtype == torch.complex64


@pytest.mark.parametrize('dim', [(), (-1, -1)])
def test_invalid_dim(dim: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='dim must name'):
        GradientOp(dim)


def test_invalid_boundary() -> None:
    for boundary in ('reflect', ('circular', 'reflect'), ('circular',), ()):
        with pytest.raises(ValueError, match=r'boundary must be one of .* or one for each axis of dim=\(-2, -1\)'):
            GradientOp((-2, -1), boundary)  # type: ignore[arg-type]


@pytest.mark.parametrize('dim', [(3,), (-4,)])
def test_axis_that_the_image_lacks(dim: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='axes of the image'):
        GradientOp(dim)(torch.zeros(2, 3, 4))


def test_same_axis_counted_from_both_ends() -> None:
    with pytest.raises(ValueError, match='each axis once'):
        GradientOp((-1, 2))(torch.zeros(2, 3, 4))


def test_wrong_number_of_directions() -> None:
    with pytest.raises(ValueError, match='2 directions'):
        GradientOp((-2, -1)).adjoint(torch.zeros(3, 4, 5))
