"""Random small problems of all kinds, for theorems that hold for each of them."""

from collections.abc import Sequence
from typing import Any, get_args

import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, IdentityOp, LinearOperator, SensitivityOp
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.operators.GeneralizedGradientOp import ClosedBoundary
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.regularizers import (
    DictionarySparsity,
    FilterSparsity,
    PhaseAware,
    Regularizer,
    Sparsity,
    Tikhonov,
    TotalGeneralizedVariation,
    TotalVariation,
    WaveletSparsity,
)
from mrpro_lambda.regularizers.WaveletSparsity import WaveletMaps
from mrpro_lambda.solvers import Backward, ImplicitBackward
from mrpro_lambda.solvers.PD3O import PD3OIteration

from tests.solvers.cases import SOLVERS, Case, SolverClass


class RandomProblems:
    """A source of random choices and of problems made of them."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def integer(self, low: int, high: int) -> int:
        """Draw from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.rng))

    def chance(self, probability: float) -> bool:
        return bool(torch.rand((), generator=self.rng) < probability)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.rng, dtype=torch.float64)

    def noise(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.randn(shape, generator=self.rng, dtype=dtype)

    def acquisition(self, shape: tuple[int, ...], dtype: torch.dtype, n_coils: int) -> LinearOperator:
        """Draw a Cartesian acquisition, different for each entry of a batch, that holds the center of k-space."""
        *other, _, n_z, n_y, n_x = shape
        if not dtype.is_complex or self.chance(0.1):
            return IdentityOp()
        csm = self.noise((*other, n_coils, n_z, n_y, n_x), dtype) if n_coils > 1 or self.chance(0.2) else None
        if csm is not None and self.chance(0.7):
            csm = csm / csm.abs().square().sum(-4, keepdim=True).sqrt()
        if self.chance(0.2):
            lines = sorted({-(n_y // 2) + self.integer(0, n_y - 1) for _ in range(n_y)} | {0})
            n_k0 = n_x * (2 if self.chance(0.3) else 1)
            ky = torch.tensor(lines, dtype=torch.float32).reshape(1, 1, 1, -1, 1)
            kx = (torch.arange(n_k0, dtype=torch.float32) - n_k0 // 2).reshape(1, 1, 1, 1, -1)
            kz = (torch.arange(n_z, dtype=torch.float32) - n_z // 2).reshape(1, 1, -1, 1, 1)
            trajectory = KTrajectory(kz, ky, kx)
            fourier_op = FourierOp(SpatialDimension(n_z, n_y, n_x), SpatialDimension(n_z, n_y, n_k0), trajectory)
            return fourier_op if csm is None else fourier_op @ SensitivityOp(csm)
        dim = (-3, -2, -1) if self.chance(0.3) else (-2, -1)
        mask = (self.uniform(0, 1, (*other, 1, n_z, n_y, n_x)) < self.uniform(0.3, 1)).double()
        if self.chance(0.2):
            mask = mask * self.uniform(0.2, 3, tuple(mask.shape))
        mask[..., n_y // 2, n_x // 2] = 1
        return CartesianAcquisitionOp(mask.to(dtype.to_real()), csm, dim)

    def total_variation(self, ndim: int, *, grouped: bool) -> TotalVariation:
        axes = [d for d in (-5, -3, -2, -1) if -d <= ndim]
        dim = [d for d in axes if self.chance(0.6)] or [-1]
        boundary = get_args(Boundary)[self.integer(0, 2)]
        groups = None if self.chance(0.5) else [(d,) for d in dim]
        isotropic, complex_modulus = (grouped and self.chance(0.7) for _ in range(2))
        return TotalVariation(
            dim,
            groups=groups,
            boundary=boundary,
            isotropic=isotropic,
            complex_modulus=complex_modulus,
        )

    def dictionary(self, dtype: torch.dtype) -> DictionarySparsity:
        filters_dtype = dtype if self.chance(0.3) else dtype.to_real()
        kernel = (3, 3, 3) if self.chance(0.2) else (3, 3)
        filters = self.noise((self.integer(1, 4), *kernel), filters_dtype)
        filters = filters / filters.flatten(1).norm(dim=1).reshape(-1, *(1,) * len(kernel))
        return DictionarySparsity(
            filters, boundary='circular' if self.chance(0.7) else 'zero', beta=float(self.uniform(0, 5))
        )

    def wavelets(self) -> WaveletSparsity:
        """Draw wavelets in the plane, without weight of the approximation in half of the cases."""
        wavelet = ('haar', 'db2', 'db4', 'sym3', 'coif1')[self.integer(0, 4)]
        return WaveletSparsity(
            [(-2, -1), (-1,), (-2,)][self.integer(0, 2)],
            wavelet,
            self.integer(1, 2),
            undecimated=self.chance(0.5),
            maps=get_args(WaveletMaps)[self.integer(0, 2)],
            approximation=self.chance(0.5),
            complex_modulus=self.chance(0.3),
        )

    def filters(self) -> FilterSparsity:
        """Draw filters of zero mean, smoothed ones and ones with other frequencies in their null space among them."""
        shape = ((3, 3), (1, 3), (5, 3), (3, 3, 3))[self.integer(0, 3)]
        filters = self.noise((self.integer(1, 4), *shape), torch.float64)
        if self.chance(0.3):
            filters = filters - filters.flip(-1)
        filters = filters - filters.mean(tuple(range(1, filters.ndim)), keepdim=True)
        modulus = self.chance(0.3)
        smoothing = None if modulus or self.chance(0.6) else float(self.uniform(0.01, 2))
        return FilterSparsity(filters, smoothing=smoothing, tied=self.chance(0.3), complex_modulus=modulus)

    def regularizer(self, kind: str, ndim: int, dtype: torch.dtype) -> Regularizer:
        if kind == 'dictionary':
            return self.dictionary(dtype)
        if kind == 'sparsity':
            return Sparsity(complex_modulus=self.chance(0.3))
        if kind == 'wavelets':
            return self.wavelets()
        if kind == 'filters':
            return self.filters()
        if kind == 'sum':
            other = (Sparsity(), self.wavelets(), self.filters())[self.integer(0, 2)]
            return self.total_variation(ndim, grouped=self.chance(0.3)) + other
        if kind == 'Tikhonov':
            return Tikhonov([(), (-2, -1), (-1,)][self.integer(0, 2)])
        if kind == 'generalized variation':
            return self.generalized_variation()
        if kind == 'phase-aware':
            inner = (self.total_variation(ndim, grouped=False), self.generalized_variation(), self.dictionary(dtype))
            regularizer: Regularizer = inner[self.integer(0, 2)]
            separable = regularizer.coefficient_norm.separable_parts and self.chance(0.8)
            return PhaseAware(
                regularizer,
                imaginary_factor=float(self.uniform(0.2, 5)) if separable else 1.0,
                # rounding may decide where the object ends, which would be another problem in double precision
                object_only=dtype == torch.complex128,
            )
        return self.total_variation(ndim, grouped=kind == 'grouped total variation')

    def generalized_variation(self) -> TotalGeneralizedVariation:
        """Draw generalized variation in the plane."""
        return TotalGeneralizedVariation(
            [(-2, -1), (-1,)][self.integer(0, 1)],
            boundary=get_args(ClosedBoundary)[self.integer(0, 1)],
            isotropic=self.chance(0.2),
            complex_modulus=self.chance(0.2),
        )

    def problem(self, kind: str, *, n_batch: int | None = None, dtype: torch.dtype | None = None) -> Case:
        """Draw a problem.

        Parameters
        ----------
        kind
            One of `KINDS`.
        n_batch
            Size of the first axis, which is random by default. Entries differ in sampling, sensitivities, data and map.
        dtype
            Type of the image, real or complex numbers in double precision by default.
        """
        if dtype is None:
            dtype = torch.complex128 if self.chance(0.8) or kind == 'phase-aware' else torch.float64
        n_z = self.integer(1, 3) if self.chance(0.3) else 1
        shape = (n_batch or self.integer(1, 3), 1, n_z, self.integer(4, 7), self.integer(4, 7))
        regularizer = self.regularizer(kind, len(shape), dtype)
        if regularizer.dictionary_op is not None and regularizer.dim[0] == -3:
            shape = (*shape[:-3], 3, *shape[-2:])
        acquisition_op = self.acquisition(shape, dtype, self.integer(1, 3))
        img = 0.1 * self.noise(shape, dtype)
        for _ in range(2):
            y, x = self.integer(0, shape[-2] - 2), self.integer(0, shape[-1] - 2)
            img[..., y : y + 3, x : x + 3] += self.noise((*shape[:-2], 1, 1), dtype)
        (data,) = acquisition_op(img)
        data = data + 0.1 * self.noise(tuple(data.shape), data.dtype) * (data != 0)
        (adjoint,) = acquisition_op.adjoint(data)
        start = (adjoint, torch.zeros_like(adjoint), adjoint + 0.3 * self.noise(shape, dtype))[self.integer(0, 2)]
        size = tuple(n if self.chance(0.8) else 1 for n in (*shape[:-4], 1, *shape[-3:]))
        lambda_map = torch.exp(self.uniform(-2, 2) * self.noise((regularizer.n_maps, *size), torch.float64))
        lambda_map = 0.1 * lambda_map.to(dtype.to_real())
        return Case(regularizer, data, acquisition_op, start, lambda_map)


KINDS = (
    *('total variation', 'grouped total variation', 'dictionary', 'sparsity', 'wavelets', 'filters', 'sum', 'Tikhonov'),
    *('generalized variation', 'phase-aware'),
)


def solvers_of(case: Case) -> list[SolverClass]:
    """Solvers that do not refuse a problem."""
    accepted = []
    for cls in SOLVERS:
        try:
            cls(case.regularizer, n_iterations=1)(*case[1:])
        except ValueError:
            continue
        accepted.append(cls)
    return accepted


def double_precision(case: Case) -> Case:
    """Return the same problem in double precision."""
    double = case.problem.double
    precision = double.rhs.dtype
    return Case(
        double.regularizer,
        case.data.to(double.data.dtype),
        LeastSquares(case.acquisition_op).double.acquisition_op,  # that of the problem includes the phase
        case.initial_image.to(precision),
        case.lambda_map.double(),
    )


N_ITERATIONS = 13
Gradients = tuple[torch.Tensor, ...]


def _derivatives(img: torch.Tensor, inputs: Sequence[torch.Tensor]) -> Gradients:
    """Return derivatives of a linear functional of an image."""
    direction = torch.randn(img.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    loss = (direction.to(img.dtype) * (1 - 0.5j if img.is_complex() else 1) * img).real.sum()
    return torch.autograd.grad(loss, inputs, materialize_grads=True)


def problem_gradients(cls: SolverClass, case: Case, backward: Backward) -> Gradients:
    """Return the derivatives with respect to map, data and start."""
    solver = cls(case.regularizer, n_iterations=N_ITERATIONS, backward=backward)
    data, img, lambda_map = (x.detach().clone().requires_grad_() for x in (case.data, *case[3:]))
    return _derivatives(solver(data, case.acquisition_op, img, lambda_map), (lambda_map, data, img))


def gradient_errors(found: Gradients, reference: Gradients) -> list[float]:
    """Return the norms of the differences relative to those of the reference, or to 1e-5 if all that is left is small.

    Derivatives are of the order of 1: the exact ADMM, for example, forgets its start up to rounding.
    """
    errors = []
    for value, expected in zip(found, reference, strict=True):
        norm = torch.linalg.vector_norm(expected).clamp_min(1e-5 * expected.numel() ** 0.5)
        errors.append((torch.linalg.vector_norm(value - expected) / norm).item())
    return errors


def implicit_gradient_errors(cls: SolverClass, case: Case) -> list[float]:
    """Compare the implicit gradient after 20 transposed steps with autograd through 20 steps from the solution.

    Derivatives with respect to map and data. Nothing is returned where the iterations have not converged, or where the
    pattern of the steps still changes or is at the edge of it.
    """
    data, lambda_map = case.data.clone().requires_grad_(), case.lambda_map.clone().requires_grad_()
    problem = Case(case.regularizer, data, case.acquisition_op, case.initial_image, lambda_map).problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    with torch.no_grad():
        solution = iteration.run(iteration.owned(iteration.init()), 0, 3000)
        first, pattern = iteration.new_patterns(2)
        iteration.step_(iteration.owned(solution), 0, first)
        for factor in (1, 1 - 1e-9, 1 + 1e-9):
            state = type(solution)(*(factor * x for x in solution))
            for _ in range(20):
                iteration.step_(state, 0, pattern)
                if not torch.equal(first, pattern):
                    return []
    try:
        # this accuracy is reached as soon as it is looked at, after 20 steps
        img = ImplicitBackward(1e-6, accuracy=1e300).at_solution(iteration, iteration.owned(solution))
    except ValueError:
        return []
    found = _derivatives(img, (lambda_map, data))
    problem = Case(case.regularizer, data, case.acquisition_op, case.initial_image, lambda_map).problem
    iteration = cls(case.regularizer, n_iterations=1).iteration(problem)
    current: Any = solution
    if isinstance(iteration, PD3OIteration):  # the state holds the gradient of the data term, which depends on the data
        current = solution._replace(slope=problem.data_term.gradient(solution.primal, problem.rhs))
    for _ in range(20):
        current = iteration.step(current, 0)
    return gradient_errors(found, _derivatives(problem.synthesize(current.primal), (lambda_map, data)))


def scaled_batch(random: RandomProblems, case: Case) -> Case:
    """Return problems with scales over twelve decades and maps over six, each image its own unless they are coupled."""
    n = 1 if -case.data.ndim in case.regularizer.dim else len(case.data)
    shape = (n, *(1,) * (case.data.ndim - 1))
    scale = 10 ** random.uniform(-6, 6, shape).to(case.lambda_map.dtype)
    weight = scale * 10 ** random.uniform(-4, 2, shape).to(case.lambda_map.dtype)
    return case._replace(
        data=scale * case.data, initial_image=scale * case.initial_image, lambda_map=weight * case.lambda_map
    )
