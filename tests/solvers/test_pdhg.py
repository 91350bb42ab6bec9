"""PDHG takes the steps of mrpro's function of this name."""

from math import sqrt

import pytest
import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import FiniteDifferenceOp, LinearOperator, LinearOperatorMatrix, ProximableFunctionalSeparableSum
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import PDHG, Problem
from mrpro_lambda.solvers.PDHG import PDHGIteration

from tests.helper import relative_image_difference
from tests.solvers.cases import TV, get_case


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
        assert (
            relative_image_difference(iteration.residual(state), acquisition_op.adjoint(data_dual)[0]) < 10 * tolerance
        )


class Unrecognized(LinearOperator):
    """An acquisition whose Gram operator is not known to be circulant."""

    def __init__(self, acquisition_op: LinearOperator) -> None:
        super().__init__()
        self.acquisition_op = acquisition_op

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        return self.acquisition_op(x)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        return self.acquisition_op.adjoint(x)


@pytest.mark.parametrize(
    ('mask_shape', 'dim'),
    [
        ((2, 1, 1, 8, 7), (-2, -1)),
        ((2, 1, 1, 8, 1), (-2,)),
        ((2, 1, 1, 1, 7), (-1,)),
        ((8, 1), (-2,)),
        ((1,), ()),
    ],
    ids=['mask', 'lines along y', 'lines along x', 'same lines for a batch', 'all samples'],
)
def test_dual_in_k_space_is_the_one_of_the_image(
    mask_shape: tuple[int, ...], dim: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """State by state and in its transpose, with the steps of the closed form in both."""
    rng = RandomGenerator(0)
    sampled = rng.bool_tensor(mask_shape).double()
    sampled.view(-1)[0] = 1
    img = rng.randn_tensor((2, 1, 1, 8, 7), torch.complex128)
    lambda_map = rng.float64_tensor((1, 2, 1, 1, 8, 7), 0.05, 0.2)
    acquisition_op = CartesianAcquisitionOp(sampled)
    (data,) = acquisition_op(img)
    monkeypatch.setattr(LeastSquares, 'norm', lambda *_, **__: torch.ones(()))
    states, derivatives = [], []
    for op in (acquisition_op, Unrecognized(acquisition_op)):
        weight = lambda_map.clone().requires_grad_()
        wanted = data.clone().requires_grad_()
        problem = Problem.create(TV, wanted, op, 0.5 * img, weight)
        iteration = PDHG(TV, n_iterations=1).iteration(problem)
        assert isinstance(iteration, PDHGIteration)
        assert iteration._dim == (dim if op is acquisition_op else ())
        state = iteration.run(iteration.owned(iteration.init()), 0, 12)
        states.append((state.primal, state.relaxed, iteration.residual(state), state.dual))
        solver = PDHG(TV, n_iterations=12)
        loss = (solver(wanted, op, 0.5 * img, weight) * img.conj()).real.sum()
        derivatives.append(torch.autograd.grad(loss, (weight, wanted)))
    torch.testing.assert_close(*states, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*derivatives, rtol=1e-11, atol=1e-11)
