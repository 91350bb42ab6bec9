"""All regularizers of the package, with images to test them on."""

import importlib
import inspect
import math
import pkgutil
from types import ModuleType
from typing import Any, NamedTuple

import mrpro_lambda.regularizers
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import DictionarySparsity, Regularizer, TotalVariation


def concrete_subclasses(base: Any, package: ModuleType) -> list[Any]:
    """Find all classes of a package that implement a base class, after importing all of its modules."""
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):
        importlib.import_module(module.name)
    found: set[type] = set()
    todo: list[type] = [base]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        if not inspect.isabstract(cls) and cls.__module__.startswith(package.__name__ + '.'):
            found.add(cls)
    return sorted(found, key=lambda cls: cls.__name__)


class Case(NamedTuple):
    """A regularizer and the shape of an image for it."""

    regularizer: Regularizer
    shape: tuple[int, ...]

    @property
    def unknown_shape(self) -> tuple[int, ...]:
        """Shape of the image, or of what it is synthesized from."""
        return tuple(self.regularizer.start(torch.zeros(self.shape)).shape)


def orthonormal_filters(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Draw filters of unit norm that are orthogonal to each other, for fast convergence."""
    columns = RandomGenerator(2).randn_tensor((shape[0], math.prod(shape[1:])), dtype).T
    return torch.linalg.qr(columns)[0].T.reshape(shape)


STATIC, DYNAMIC = (2, 1, 1, 3, 4), (3, 1, 2, 3, 4)
TIED = ((-2, -1), (-3,), (-5,))
CASES = {
    'circular': Case(TotalVariation((-2, -1)), STATIC),
    'neumann': Case(TotalVariation((-2, -1), boundary='neumann'), STATIC),
    'zero': Case(TotalVariation((-2, -1), boundary='zero'), STATIC),
    'space and time': Case(TotalVariation((-5, -2, -1)), DYNAMIC),
    'three groups': Case(TotalVariation((-1, -5, -3, -2), groups=TIED, boundary='neumann'), DYNAMIC),
    'isotropic': Case(TotalVariation((-2, -1), isotropic=True), STATIC),
    'complex modulus': Case(TotalVariation((-2, -1), complex_modulus=True), STATIC),
    'isotropic complex modulus, three groups': Case(
        TotalVariation((-1, -5, -3, -2), groups=TIED, isotropic=True, complex_modulus=True), DYNAMIC
    ),
    'dictionary': Case(DictionarySparsity(orthonormal_filters((2, 3, 3), torch.float64)), STATIC),
    'complex dictionary in space, zero boundary': Case(
        DictionarySparsity(orthonormal_filters((3, 1, 3, 3), torch.complex128), boundary='zero'), (3, 1, 2, 3, 4)
    ),
}
REGULARIZERS = concrete_subclasses(Regularizer, mrpro_lambda.regularizers)
for cls in REGULARIZERS:
    CASES |= {name: Case(regularizer, STATIC) for name, regularizer in cls.examples().items()}
all_cases = pytest.mark.parametrize('case', CASES.values(), ids=CASES)
real_and_complex = pytest.mark.parametrize('dtype', [torch.float64, torch.complex128], ids=['real', 'complex'])


def random_inputs(case: Case, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw an unknown, coefficients and thresholds, some of them zero."""
    rng = RandomGenerator(0)
    regularizer, shape = case
    unknown = rng.randn_tensor(case.unknown_shape, dtype)
    coefficients = rng.randn_tensor(regularizer.transform(unknown).shape, dtype)
    lambda_map = rng.float64_tensor((regularizer.n_maps, *shape)) - 0.1
    img = torch.zeros(shape, dtype=dtype)
    threshold = regularizer.expand(regularizer.lambda_map(lambda_map.clamp_min(0), img), img)
    if threshold.ndim > coefficients.ndim and not dtype.is_complex:
        pytest.skip('weights for real and imaginary part need complex numbers')
    return unknown, coefficients, threshold


def inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Real part of the inner product."""
    return (a.conj() * b).real.sum()
