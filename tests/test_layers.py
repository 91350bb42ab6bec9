"""The layers of the package: what may import what, as found by parsing the sources without running them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

PACKAGE = 'mrpro_lambda'
SOURCE_FOLDER = Path(__file__).parents[1] / 'src' / PACKAGE

# For each layer, from low to high: the other layers of the package that it may import.
LAYERS: dict[str, set[str]] = {'checks': set(), 'operators': {'checks'}, 'nets': {'checks'}}
LAYERS['regularizers'] = {'checks', 'operators'}
LAYERS['solvers'] = {'checks', 'operators', 'regularizers'}
LAYERS['weighting'] = LAYERS['dictionary'] = {'checks', 'solvers', 'regularizers', 'nets', 'operators'}
LAYERS['models'] = {*LAYERS['weighting'], 'weighting'}
LAYERS['recipes'] = {*LAYERS['models'], 'models'}
LAYERS['reconstruction'] = LAYERS['datasets'] = set(LAYERS)
LAYERS['pretrained'] = LAYERS['plotting'] = LAYERS['raw_data'] = set(LAYERS)
LAYERS['training'] = set(LAYERS)
LAYERS['export'] = LAYERS['interpretation'] = set(LAYERS)
LAYERS['demo'] = set(LAYERS)
LAYERS['cli'] = set(LAYERS)

# For each layer: the parts of mrpro that it may import. Layers that are not listed may import all of mrpro.
MRPRO: dict[str, set[str]] = {'checks': set(), 'nets': set()} | {
    layer: {'mrpro.operators', 'mrpro.utils'}
    for layer in ('operators', 'regularizers', 'solvers', 'weighting', 'models', 'recipes', 'dictionary')
}

# For each layer: the packages besides mrpro and the standard library that it may import. Layers that are not listed may
# import all.
THIRD_PARTY: dict[str, set[str]] = {layer: {'torch', 'einops'} for layer in ('checks', 'operators', 'nets')}

# Optional packages that are heavy to import, and the module that imports lightning: only these may be imported inside a
# function.
OPTIONAL = {'matplotlib', 'lightning', 'skimage', 'dipy', 'nibabel', 'mrpro_lambda.training.train'}

# The only file that may use private names of other packages, which are those of mrpro; and the names that are private
# by their spelling only.
ADAPTER = 'operators/acquisition_factors.py'
NOT_PRIVATE = {'_apply', '_replace'}

Sources = dict[str, str]
"""Path relative to the folder of the package -> source text."""


def read_sources() -> Sources:
    return {path.relative_to(SOURCE_FOLDER).as_posix(): path.read_text('utf-8') for path in SOURCE_FOLDER.rglob('*.py')}


def module_name(path: str) -> str:
    """Dotted name of the module in the file `path`."""
    parts = PurePosixPath(path).with_suffix('').parts
    return '.'.join((PACKAGE, *(parts[:-1] if parts[-1] == '__init__' else parts)))


def layer_of(module: str) -> str:
    """First part of the name below the package, which is empty for the package itself."""
    return (*module.split('.'), '')[1]


def imported_modules(path: str, node: ast.AST, modules: set[str]) -> Iterator[str]:
    """Absolute names of all modules that an import statement names; nothing for other statements."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ''
        if node.level:
            # level 1 is the package of this file, each further level one package up
            package = (PACKAGE, *PurePosixPath(path).parts[:-1])
            base = '.'.join((*package[: len(package) - node.level + 1], *base.split('.'))).rstrip('.')
        submodules = [f'{base}.{alias.name}' for alias in node.names if f'{base}.{alias.name}' in modules]
        if len(submodules) < len(node.names) or base != module_name(path):
            yield base
        yield from submodules


def all_imports(sources: Sources) -> Iterator[tuple[str, str]]:
    """Pairs (path, name of the imported module), wherever in the file the import stands."""
    modules = {module_name(path) for path in sources}
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source, filename=path)):
            yield from ((path, target) for target in imported_modules(path, node, modules))


def is_part_of(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + '.') for package in packages)


