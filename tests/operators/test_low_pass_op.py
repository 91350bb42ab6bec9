"""Tests for the smooth part of an image."""

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import LowPassOp
from mrpro_lambda.operators.GradientOp import GradientOp

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test

SHAPE = (2, 1, 3, 4, 5)
all_dim = pytest.mark.parametrize('dim', [(-2, -1), (-3, -2, -1), (-1,)])
real_and_complex = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])


@all_dim
@real_and_complex
@pytest.mark.parametrize('beta', [0.0, 0.25, 20.0])
def test_solves_the_normal_equation(dim: tuple[int, ...], dtype: torch.dtype, beta: float) -> None:
    r"""The derivative :math:`x - x_0 + \beta \nabla^H \nabla x` of the quadratic problem is zero."""
    img = RandomGenerator(0).randn_tensor(SHAPE, dtype)
    (smooth,) = LowPassOp(beta, dim)(img)
    assert smooth.dtype == dtype
    nabla = GradientOp(dim)
    torch.testing.assert_close(smooth + beta * nabla.adjoint(*nabla(smooth))[0], img, rtol=1e-12, atol=1e-12)


@all_dim
@real_and_complex
def test_adjoint(dim: tuple[int, ...], dtype: torch.dtype) -> None:
    rng = RandomGenerator(0)
    u, v = rng.randn_tensor(SHAPE, dtype), rng.randn_tensor(SHAPE, dtype)
    dotproduct_adjointness_test(LowPassOp(0.7, dim), u, v, 1e-12, 1e-12)
    gradient_of_linear_operator_test(LowPassOp(0.7, dim), u, v, 1e-12, 1e-12)


def test_mean_is_kept_and_is_all_that_a_large_strength_leaves() -> None:
    img = RandomGenerator(0).randn_tensor(SHAPE, torch.float64)
    mean = img.mean((-2, -1), keepdim=True)
    (smooth,) = LowPassOp(1.0, (-2, -1))(img)
    torch.testing.assert_close(smooth.mean((-2, -1), keepdim=True), mean)
    assert (smooth - mean).norm() < 0.9 * (img - mean).norm()
    torch.testing.assert_close(LowPassOp(1e12, (-2, -1))(img)[0], mean.expand(SHAPE), rtol=0, atol=1e-10)


@real_and_complex
def test_gradient_reaches_the_strength(dtype: torch.dtype) -> None:
    img = RandomGenerator(0).randn_tensor((1, 1, 3, 4), dtype)
    beta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda beta: LowPassOp(beta, (-2, -1))(img)[0], beta)


@pytest.mark.parametrize('dtype', [torch.float32, torch.complex64])
def test_single_precision_is_kept(dtype: torch.dtype) -> None:
    """Also with a strength in double precision."""
    img = RandomGenerator(0).randn_tensor(SHAPE, dtype)
    assert LowPassOp(torch.tensor(0.7, dtype=torch.float64), (-2, -1))(img)[0].dtype == dtype


@pytest.mark.parametrize(
    'beta', [-0.1, float('nan'), float('inf'), torch.ones(1), torch.tensor(1 + 0j)], ids=lambda beta: str(beta)
)
def test_invalid_strength(beta: float | torch.Tensor) -> None:
    with pytest.raises(ValueError, match='beta must be a finite, non-negative number'):
        LowPassOp(beta, (-2, -1))
