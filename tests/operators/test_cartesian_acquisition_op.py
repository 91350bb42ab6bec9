"""Tests for the Cartesian acquisition of batches of images."""

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp, CirculantGramOp

from tests.helper import dotproduct_adjointness_test, gradient_of_linear_operator_test

CASES = pytest.mark.parametrize(
    ('shape', 'dim', 'mask_shape', 'n_coils'),
    [
        pytest.param((1, 1, 6, 8), (-2, -1), (6, 8), None, id='even, one coil'),
        pytest.param((1, 1, 5, 7), (-2, -1), (5, 1), 3, id='odd, coils, lines'),
        pytest.param((3, 1, 1, 6, 5), (-2, -1), (3, 1, 1, 6, 1), 2, id='mask per batch entry'),
        pytest.param((2, 1, 1, 6, 5), (-1, -2), (2, 2, 1, 6, 5), 2, id='mask per coil'),
        pytest.param((2, 1, 3, 4, 5), (-3, -2), (3, 4, 1), 2, id='3d, two phase encodings'),
        pytest.param((1, 1, 4, 5), (-1,), (1,), 2, id='constant mask'),
        pytest.param((2, 1, 3, 4, 5), (-3, -2, -1), (5,), None, id='mask with fewer axes than dim'),
    ],
)


def create_op_and_range_domain(
    shape: tuple[int, ...], dim: tuple[int, ...], mask_shape: tuple[int, ...], n_coils: int | None
) -> tuple[CartesianAcquisitionOp, torch.Tensor, torch.Tensor]:
    rng = RandomGenerator(0)
    mask = rng.bool_tensor(mask_shape)
    mask.view(-1)[0] = True
    csm = None
    if n_coils is not None:
        csm = rng.complex128_tensor((*shape[:-4], n_coils, *shape[-3:]))
    op = CartesianAcquisitionOp(mask, csm, dim)
    img = rng.randn_tensor(shape, torch.complex128)
    data = rng.randn_tensor((*shape[:-4], n_coils or 1, *shape[-3:]), torch.complex128)
    return op, img, data


@CASES
def test_adjoint(
    shape: tuple[int, ...], dim: tuple[int, ...], mask_shape: tuple[int, ...], n_coils: int | None
) -> None:
    op, img, data = create_op_and_range_domain(shape, dim, mask_shape, n_coils)
    dotproduct_adjointness_test(op, img, data, 1e-6, 1e-6)
    gradient_of_linear_operator_test(op, img, data, 1e-6, 1e-6)


@CASES
def test_gram(shape: tuple[int, ...], dim: tuple[int, ...], mask_shape: tuple[int, ...], n_coils: int | None) -> None:
    op, img, _ = create_op_and_range_domain(shape, dim, mask_shape, n_coils)
    assert isinstance(op.gram, CirculantGramOp)
    torch.testing.assert_close(op.gram(img), op.adjoint(*op(img)))
    torch.testing.assert_close(op.gram.adjoint(img), op.gram(img))


def test_gram_of_weighted_samples() -> None:
    """A mask that is not of zeros and ones acts twice."""
    rng = RandomGenerator(0)
    op = CartesianAcquisitionOp(rng.float64_tensor((5, 6)), rng.complex128_tensor((2, 1, 5, 6)))
    img = rng.randn_tensor((1, 1, 5, 6), torch.complex128)
    torch.testing.assert_close(op.gram(img), op.adjoint(*op(img)))


@pytest.mark.parametrize('n_coils', [None, 3])
def test_norm_bound(n_coils: int | None) -> None:
    """The bound holds, and without sensitivities it is the norm."""
    op, _, _ = create_op_and_range_domain((1, 1, 4, 5), (-2, -1), (4, 5), n_coils)
    basis = torch.eye(20, dtype=torch.complex128).reshape(20, 1, 1, 4, 5)
    matrix = op.gram(basis)[0].reshape(20, 20)
    norm = torch.linalg.matrix_norm(matrix, 2)
    bound = op.gram.norm_squared_bound()
    assert bound >= norm * (1 - 1e-12)
    assert bound <= norm * (1 + 1e-12 if n_coils is None else 2)


def test_full_sampling_without_coils_is_unitary() -> None:
    op = CartesianAcquisitionOp(torch.ones(1))
    img = RandomGenerator(0).randn_tensor((1, 1, 5, 6), torch.complex128)
    torch.testing.assert_close(op.adjoint(*op(img))[0], img)


