"""The examples of the page for contributors are parts of the package and obey the theorems of those that ship."""

import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mrpro_lambda.operators import GradientOp
from mrpro_lambda.regularizers import Regularizer
from mrpro_lambda.solvers import ActiveSetBackward, CheckpointedBackward

from tests.nets import test_inputs
from tests.recipes import test_recipe
from tests.regularizers import test_regularizer
from tests.regularizers.cases import STATIC, Case
from tests.solvers import test_backward, test_derived_steps, test_minimizers, test_solver
from tests.weighting import test_weights

PAGE = Path(__file__).parents[1] / 'docs' / 'source' / 'contributing.md'
Parts = dict[str, Any]


def run_examples(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Make a module of the package of each example, and export the class that it is named after."""
    parts: Parts = {}
    for code in re.findall(r'^```python\n(.*?)^```', PAGE.read_text('utf-8'), flags=re.MULTILINE | re.DOTALL):
        path = re.match(r'# (\w[\w/]*)\.py\n', code)
        assert path is not None, f'the first line of an example must tell its file, got {code[:80]!r}'
        package, _, name = f'mrpro_lambda.{path[1].replace("/", ".")}'.rpartition('.')
        module = ModuleType(f'{package}.{name}')
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code, module.__name__, 'exec'), module.__dict__)  # noqa: S102
        parts[name] = getattr(module, name)
        monkeypatch.setattr(importlib.import_module(package), name, parts[name], raising=False)
    return parts


@pytest.fixture(scope='module')
def parts() -> Iterator[Parts]:
    if not PAGE.exists():
        pytest.skip('the sources have no documentation')
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield run_examples(monkeypatch)


def hold(theorem: Callable[..., None], **given: Any) -> None:
    """Call a test with all values of its parameters but those that are given."""
    tables: list[list[dict[str, Any]]] = []
    for mark in getattr(theorem, 'pytestmark', []):
        if mark.name != 'parametrize':
            continue
        names = mark.args[0] if isinstance(mark.args[0], tuple) else (mark.args[0],)
        if not given.keys() & set(names):
            rows = [value if len(names) > 1 else (value,) for value in mark.args[1]]
            tables.append([dict(zip(names, row, strict=True)) for row in rows])
    for chosen in itertools.product(*tables):
        theorem(**given, **{name: value for row in chosen for name, value in row.items()})


REGULARIZER_THEOREMS = [
    theorem
    for name, theorem in vars(test_regularizer).items()
    if name.startswith('test_') and name != 'test_cuda' and 'case' in theorem.__code__.co_varnames
]


@pytest.mark.parametrize('theorem', REGULARIZER_THEOREMS)
@pytest.mark.parametrize('name', ['SecondDifferences', 'MaxNorm'])
def test_regularizer_and_norm(parts: Parts, name: str, theorem: Callable[..., None]) -> None:
    regularizer = parts[name].examples()['second differences'] if name == 'SecondDifferences' else maximum_norm(parts)
    hold(theorem, case=Case(regularizer, STATIC))


def maximum_norm(parts: Parts) -> Regularizer:
    """Total variation in the norm of the example."""
    return Regularizer(GradientOp((-2, -1), 'neumann'), parts['MaxNorm']())


@pytest.mark.parametrize('name', ['SecondDifferences', 'MaxNorm'])
def test_solvers_take_regularizer_and_norm(parts: Parts, name: str) -> None:
    """All reach the same minimizer."""
    case = test_solver.get_case('three coils')
    regularizer = parts[name](-1) if name == 'SecondDifferences' else maximum_norm(parts)
    solvers = [cls for cls in test_solver.SOLVERS if cls.refusal(regularizer) is None]
    assert len(solvers) > 1
    solutions = [cls(regularizer, max_iterations=5000, tolerance=1e-6).solve(*case[1:]) for cls in solvers]
    assert all(solution.reason == 'tolerance reached' for solution in solutions)
    for solution in solutions[1:]:
        gap = solution.gap.maximum(solutions[0].gap)
        assert bool(((solution.objective - solutions[0].objective).abs() <= gap).all())
        torch.testing.assert_close(solution.img, solutions[0].img, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    'theorem',
    [
        test_minimizers.test_minimizer,
        test_minimizers.test_all_solvers_reach_the_same_minimizer,
        test_minimizers.test_dual_is_feasible,
        test_solver.test_step_in_place_is_the_plain_step,
        test_derived_steps.test_derived_steps_are_the_fast_ones,
        test_backward.test_all_ways_give_the_same_gradient,
    ],
)
@pytest.mark.parametrize('name', ['single coil', 'three coils', 'real denoising'])
def test_solver_of_problems(parts: Parts, name: str, theorem: Callable[..., None]) -> None:
    """Among others the gradient of `ActiveSetBackward` is that of `FullBackward`, from the plain step alone."""
    hold(theorem, cls=parts['CondatVu'], name=name)


@pytest.mark.parametrize(
    'theorem', [test_minimizers.test_scale_equivariance, test_minimizers.test_batch_entries_do_not_influence_each_other]
)
def test_solver_of_images(parts: Parts, theorem: Callable[..., None]) -> None:
    names = {'name': 'three coils'} if 'name' in theorem.__code__.co_varnames[: theorem.__code__.co_argcount] else {}
    hold(theorem, cls=parts['CondatVu'], **names)


def test_solver_refuses_a_dictionary_and_differentiates_any_norm(parts: Parts) -> None:
    case = test_solver.get_case('dictionary, single coil')
    with pytest.raises(ValueError, match='CondatVu solves for an image, got DictionarySparsity'):
        parts['CondatVu'](case.regularizer, n_iterations=1)
    assert isinstance(parts['CondatVu'](maximum_norm(parts), n_iterations=9).backward, CheckpointedBackward)
    assert isinstance(parts['CondatVu'](parts['SecondDifferences'](-1), n_iterations=9).backward, ActiveSetBackward)


@pytest.mark.parametrize(
    'theorem',
    [
        test_inputs.test_channels_have_names_and_the_shape_of_the_grid,
        test_inputs.test_scale_equivariance,
        test_inputs.test_images_are_independent,
    ],
)
def test_input_of_a_network(parts: Parts, theorem: Callable[..., None]) -> None:
    for network_input in parts['LocalDeviationInput'].examples():
        hold(theorem, network_input=network_input)


@pytest.mark.parametrize(
    'theorem',
    [
        test_weights.test_map_is_positive_and_fits_the_regularizer,
        test_weights.test_scale_equivariance,
        test_weights.test_images_are_independent,
        test_weights.test_noise_level_is_needed_if_and_only_if_the_weight_says_so,
        test_weights.test_gradient_reaches_all_parameters,
        test_weights.test_start_from,
    ],
)
@pytest.mark.parametrize('solver', test_weights.SOLVERS.values(), ids=test_weights.SOLVERS)
def test_weight(parts: Parts, solver: Any, theorem: Callable[..., None]) -> None:
    for name in parts['QuartileWeight'].examples(solver.regularizer.n_maps):

        def create(name: str = name) -> Any:
            return test_weights.create_example(parts['QuartileWeight'], name, solver.regularizer.n_maps)

        hold(theorem, create=create, solver=solver)


def test_recipe_of_a_method(parts: Parts, tmp_path: Path) -> None:
    assert parts['SecondDifferencesRecipe'].methods() == {'second differences': parts['SecondDifferencesRecipe']}
    hold(test_recipe.test_weights_of_each_kind_are_stored, method='second differences', tmp_path=tmp_path)
    model = parts['SecondDifferencesRecipe'](**test_recipe.SMALL, axis=-2).build()
    assert model.solver.regularizer.dim == (-2,)
