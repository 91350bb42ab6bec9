"""Minimizers against solvers that share no code with ours, with transforms of other packages where they have them."""

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import pywt
import torch
from mrpro.algorithms.optimizers import pgd
from mrpro.operators import IdentityOp
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import FilterSparsity, Regularizer, Sparsity, TotalVariation, WaveletSparsity
from mrpro_lambda.solvers import ADMM, PDHG
from scipy.ndimage import correlate
from scipy.optimize import lsq_linear, minimize

from tests.helper import relative_image_difference
from tests.solvers.cases import Case, SolverClass

N_Y, N_X = 8, 4
FILTERS = torch.tensor([[[0, 0, 0], [-1, 2, -1], [0, 0, 0]], [[1, -2, 0], [-1, 1, 1], [0, 1, -1]]], dtype=torch.float64)
solvers = pytest.mark.parametrize('cls', [ADMM, PDHG])


def matrix(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Matrix of a linear function of images, by its columns."""
    return np.stack([function(column.reshape(N_Y, N_X)).ravel() for column in np.eye(N_Y * N_X)], -1)


def swt(x: np.ndarray) -> np.ndarray:
    approximation, details = pywt.swtn(x, 'db2', 1, norm=True, trim_approx=True)
    return np.stack([approximation, *(details[key] for key in sorted(details))])


def dwt(x: np.ndarray) -> np.ndarray:
    return pywt.coeffs_to_array(pywt.wavedecn(x, 'db2', 'periodization', 1))[0]


def differences(x: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(x, -1, 0) - x, np.roll(x, -1, 1) - x])


def responses(x: np.ndarray) -> np.ndarray:
    return np.stack([correlate(x, f, mode='wrap') for f in FILTERS.numpy()])


TRANSFORMS: dict[str, tuple[Regularizer, Callable[[np.ndarray], np.ndarray]]] = {
    'sparsity': (Sparsity(), lambda x: x),
    'fused lasso': (TotalVariation((-2, -1)) + Sparsity(), lambda x: np.concatenate((differences(x), x[None]))),
    'wavelets': (WaveletSparsity((-2, -1), 'db2', 1), dwt),
    'undecimated wavelets': (WaveletSparsity((-2, -1), 'db2', 1, undecimated=True), swt),
    'undecimated wavelets and approximation': (
        WaveletSparsity((-2, -1), 'db2', 1, undecimated=True, maps='level', approximation=True),
        swt,
    ),
    'total variation and wavelets': (
        TotalVariation((-2, -1)) + WaveletSparsity((-2, -1), 'db2', 1),
        lambda x: np.concatenate((differences(x), dwt(x)[None])),
    ),
    'filters': (FilterSparsity(FILTERS), responses),
}


def denoising(regularizer: Regularizer) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Draw data and a map, and bring the map to the coefficients."""
    rng = RandomGenerator(0)
    data = rng.randn_tensor((1, 1, 1, N_Y, N_X), torch.float64)
    data[..., 2:6, 1:3] += 3
    lambda_map = rng.float64_tensor((regularizer.n_maps, *data.shape), 0.05, 0.6)
    return data, lambda_map, regularizer.expand(lambda_map, data).flatten().numpy()


@solvers
@pytest.mark.filterwarnings('ignore:Level value of')
@pytest.mark.parametrize('name', TRANSFORMS)
def test_denoising_is_a_bounded_least_squares_problem(cls: SolverClass, name: str) -> None:
    r"""By duality the image is :math:`y - K^T q` with :math:`\min \|y - K^T q\|_2^2`, :math:`|q| \le \Lambda`."""
    regularizer, transform = TRANSFORMS[name]
    data, lambda_map, bound = denoising(regularizer)
    kernel, y = matrix(transform), data.flatten().numpy()
    free = bound > 0
    dual = lsq_linear(kernel[free].T, y, (-bound[free], bound[free]), tol=1e-14, method='bvls').x
    expected = torch.from_numpy(y - kernel[free].T @ dual).reshape(data.shape)
    solution = cls(regularizer, max_iterations=20_000, tolerance=1e-10).solve(data, IdentityOp(), data, lambda_map)
    assert solution.reason == 'tolerance reached'
    assert relative_image_difference(solution.img, expected) < 1e-4
    value = 0.5 * np.sum((expected.flatten().numpy() - y) ** 2) + np.sum(
        bound * np.abs(kernel @ expected.flatten().numpy())
    )
    assert solution.objective.item() <= value * (1 + 1e-9)
    assert value - solution.objective.item() <= solution.gap.item() + 1e-9 * value


@solvers
@pytest.mark.parametrize('smoothing', [0.1, 2.0])
def test_smoothed_filters_by_a_quasi_newton_method(cls: SolverClass, smoothing: float) -> None:
    """The objective is differentiable."""
    regularizer = FilterSparsity(FILTERS, smoothing=smoothing)
    data, lambda_map, bound = denoising(regularizer)
    kernel, y, width = matrix(responses), data.flatten().numpy(), smoothing * bound

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        t = kernel @ x
        huber = np.where(np.abs(t) <= width, t**2 / (2 * width), np.abs(t) - width / 2)
        value = 0.5 * np.sum((x - y) ** 2) + np.sum(bound * huber)
        return value, x - y + kernel.T @ (bound * np.clip(t / width, -1, 1))

    found = minimize(objective, y, jac=True, method='L-BFGS-B', options={'ftol': 1e-15, 'gtol': 1e-10, 'maxiter': 5000})
    solution = cls(regularizer, max_iterations=20_000, tolerance=1e-10).solve(data, IdentityOp(), data, lambda_map)
    expected = torch.from_numpy(found.x).reshape(data.shape)
    assert relative_image_difference(solution.img, expected) < 1e-5
    assert solution.objective.item() <= found.fun * (1 + 1e-10)


@solvers
@pytest.mark.filterwarnings('ignore:Level value of')
@pytest.mark.parametrize('complex_modulus', [False, True])
def test_denoising_with_an_orthonormal_transform_is_soft_thresholding(cls: SolverClass, complex_modulus: bool) -> None:
    """With the coefficients and the threshold of PyWavelets."""
    regularizer = WaveletSparsity((-2, -1), 'db4', 2, complex_modulus=complex_modulus)
    rng = RandomGenerator(0)
    data = rng.randn_tensor((1, 1, 1, 16, 24), torch.complex128)
    weights = [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]
    approximation, *details = pywt.wavedecn(data.numpy(), 'db4', 'periodization', 2, axes=(-2, -1))

    def shrink(c: np.ndarray, weight: float) -> np.ndarray:
        if complex_modulus:
            return pywt.threshold(c, weight)
        return pywt.threshold(c.real, weight) + 1j * pywt.threshold(c.imag, weight)

    for level, bands in enumerate(details):
        for number, key in enumerate(sorted(bands)):
            bands[key] = shrink(bands[key], weights[3 * level + number])
    expected = pywt.waverecn([approximation, *details], 'db4', 'periodization', axes=(-2, -1))
    solver = cls(regularizer, max_iterations=5000, tolerance=1e-12)
    img = solver(data, IdentityOp(), data, weights)
    torch.testing.assert_close(img, torch.from_numpy(expected), rtol=0, atol=1e-5)


def undersampled(regularizer: Regularizer) -> Case:
    """A complex image of boxes, noisy data of a part of its frequencies, and a number as the weight."""
    rng = RandomGenerator(0)
    img = torch.zeros(1, 1, 1, 16, 16, dtype=torch.complex128)
    img[..., 4:12, 5:11] = torch.tensor(1 + 0.5j)
    img[..., 6:8, 6:9] = 2
    mask = (rng.float64_tensor((1, 1, 1, 16, 16)) < 0.6).double()
    mask[..., 6:11, 6:11] = 1
    acquisition_op = CartesianAcquisitionOp(mask)
    data = acquisition_op(img)[0] + 0.05 * mask * rng.randn_tensor(tuple(img.shape), torch.complex128)
    lambda_map = torch.full((regularizer.n_maps, 1, 1, 1, 1, 1), 0.05, dtype=torch.float64)
    return Case(regularizer, data, acquisition_op, acquisition_op.adjoint(data)[0], lambda_map)


def assert_as_good(case: Case, expected: torch.Tensor, tolerance: float = 1e-3) -> None:
    """The image is that of the other solver, and its objective at least as low."""
    solution = ADMM(case.regularizer, max_iterations=20_000, tolerance=1e-7).solve(*case[1:])
    assert relative_image_difference(solution.img, expected) < tolerance
    problem = case.problem
    regularization = case.regularizer.value(case.regularizer.transform(expected), problem.threshold)
    value = 0.5 * (case.acquisition_op(expected)[0] - case.data).abs().square().sum() + regularization
    assert solution.objective.item() <= value.item() * (1 + 1e-7)


def test_wavelets_by_proximal_gradient_steps_of_mrpro() -> None:
    """As the transform is unitary, the coefficients can be solved for."""
    regularizer = WaveletSparsity((-2, -1), 'db2', 2, maps='one', approximation=True)
    case = undersampled(regularizer)
    synthesis = regularizer.transform_op.H
    f = L2NormSquared(target=case.data, weight=0.5**0.5) @ case.acquisition_op @ synthesis
    g = L1NormViewAsReal(weight=0.05)
    start = regularizer.transform(case.initial_image)
    (coefficients,) = pgd(f, g, start, stepsize=1.0, max_iterations=200)
    assert_as_good(case, synthesis(coefficients)[0])


@pytest.mark.skipif(importlib.util.find_spec('sigpy') is None, reason='sigpy is not installed')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ['sparsity', 'fused lasso'])
def test_moduli_by_sigpy(name: str) -> None:
    """SigPy penalizes the modulus: by proximal gradient steps, and by PDHG for two terms."""
    import sigpy

    total_variation = TotalVariation((-2, -1), complex_modulus=True)
    sparsity = Sparsity(complex_modulus=True)
    case = undersampled(sparsity if name == 'sparsity' else total_variation + sparsity)
    assert isinstance(case.acquisition_op, CartesianAcquisitionOp)
    shape = (16, 16)
    mask = case.acquisition_op.mask.reshape(shape).numpy()
    linop = sigpy.linop
    forward = linop.Multiply(shape, mask) * linop.FFT(shape)
    arguments: dict[str, object] = {'proxg': sigpy.prox.L1Reg(shape, 0.05)}
    if name == 'fused lasso':
        gradient = linop.FiniteDifference(shape)
        rows = [linop.Reshape((512,), (2, *shape)) * gradient, linop.Reshape((256,), shape) * linop.Identity(shape)]
        arguments = {'proxg': sigpy.prox.L1Reg((768,), 0.05), 'G': linop.Vstack(rows, axis=0)}
    app = sigpy.app.LinearLeastSquares(
        forward,
        case.data.reshape(shape).numpy(),
        x=np.zeros(shape, complex),
        max_iter=1000,
        show_pbar=False,
        **arguments,
    )
    expected = torch.from_numpy(app.run()).reshape(case.initial_image.shape)
    assert_as_good(case, expected)
