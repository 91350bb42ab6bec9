"""PDHG takes the steps of mrpro's function of this name."""

from math import sqrt

import pytest
import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import FiniteDifferenceOp, LinearOperatorMatrix, ProximableFunctionalSeparableSum
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import PDHG, Problem
from mrpro_lambda.solvers.PDHG import PDHGIteration

from tests.helper import relative_image_difference
from tests.solvers.cases import get_case


@pytest.mark.parametrize(
    ('name', 'precision', 'step_ratio', 'relaxation'),
    [
        ('single coil', torch.float64, 1.0, 1.0),
        ('single coil', torch.float64, 0.3, 1.0),
        ('single coil', torch.float64, 1.0, 0.5),
        ('single coil', torch.float64, 3.0, 0.0),
        ('single coil', torch.float32, 0.3, 0.5),
        ('three coils', torch.float64, 0.3, 0.5),
        ('dynamic', torch.float64, 0.3, 0.5),
        ('zero', torch.float64, 0.3, 0.5),
        ('oversampled readout', torch.float64, 0.3, 0.5),
        ('radial', torch.float32, 1.0, 1.0),
    ],
)
def test_iterates_are_those_of_mrpro(name: str, precision: torch.dtype, step_ratio: float, relaxation: float) -> None:
    """Image, extrapolated image and duals, iterate for iterate, with the same steps."""
    case = get_case(name)
    regularizer = case.regularizer
    assert isinstance(regularizer, TotalVariation)
    data, initial_image = (x.to(precision.to_complex()) for x in (case.data, case.initial_image))
    acquisition_op = case.acquisition_op
    if isinstance(acquisition_op, CartesianAcquisitionOp) and precision == torch.float32:
        acquisition_op = CartesianAcquisitionOp(acquisition_op.mask.to(precision))
    problem = Problem.create(regularizer, data, acquisition_op, initial_image, case.lambda_map.to(precision))
    solver = PDHG(regularizer, n_iterations=20, step_ratio=step_ratio, relaxation=relaxation)
    iteration = solver.iteration(problem)
    assert isinstance(iteration, PDHGIteration)
    assert sqrt(iteration.dual_step / iteration.primal_step) == pytest.approx(step_ratio)

    nabla = FiniteDifferenceOp(
        dim=regularizer.dim,
        mode='forward',
        pad_mode='circular' if regularizer.circulant else 'zeros',
    )
    states = []
    pdhg(
        # mrpro's squared norm has no factor 1/2, and its weight stands inside of the norm
        f=ProximableFunctionalSeparableSum(
            L2NormSquared(target=data, weight=torch.tensor(0.5, dtype=precision).sqrt()),
            L1NormViewAsReal(weight=problem.threshold),
        ),
        g=None,
        operator=LinearOperatorMatrix(((acquisition_op,), (nabla,))),
        initial_values=(initial_image,),
        max_iterations=20,
        dual_stepsize=torch.tensor(iteration.dual_step, dtype=precision),  # numbers become single precision
        primal_stepsize=torch.tensor(iteration.primal_step, dtype=precision),
        relaxation=relaxation,
        callback=lambda status: states.append((status['solution'][0], status['relaxed'][0], status['duals'])),
    )
    assert len(states) == 20
    tolerance = 1e-5 if precision == torch.float32 else 1e-10
    state = iteration.init()
    for index, (img, relaxed, (data_dual, dual)) in enumerate(states):
        state = iteration.step(state, index)
        assert relative_image_difference(state.primal, img) < tolerance
        assert relative_image_difference(state.relaxed, relaxed) < tolerance
        assert relative_image_difference(state.dual, dual) < tolerance
        assert relative_image_difference(iteration.residual(state), acquisition_op.adjoint(data_dual)[0]) < 10 * tolerance
