"""Tests for the adapter to mrpro's acquisition operators, and of what is taken over from mrpro."""

import ast
import inspect
from collections.abc import Callable

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import CartesianSamplingOp, FastFourierOp, FourierOp, IdentityOp, LinearOperator, SensitivityOp
from mrpro.operators.CartesianSamplingOp import CartesianMaskingOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp, CirculantGramOp, acquisition_factors, gram_operator
from mrpro_lambda.operators.acquisition_factors import (
    RepeatedSamplingOp,
    sample_multiplicity,
    with_true_adjoint,
    without_sensitivities,
)

from tests.helper import dotproduct_adjointness_test

N_COILS, N_Z, N_Y, N_X = 3, 2, 6, 8
SHAPE = (2, 1, N_Z, N_Y, N_X)
REPEATS = [0, -3, 0, 2, 0, 2]
"""Lines of k-space: the central one is acquired three times."""


def fourier_op(lines: list[int], n_k0: int = N_X, *, encoding_y: int = N_Y) -> FourierOp:
    """Cartesian acquisition of phase encodings, in their order, with all partitions."""
    ky = torch.tensor(lines, dtype=torch.float64).reshape(1, 1, 1, -1, 1)
    kz, kx = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (N_Z, n_k0))
    matrix = SpatialDimension(N_Z, N_Y, N_X)
    trajectory = KTrajectory(kz.reshape(1, 1, -1, 1, 1), ky, kx.reshape(1, 1, 1, 1, -1))
    return FourierOp(matrix, SpatialDimension(N_Z, encoding_y, n_k0), trajectory)


def radial(*, stack: bool = False, partitions: list[int] | None = None) -> FourierOp:
    """Spokes in a volume, or a stack of stars."""
    angle = torch.linspace(0, 3, 7, dtype=torch.float64).reshape(1, 1, 1, -1, 1)
    k0 = torch.linspace(-4, 3, 8, dtype=torch.float64)
    kz = torch.tensor(partitions or [-1, 0], dtype=torch.float64).reshape(1, 1, -1, 1, 1) if stack else angle.cos() * k0
    matrix = SpatialDimension(N_Z, N_Y, N_X)
    return FourierOp(matrix, matrix, KTrajectory(kz, angle.sin() * k0, angle.cos() * k0))


def sampling_op(lines: list[int]) -> CartesianSamplingOp:
    (op,) = (module for module in fourier_op(lines).modules() if isinstance(module, CartesianSamplingOp))
    return op


def sensitivity_op() -> SensitivityOp:
    return SensitivityOp(RandomGenerator(1).complex128_tensor((2, N_COILS, N_Z, N_Y, N_X)))


def weight(*shape: int) -> torch.Tensor:
    """Complex weights."""
    return RandomGenerator(3).complex128_tensor(shape)


def mask_op() -> CartesianMaskingOp:
    return CartesianMaskingOp(RandomGenerator(0).bool_tensor((N_Y, 1)))


def fft_op() -> FastFourierOp:
    return FastFourierOp((-2, -1))


