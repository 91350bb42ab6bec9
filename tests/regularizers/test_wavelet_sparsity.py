"""Sparsity of wavelet coefficients: maps and their places."""

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import WaveletSparsity
from mrpro_lambda.regularizers.WaveletSparsity import WaveletMaps
from mrpro_lambda.solvers import ADMM, Problem

IMG = torch.zeros(1, 1, 1, 16, 12, dtype=torch.complex64)


@pytest.mark.parametrize(
    ('maps', 'approximation', 'map_of_band'),
    [
        ('band', False, (None, 0, 1, 2, 3, 4, 5)),
        ('band', True, (0, 1, 2, 3, 4, 5, 6)),
        ('level', False, (None, 0, 0, 0, 1, 1, 1)),
        ('level', True, (0, 1, 1, 1, 2, 2, 2)),
        ('one', False, (None, 0, 0, 0, 0, 0, 0)),
        ('one', True, (0, 1, 1, 1, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize('undecimated', [False, True])
def test_number_of_the_map_of_each_band(
    maps: WaveletMaps, approximation: bool, map_of_band: tuple[int | None, ...], undecimated: bool
) -> None:
    regularizer = WaveletSparsity(
        (-2, -1),
        levels=2,
        undecimated=undecimated,
        maps=maps,
        approximation=approximation,
    )
    assert regularizer.map_of_band == map_of_band
    numbers = [1.0 + m for m in range(regularizer.n_maps)]
    threshold = regularizer.expand(regularizer.lambda_map(numbers, IMG), IMG)
    expected = [0.0 if m is None else 1.0 + m for m in map_of_band]
    if undecimated:
        assert threshold[:, 0, 0, 0, 0, 0].tolist() == expected
    else:
        y, x = (0, 0, 4, 4, 0, 8, 8), (0, 3, 0, 3, 6, 0, 6)
        assert threshold[0, 0, 0, 0, list(y), list(x)].tolist() == expected


@pytest.mark.parametrize('undecimated', [False, True])
def test_gradient_of_a_map_of_one_pixel_reaches_it(undecimated: bool) -> None:
    """Pooling is differentiable; a pixel takes part in one coefficient of each band, or in its own."""
    regularizer = WaveletSparsity((-2, -1), 'haar', 2, undecimated=undecimated, maps='one')
    weight = torch.rand(1, *IMG.shape).requires_grad_()
    threshold = regularizer.expand(weight, IMG)
    (gradient,) = torch.autograd.grad(threshold.sum(), weight)
    # three bands of each level, a coefficient for 4 or 16 pixels
    expected = 6.0 if undecimated else 3 / 4 + 3 / 16
    torch.testing.assert_close(gradient, torch.full_like(gradient, expected))


@pytest.mark.parametrize('undecimated', [False, True])
def test_shape_is_checked_before_anything_is_computed(undecimated: bool) -> None:
    regularizer = WaveletSparsity((-2, -1), levels=4, undecimated=undecimated)
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, 16, 12))
    with pytest.raises(ValueError, match=r'levels=4 and sizes \(16, 12\) along \(-2, -1\) of an image of shape'):
        ADMM(regularizer, n_iterations=1)(IMG + 1, acquisition_op, IMG, 0.1)


def test_unknown_maps() -> None:
    with pytest.raises(ValueError, match=r"maps must be one of .*, got maps='each'"):
        WaveletSparsity((-2, -1), maps='each')  # type: ignore[arg-type]


@pytest.mark.parametrize('undecimated', [False, True])
@pytest.mark.parametrize('n_coils', [1, 3])
def test_approximation_without_weight_has_a_certificate(undecimated: bool, n_coils: int) -> None:
    """Its dual variable vanishes, up to the last bit; the tolerance is reached all the same."""
    rng = RandomGenerator(0)
    shape = (1, 1, 1, 32, 27)
    img = torch.zeros(shape, dtype=torch.complex64)
    img[..., 8:20, 5:22] = torch.tensor(1 + 0.3j)
    csm = rng.complex64_tensor((1, n_coils, 1, 32, 27)) if n_coils > 1 else None
    mask = (rng.float32_tensor(shape) < 0.6).float()
    mask[..., 12:20, 10:17] = 1
    acquisition_op = CartesianAcquisitionOp(mask, csm)
    (data,) = acquisition_op(img)
    data = data + 0.05 * rng.randn_tensor(tuple(data.shape), torch.complex64) * mask
    regularizer = WaveletSparsity((-2, -1), 'db4', 3, undecimated=undecimated, maps='one')
    (start,) = acquisition_op.adjoint(data)
    assert not Problem.create(regularizer, data, acquisition_op, start, 0.05).threshold.all()
    solution = ADMM(regularizer, max_iterations=2000, tolerance=1e-3).solve(data, acquisition_op, start, 0.05)
    assert solution.reason == 'tolerance reached'
    assert solution.n_iterations < 500
