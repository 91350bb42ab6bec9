"""Weights that others have published, against the layers of their network written out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, intensity
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.published import load_published_dynamic_weights
from mrpro_lambda.weighting import CGImageWeight, NetworkWeight
from torch.nn.functional import conv3d, interpolate, leaky_relu, max_pool3d, pad, softplus

State = dict[str, torch.Tensor]
FEATURES = [(2, 8), (8, 16), (16, 32)]


def random_weights() -> State:
    """Tensors with the names and shapes of the published ones."""
    rng = RandomGenerator(3)
    shapes: dict[str, tuple[int, ...]] = {'c1x1.weight': (2, 8, 1, 1, 1)}
    for i, (n_in, n_out) in enumerate(FEATURES):
        shapes |= {
            f'encoder.enc_blocks.{i}.conv_block.{j}.weight': (n_out, n, 3, 3, 3) for j, n in ((0, n_in), (2, n_out))
        }
    for i, (n_out, n_in) in enumerate(FEATURES[:0:-1]):
        shapes[f'decoder.upconvs.{i}.weight'] = (n_out, n_in, 3, 3, 3)
        for j, n in ((0, n_in), (2, n_out)):
            shapes[f'decoder.dec_blocks.{i}.conv_block.{j}.weight'] = (n_out, n, 3, 3, 3)
    return {
        name: rng.randn_tensor(shape, torch.float32) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        for name, shape in shapes.items()
    }


def published_map(state: State, x: torch.Tensor, mode: str) -> torch.Tensor:
    """Map of the published network for an image of shape (y, x, t) in its units: shape (2, y, x, t)."""

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return conv3d(x, state[f'{name}.weight'], padding=1)

    def block(x: torch.Tensor, name: str) -> torch.Tensor:
        return leaky_relu(conv(leaky_relu(conv(x, f'{name}.conv_block.0'), 0.01), f'{name}.conv_block.2'), 0.01)

    channels = torch.stack((x.real, x.imag))[None]
    channels = pad(channels, (0, 0, 4, 4, 4, 4), mode='reflect')
    channels = pad(channels, (8, 8, 0, 0, 0, 0), mode=mode)
    first = block(channels, 'encoder.enc_blocks.0')
    second = block(max_pool3d(first, 2), 'encoder.enc_blocks.1')
    third = block(max_pool3d(second, 2), 'encoder.enc_blocks.2')
    up = interpolate(third, second.shape[2:], mode='trilinear', align_corners=False)
    up = block(torch.cat((conv(up, 'decoder.upconvs.0'), second), 1), 'decoder.dec_blocks.0')
    up = interpolate(up, first.shape[2:], mode='trilinear', align_corners=False)
    up = block(torch.cat((conv(up, 'decoder.upconvs.1'), first), 1), 'decoder.dec_blocks.1')
    out = conv3d(up, state['c1x1.weight']) + channels
    return 0.1 * softplus(out[0, :, 4:-4, 4:-4, 8:-8])


def network(model: LambdaMapModel) -> LambdaNet:
    assert isinstance(model.weight, CGImageWeight)
    assert isinstance(model.weight.weight, NetworkWeight)
    return model.weight.weight.lambda_net


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    torch.save(random_weights(), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.complex64, 1e-5), (torch.complex128, 1e-7)])
@pytest.mark.parametrize('circular', [True, False])
@pytest.mark.parametrize('shape', [(9, 1, 1, 17, 14), (12, 2, 1, 1, 12, 11)])
def test_map_is_that_of_the_published_network(
    shape: tuple[int, ...], circular: bool, dtype: torch.dtype, tolerance: float, weights_file: Path
) -> None:
    """To rounding, for sizes that are no multiples of the pooling, wherever time lies in the other axes."""
    state = {name: tensor.to(dtype.to_real()) for name, tensor in random_weights().items()}
    time_dim = -len(shape)
    img = RandomGenerator(1).randn_tensor(shape, dtype)
    for seen in (1.5, 30.0):  # intensity of the image in the units of the network
        model = load_published_dynamic_weights(weights_file, intensity=seen, time_dim=time_dim, circular=circular)
        lambda_map = network(model).to(dtype.to_real())(img)
        assert lambda_map.shape == (2, *shape)
        for i in range(shape[1]):
            series = img.select(1, i).reshape(shape[0], *shape[-2:])
            factor = seen / intensity(series, (0, 1, 2)).item()
            expected = published_map(state, factor * series.permute(1, 2, 0), 'circular' if circular else 'reflect')
            found = factor * lambda_map.select(2, i).reshape(2, shape[0], *shape[-2:]).permute(0, 2, 3, 1)
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * expected.max().item())
            assert expected.amax() > 10 * expected.amin()  # the map is not a number


def test_model_reconstructs_a_series(weights_file: Path) -> None:
    """The map for space comes first, that of time goes to the differences of frames, and all scales with the data."""
    model = load_published_dynamic_weights(weights_file)
    with torch.no_grad():
        network(model).backbone.last.weight.mul_(0.1)  # type: ignore[operator, union-attr]
    rng = RandomGenerator(0)
    mask = (rng.float32_tensor((8, 1, 1, 16, 1)) < 0.6).float()
    mask[..., 6:10, :] = 1
    acquisition_op = CartesianAcquisitionOp(mask.expand(-1, -1, -1, -1, 12))
    img = 0.02 * rng.randn_tensor((8, 1, 1, 16, 12), torch.complex64)
    for i in range(8):
        img[i, ..., 4 : 9 + min(i, 8 - i), 3:8] += 1
    (data,) = acquisition_op(img)
    (initial_image,) = acquisition_op.adjoint(data)
    solution = model.solve(data, acquisition_op, initial_image)
    assert solution.lambda_map is not None
    assert solution.solution is not None
    assert solution.solution.relative_gap <= model.solver.tolerance
    assert model.solver.regularizer.dim == (-5, -2, -1)
    assert model.solver.regularizer.map_of_row == (1, 0, 0)
    # one coil: the image of conjugate gradients is the initial image
    torch.testing.assert_close(solution.lambda_map, network(model)(initial_image), rtol=1e-4, atol=1e-6)
    scaled = model.solve(50 * data, acquisition_op, 50 * initial_image)
    torch.testing.assert_close(scaled.img, 50 * solution.img, rtol=1e-3, atol=1e-2)


def without(name: str) -> State:
    return {key: value for key, value in random_weights().items() if key != name}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (without('c1x1.weight'), r'1 of its 12 differ, the first is c1x1.weight with shape None, expected \(2, 8, 1'),
        (random_weights() | {'c1x1.bias': torch.zeros(2)}, r'first is c1x1.bias with shape \(2,\), expected None'),
        (random_weights() | {'c1x1.weight': torch.zeros(1, 8, 1, 1, 1)}, r'with shape \(1, 8, 1, 1, 1\), expected'),
        (random_weights() | {'c1x1.weight': torch.full((2, 8, 1, 1, 1), torch.nan)}, 'finite numbers of single'),
        (random_weights() | {'c1x1.weight': torch.zeros(2, 8, 1, 1, 1).double()}, 'of torch.float64'),
        ([torch.zeros(1)], 'must hold a dictionary of tensors, got list'),
        ({'epoch': 3}, 'must hold a dictionary of tensors, got dict'),
    ],
)
def test_other_tensors_are_an_error(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=message):
        load_published_dynamic_weights(tmp_path / 'file.pth')


@pytest.mark.parametrize('content', [b'', b'no weights', torch.nn.Identity()])
def test_other_files_are_an_error(content: Any, tmp_path: Path) -> None:
    """A pickle of anything but tensors is not executed."""
    path = tmp_path / 'file.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match='is no file of plain tensors'):
        load_published_dynamic_weights(path)
    with pytest.raises(FileNotFoundError, match='No such file'):
        load_published_dynamic_weights(tmp_path / 'other.pth')


def test_invalid_options(weights_file: Path) -> None:
    with pytest.raises(ValueError, match='before that of the coils, -5 or below, got time_dim=-4'):
        load_published_dynamic_weights(weights_file, time_dim=-4)
    with pytest.raises(ValueError, match='intensity must be positive'):
        load_published_dynamic_weights(weights_file, intensity=0)
