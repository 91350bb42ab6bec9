"""The iterations run without a look at a number on the device, so that they can be compiled and queued."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mrpro_lambda.solvers import ADMM, FISTA, PDHG
from mrpro_lambda.solvers.Iteration import Gradient
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helper import relative_image_difference
from tests.solvers.cases import SolverClass, get_case, solver_case_parameters


class NoSynchronization(TorchDispatchMode):
    """Fail at operations that read a number of a tensor."""

    n_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        name = func.overloadpacket.__name__
        assert name not in ('_local_scalar_dense', 'item', 'is_nonzero', 'nonzero', 'masked_select', 'equal'), name
        self.n_operations += 1
        return func(*args, **(kwargs or {}))


def test_a_look_at_a_number_is_noticed() -> None:
    """The tests below would be empty otherwise."""
    ones = torch.ones(3)
    looks: list[Callable[[], object]] = [
        lambda: ones[0].item(),
        lambda: bool(ones.any()),
        lambda: float(ones.sum()) > 1,
        lambda: torch.equal(ones, ones),
        lambda: ones.nonzero(),
    ]
    for look in looks:
        with pytest.raises(AssertionError), NoSynchronization():
            look()


@pytest.mark.parametrize('in_place', [False, True])
@solver_case_parameters()
def test_no_synchronization(cls: SolverClass, name: str, in_place: bool) -> None:
    """In the step, the step that records its pattern, and its transpose."""
    case = get_case(name)
    problem = case.problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    state = iteration.owned(iteration.init())
    # the first call of mrpro's operators may look at their settings
    state = iteration.run(state, 0, 2)
    with NoSynchronization() as mode, torch.set_grad_enabled(not in_place):
        if in_place:
            iteration.step_(state, 2)
            (pattern,) = iteration.new_patterns(1)
            iteration.step_(state, 3, pattern)
            if case.regularizer.elementwise:
                iteration.transpose_(iteration.owned(state), 3, pattern, Gradient(problem))
        else:
            iteration.step(state, 2)
    assert mode.n_operations > 5


@pytest.mark.parametrize(
    ('cls', 'name'),
    [
        (PDHG, 'single coil'),
        (PDHG, 'three coils'),
        (ADMM, 'single coil'),
        (ADMM, 'three coils'),
        (FISTA, 'dictionary, three coils'),
    ],
)
def test_compiled_step_is_the_step(cls: SolverClass, name: str) -> None:
    """Without a break of the graph."""
    pytest.importorskip('torch._dynamo', reason='needs the compiler of PyTorch')
    case = get_case(name)
    iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
    expected, found = (iteration.owned(iteration.init()) for _ in range(2))
    torch._dynamo.reset()
    with torch.no_grad():
        step = torch.compile(iteration.step_, fullgraph=True, backend='eager')
        for index in range(3):
            iteration.step_(expected, index)
            step(found, index)
    for field, value, reference in zip(expected._fields, found, expected, strict=True):
        assert relative_image_difference(value, reference) < 1e-12, field