def test_batch_entries_are_independent() -> None:
    """A stacked operator does to each entry what its own operator does."""
    stacked, img, data = create_op_and_range_domain((3, 1, 1, 6, 5), (-2, -1), (3, 1, 1, 6, 1), 2)
    assert stacked.csm is not None
    assert len({tuple(mask.flatten().tolist()) for mask in stacked.mask}) == 3
    for i in range(3):
        single = CartesianAcquisitionOp(stacked.mask[i], stacked.csm[i])
        torch.testing.assert_close(single(img[i])[0], stacked(img)[0][i])
        torch.testing.assert_close(single.adjoint(data[i])[0], stacked.adjoint(data)[0][i])


@pytest.mark.parametrize('n_y', [8, 7], ids=['even', 'odd'])
def test_equals_fourier_op(n_y: int) -> None:
    """Same k-space as mrpro's operator for a trajectory of lines that differ over time."""
    rng = RandomGenerator(0)
    n_x, n_lines, n_frames = 6, 4, 3
    lines = torch.stack([rng.randperm(n_y)[:n_lines] for _ in range(n_frames)])
    trajectory = KTrajectory(
        kz=torch.zeros(1, 1, 1, 1, 1),
        ky=(lines - n_y // 2).reshape(n_frames, 1, 1, n_lines, 1).float(),
        kx=(torch.arange(n_x) - n_x // 2).reshape(1, 1, 1, 1, n_x).float(),
    )
    matrix = SpatialDimension(1, n_y, n_x)
    csm = rng.complex128_tensor((n_frames, 2, 1, n_y, n_x))
    reference = FourierOp(matrix, matrix, trajectory) @ SensitivityOp(csm)
    mask = torch.zeros(n_frames, 1, 1, n_y, 1).scatter_(-2, lines.reshape(n_frames, 1, 1, n_lines, 1), 1.0)
    op = CartesianAcquisitionOp(mask, csm)

    img = rng.randn_tensor((n_frames, 1, 1, n_y, n_x), torch.complex128)
    (data,), (expected_data,) = op(img), reference(img)
    index = lines.reshape(n_frames, 1, 1, n_lines, 1)
    torch.testing.assert_close(data.take_along_dim(index, -2), expected_data)
    assert torch.linalg.vector_norm(data) == pytest.approx(torch.linalg.vector_norm(expected_data))
    torch.testing.assert_close(op.adjoint(data), reference.adjoint(expected_data))


@pytest.mark.parametrize(
    ('mask', 'dim', 'message'),
    [
        (torch.ones(4), (-1, 0), 'negative axes'),
        (torch.ones(4, dtype=torch.complex64), (-1,), 'mask must be real'),
        (torch.tensor([1.0, -1.0]), (-1,), 'mask must be real'),
        (torch.tensor([1.0, float('nan')]), (-1,), 'mask must be finite, got 1 NaN or Inf'),
        (torch.tensor([1.0, 1e30]), (-1,), 'from 1e-15 to 1e15 .* moduli from 1 to 1e.30'),
        (torch.tensor([1.0, 1e-30]), (-1,), 'from 1e-15 to 1e15'),
        (torch.ones(4), (-1, -1), 'each once'),
    ],
)
def test_invalid_arguments(mask: torch.Tensor, dim: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CartesianAcquisitionOp(mask, dim=dim)


@pytest.mark.parametrize(
    ('csm', 'message'),
    [
        (torch.full((1, 2, 1, 4, 4), torch.nan), r'csm must be finite, got 32 NaN or Inf in shape \(1, 2, 1, 4, 4\)'),
        (torch.ones(2, 4, 4), r'csm must have shape \(\*other, coils, z, y, x\), got shape \(2, 4, 4\)'),
        (torch.ones(1, 2, 1, 4, 4).half(), 'csm must be float32 or float64'),
    ],
)
def test_invalid_sensitivities(csm: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CartesianAcquisitionOp(torch.ones(4, 4), csm)


def test_arrays_of_another_shape() -> None:
    op = CartesianAcquisitionOp(torch.ones(4, 4), torch.ones(1, 2, 1, 4, 4))
    for call in (op, op.adjoint):
        with pytest.raises(ValueError, match=r'must broadcast to each other, got shapes .*\(1, 1, 1, 5, 4\)'):
            call(torch.ones(1, 1, 1, 5, 4))
        with pytest.raises(ValueError, match='must have the axes dim'):
            call(torch.ones(4))
