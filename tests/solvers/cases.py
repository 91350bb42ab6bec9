"""All solvers and ways to differentiate them, and problems to solve with them."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import mrpro_lambda.solvers
import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.data.traj_calculators import KTrajectoryRadial2D
from mrpro.operators import FourierOp, IdentityOp, LinearOperator, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.norms import HuberNorm, L1Norm
from mrpro_lambda.operators import CartesianAcquisitionOp, GradientOp, IdentityTransform
from mrpro_lambda.regularizers import (
    DictionarySparsity,
    FilterSparsity,
    Regularizer,
    Sparsity,
    SumRegularizer,
    Tikhonov,
    TotalVariation,
    WaveletSparsity,
)
from mrpro_lambda.solvers import Backward, ImplicitBackward, Problem, Solution, Solver

from tests.regularizers.cases import concrete_subclasses, orthonormal_filters


class Case(NamedTuple):
    """The arguments of a problem, in the order of `Problem.create`."""

    regularizer: Regularizer
    data: torch.Tensor
    acquisition_op: LinearOperator
    initial_image: torch.Tensor
    lambda_map: torch.Tensor

    @property
    def problem(self) -> Problem:
        return Problem.create(*self)

    @property
    def single_precision(self) -> bool:
        return self.lambda_map.dtype == torch.float32

    @property
    def tolerance(self) -> float:
        """Relative gap to solve to. The solvers are slow in the end for grouped norms and slopes up to a border."""
        several = self.regularizer.transform_op.n_components is not None
        if self.single_precision or (several and not self.regularizer.circulant):
            return 1e-4
        return 1e-9 if self.regularizer.elementwise else 1e-7


def piecewise_constant(shape: tuple[int, ...], dtype: torch.dtype, rng: RandomGenerator) -> torch.Tensor:
    """Draw an image with few jumps, on top of some noise."""
    img = 0.05 * rng.randn_tensor(shape, dtype) + 0.3
    for low in range(2):
        img[..., low : low + 3, 1 + low : 4 + low] += rng.randn_tensor((*shape[:-2], 1, 1), dtype)
    return img


def create_case(
    regularizer: Regularizer, acquisition_op: LinearOperator, shape: tuple[int, ...], dtype: torch.dtype
) -> Case:
    """Simulate noisy data of a random image and draw a Lambda map."""
    rng = RandomGenerator(7)
    (data,) = acquisition_op(piecewise_constant(shape, dtype, rng))
    noise = 0.05 * rng.randn_tensor(data.shape, data.dtype)
    data = data + (noise if isinstance(acquisition_op, FourierOp) else noise * (data != 0))
    # a dictionary converges fast if most of its coefficients are zero
    low, high = (0.02, 0.2) if regularizer.synthesis_op is None else (0.1, 0.2)
    lambda_map = rng._rand((regularizer.n_maps, *shape[:-4], 1, *shape[-3:]), low, high, dtype.to_real())
    (initial_image,) = acquisition_op.adjoint(data)
    # that of a single coil fits the data already: start from another one, so that nothing is zero at the start
    initial_image = initial_image + 0.05 * rng.randn_tensor(shape, dtype)
    return Case(regularizer, data, acquisition_op, initial_image, lambda_map)


def mask(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Draw a mask that holds the center of k-space, different for each leading entry."""
    sampled = RandomGenerator(seed).float64_tensor(shape) < 0.6
    sampled[..., shape[-2] // 2, shape[-1] // 2] = True
    return sampled.double()


def coil_maps(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Draw coil sensitivities with a sum of squares of 1."""
    csm = RandomGenerator(3).randn_tensor(shape, dtype)
    return csm / csm.abs().square().sum(-4, keepdim=True).sqrt()


def radial(shape: tuple[int, ...]) -> LinearOperator:
    """Radial acquisition with three coils."""
    n = shape[-1]
    spokes = torch.arange(7, dtype=torch.float32)[:, None]
    trajectory = KTrajectoryRadial2D()(n_k0=2 * n, k0_center=n, k1_idx=spokes)
    matrix = SpatialDimension(1, n, n)
    fourier_op = FourierOp(matrix, SpatialDimension(1, 2 * n, 2 * n), trajectory)
    # smooth sensitivities, as the sampling density that ADMM uses means little for others
    x, coil = torch.linspace(-1, 1, n), torch.arange(3).reshape(3, 1, 1, 1)
    csm = torch.polar(torch.exp(-(x - (coil - 1)).square()), 0.5 * coil * x[:, None])
    return fourier_op @ SensitivityOp((csm / csm.abs().square().sum(0, keepdim=True).sqrt())[None])


def cartesian(shape: tuple[int, ...], n_k0: int) -> LinearOperator:
    """mrpro's Cartesian acquisition of half of the lines, with `n_k0` samples in a readout."""
    n_z, n_y, n_x = shape[-3:]
    ky = torch.tensor([-3, -2, -1, 0, 1, 2]).float().reshape(-1, 1)
    kx = (torch.arange(n_k0) - n_k0 // 2).float()
    kz, ky, kx = (k.reshape(1, 1, 1, *k.shape[-2:]) for k in (torch.zeros(1, 1), ky, kx[None]))
    fourier_op = FourierOp(SpatialDimension(n_z, n_y, n_x), SpatialDimension(n_z, n_y, n_k0), KTrajectory(kz, ky, kx))
    return fourier_op @ SensitivityOp(coil_maps((*shape[:-4], 2, *shape[-3:]), torch.complex128))


SINGLE, COILS, BATCH, DYNAMIC = (1, 1, 1, 8, 7), (1, 3, 1, 8, 7), (2, 1, 1, 7, 6), (3, 1, 1, 6, 6)
TV = TotalVariation((-2, -1))
FILTERS = torch.tensor([[[0, 0, 0], [-1, 2, -1], [0, 0, 0]], [[0, -1, 0], [0, 1, 0], [0, 0, 0]]]).double() / 2
DICTIONARY = DictionarySparsity(orthonormal_filters((2, 3, 3), torch.float64))
DICTIONARY_3D = DictionarySparsity(orthonormal_filters((2, 3, 3, 3), torch.float64))
_CASES: dict[str, Callable[[], Case]] = {
    'single coil': lambda: create_case(TV, CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128),
    'three coils': lambda: create_case(
        TV, CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)), BATCH, torch.complex128
    ),
    'coil images': lambda: create_case(TV, CartesianAcquisitionOp(mask(SINGLE)), COILS, torch.complex128),
    'real denoising': lambda: create_case(TV, IdentityOp(), SINGLE, torch.float64),
    'dynamic': lambda: create_case(
        TotalVariation((-5, -2, -1)), CartesianAcquisitionOp(mask(DYNAMIC)), DYNAMIC, torch.complex128
    ),
    'dynamic denoising': lambda: create_case(
        TotalVariation((-5, -2, -1)), IdentityOp(), (2, 1, 1, 3, 2), torch.complex128
    ),
    'neumann': lambda: create_case(
        TotalVariation((-2, -1), boundary='neumann'), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'zero': lambda: create_case(
        TotalVariation((-2, -1), boundary='zero'), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'isotropic complex modulus': lambda: create_case(
        TotalVariation((-5, -2, -1), isotropic=True, complex_modulus=True),
        CartesianAcquisitionOp(mask(DYNAMIC)),
        DYNAMIC,
        torch.complex128,
    ),
    'circular cycle in a closed field of view': lambda: create_case(
        TotalVariation((-5, -2, -1), boundary=('circular', 'neumann', 'neumann')),
        CartesianAcquisitionOp(mask(DYNAMIC), coil_maps((3, 3, 1, 6, 6), torch.complex128)),
        DYNAMIC,
        torch.complex128,
    ),
    'series in real time': lambda: create_case(
        TotalVariation((-5, -2, -1), boundary=('neumann', 'circular', 'circular')),
        CartesianAcquisitionOp(mask(DYNAMIC)),
        DYNAMIC,
        torch.complex128,
    ),
    'zero boundary of one axis': lambda: create_case(
        TotalVariation((-2, -1), boundary=('zero', 'circular')),
        CartesianAcquisitionOp(mask(SINGLE)),
        SINGLE,
        torch.complex128,
    ),
    'mrpro Cartesian': lambda: create_case(TV, cartesian(BATCH, 6), BATCH, torch.complex128),
    'oversampled readout': lambda: create_case(TV, cartesian(BATCH, 12), BATCH, torch.complex128),
    'radial': lambda: create_case(TV, radial((1, 1, 1, 16, 16)), (1, 1, 1, 16, 16), torch.complex64),
    'dictionary, single coil': lambda: create_case(
        DICTIONARY, CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'dictionary, three coils': lambda: create_case(
        DICTIONARY,
        CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)),
        BATCH,
        torch.complex128,
    ),
    'dictionary, zero boundary': lambda: create_case(
        DictionarySparsity(DICTIONARY.synthesis_op.filters, boundary='zero'),
        CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)),
        BATCH,
        torch.complex128,
    ),
    'dictionary, complex filters': lambda: create_case(
        DictionarySparsity(orthonormal_filters((3, 3, 3), torch.complex128), beta=2.0),
        CartesianAcquisitionOp(mask(DYNAMIC)),
        DYNAMIC,
        torch.complex128,
    ),
    'dictionary, frequencies along another axis': lambda: create_case(
        DICTIONARY, CartesianAcquisitionOp(mask((1, 1, 4, 6, 5)), dim=(-3, -2, -1)), (1, 1, 4, 6, 5), torch.complex128
    ),
    'dictionary, slices with different masks': lambda: create_case(
        DICTIONARY_3D, CartesianAcquisitionOp(mask((1, 1, 3, 6, 5))), (1, 1, 3, 6, 5), torch.complex128
    ),
    'dictionary, 3D filters': lambda: create_case(
        DICTIONARY_3D,
        CartesianAcquisitionOp(mask((2, 1, 3, 5, 4)), dim=(-3, -2, -1)),
        (2, 1, 3, 5, 4),
        torch.complex128,
    ),
    'dictionary, radial': lambda: create_case(
        DictionarySparsity(DICTIONARY.synthesis_op.filters.float()),
        radial((1, 1, 1, 16, 16)),
        (1, 1, 1, 16, 16),
        torch.complex64,
    ),
    'Tikhonov, single coil': lambda: create_case(
        Tikhonov((-2, -1)), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'Tikhonov, three coils': lambda: create_case(
        Tikhonov(),
        CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)),
        BATCH,
        torch.complex128,
    ),
    'smoothed': lambda: create_case(
        Regularizer(GradientOp((-2, -1)), HuberNorm(0.1)),
        CartesianAcquisitionOp(mask(SINGLE)),
        SINGLE,
        torch.complex128,
    ),
    'fused lasso': lambda: create_case(
        TV + Regularizer(IdentityTransform(), L1Norm()), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'sum of three': lambda: create_case(
        TV + Sparsity(complex_modulus=True) + WaveletSparsity((-2, -1), 'haar', 1, maps='level'),
        CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)),
        BATCH,
        torch.complex128,
    ),
    'wavelets, single coil': lambda: create_case(
        WaveletSparsity((-2, -1), 'db2', 1), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'undecimated wavelets, single coil': lambda: create_case(
        WaveletSparsity((-2, -1), 'haar', 2, undecimated=True, maps='level'),
        CartesianAcquisitionOp(mask(SINGLE)),
        SINGLE,
        torch.complex128,
    ),
    'wavelets with approximation, radial': lambda: create_case(
        WaveletSparsity((-2, -1), 'db4', 3, approximation=True),
        radial((1, 1, 1, 16, 16)),
        (1, 1, 1, 16, 16),
        torch.complex64,
    ),
    'smoothed filters': lambda: create_case(
        FilterSparsity(FILTERS, smoothing=0.1), CartesianAcquisitionOp(mask(SINGLE)), SINGLE, torch.complex128
    ),
    'filters that vanish at other frequencies': lambda: create_case(
        FilterSparsity(torch.tensor([[[-1.0, 0.0, 1.0]], [[0.0, 1.0, -1.0]]]).mT.double(), tied=True),
        CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128)),
        BATCH,
        torch.complex128,
    ),
    'dictionary, real denoising': lambda: create_case(DICTIONARY, IdentityOp(), SINGLE, torch.float64),
}

