"""Sparse coding."""

import sys

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.dictionary import coding_objective, high_pass, sparse_codes
from mrpro_lambda.dictionary.sparse_codes import objective_values
from mrpro_lambda.operators import ConvolutionalDictionaryOp, LowPassOp
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import FISTA

from tests.dictionary.cases import PLANTED, synthetic_images


def random_filters(n_filters: int, *size: int) -> torch.Tensor:
    filters = RandomGenerator(1).float64_tensor((n_filters, *size), -1.0, 1.0)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


@pytest.mark.parametrize('shape', [(16, 12), (13, 15)])
def test_objective_is_that_of_the_dictionary_operator(shape: tuple[int, int]) -> None:
    rng = RandomGenerator(2)
    filters, images = random_filters(3, 3, 5), rng.float64_tensor((2, *shape))
    codes = rng.float64_tensor((2, 3, *shape), -1.0, 1.0)
    found = objective_values(filters, images, codes, 0.3)
    (synthesis,) = ConvolutionalDictionaryOp(filters)(codes.movedim(1, 0)[:, :, None, None])
    expected = (synthesis[:, 0, 0] - images).square().sum((-2, -1)) / 2 + 0.3 * codes.abs().sum((-3, -2, -1))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('sparsity', [0.02, 0.1])
def test_codes_minimize_the_objective(sparsity: float) -> None:
    """The minimum is that which another solver finds for the same problem."""
    filters = random_filters(6, 5, 5)
    images = torch.stack(high_pass([image.double() for image in synthetic_images(2, 20)], 4.0))
    codes = sparse_codes(filters, images, sparsity, 300)
    found = objective_values(filters, images, codes, sparsity)
    regularizer = DictionarySparsity(filters, beta=0.0)
    solver = FISTA(regularizer, n_iterations=3000)
    for i, image in enumerate(images):
        data = image[None, None, None]
        # without a smooth part, all of the image is to be synthesized
        solution = solver.solve(data, IdentityOp(), torch.zeros_like(data), sparsity)
        assert solution.coefficients is not None
        (synthesis,) = ConvolutionalDictionaryOp(filters)(solution.coefficients)
        expected = (synthesis - data).square().sum() / 2 + sparsity * solution.coefficients.abs().sum()
        torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=0)


def test_codes_are_sparse_and_do_not_depend_on_the_penalty() -> None:
    filters = random_filters(4, 3, 3)
    images = torch.stack(high_pass([image.double() for image in synthetic_images(1, 16)], 4.0))
    codes = [sparse_codes(filters, images, 0.1, 2000, penalty=penalty) for penalty in (1.0, 4.0)]
    torch.testing.assert_close(*codes, rtol=0, atol=1e-6)
    assert (codes[0] == 0).double().mean() > 0.5


def test_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.stack(synthetic_images(3, 16))
    expected = sparse_codes(PLANTED, images, 0.1, 5)
    monkeypatch.setattr(sys.modules[sparse_codes.__module__], '_CHUNK', 1)
    torch.testing.assert_close(sparse_codes(PLANTED, images, 0.1, 5), expected)


def test_coding_objective() -> None:
    """It is the mean over images, which may differ in shape, of the objective of what the low pass leaves."""
    images = [synthetic_images(1, 16)[0], synthetic_images(1, 20)[0][:, :18]]
    expected = 0.0
    for image in images:
        detail = (image - LowPassOp(2.0, (-2, -1))(image)[0])[None]
        codes = sparse_codes(PLANTED, detail, 0.05, 300)
        expected += objective_values(PLANTED, detail, codes, 0.05).item() / 2
    assert coding_objective(PLANTED, images, 0.05, 2.0) == pytest.approx(expected, rel=1e-5)
    assert coding_objective(PLANTED, images, 0.05, 2.0) < coding_objective(PLANTED[:2], images, 0.05, 2.0)


@pytest.mark.cuda
def test_cuda() -> None:
    images = torch.stack(high_pass(synthetic_images(2), 4.0))
    found = sparse_codes(PLANTED.cuda(), images.cuda(), 0.05, 50)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), sparse_codes(PLANTED, images, 0.05, 50), rtol=0, atol=1e-4)