LINES = [-3, 0, 2, 1]
# what is taken over from mrpro as it is
TAKEN_OVER: dict[str, Callable[[], LinearOperator]] = {
    'identity': IdentityOp,
    'sensitivities': sensitivity_op,
    'FFT': fft_op,
    'padded FFT': lambda: FastFourierOp((-2,), recon_matrix=(N_Y,), encoding_matrix=(N_Y + 3,)),
    'sampling': lambda: sampling_op(LINES),
    'mask and FFT': lambda: mask_op() @ fft_op(),
    'full': lambda: fourier_op(list(range(-3, 3))),
    'undersampled': lambda: fourier_op(LINES),
    'undersampled with coils': lambda: fourier_op(LINES) @ sensitivity_op(),
    'oversampled readout': lambda: fourier_op(LINES, 2 * N_X) @ sensitivity_op(),
    'larger field of view': lambda: fourier_op([*LINES, 4], encoding_y=N_Y + 3),
    'weighted': lambda: weight(N_COILS, 1, 4, 1) * (fourier_op(LINES) @ sensitivity_op()),
    'weighted image': lambda: fourier_op(LINES) * weight(N_Y, N_X),
    'multiple': lambda: (0.1 - 2j) * fourier_op(LINES),
    'radial': radial,
    'radial with coils': lambda: weight(7, 8) * (radial() @ sensitivity_op()),
    'stack of stars': lambda: radial(stack=True) @ sensitivity_op(),
}
# what mrpro has no true adjoint of
CORRECTED: dict[str, Callable[[], LinearOperator]] = {
    'sampling': lambda: sampling_op(REPEATS),
    'FourierOp': lambda: fourier_op(REPEATS),
    'with coils': lambda: fourier_op(REPEATS) @ sensitivity_op(),
    'averages': lambda: fourier_op([*range(-3, 3)] * 2) @ sensitivity_op(),
    'oversampled readout': lambda: fourier_op(REPEATS, 2 * N_X) @ sensitivity_op(),
    'weighted': lambda: weight(6, 1) * (fourier_op(REPEATS) @ sensitivity_op()),
    'each coil weighted': lambda: weight(N_COILS, 1, 6, 1) * (fourier_op(REPEATS) @ sensitivity_op()),
    'weighted image': lambda: (2j * fourier_op(REPEATS)) * weight(N_Y, N_X),
    'sampling, FFT and coils': lambda: sampling_op(REPEATS) @ (FastFourierOp() @ sensitivity_op()),
    'stack of stars': lambda: radial(stack=True, partitions=[-1, 0, 0]) @ sensitivity_op(),
}


def adjointness_test(op: LinearOperator) -> None:
    img = RandomGenerator(2).randn_tensor(SHAPE, torch.complex128)
    (data,) = op(img)
    # NUFFTs are computed to six digits
    tolerance = 1e-5 if any('Uniform' in type(module).__name__ for module in op.modules()) else 1e-12
    dotproduct_adjointness_test(op, img, RandomGenerator(4).randn_like(data), tolerance, tolerance)


@pytest.mark.parametrize('name', TAKEN_OVER)
def test_adjointness_of_what_is_taken_over_from_mrpro(name: str) -> None:
    op = TAKEN_OVER[name]()
    assert with_true_adjoint(op) is op
    adjointness_test(op)


@pytest.mark.parametrize('name', CORRECTED)
def test_adjointness_with_repeated_samples(name: str) -> None:
    """Forward is that of mrpro, and the first assertion fails when mrpro's adjoint is one."""
    mrpro_op = CORRECTED[name]()
    with pytest.raises(AssertionError):
        adjointness_test(mrpro_op)
    op = with_true_adjoint(mrpro_op)
    adjointness_test(op)
    img = RandomGenerator(2).randn_tensor(SHAPE, torch.complex128)
    torch.testing.assert_close(op(img), mrpro_op(img))
    assert with_true_adjoint(op) is op


@pytest.mark.parametrize('name', CORRECTED)
def test_gram_operator_with_repeated_samples(name: str) -> None:
    op = CORRECTED[name]()
    img = RandomGenerator(2).randn_tensor(SHAPE, torch.complex128)
    (expected,) = with_true_adjoint(op).adjoint(*op(img))
    (result,) = gram_operator(op)(img)
    assert torch.linalg.vector_norm(result - expected) <= 1e-6 * torch.linalg.vector_norm(expected)


def test_transfer_function_has_the_multiplicity() -> None:
    """Frequencies in the order of the FFT: zero first."""
    gram = gram_operator(fourier_op(REPEATS))
    assert isinstance(gram, CirculantGramOp)
    assert gram.transfer.flatten().tolist() == [3, 0, 2, 1, 0, 0]


def test_multiplicity_of_each_sample() -> None:
    count = sample_multiplicity(weight(6, 1) * (fourier_op(REPEATS) @ sensitivity_op()))
    assert count is not None
    assert count[0, 0, 0, :, 0].tolist() == [3, 1, 3, 2, 3, 2]
    for op in (fourier_op(LINES), fourier_op(list(range(-3, 3))), radial(), IdentityOp()):
        assert sample_multiplicity(op) is None


def test_samples_outside_of_the_encoding_matrix_are_ignored() -> None:
    with pytest.warns(UserWarning, match='outside'):
        op = with_true_adjoint(fourier_op([0, 5, 0, 7]))
    adjointness_test(op)
    (data,) = op(RandomGenerator(0).randn_tensor(SHAPE, torch.complex128))
    assert data.any(-1)[0, 0, 0].tolist() == [True, False, True, False]
    gram = gram_operator(op)
    assert isinstance(gram, CirculantGramOp)
    assert gram.transfer.flatten().tolist() == [2, 0, 0, 0, 0, 0]