_KNOWN = {DictionarySparsity, Regularizer, SumRegularizer, Tikhonov, TotalVariation}
for _cls in concrete_subclasses(Regularizer, mrpro_lambda.regularizers):
    for _name, _regularizer in () if _cls in _KNOWN else [*_cls.examples().items()][:1]:  # one problem of each class
        _acquisition_op = CartesianAcquisitionOp(mask(BATCH), coil_maps((2, 3, 1, 7, 6), torch.complex128))
        _CASES[_name] = partial(create_case, _regularizer, _acquisition_op, BATCH, torch.complex128)


@cache
def get_case(name: str) -> Case:
    """Create a problem once for all tests. Its tensors must not be changed."""
    return _CASES[name]()


SolverClass = Any
"""Class of a solver, whose own parameters are not known here."""
SOLVERS: list[Any] = concrete_subclasses(Solver, mrpro_lambda.solvers)
REFUSED: set[tuple[SolverClass, str]] = {
    (cls, name) for cls in SOLVERS for name in _CASES if cls.refusal(get_case(name).regularizer) is not None
}
"""Problems that a solver can not solve and says so."""
BACKWARDS: list[type[Backward]] = [
    backward for backward in concrete_subclasses(Backward, mrpro_lambda.solvers) if backward is not ImplicitBackward
]
"""Ways to differentiate the iterations. `ImplicitBackward` differentiates their limit."""


