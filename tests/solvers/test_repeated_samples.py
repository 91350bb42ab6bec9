"""Repeated Cartesian samples count as often as they were acquired, in the solution and in its certificate."""

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.solvers import FISTA

from tests.helper import relative_image_difference
from tests.solvers.cases import DICTIONARY, TV, SolverClass, clipping_solvers, coil_maps

LINES, MULTIPLICITY = [0, -3, 1, 0, 0, 1, -1], [1, 0, 1, 3, 2, 0]
N_Y, N_X = 6, 5
SHAPE = (1, 1, 1, N_Y, N_X)


def fourier_op() -> FourierOp:
    """mrpro's operator as it comes; the central line is acquired three times, the next one twice."""
    ky = torch.tensor(LINES).double().reshape(1, 1, 1, -1, 1)
    kx = (torch.arange(N_X) - N_X // 2).double().reshape(1, 1, 1, 1, -1)
    matrix = SpatialDimension(1, N_Y, N_X)
    return FourierOp(matrix, matrix, KTrajectory(torch.zeros(1, 1, 1, 1, 1).double(), ky, kx))


@pytest.mark.parametrize('n_coils', [1, 2])
@clipping_solvers
def test_same_as_the_mean_with_weights(cls: SolverClass, n_coils: int) -> None:
    r"""The means of repeated samples, each with the square root of their number, have the same minimizer."""
    regularizer = DICTIONARY if cls is FISTA else TV
    csm = coil_maps((1, n_coils, 1, N_Y, N_X), torch.complex128)
    repeated_op = fourier_op() @ SensitivityOp(csm)
    rng = RandomGenerator(0)
    data = rng.randn_tensor((1, n_coils, 1, len(LINES), N_X), torch.complex128)
    count = torch.tensor(MULTIPLICITY).double()[:, None]
    grid = torch.zeros(1, n_coils, 1, N_Y, N_X, dtype=torch.complex128)
    grid.index_add_(-2, torch.tensor(LINES) + N_Y // 2, data)
    weighted_op = CartesianAcquisitionOp(count.sqrt(), csm)
    weighted_data = grid * torch.where(count > 0, count.rsqrt(), 0)
    start = rng.randn_tensor(SHAPE, torch.complex128)
    solver = cls(regularizer, n_iterations=300)
    solution = solver.solve(data, repeated_op, start, 0.3)
    expected = solver.solve(weighted_data, weighted_op, start, 0.3)
    assert relative_image_difference(solution.img, expected.img) < 1e-6
    # what the samples differ from their mean is a constant of the objective
    constant = 0.5 * (data.abs().square().sum() - weighted_data.abs().square().sum()).item()
    torch.testing.assert_close(solution.objective, expected.objective + constant)
    assert -1e-9 < solution.relative_gap < 1e-3


@clipping_solvers
def test_operators_that_can_not_be_corrected_are_refused(cls: SolverClass) -> None:
    op = fourier_op() + fourier_op()
    solver = cls(DICTIONARY if cls is FISTA else TV, n_iterations=1)
    start = torch.ones(SHAPE, dtype=torch.complex128)
    with pytest.raises(ValueError, match='must add up'):
        solver.solve(*op(start), op, start, 0.3)
