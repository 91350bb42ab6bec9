"""The Gram operator without gradient, coil by coil in place, is the one of autograd."""

import importlib

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp, CirculantGramOp

# imported by its name: it holds a function of the same name
coil_by_coil_module = importlib.import_module('mrpro_lambda.operators.coil_by_coil')

SHAPE = (2, 1, 3, 6, 5)
CASES = {
    'mask': (2, 1, 1, 6, 5),
    'same mask for a batch': (6, 5),
    'lines along y': (2, 1, 1, 6, 1),
    'lines along x': (2, 1, 1, 1, 5),
    'same lines along y for a batch': (6, 1),
    'two phase encodings': (2, 1, 3, 6, 1),
    'phase encoding along z': (2, 1, 3, 1, 1),
    'all samples': (1,),
    'mask for each coil': (2, 5, 1, 6, 5),
}
all_masks = pytest.mark.parametrize('mask_shape', CASES.values(), ids=CASES)


def create(mask_shape: tuple[int, ...], dtype: torch.dtype) -> tuple[CirculantGramOp, torch.Tensor]:
    """Real weights, which differ between the entries of a batch, and sensitivities of five coils."""
    rng = RandomGenerator(0)
    transfer = rng._rand(mask_shape, 0.0, 2.0, dtype.to_real())
    csm = rng.randn_tensor((2, 5, 3, 6, 5), dtype)
    return CirculantGramOp(transfer, (-3, -2, -1), csm), rng.randn_tensor(SHAPE, dtype)


@all_masks
@pytest.mark.parametrize('chunk', [1, 180 * 2, 180 * 3 + 7, 10**9])
@pytest.mark.parametrize('dtype', [torch.complex64, torch.complex128])
def test_chunks_of_coils_in_place(
    mask_shape: tuple[int, ...], chunk: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One coil at a time, two and three of five, and all. The image is not changed, and the result is contiguous."""
    gram, img = create(mask_shape, dtype)
    (expected,) = gram(img.clone().requires_grad_())
    assert expected.requires_grad
    monkeypatch.setattr(coil_by_coil_module, '_CHUNK', chunk)
    before = img.clone()
    with torch.no_grad():
        for _ in range(2):  # with and without the arranged sensitivities at hand
            (found,) = gram(img)
            assert found.dtype == dtype
            assert found.is_contiguous()
            assert torch.equal(img, before)
            assert torch.linalg.vector_norm(found - expected) <= 1e-6 * torch.linalg.vector_norm(expected)


@all_masks
def test_image_that_is_not_contiguous(mask_shape: tuple[int, ...]) -> None:
    gram, img = create(mask_shape, torch.complex128)
    strided = img.mT.contiguous().mT
    assert not strided.is_contiguous()
    with torch.no_grad():
        torch.testing.assert_close(gram(strided), gram(img))


def test_other_sensitivities_are_noticed() -> None:
    """Those that are at hand from the last call are not taken for others."""
    gram, img = create((6, 1), torch.complex128)
    with torch.no_grad():
        (first,) = gram(img)
        assert gram.csm is not None
        gram.csm = 2 * gram.csm
        torch.testing.assert_close(gram(img)[0], 4 * first)
        gram.transfer = 3 * gram.transfer
        torch.testing.assert_close(gram(img)[0], 12 * first)


@pytest.mark.parametrize('n_frames', [1, 2])
def test_single_coil_of_unit_sensitivity_is_none(n_frames: int) -> None:
    rng = RandomGenerator(0)
    mask, ones = rng.bool_tensor((6, 5)), torch.ones(n_frames, 1, 3, 6, 5, dtype=torch.complex128)
    img = rng.randn_tensor(SHAPE, torch.complex128)
    gram = CartesianAcquisitionOp(mask, ones).gram
    assert gram.csm is None
    assert gram.circulant
    torch.testing.assert_close(gram(img), CartesianAcquisitionOp(mask).gram(img))


@pytest.mark.parametrize('index', [(0, 0, 0, 0, 0), (1, 0, 2, 5, 4)])
def test_other_sensitivities_of_a_single_coil_are_kept(index: tuple[int, ...]) -> None:
    """One value that is not 1 is enough, and so is a second coil."""
    csm = torch.ones(2, 1, 3, 6, 5, dtype=torch.complex128)
    csm[index] = torch.tensor(1j)
    mask = torch.ones(6, 5)
    assert not CartesianAcquisitionOp(mask, csm).gram.circulant
    assert not CartesianAcquisitionOp(mask, torch.ones(2, 2, 3, 6, 5, dtype=torch.complex128)).gram.circulant


@pytest.mark.cuda
@all_masks
def test_cuda(mask_shape: tuple[int, ...]) -> None:
    gram, img = create(mask_shape, torch.complex128)
    with torch.no_grad():
        (expected,) = gram(img)
        (found,) = gram.cuda()(img.cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected)
