"""Sparsity of responses of filters, and filters of trained convex ridge regularizers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import FilterSparsity
from scipy.ndimage import correlate

FILTERS = torch.tensor([[[0, 0, 0], [-1, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, -2, 0], [0, 0, 1]]], dtype=torch.float64)
SHAPE = (1, 1, 1, 6, 7)


@pytest.mark.parametrize('smoothing', [None, 0.5])
def test_value_is_the_definition(smoothing: float | None) -> None:
    regularizer = FilterSparsity(FILTERS, smoothing=smoothing)
    rng = RandomGenerator(0)
    img, weight = rng.randn_tensor(SHAPE, torch.float64), rng.float64_tensor((2, *SHAPE), 0.1, 2)
    value = regularizer.value(regularizer.transform(img), weight)
    expected = 0.0
    for filter_, w in zip(FILTERS.numpy(), weight.numpy(), strict=True):
        size = np.abs(correlate(img.numpy()[0, 0, 0], filter_, mode='wrap'))
        width = (smoothing or 0) * w[0, 0, 0]
        quadratic = size**2 / (2 * np.maximum(width, 1e-300))
        expected += float((w * np.where(size <= width, quadratic, size - width / 2)).sum())
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_maps() -> None:
    assert FilterSparsity(FILTERS).n_maps == 2
    assert FilterSparsity(FILTERS, tied=True).n_maps == 1
    assert FilterSparsity(FILTERS[:, None]).dim == (-3, -2, -1)
    assert FilterSparsity(FILTERS, complex_modulus=True).elementwise is False


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'filters': FILTERS + 1}, r'zero mean, but number \[0, 1\] have not: .* filters of shape \(2, 3, 3\)'),
        ({'filters': FILTERS + torch.tensor([0, 0.01]).reshape(2, 1, 1)}, r'number \[1\] have not'),
        ({'filters': FILTERS[:, :2]}, 'odd sizes'),
        ({'filters': FILTERS, 'smoothing': 0.0}, 'smoothing must be positive'),
        ({'filters': FILTERS, 'smoothing': 0.1, 'complex_modulus': True}, 'needs complex_modulus=False'),
    ],
)
def test_invalid_parameters(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterSparsity(**arguments)


def save_checkpoint(
    path: Path, n_channels: tuple[int, int] = (3, 4), size: int = 5, n_knots: int = 9
) -> dict[str, Any]:
    """Write a checkpoint of the form of the published ones with random numbers, and return its state."""
    rng = RandomGenerator(0)
    state = {
        'lmbd': torch.tensor(5.0),
        'mu': torch.tensor(4.0),
        'L': torch.tensor(0.8),
        'conv_layer.conv_layers.0.parametrizations.weight.original': rng.randn_tensor(
            (n_channels[0], 1, size, size), torch.float32
        ),
        'conv_layer.conv_layers.1.parametrizations.weight.original': rng.randn_tensor(
            (n_channels[1], n_channels[0], size, size), torch.float32
        ),
        'activation.coefficients_vect': rng.randn_tensor((n_channels[1] * n_knots,), torch.float32),
    }
    torch.save({'epoch': 3, 'state_dict': state, 'config': {'sigma': 5}}, path)
    return state


def test_filters_of_a_checkpoint_are_its_layers(tmp_path: Path) -> None:
    """Evaluated as the published network does: two layers of zero mean, then monotonic splines, far out."""
    state = save_checkpoint(tmp_path / 'checkpoint.pth')
    regularizer = FilterSparsity.from_file(tmp_path / 'checkpoint.pth')
    assert regularizer.transform_op.filters.shape == (4, 9, 9)
    assert regularizer.n_maps == 1
    img = torch.zeros(1, 1, 30, 30)
    img[..., 10:20, 10:20] = RandomGenerator(1).randn_tensor((10, 10), torch.float32)
    response = img  # zero near the border, so that circular and zero continuation agree
    for layer in range(2):
        weight = state[f'conv_layer.conv_layers.{layer}.parametrizations.weight.original']
        weight = weight - weight.mean((1, 2, 3), keepdim=True)
        response = torch.nn.functional.conv2d(response, weight, padding=2)
    splines = state['activation.coefficients_vect'].reshape(4, 9)
    rise = torch.zeros(4)
    for knot in range(1, 7):  # the outer intervals are flat
        rise += (splines[:, knot + 1] - splines[:, knot]).clamp_min(0)
    expected = 5.0 * 0.5 * rise.reshape(4, 1, 1) * response[0]
    found = regularizer.transform(img[None])
    torch.testing.assert_close(found[:, 0, 0, 0], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_flat_potentials_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint.pth'
    state = save_checkpoint(path)
    splines = state['activation.coefficients_vect'].reshape(4, 9)
    splines[2] = 0
    torch.save({'state_dict': state}, path)
    assert FilterSparsity.from_file(path, tied=False).n_maps == 3
    splines[:] = 0
    torch.save({'state_dict': state}, path)
    with pytest.raises(ValueError, match='not all flat, got 4 flat ones'):
        FilterSparsity.from_file(path)


@pytest.mark.parametrize('content', [{}, {'state_dict': {}}, [1, 2], {'state_dict': {'lmbd': torch.ones(())}}], ids=str)
def test_other_files(content: object, tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint.pth'
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'checkpoint\.pth must be a checkpoint of a convex ridge regularizer'):
        FilterSparsity.from_file(path)
    path.write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'checkpoint\.pth must be a checkpoint of a convex ridge regularizer'):
        FilterSparsity.from_file(path)
    with pytest.raises(FileNotFoundError):
        FilterSparsity.from_file(tmp_path / 'missing.pth')
