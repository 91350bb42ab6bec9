"""Total generalized variation, by its definition."""

import math

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import GeneralizedGradientOp
from mrpro_lambda.regularizers import TotalGeneralizedVariation, TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG

from tests.solvers.cases import get_case

SHAPE = (1, 1, 1, 6, 5)


@pytest.mark.parametrize('boundary', ['circular', 'neumann'])
@pytest.mark.parametrize('isotropic', [False, True])
def test_value_is_the_definition(boundary: str, isotropic: bool) -> None:
    """Forward differences minus the field, backward differences of the field, the mixed one half of the sum of two."""
    regularizer = TotalGeneralizedVariation((-2, -1), boundary=boundary, isotropic=isotropic)  # type: ignore[arg-type]
    rng = RandomGenerator(0)
    u, maps = rng.float64_tensor((3, *SHAPE)), rng.float64_tensor((2, *SHAPE), 0.1, 1.0)
    img, vy, vx = (part[0, 0, 0].tolist() for part in u)
    n_y, n_x = SHAPE[-2:]
    total = 0.0
    for y in range(n_y):
        for x in range(n_x):
            down, right, up, left = (y + 1) % n_y, (x + 1) % n_x, (y - 1) % n_y, (x - 1) % n_x
            inside_y = boundary == 'circular' or y + 1 < n_y
            inside_x = boundary == 'circular' or x + 1 < n_x
            above, before = boundary == 'circular' or y > 0, boundary == 'circular' or x > 0
            first = [
                (img[down][x] - img[y][x] - vy[y][x]) * inside_y,
                (img[y][right] - img[y][x] - vx[y][x]) * inside_x,
            ]
            mixed = 0.5 * (vx[y][x] - vx[up][x] + vy[y][x] - vy[y][left]) * (above and before)
            second = [(vy[y][x] - vy[up][x]) * above, (vx[y][x] - vx[y][left]) * before]
            a, b = (part[0, 0, 0, y, x].item() for part in maps)
            if isotropic:
                total += a * math.hypot(*first) + b * math.hypot(*second, mixed, mixed)
            else:
                total += a * sum(map(abs, first)) + b * sum(map(abs, (*second, mixed)))
    threshold = regularizer.expand(maps, u[0])
    assert regularizer.value(regularizer.transform(u), threshold).item() == pytest.approx(total, rel=1e-12)


def test_slopes_cost_nothing_and_steps_do() -> None:
    """Up to the border, where the field has no difference to follow."""
    y, x = torch.meshgrid(torch.arange(6).double(), torch.arange(5).double(), indexing='ij')
    slope = (0.3 * y - 0.2 * x).expand(SHAPE)
    field = [torch.full(SHAPE, value, dtype=torch.float64) for value in (0.3, -0.2)]
    regularizer = TotalGeneralizedVariation((-2, -1), boundary='neumann')
    threshold = regularizer.expand(torch.ones(2, *SHAPE, dtype=torch.float64), slope)
    assert regularizer.value(regularizer.transform(torch.stack([slope, *field])), threshold) < 1e-12
    step = torch.stack([(y > 2).double().expand(SHAPE), *(0 * f for f in field)])
    assert regularizer.value(regularizer.transform(step), threshold).item() == pytest.approx(5)


def test_norm_with_an_acquisition_of_norm_one() -> None:
    r"""It reaches :math:`9 + 2 \sqrt 2`, which the steps of the original algorithm do not allow for."""
    transform_op = GeneralizedGradientOp((-2, -1), mixed_factor=2**0.5)
    bound = transform_op.norm_squared_with(torch.ones(1, 1, 1, 1, 1), (1, 1, 1, 64, 64))
    assert bound.item() == pytest.approx(9 + 2 * 2**0.5, rel=2e-2)


@pytest.mark.parametrize('cls', [ADMM, PDHG])
@pytest.mark.parametrize('factor', [0.3, 0.75])
def test_minimum_is_below_that_of_total_variation(cls: type[ADMM] | type[PDHG], factor: float) -> None:
    """As a field of zeros gives total variation, whatever the second map; and it grows with that, up to some weight."""
    case = get_case('single coil')
    options = {'max_iterations': 5000, 'tolerance': 1e-3}
    total_variation = cls(TotalVariation((-2, -1)), **options).solve(*case[1:])  # type: ignore[arg-type]
    solver = cls(TotalGeneralizedVariation((-2, -1)), **options)  # type: ignore[arg-type]
    objectives = [
        solver.solve(*case[1:4], torch.cat((case.lambda_map, f * case.lambda_map))).objective
        for f in (factor, 2 * factor)
    ]
    # by more than the proven gaps
    assert objectives[0] < 0.999 * objectives[1]
    assert objectives[1] < 0.999 * total_variation.objective