def test_repeated_samples_that_can_not_be_corrected_are_refused() -> None:
    op = fourier_op(REPEATS) + fourier_op(REPEATS)
    for function in (with_true_adjoint, gram_operator):
        with pytest.raises(ValueError, match=r'must add up .* LinearOperatorSum can not'):
            function(op)
    undersampled = fourier_op(LINES) + fourier_op(LINES)
    assert with_true_adjoint(undersampled) is undersampled


def test_factors_do_not_depend_on_the_nesting() -> None:
    mask, fft, csm = mask_op(), fft_op(), sensitivity_op()
    weights = weight(N_Y, 1)
    for op in (weights * ((mask @ fft) @ csm), (weights * mask) @ (fft @ csm), (weights * (mask @ fft)) @ csm):
        factors = acquisition_factors(op)
        assert [id(factor) for factor in factors] == [id(factor) for factor in (weights, mask, fft, csm)]


def test_factors_of_known_operators() -> None:
    op = CartesianAcquisitionOp(torch.ones(N_Y, 1), sensitivity_op().csm_tensor)
    types = [torch.Tensor, FastFourierOp, SensitivityOp]
    assert [type(factor) for factor in acquisition_factors(op)] == types
    assert [type(factor) for factor in acquisition_factors(2 * fourier_op(LINES))] == [
        torch.Tensor,
        RepeatedSamplingOp,
        FastFourierOp,
    ]
    assert acquisition_factors(IdentityOp()) == []


def test_acquisition_without_sensitivities() -> None:
    spokes = radial()
    weights = weight(7, 8)
    for op, expected in ((spokes, spokes), (weights * (spokes @ sensitivity_op()), weights * spokes)):
        found = without_sensitivities(op)
        assert found is not None
        assert found[1] == (-3, -2, -1)
        img = RandomGenerator(2).randn_tensor(SHAPE, torch.complex128)
        torch.testing.assert_close(found[0](img), expected(img))
    for op in (fourier_op(LINES), IdentityOp(), sensitivity_op(), weight(N_COILS, 1, 1, 1) * spokes, spokes + spokes):
        assert without_sensitivities(op) is None


def private_attributes() -> dict[str, object]:
    """For each private name of mrpro, an object that must have it."""
    cartesian, spokes = fourier_op(LINES), radial()
    composition, product = cartesian @ sensitivity_op(), 2 * cartesian
    sampling = sampling_op(LINES)
    (nufft,) = (module for module in spokes.modules() if type(module).__name__ == 'NonUniformFastFourierOp')
    objects: list[tuple[object, tuple[str, ...]]] = [
        (composition, ('_operator1', '_operator2')),
        (product, ('_operator', '_scalar')),
        (cartesian * 2, ('_operator', '_scalar')),
        (cartesian, ('_cart_sampling_op', '_fast_fourier_op', '_non_uniform_fast_fourier_op')),
        (cartesian, ('_fft_dims', '_nufft_dims')),
        (sampling, ('_needs_indexing', '_fft_idx', '_inside_encoding_matrix_idx')),
        (sampling, ('_sorted_grid_shape', '_trajectory_shape')),
        (fft_op(), ('_dim', '_pad_op')),
        (nufft, ('_im_size', '_direction_zyx')),
        (nufft.gram, ('_kernel', '_dim')),
    ]
    return {f'{type(owner).__name__}.{name}': owner for owner, names in objects for name in names}


@pytest.mark.parametrize('name', private_attributes())
def test_private_names_of_mrpro_exist(name: str) -> None:
    owner, attribute = private_attributes()[name], name.split('.')[1]
    assert hasattr(owner, attribute), f'mrpro has no {name} any more: adapt operators/acquisition_factors.py'


def test_all_private_names_are_checked() -> None:
    source = ast.parse(inspect.getsource(inspect.getmodule(acquisition_factors) or ast))
    used = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and node.attr.startswith('_') and not node.attr.startswith('__')
    }
    assert used == {name.split('.')[1] for name in private_attributes()}
