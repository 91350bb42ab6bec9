"""The network that estimates Lambda maps, with several backbones."""

import cmath
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NoiseLevelInput


class Convolution(torch.nn.Module):
    """A backbone from elsewhere: a convolution of width 3 and a nonlinearity, zero beyond the border."""

    def __init__(self, n_dim: int, n_channels_in: int, n_maps: int = 1, seed: int = 0) -> None:
        super().__init__()
        conv = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[n_dim - 1]
        self.layer = conv(n_channels_in, n_maps, 3, padding=1)
        rng = RandomGenerator(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(rng.randn_tensor(parameter.shape, torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


def random_image(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return RandomGenerator(seed).randn_tensor(shape, torch.complex64)


def unet(n_dim: int, n_channels_in: int = 2, n_maps: int = 1) -> UNet:
    net = UNet(n_dim, n_channels_in, n_maps, n_features=3)
    with torch.no_grad():
        net.last.weight.mul_(10)  # the weights start small, so that the map is even: undo this
    return net


MAGNITUDE = [ImageInput('magnitude')]
WITH_NOISE = [ImageInput(), NoiseLevelInput()]
NETS = {
    'real and imaginary part': (lambda: LambdaNet(unet(2)), False),
    'magnitude': (lambda: LambdaNet(unet(2, 1), MAGNITUDE), False),
    'noise level': (lambda: LambdaNet(unet(2, 3), WITH_NOISE), True),
    'magnitude and noise level': (lambda: LambdaNet(unet(2, 2), [*MAGNITUDE, NoiseLevelInput()]), True),
}
all_nets = pytest.mark.parametrize(('create', 'noise_level'), NETS.values(), ids=NETS)


def noise(noise_level: bool, value: float | torch.Tensor = 0.3) -> Any:
    return value if noise_level else None


@all_nets
def test_map_is_positive_and_varies(create: Any, noise_level: bool) -> None:
    lambda_map = create()(random_image((2, 1, 1, 16, 20)), noise(noise_level))
    assert lambda_map.shape == (1, 2, 1, 1, 16, 20)
    assert lambda_map.dtype == torch.float32
    assert bool((lambda_map > 0).all())
    assert bool(lambda_map.isfinite().all())
    assert lambda_map.std() > 1e-2 * lambda_map.mean()


@pytest.mark.parametrize('scale', [1e-12, 1e-6, 3.7, 1e6, 1e12])
@all_nets
def test_scale_equivariance(create: Any, noise_level: bool, scale: float) -> None:
    """Image and noise in other units give the map in these units, also in those of raw data of any vendor."""
    net, img = create(), random_image((2, 1, 1, 16, 20))
    expected = scale * net(img, noise(noise_level))
    torch.testing.assert_close(net(scale * img, noise(noise_level, 0.3 * scale)), expected, rtol=1e-5, atol=0)


@all_nets
def test_images_are_independent(create: Any, noise_level: bool) -> None:
    """Batch, coils and slices are images of their own, of any intensity."""
    net = create()
    shape = (3, 2, 2, 16, 20)
    img = random_image(shape) * RandomGenerator(1).float32_tensor((3, 2, 2, 1, 1), 0.1, 10)
    noise_std = RandomGenerator(2).float32_tensor((3, 2, 2, 1, 1), 0.1, 1)
    together = net(img, noise(noise_level, noise_std))
    for index in [(0, 0, 0), (2, 1, 1), (1, 0, 1)]:
        part = tuple(slice(i, i + 1) for i in index)
        alone = net(img[part], noise(noise_level, noise_std[part]))
        torch.testing.assert_close(together[(slice(None), *part)], alone, rtol=1e-5, atol=0)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 3), (5, 7), (13, 31), (16, 17), (32, 40)])
@pytest.mark.parametrize('padding', [0, 8, 11])
def test_any_size(size: tuple[int, int], padding: int) -> None:
    """Odd, prime, and smaller than the padding."""
    if padding == 0 and min(size) < 5:
        pytest.skip('the backbone needs two coarse pixels')
    lambda_map = LambdaNet(unet(2), padding=padding)(random_image((1, 1, 1, *size)))
    assert lambda_map.shape == (1, 1, 1, 1, *size)
    assert bool((lambda_map.isfinite() & (lambda_map > 0)).all())


@pytest.mark.parametrize(('padding', 'divisor'), [(0, 1), (2, 1), (9, 1), (3, 4), (0, 8)])
@pytest.mark.parametrize(('circular_dim', 'mode'), [((), 'reflect'), ((-2, -1), 'wrap')])
def test_image_is_continued_at_all_sides(
    circular_dim: Sequence[int], mode: Literal['reflect', 'wrap'], padding: int, divisor: int
) -> None:
    """As NumPy does it, also beyond the image once more, up to a multiple of what the backbone needs."""
    seen: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        size_divisor = divisor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x[:, :1]

    img = random_image((2, 1, 1, 5, 3))
    LambdaNet(Recorder(), dim=(-2, -1), padding=padding, circular_dim=circular_dim)(img)
    n_y, n_x = (-(-(n + 2 * padding) // divisor) * divisor for n in (5, 3))
    widths = ((0, 0), (padding, n_y - 5 - padding), (padding, n_x - 3 - padding))
    ratio = seen[0][:, 0, padding, padding] / img[:, 0, 0, 0, 0].real
    expected = torch.from_numpy(np.pad(img[:, 0, 0].numpy(), widths, mode=mode)) * ratio[:, None, None]
    torch.testing.assert_close(seen[0], torch.stack((expected.real, expected.imag), 1))


@pytest.mark.parametrize('n_maps', [1, 2])
@pytest.mark.parametrize('dim', [(-2, -1), (-5, -2, -1), (-3, -2, -1), (-1,), (-1, -2)])
def test_shape_of_the_map(dim: tuple[int, ...], n_maps: int) -> None:
    """Any axes are convolved, all others are batches."""
    shape = (2, 4, 1, 3, 8, 5)
    net = LambdaNet(unet(len(dim), n_maps=n_maps), dim=dim, padding=4)
    img = random_image(shape)
    lambda_map = net(img)
    assert lambda_map.shape == (n_maps, *shape)
    changed = img.clone()
    changed[1, 2, 0, 1, 4, 2] += 5
    difference = ((net(changed) - lambda_map).abs() > 1e-6).any(0).nonzero()
    for axis, at in zip(range(-6, 0), (1, 2, 0, 1, 4, 2), strict=True):
        spread = set(difference[:, axis].tolist())
        assert (len(spread) > 1) == (axis in dim and shape[axis] > 1)
        assert at in spread


@pytest.mark.parametrize('order', [(-5, -2, -1), (-1, -5, -2)])
def test_axes_are_given_to_the_backbone_in_the_order_of_dim(order: tuple[int, ...]) -> None:
    img = random_image((3, 1, 1, 5, 4))
    backbone = Convolution(3, 2)
    found = LambdaNet(backbone, dim=order, padding=2)(img)
    permuted = img.movedim(order, (-3, -2, -1))
    expected = LambdaNet(backbone, dim=(-3, -2, -1), padding=2)(permuted)
    torch.testing.assert_close(found, expected.movedim((-3, -2, -1), order))


@pytest.mark.parametrize('padding', [8, 0])
@all_nets
def test_constant_image_gives_a_constant_map(create: Any, noise_level: bool, padding: int) -> None:
    """The border makes no frame."""
    net = create()
    net.padding = padding
    img = torch.full((1, 1, 1, 21, 34) if padding else (1, 1, 1, 20, 36), 0.3 + 0.4j)
    lambda_map = net(img, noise(noise_level))
    torch.testing.assert_close(lambda_map, lambda_map.mean().expand_as(lambda_map), rtol=1e-4, atol=0)


def test_content_may_move() -> None:
    """An object in air moves with its map, by multiples of a coarse pixel of the U-Net."""
    img = torch.zeros(1, 1, 1, 96, 96, dtype=torch.complex64)
    img[..., 40:48, 36:44] = random_image((1, 1, 1, 8, 8)) + 3
    net = LambdaNet(unet(2), padding=20)
    moved = net(img.roll((4, 8), (-2, -1)))
    torch.testing.assert_close(moved, net(img).roll((4, 8), (-2, -1)), rtol=1e-4, atol=0)


def test_padding_of_each_axis() -> None:
    """The backbone sees each axis continued by its own number of samples, in the order of `dim`."""
    img, seen = random_image((6, 1, 1, 7, 5)), []

    class Recorder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x[:, :1]

    dim, padding = (-2, -1, -5), (1, 2, 4)
    lambda_map = LambdaNet(Recorder(), dim=dim, padding=padding, circular_dim=(-5,))(img)
    s = (img.abs().pow(4).sum() / img.abs().square().sum()).sqrt()
    expected = np.stack([part.squeeze().permute(1, 2, 0) for part in (img.real / s, img.imag / s)])
    expected = np.pad(expected, ((0, 0), (1, 1), (2, 2), (0, 0)), mode='reflect')
    expected = np.pad(expected, ((0, 0), (0, 0), (0, 0), (4, 4)), mode='wrap')
    torch.testing.assert_close(seen[0][0], torch.from_numpy(expected))
    torch.testing.assert_close(lambda_map[0], s * torch.nn.functional.softplus(img.real / s))


@pytest.mark.parametrize('shift', [1, 3])
def test_circular_axis_is_equivariant_to_rolls(shift: int) -> None:
    """The frames of a cardiac cycle may begin anywhere. An axis that is reflected has a beginning."""
    img = random_image((6, 1, 1, 7, 5))

    def difference(circular_dim: Sequence[int]) -> torch.Tensor:
        net = LambdaNet(Convolution(3, 2), dim=(-5, -2, -1), padding=2, circular_dim=circular_dim)
        lambda_map = net(img)
        return (net(img.roll(shift, -5)) - lambda_map.roll(shift, -5)).abs().max() / lambda_map.max()

    assert difference((-5,)) < 1e-5
    assert difference(()) > 1e-2


@pytest.mark.parametrize('angle', [0.7, math.pi])
@pytest.mark.parametrize('noise_level', [False, True])
def test_magnitude_does_not_see_a_global_phase(noise_level: bool, angle: float) -> None:
    img = random_image((1, 1, 1, 16, 20))
    rotated = cmath.exp(1j * angle) * img
    net = LambdaNet(unet(2, 1 + noise_level), [*MAGNITUDE, *[NoiseLevelInput()] * noise_level])
    torch.testing.assert_close(net(rotated, noise(noise_level)), net(img, noise(noise_level)), rtol=1e-4, atol=0)
    sees_phase = LambdaNet(unet(2, 2 + noise_level), [ImageInput(), *[NoiseLevelInput()] * noise_level])
    change = sees_phase(rotated, noise(noise_level)) - sees_phase(img, noise(noise_level))
    assert change.abs().max() > 1e-2 * sees_phase(img, noise(noise_level)).mean()


def test_air_around_the_object_does_not_change_the_intensity() -> None:
    """With a constant backbone the map is the measure of intensity."""

    class Zero(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x[:, :1])

    net = LambdaNet(Zero(), dim=(-2, -1))
    img = torch.full((1, 1, 1, 8, 8), 2.0 + 0j)
    small = net(img)
    large = net(torch.nn.functional.pad(img, (20, 20, 10, 30)))
    torch.testing.assert_close(small, torch.full_like(small, 2 * math.log(2)))
    torch.testing.assert_close(large, torch.full_like(large, 2 * math.log(2)))
    with_noise = LambdaNet(Zero(), WITH_NOISE, dim=(-2, -1), initial_scale=3.0)
    torch.testing.assert_close(with_noise(img, 0.5), torch.full_like(small, 0.5 * 3 * math.log(2)))


def test_real_image_is_a_complex_image_without_imaginary_part() -> None:
    net, img = LambdaNet(unet(2)), RandomGenerator(0).randn_tensor((1, 1, 1, 16, 16), torch.float32)
    torch.testing.assert_close(net(img), net(img + 0j))


def test_double_precision() -> None:
    lambda_map = LambdaNet(unet(2)).double()(random_image((1, 1, 1, 16, 16)).to(torch.complex128))
    assert lambda_map.dtype == torch.float64


@all_nets
def test_gradient_reaches_all_parameters(create: Any, noise_level: bool) -> None:
    net = create()
    net(random_image((1, 1, 1, 16, 16)), noise(noise_level)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


@pytest.mark.parametrize('n_dim', [1, 2, 3])
def test_any_backbone_without_attributes(n_dim: int) -> None:
    img = random_image((2, 1, 5, 6, 7))
    net = LambdaNet(Convolution(n_dim, 2, n_maps=2), dim=range(-n_dim, 0))
    assert net(img).shape == (2, 2, 1, 5, 6, 7)
    with pytest.raises(ValueError, match='dim must be given for a backbone without the attribute n_dim'):
        LambdaNet(Convolution(n_dim, 2))
    assert LambdaNet(unet(n_dim)).dim == tuple(range(-n_dim, 0))


@pytest.mark.parametrize(
    'noise_std',
    [0.0, -1.0, math.nan, math.inf, torch.tensor([0.1, 0.0]).reshape(2, 1, 1, 1, 1)],
)
def test_noise_must_be_positive(noise_std: float | torch.Tensor) -> None:
    net = LambdaNet(unet(2, 3), WITH_NOISE)
    with pytest.raises(ValueError, match='noise_std must be positive and finite'):
        net(random_image((2, 1, 1, 16, 16)), noise_std)


@pytest.mark.parametrize('shape', [(2,), (3, 1, 1, 1, 1), (1, 2, 1, 1, 1, 1), (1, 1, 1, 16, 2)])
def test_noise_must_broadcast(shape: tuple[int, ...]) -> None:
    net = LambdaNet(unet(2, 3), WITH_NOISE)
    with pytest.raises(ValueError, match='noise_std must broadcast to the image'):
        net(random_image((2, 1, 1, 16, 16)), torch.ones(shape))


def test_noise_must_be_given_if_and_only_if_it_is_used() -> None:
    img = random_image((1, 1, 1, 16, 16))
    with pytest.raises(ValueError, match='noise level is needed: give noise_std'):
        LambdaNet(unet(2, 3), WITH_NOISE)(img)
    with pytest.raises(ValueError, match='does not use the noise level'):
        LambdaNet(unet(2))(img, 0.1)


def test_image_must_not_be_zero() -> None:
    img = random_image((2, 1, 1, 16, 16))
    img[1] = 0
    with pytest.raises(ValueError, match='must be finite and not be zero'):
        LambdaNet(unet(2))(img)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'dim': ()}, 'dim must hold negative axes, each once'),
        ({'dim': (0, 1)}, 'dim must hold negative axes'),
        ({'dim': (-1, -1)}, 'each once'),
        ({'circular_dim': (-5,)}, 'circular_dim must be part of dim'),
        ({'padding': (1, 2, 3)}, r'one for each axis of dim=\(-2, -1\), got padding=\(1, 2, 3\)'),
        ({'padding': (1, -2)}, 'padding must be an integer from 0'),
        ({'inputs': []}, 'inputs must not be empty'),
        ({'inputs': MAGNITUDE}, r"n_channels_in=1 .*\['image, magnitude'\], got n_channels_in=2"),
        ({'inputs': WITH_NOISE}, 'must have n_channels_in=3 .* got n_channels_in=2'),
        ({'padding': -1}, 'padding must be an integer from 0 to 1024'),
        ({'initial_scale': 0.0}, 'initial_scale must be positive'),
        ({'initial_scale': math.nan}, 'initial_scale must be positive'),
        ({'initial_scale': math.inf}, 'initial_scale must be positive'),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LambdaNet(unet(2), **options)


@pytest.mark.cuda
@all_nets
def test_cuda(create: Any, noise_level: bool) -> None:
    net, img = create(), random_image((2, 1, 1, 16, 20))
    expected = net(img, noise(noise_level))
    lambda_map = net.cuda()(img.cuda(), noise(noise_level))
    assert lambda_map.is_cuda
    torch.testing.assert_close(lambda_map.cpu(), expected, rtol=1e-2, atol=0)