def default_case(cls: SolverClass, n_coils: int = 3) -> Case:
    """A batch of two images with three coils, or one image of a single coil, that a solver can solve."""
    name = 'three coils' if n_coils > 1 else 'single coil'
    names = (name, f'dictionary, {name}', f'Tikhonov, {name}')
    return get_case(next(name for name in names if (cls, name) not in REFUSED))


def solver_case_parameters(*names: str) -> pytest.MarkDecorator:
    """Parametrize a test with each solver and each problem that it can solve."""
    return pytest.mark.parametrize(
        ('cls', 'name'),
        [(cls, name) for cls in SOLVERS for name in (names or _CASES) if (cls, name) not in REFUSED],
    )


all_solvers = pytest.mark.parametrize('cls', SOLVERS)
clipping_solvers = pytest.mark.parametrize(
    'cls', [cls for cls in SOLVERS if default_case(cls).regularizer.elementwise], ids=lambda cls: cls.__name__
)
"""Those whose steps have an activity pattern."""


@cache
def solve_exactly(cls: SolverClass, name: str) -> Solution:
    """Solve a problem to its tolerance, once for all tests."""
    case = get_case(name)
    solver = cls(case.regularizer, max_iterations=10_000, tolerance=case.tolerance)
    return solver.solve(*case[1:])


def solve_once(name: str) -> Solution:
    """Solve a problem to its tolerance with the first solver that takes it, as the reference of all solvers."""
    return solve_exactly(next(cls for cls in SOLVERS if (cls, name) not in REFUSED), name)


@cache
def minimizer(cls: SolverClass, name: str) -> torch.Tensor:
    """Return the unknown of `solve_exactly`."""
    case, solution = get_case(name), solve_exactly(cls, name)
    if case.regularizer.synthesis_op is None and case.problem.modulation is None:
        return solution.img
    iteration = cls(case.regularizer, n_iterations=1).iteration(case.problem)
    unknown: torch.Tensor = iteration.run(iteration.owned(iteration.init()), 0, solution.n_iterations).primal
    return unknown