def forbidden_imports(sources: Sources) -> list[str]:
    """Imports that the tables above do not allow."""
    errors = [
        f'{path}: {layer_of(module_name(path))!r} is not in the table of layers'
        for path in sources
        if layer_of(module_name(path)) not in (*LAYERS, '')
    ]
    for path, target in all_imports(sources):
        layer, top = layer_of(module_name(path)), target.split('.')[0]
        if top == PACKAGE:
            # __init__.py of the package imports nothing from it, so everybody may import __version__
            allowed = layer_of(target) in {layer, '', *LAYERS.get(layer, set())}
        elif top == 'mrpro':
            allowed = layer not in MRPRO or is_part_of(target, MRPRO[layer])
        else:
            allowed = top in sys.stdlib_module_names or layer not in THIRD_PARTY or top in THIRD_PARTY[layer]
        if not allowed:
            errors.append(f'{path}: {layer or PACKAGE} must not import {target}')
    return errors


def hidden_imports(sources: Sources) -> list[str]:
    """Imports inside functions, except for optional packages, and imports by a name that is only known at run time."""
    modules = {module_name(path) for path in sources}
    errors: set[str] = set()
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source, filename=path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                errors |= {
                    f'{path}:{inner.lineno}: import of {target} inside a function'
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Import | ast.ImportFrom)
                    for target in imported_modules(path, inner, modules)
                    if not is_part_of(target, OPTIONAL)
                }
            if isinstance(node, ast.Call) and ast.unparse(node.func).split('.')[-1] in ('import_module', '__import__'):
                errors.add(f'{path}:{node.lineno}: import by name')
    return sorted(errors)


def private_names(sources: Sources) -> list[str]:
    """Private attributes of anything but the object itself, outside of the adapter."""
    return [
        f'{path}:{node.lineno}: {ast.unparse(node)}'
        for path, source in sources.items()
        for node in ast.walk(ast.parse(source, filename=path))
        if path != ADAPTER
        and isinstance(node, ast.Attribute)
        and node.attr.startswith('_')
        and not node.attr.startswith('__')
        and node.attr not in NOT_PRIVATE
        and ast.unparse(node.value) not in ('self', 'cls', 'super()')
    ]


