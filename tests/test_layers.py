"""The layers of the package: what may import what, as found by parsing the sources without running them."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

PACKAGE = 'mrpro_lambda'
SOURCE_FOLDER = Path(__file__).parents[1] / 'src' / PACKAGE

# For each layer, from low to high: the other layers of the package that it imports, no more and no less.
LAYERS: dict[str, set[str]] = {
    'checks': set(),
    'progress': set(),
    'array_files': set(),
    'operators': {'checks'},
    'norms': {'checks', 'operators'},
    'functionals': {'checks', 'operators', 'norms'},
    'data_terms': {'checks', 'operators'},
    'losses': {'checks', 'operators', 'data_terms'},
    'nets': {'checks'},
    'metrics': {'checks'},
    'oracle': {'checks'},
    'regularizers': {'checks', 'operators', 'norms'},
    'solvers': {'checks', 'progress', 'operators', 'norms', 'data_terms', 'regularizers'},
    'weighting': {'checks', 'progress', 'data_terms', 'losses', 'nets', 'regularizers', 'solvers'},
    'models': {'checks', 'operators', 'data_terms', 'nets', 'regularizers', 'solvers', 'weighting'},
    'recipes': {'checks', 'operators', 'nets', 'regularizers', 'solvers', 'weighting', 'models'},
    'dictionary': {'checks', 'progress', 'operators'},
    'datasets': {'operators', 'data_terms', 'models'},
    'pretrained': {'checks', 'operators', 'models', 'recipes'},
    'published': {'checks', 'nets', 'regularizers', 'solvers', 'weighting', 'models'},
    'coil_maps': {'checks', 'array_files', 'operators'},
    'plotting': {'operators', 'metrics'},
    'interpretation': {'checks', 'operators', 'metrics', 'regularizers', 'models'},
    'reconstruction': {
        'checks',
        'operators',
        'data_terms',
        'nets',
        'regularizers',
        'solvers',
        'weighting',
        'models',
        'recipes',
        'pretrained',
    },
    'summary': {'plotting'},
    'training': {
        'progress',
        'data_terms',
        'losses',
        'nets',
        'metrics',
        'models',
        'recipes',
        'dictionary',
        'datasets',
        'pretrained',
    },
    'raw_data': {'array_files', 'reconstruction'},
    'reconstruct': {
        'checks',
        'operators',
        'regularizers',
        'solvers',
        'weighting',
        'models',
        'recipes',
        'dictionary',
        'pretrained',
        'coil_maps',
        'reconstruction',
        'summary',
        'raw_data',
    },
    'export': {'checks', 'plotting', 'summary', 'reconstruct'},
    'demo': {
        'progress',
        'operators',
        'metrics',
        'oracle',
        'solvers',
        'models',
        'datasets',
        'pretrained',
        'plotting',
        'export',
    },
    'compare': {
        'progress',
        'array_files',
        'metrics',
        'oracle',
        'regularizers',
        'solvers',
        'weighting',
        'models',
        'recipes',
        'dictionary',
        'datasets',
        'pretrained',
        'plotting',
        'reconstruction',
        'training',
        'raw_data',
        'reconstruct',
    },
    'cli': {
        'progress',
        'models',
        'dictionary',
        'pretrained',
        'training',
        'raw_data',
        'reconstruct',
        'export',
        'demo',
        'compare',
    },
}

# For each layer: the parts of mrpro that it may import.
MRPRO: dict[str, set[str]] = {
    'checks': set(),
    'progress': set(),
    'array_files': set(),
    'operators': {'mrpro.operators', 'mrpro.utils'},
    'norms': set(),
    'functionals': {'mrpro.operators'},
    'data_terms': {'mrpro.operators'},
    'losses': {'mrpro.operators'},
    'nets': set(),
    'metrics': {'mrpro.operators'},
    'oracle': set(),
    'regularizers': {'mrpro.operators'},
    'solvers': {'mrpro.operators'},
    'weighting': {'mrpro.operators'},
    'models': {'mrpro.operators'},
    'recipes': set(),
    'dictionary': set(),
    'datasets': {'mrpro.data', 'mrpro.operators', 'mrpro.utils'},
    'pretrained': set(),
    'published': set(),
    'coil_maps': {'mrpro.algorithms', 'mrpro.data', 'mrpro.operators', 'mrpro.utils'},
    'plotting': set(),
    'interpretation': {'mrpro.operators'},
    'reconstruction': {'mrpro.algorithms', 'mrpro.data', 'mrpro.operators', 'mrpro.utils'},
    'summary': set(),
    'training': {'mrpro.operators'},
    'raw_data': {'mrpro.data', 'mrpro.operators'},
    'reconstruct': {'mrpro.data', 'mrpro.operators'},
    'export': {'mrpro.data'},
    'demo': {'mrpro.data', 'mrpro.operators'},
    'compare': {'mrpro.operators'},
    'cli': set(),
}

# For each layer: the packages besides mrpro, torch, einops and the standard library that it may import.
THIRD_PARTY: dict[str, set[str]] = {
    'checks': set(),
    'progress': {'tqdm'},
    'array_files': {'numpy'},
    'operators': {'astra', 'pywt'},
    'norms': set(),
    'functionals': set(),
    'data_terms': set(),
    'losses': set(),
    'nets': set(),
    'metrics': {'scipy', 'skimage'},
    'oracle': set(),
    'regularizers': set(),
    'solvers': set(),
    'weighting': set(),
    'models': set(),
    'recipes': set(),
    'dictionary': {'safetensors'},
    'datasets': {'h5py', 'nibabel', 'numpy', 'scipy', 'skimage'},
    'pretrained': {'safetensors'},
    'published': set(),
    'coil_maps': {'numpy', 'scipy'},
    'plotting': {'PIL', 'matplotlib'},
    'interpretation': set(),
    'reconstruction': set(),
    'summary': set(),
    'training': {'lightning', 'numpy'},
    'raw_data': {'h5py', 'ismrmrd', 'numpy'},
    'reconstruct': set(),
    'export': {'nibabel', 'numpy', 'pydicom'},
    'demo': {'dipy', 'matplotlib', 'numpy'},
    'compare': {'lightning', 'matplotlib', 'nibabel', 'numpy', 'safetensors', 'skimage'},
    'cli': {'shtab'},
}
EVERYWHERE = {'torch', 'einops'}

# Optional packages that are heavy to import, and the module that imports lightning: only these may be imported inside a
# function.
OPTIONAL = {'astra', 'matplotlib', 'lightning', 'skimage', 'dipy', 'nibabel', 'shtab', 'mrpro_lambda.training.train'}

# Packages that are installed by another name.
DISTRIBUTIONS = {'PIL': 'pillow', 'astra': 'astra-toolbox', 'pywt': 'PyWavelets', 'skimage': 'scikit-image'}

# The only file that may use private names of other packages, which are those of mrpro; and the names that are private
# by their spelling only.
ADAPTER = 'operators/acquisition_factors.py'
NOT_PRIVATE = {'_apply', '_replace', '_misc'}  # the last is documented: the rest of the header of the raw data

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
            allowed = is_part_of(target, MRPRO.get(layer, set()))
        else:
            allowed = top in sys.stdlib_module_names or top in EVERYWHERE | THIRD_PARTY.get(layer, set())
        if not allowed:
            errors.append(f'{path}: {layer or PACKAGE} must not import {target}')
    return errors


def unused_permissions(sources: Sources) -> list[str]:
    """Layers in the rows of the table that are not imported."""
    used: dict[str, set[str]] = {layer: set() for layer in LAYERS}
    for path, target in all_imports(sources):
        if target.split('.')[0] == PACKAGE:
            used.setdefault(layer_of(module_name(path)), set()).add(layer_of(target))
    return [f'{layer} does not import {lower}' for layer in LAYERS for lower in sorted(LAYERS[layer] - used[layer])]


def undeclared_packages(sources: Sources, project: dict[str, Any]) -> list[str]:
    """Packages that are imported but are no dependency; optional ones may be that of an extra."""
    required = {re.split(r'[^\w-]', text)[0] for text in project['dependencies']}
    extras = {re.split(r'[^\w-]', text)[0] for texts in project['optional-dependencies'].values() for text in texts}
    errors = set()
    for path, target in all_imports(sources):
        package = target.split('.')[0]
        name = {'skimage': 'scikit-image', 'pywt': 'PyWavelets', 'PIL': 'pillow', 'astra': 'astra-toolbox'}.get(
            package, package
        )
        declared = required | extras if package in OPTIONAL else required
        if package not in {PACKAGE, *sys.stdlib_module_names} and name not in declared:
            errors.add(f'{path}: {name} is not declared')
    return sorted(errors)


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


def test_table_allows_nothing_else() -> None:
    errors = unused_permissions(read_sources())
    assert not errors, '\n'.join(errors)


def test_imported_packages_are_dependencies() -> None:
    project = tomllib.loads((SOURCE_FOLDER.parents[1] / 'pyproject.toml').read_text('utf-8'))['project']
    errors = undeclared_packages(read_sources(), project)
    assert not errors, '\n'.join(errors)
    assert undeclared_packages({'A.py': 'import lightning'}, project | {'optional-dependencies': {}})
    assert undeclared_packages({'A.py': 'import h5py'}, project | {'dependencies': ['h5'], 'optional-dependencies': {}})


def test_documentation_shows_the_table() -> None:
    path = SOURCE_FOLDER.parents[1] / 'docs' / 'source' / 'contributing.md'
    if not path.exists():
        pytest.skip('the sources have no documentation')
    lines = [line.strip('|').split('|') for line in path.read_text('utf-8').splitlines() if line.startswith('| `')]
    rows = [[re.findall(r'`([^`]+)`', cell) for cell in line] for line in lines]
    assert [layer for (layer,), *_ in rows] == list(LAYERS)
    for (layer,), lower, mrpro, packages in rows:
        assert lower == [other for other in LAYERS if other in LAYERS[layer]]
        assert mrpro == sorted(part.removeprefix('mrpro.') for part in MRPRO[layer])
        assert packages == sorted(THIRD_PARTY[layer])


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
        'from mrpro_lambda.operators import wavelets\nfrom mrpro_lambda.operators.GradientOp import GradientOp'
    ),
    'operators/GradientOp.py': 'import torch\nfrom mrpro.operators import LinearOperator',
    'operators/wavelets/__init__.py': '',
    'nets/__init__.py': 'from mrpro_lambda.nets.UNet import UNet',
    'nets/UNet.py': 'from collections.abc import Sequence\nfrom torch.nn import Module\nfrom einops import rearrange',
    'regularizers/__init__.py': 'from mrpro_lambda.operators import GradientOp\nfrom ..operators.GradientOp import X',
    'plotting.py': 'def show():\n    import matplotlib.pyplot as plt',
    'export.py': 'from mrpro.data import IData',
    'cli.py': (
        'from mrpro_lambda import __version__, export\nfrom mrpro_lambda.reconstruct import Any\n'
        'def run():\n    from mrpro_lambda.training.train import train'
    ),
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
        ('operators/wavelets/Bad.py', 'from ...regularizers import TotalVariation'),
        ('operators/Bad.py', 'from .. import regularizers'),
        ('operators/Bad.py', 'import mrpro_lambda.solvers'),
        ('operators/Bad.py', 'from mrpro.data import KData'),
        ('operators/Bad.py', 'import mrpro'),
        ('operators/Bad.py', 'import skimage'),
        ('nets/Bad.py', 'from mrpro_lambda.operators import GradientOp'),
        ('nets/Bad.py', 'from mrpro.operators import LinearOperator'),
        ('nets/Bad.py', 'import lightning'),
        ('solvers/Bad.py', 'if TYPE_CHECKING:\n    from mrpro_lambda.nets import UNet'),
        ('solvers/Bad.py', 'from mrpro.algorithms import optimizers'),
        ('models/Bad.py', 'from mrpro_lambda.dictionary import learn_dictionary'),
        ('models/Bad.py', 'def late():\n    from mrpro_lambda.reconstruction import LearnedReconstruction'),
        ('datasets/Bad.py', 'from mrpro_lambda.training import TrainingConfig'),
        ('pretrained.py', 'from mrpro_lambda.cli import main'),
        ('metrics.py', 'from mrpro_lambda.solvers import ADMM'),
        ('reconstruction/Bad.py', 'from mrpro_lambda.raw_data import read_kdata'),
        ('raw_data.py', 'from mrpro_lambda.reconstruct import reconstruct'),
        ('reconstruct.py', 'from mrpro_lambda.export import write_images'),
        ('reconstruct.py', 'import nibabel'),
        ('export.py', 'from mrpro_lambda.demo import run_demo'),
        ('training/Bad.py', 'from mrpro_lambda.reconstruct import reconstruct'),
        ('demo.py', 'from mrpro_lambda.training import TrainingConfig'),
        ('cli.py', 'from mrpro_lambda.operators import GradientOp'),
        ('cli.py', 'from mrpro.data import KData'),
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
