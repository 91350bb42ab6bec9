"""The plain U-Net."""

from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.nets import UNet

SIZES = {1: (24,), 2: (16, 24), 3: (8, 16, 12)}
all_dimensions = pytest.mark.parametrize('n_dim', [1, 2, 3])


def random_input(n_dim: int, n_channels: int = 2) -> torch.Tensor:
    return RandomGenerator(0).randn_tensor((3, n_channels, *SIZES[n_dim]), torch.float32)


@all_dimensions
@pytest.mark.parametrize(('n_resolutions', 'n_convs'), [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_forward(n_dim: int, n_resolutions: int, n_convs: int) -> None:
    net = UNet(n_dim, 2, 5, n_features=3, n_resolutions=n_resolutions, n_convs=n_convs)
    output = net(random_input(n_dim))
    assert output.shape == (3, 5, *SIZES[n_dim])
    assert bool(output.isfinite().all())
    assert bool((output.std(dim=tuple(range(2, output.ndim))) > 0).all())
    assert net.size_divisor == 2 ** (n_resolutions - 1)


@all_dimensions
def test_residual_connection_adds_the_input(n_dim: int) -> None:
    net, residual = (UNet(n_dim, 2, 2, n_features=3, residual=residual) for residual in (False, True))
    x = random_input(n_dim)
    torch.testing.assert_close(residual(x), net(x) + x)


@all_dimensions
def test_without_bias_the_network_is_homogeneous(n_dim: int) -> None:
    """Of degree 1: leaky ReLU, pooling and interpolation are."""
    net = UNet(n_dim, 2, 2, n_features=3, bias=False)
    assert not any('bias' in name for name, _ in net.named_parameters())
    x = random_input(n_dim)
    torch.testing.assert_close(net(3 * x), 3 * net(x), rtol=1e-5, atol=1e-5)
    assert not bool(net(torch.zeros_like(x)).any())


@all_dimensions
def test_zero_padding_takes_any_size(n_dim: int) -> None:
    """The response far from the border is that of reflection, and there is a frame."""
    zeros, reflect = (UNet(n_dim, 1, 1, 3, n_resolutions=1, padding_mode=mode) for mode in ('zeros', 'reflect'))
    x = 1 + random_input(n_dim, 1)
    inside = (..., *(slice(4, -4) for _ in range(n_dim)))
    torch.testing.assert_close(zeros(x)[inside], reflect(x)[inside])
    assert not torch.allclose(zeros(x), reflect(x), rtol=1e-2, atol=1e-2)
    net = UNet(n_dim, 1, 2, n_features=3, padding_mode='zeros')
    assert net.size_divisor == 1
    size = (9, 13, 11)[:n_dim]
    assert net(torch.ones(2, 1, *size)).shape == (2, 2, *size)
    with pytest.raises(ValueError, match='at least 8'):
        net(torch.ones(2, 1, *(7 for _ in size)))


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'residual': True}, ValueError, 'as many channels, got n_channels_in=2 and n_channels_out=1'),
        ({'padding_mode': 'circular'}, ValueError, r"padding_mode must be one of \('reflect', 'zeros'\)"),
        ({'bias': 1}, TypeError, 'bias must be bool, got int'),
        ({'residual': 'yes'}, TypeError, 'residual must be bool, got str'),
    ],
)
def test_invalid_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        UNet(2, 2, 1, **options)


@all_dimensions
def test_gradient_of_each_parameter_is_finite_and_not_zero(n_dim: int) -> None:
    net = UNet(n_dim, 2, 3, n_features=3)
    x = random_input(n_dim).requires_grad_()
    net(x).square().sum().backward()
    gradients = {'input': x.grad, **{name: parameter.grad for name, parameter in net.named_parameters()}}
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert bool(gradient.isfinite().all()), name
        assert bool(gradient.any()), name


@all_dimensions
def test_batch_entries_are_independent(n_dim: int) -> None:
    net = UNet(n_dim, 2, 1, n_features=3)
    x = random_input(n_dim)
    torch.testing.assert_close(net(x), torch.cat([net(entry) for entry in x.split(1)]))


@all_dimensions
def test_constant_input_gives_a_constant_output(n_dim: int) -> None:
    """There is no frame: each convolution reflects its input at the border."""
    output = UNet(n_dim, 2, 1, n_features=3)(torch.full((1, 2, *SIZES[n_dim]), 0.7))
    torch.testing.assert_close(output, output.mean().expand_as(output), rtol=1e-5, atol=1e-6)


def test_receptive_field_reaches_beyond_one_convolution() -> None:
    net = UNet(2, 1, 1, n_features=3)
    x = torch.zeros(1, 1, 64, 64)
    impulse = x.clone()
    impulse[..., 32, 32] = 1
    changed = (net(impulse) - net(x))[0, 0].abs() > 1e-9
    reach = (changed.nonzero() - 32).abs().amax()
    assert 10 < reach < 32


def test_initial_weights_depend_on_the_generator_only() -> None:
    def weights(seed: int | None) -> torch.Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(UNet(2, 2, 1, n_features=3, generator=generator).parameters())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        first = weights(3)
        assert torch.equal(weights(None), weights(0))
    assert torch.equal(weights(3), first)
    assert not torch.equal(weights(4), first)


@pytest.mark.parametrize('n_resolutions', [1, 3])
@pytest.mark.parametrize(
    'shape',
    [
        (1, 2, 16),
        (1, 2, 1, 16, 16),
        (2, 16, 16),
        (1, 3, 16, 16),
        (1, 2, 16, 1),
    ],
)
def test_invalid_shape(shape: tuple[int, ...], n_resolutions: int) -> None:
    with pytest.raises(ValueError, match=rf'2 channels and 2 axes .* got shape \({shape[0]}, '):
        UNet(2, 2, 1, n_features=2, n_resolutions=n_resolutions)(torch.zeros(shape))


@pytest.mark.parametrize('size', [4, 10, 15])
def test_size_must_be_a_multiple(size: int) -> None:
    with pytest.raises(ValueError, match='multiples of 4, at least 8'):
        UNet(2, 2, 1, n_features=2)(torch.zeros(1, 2, 16, size))


@pytest.mark.parametrize('n_dim', [0, 4])
def test_invalid_number_of_dimensions(n_dim: int) -> None:
    with pytest.raises(ValueError, match='n_dim must be an integer from 1 to 3'):
        UNet(n_dim, 2, 1)


@pytest.mark.parametrize('value', [0, 10**7, 2.0])
@pytest.mark.parametrize('name', ['n_channels_in', 'n_channels_out', 'n_features', 'n_resolutions', 'n_convs'])
def test_invalid_numbers(name: str, value: Any) -> None:
    options: dict[str, Any] = {'n_dim': 2, 'n_channels_in': 2, 'n_channels_out': 1, name: value}
    with pytest.raises((ValueError, TypeError), match=f'{name} must be an integer from 1 to'):
        UNet(**options)


@pytest.mark.cuda
@all_dimensions
def test_cuda(n_dim: int) -> None:
    net, x = UNet(n_dim, 2, 1, n_features=3), random_input(n_dim)
    expected = net(x)
    output = net.cuda()(x.cuda())
    assert output.is_cuda
    torch.testing.assert_close(output.cpu(), expected, rtol=1e-2, atol=1e-3)


def test_global_random_numbers_are_not_touched() -> None:
    state = torch.random.get_rng_state()
    UNet(2, 1, 1, 4)
    assert torch.equal(torch.random.get_rng_state(), state)
