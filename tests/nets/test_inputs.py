"""What every input of a network has to fulfill."""

from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.nets import LambdaNet, UNet, inputs
from mrpro_lambda.nets.inputs import InputContext, NetworkInput

from tests.regularizers.cases import concrete_subclasses

SHAPE, N_FILTERS = (2, 1, 1, 12, 10), 3
INPUTS: list[NetworkInput] = [
    example for cls in concrete_subclasses(NetworkInput, inputs) for example in cls.examples()
]
all_inputs = pytest.mark.parametrize('network_input', INPUTS, ids=str)


def signals() -> dict[str, torch.Tensor]:
    """Image, noise level and responses of two images."""
    rng = RandomGenerator(0)
    return {
        'initial_image': rng.randn_tensor(SHAPE, torch.complex128),
        'noise_std': torch.tensor([0.1, 0.3], dtype=torch.float64).reshape(2, 1, 1, 1, 1),
        'responses': rng.randn_tensor((N_FILTERS, *SHAPE), torch.complex128),
    }


def seen(network_input: NetworkInput, scale: float = 1.0, images: slice = slice(None)) -> torch.Tensor:
    """Lambda map of a network that sees this input alone."""
    each = network_input.each
    n_maps = 1 if each or network_input.high_pass is None else N_FILTERS
    backbone = UNet(2, len(network_input.channel_names), n_maps, n_features=2, n_resolutions=2)
    with torch.no_grad():
        backbone.last.weight.mul_(10)  # the weights start small, so that the map is even: undo this
    given: dict[str, Any] = {name: scale * x[..., images, :, :, :, :] for name, x in signals().items()}
    given['noise_std'] = given['noise_std'] if network_input.uses_noise_level else None
    given['responses'] = None if network_input.high_pass is None else given['responses']
    lambda_map: torch.Tensor = LambdaNet(backbone, [network_input], padding=3).double()(**given)
    return lambda_map


@pytest.mark.parametrize('cls', concrete_subclasses(NetworkInput, inputs))
def test_each_input_describes_itself(cls: type[NetworkInput]) -> None:
    assert cls.examples()
    assert all(type(example) is cls for example in cls.examples())


@all_inputs
@pytest.mark.parametrize('dim', [(-2, -1), (-1,)])
def test_channels_have_names_and_the_shape_of_the_grid(network_input: NetworkInput, dim: tuple[int, ...]) -> None:
    given = signals()
    intensity = given['initial_image'].abs().mean(dim, keepdim=True)
    context = InputContext(given['initial_image'], intensity, given['noise_std'], given['responses'], dim, 1)
    channels = network_input.channels(context)
    size = [SHAPE[d] for d in dim]
    n_images = given['initial_image'].numel() // torch.Size(size).numel()
    n = N_FILTERS if network_input.each else 1
    assert channels.shape == (n, n_images, len(network_input.channel_names), *size)
    assert not channels.is_complex()
    assert len(set(network_input.channel_names)) == len(network_input.channel_names)
    assert network_input.name


@all_inputs
@pytest.mark.parametrize('scale', [1e-6, 3.7, 1e6])
def test_scale_equivariance(network_input: NetworkInput, scale: float) -> None:
    """Image, responses and noise in other units give the map in these units."""
    torch.testing.assert_close(seen(network_input, scale), scale * seen(network_input), rtol=1e-9, atol=0)


@all_inputs
def test_images_are_independent(network_input: NetworkInput) -> None:
    together = seen(network_input)
    for i in range(2):
        part = slice(i, i + 1)
        torch.testing.assert_close(together[:, part], seen(network_input, images=part), rtol=1e-9, atol=0)