def find_cycle(sources: Sources) -> list[str]:
    """Modules of one import cycle in the order of the imports; empty if there is none."""
    imports: dict[str, set[str]] = {module_name(path): set() for path in sources}
    for path, target in all_imports(sources):
        if target in imports:
            imports[module_name(path)].add(target)
    finished: set[str] = set()

    def search(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module not in finished:
            for target in sorted(imports[module]):
                if cycle := search(target, [*trail, module]):
                    return cycle
            finished.add(module)
        return []

    return next((cycle for module in imports if (cycle := search(module, []))), [])


def test_sources_are_found() -> None:
    assert '__init__.py' in read_sources()


def test_table_has_a_direction() -> None:
    """A layer imports only layers that stand before it in the table."""
    layers = list(LAYERS)
    assert all(layers.index(lower) < layers.index(layer) for layer in layers for lower in LAYERS[layer])


def test_layers_import_only_allowed_modules() -> None:
    errors = forbidden_imports(read_sources())
    assert not errors, '\n'.join(errors)


def test_no_import_inside_functions() -> None:
    errors = hidden_imports(read_sources())
    assert not errors, '\n'.join(errors)


def test_private_names_are_used_in_the_adapter_only() -> None:
    errors = private_names(read_sources())
    assert not errors, '\n'.join(errors)


def test_no_import_cycle() -> None:
    cycle = find_cycle(read_sources())
    assert not cycle, ' imports '.join(cycle)


GOOD_SOURCES: Sources = {
    '__init__.py': 'from importlib.metadata import version',
    'operators/__init__.py': (
        'from mrpro_lambda.operators import functionals\nfrom mrpro_lambda.operators.GradientOp import GradientOp'
    ),
    'operators/GradientOp.py': 'import torch\nfrom mrpro.operators import LinearOperator',
    'operators/functionals/__init__.py': '',
    'nets/__init__.py': 'from mrpro_lambda.nets.UNet import UNet',
    'nets/UNet.py': 'from collections.abc import Sequence\nfrom torch.nn import Module\nfrom einops import rearrange',
    'regularizers/__init__.py': 'from mrpro_lambda.operators import GradientOp\nfrom ..operators.GradientOp import X',
    'plotting.py': 'from mrpro.data import IData\ndef show():\n    import matplotlib.pyplot as plt',
    'demo.py': 'def run():\n    from mrpro_lambda.training.train import train',
    'cli.py': 'from mrpro_lambda import __version__, plotting\nfrom mrpro_lambda.reconstruction import Any',
}


def test_checks_accept_good_sources() -> None:
    assert forbidden_imports(GOOD_SOURCES) == []
    assert hidden_imports(GOOD_SOURCES) == []
    assert find_cycle(GOOD_SOURCES) == []
    assert private_names({'A.py': 'self._x = cls._y\nz = solution._replace(z=a.__class__)', ADAPTER: 'op._x'}) == []


@pytest.mark.parametrize(
    ('path', 'source'),
    [
        ('operators/Bad.py', 'from mrpro_lambda.regularizers import TotalVariation'),
        ('operators/Bad.py', 'from mrpro_lambda import regularizers'),
        ('operators/Bad.py', 'from ..regularizers import TotalVariation'),
        ('operators/functionals/Bad.py', 'from ...regularizers import TotalVariation'),
        ('operators/Bad.py', 'from .. import regularizers'),
        ('operators/Bad.py', 'import mrpro_lambda.solvers'),
        ('operators/Bad.py', 'from mrpro.data import KData'),
        ('operators/Bad.py', 'import mrpro'),
        ('operators/Bad.py', 'import scipy.ndimage'),
        ('nets/Bad.py', 'from mrpro_lambda.operators import GradientOp'),
        ('nets/Bad.py', 'from mrpro.operators import LinearOperator'),
        ('nets/Bad.py', 'import lightning'),
        ('solvers/Bad.py', 'if TYPE_CHECKING:\n    from mrpro_lambda.nets import UNet'),
        ('solvers/Bad.py', 'from mrpro.algorithms import optimizers'),
        ('models/Bad.py', 'from mrpro_lambda.dictionary import learn_dictionary'),
        ('models/Bad.py', 'def late():\n    from mrpro_lambda.reconstruction import LearnedReconstruction'),
        ('datasets/Bad.py', 'from mrpro_lambda.training import metrics'),
        ('pretrained.py', 'from mrpro_lambda.cli import main'),
        ('__init__.py', 'from mrpro_lambda.operators import GradientOp'),
        ('utils/Bad.py', ''),
    ],
)
def test_forbidden_import_is_found(path: str, source: str) -> None:
    errors = forbidden_imports({**GOOD_SOURCES, path: source})
    assert errors
    assert all(error.startswith(path) for error in errors)


@pytest.mark.parametrize(
    'source',
    [
        'def function():\n    import math',
        'def function():\n    from mrpro_lambda.nets import UNet',
        'class Class:\n    async def method(self):\n        if True:\n            import scipy',
        'import importlib\nmodule = importlib.import_module("mrpro_lambda.cli")',
        'module = __import__("mrpro_lambda.cli")',
    ],
)
def test_hidden_import_is_found(source: str) -> None:
    assert hidden_imports({**GOOD_SOURCES, 'cli.py': source})


@pytest.mark.parametrize('source', ['op._fft_idx', 'f(op)._kernel', 'self.op._dim', 'op._dim = 3'])
def test_private_name_is_found(source: str) -> None:
    assert private_names({'operators/A.py': source})


@pytest.mark.parametrize(
    'sources',
    [
        {'nets/A.py': 'from mrpro_lambda.nets.B import B', 'nets/B.py': 'from mrpro_lambda.nets.A import A'},
        {'nets/A.py': 'from .B import B', 'nets/B.py': 'def late():\n    from .A import A'},
        {'nets/UNet.py': 'from mrpro_lambda.nets import LambdaNet'},  # the package imports this module
        {'nets/A.py': 'from mrpro_lambda.nets.A import A'},
    ],
)
def test_cycle_is_found(sources: Sources) -> None:
    assert len(find_cycle({**GOOD_SOURCES, **sources})) >= 2
