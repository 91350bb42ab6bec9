"""The networks V1, V2 and V3 that estimate the maps of a dictionary."""

import cmath
import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import (
    ImageInput,
    InputContext,
    NetworkInput,
    NoiseLevelInput,
    ResponseMeanInput,
    ResponsesInput,
)
from mrpro_lambda.operators import ConvolutionalDictionaryOp

N_FILTERS, SHAPE = 4, (2, 1, 1, 16, 12)
VARIANTS = ('none', 'joint', 'each')
all_variants = pytest.mark.parametrize('responses', VARIANTS, ids=('V1', 'V2', 'V3'))
FEATURES: dict[str, dict[str, Any]] = {
    'real and imaginary part': {'features': 'real_imaginary', 'noise_level': True},
    'magnitude': {'features': 'magnitude'},
    'magnitude and noise': {'features': 'magnitude', 'noise_level': True},
    'signal to noise': {'features': 'signal_to_noise', 'noise_level': True},
}
all_features = pytest.mark.parametrize('features', FEATURES.values(), ids=FEATURES)
without_sign = pytest.mark.parametrize('features', [*FEATURES.values()][1:], ids=[*FEATURES][1:])


def filters(n_filters: int = N_FILTERS, size: int = 3) -> torch.Tensor:
    """Filters without a response to constants."""
    weights = RandomGenerator(1).randn_tensor((n_filters, size, size), torch.float64)
    weights = weights - weights.mean((-2, -1), keepdim=True)
    return weights / weights.flatten(1).norm(dim=1)[:, None, None]


def inputs(
    responses: Any,
    features: Any = 'real_imaginary',
    *,
    noise_level: bool = False,
    n_filters: int = N_FILTERS,
    high_pass: bool = False,
    image_channel: bool = False,
    response_mean: bool = False,
) -> list[NetworkInput]:
    """What the networks of the variants see."""
    image = ImageInput(features)
    level = [NoiseLevelInput()] if noise_level and features != 'signal_to_noise' else []
    if responses == 'none':
        return [image, *level]
    seen = ResponsesInput(features, n_filters if responses == 'joint' else None, high_pass)
    mean = [ResponseMeanInput(seen)] if response_mean else []
    return [seen, *([image] if image_channel else []), *level, *mean]


OF_INPUTS = ('features', 'noise_level', 'high_pass', 'image_channel', 'response_mean')


def network(responses: Any, n_filters: int = N_FILTERS, backbone: Any = None, **options: Any) -> LambdaNet:
    """A network in double precision. The factor undoes the small start of the last layer."""
    of_inputs = {key: options.pop(key) for key in OF_INPUTS if key in options}
    seen = inputs(responses, n_filters=n_filters, **of_inputs)
    options = {'padding': 3} | options
    if backbone is not None:
        return LambdaNet(backbone, seen, dim=(-2, -1), **options).double()
    n_channels = sum(len(item.channel_names) for item in seen)
    backbone = UNet(2, n_channels, 1 if responses == 'each' else n_filters, n_features=3, n_resolutions=2)
    with torch.no_grad():
        backbone.last.weight.mul_(10)
    return LambdaNet(backbone, seen, **options).double()


def image(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Image of an object with a smooth phase, and some noise."""
    img = 0.1 * RandomGenerator(0).randn_tensor(shape, torch.complex128) + 0.3
    img[..., 4:12, 3:9] += 1 + 0.5j
    return img


def analyze(img: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    return ConvolutionalDictionaryOp(dictionary).adjoint(img)[0]


def maps(net: LambdaNet, img: torch.Tensor, dictionary: torch.Tensor | None = None, noise: float = 0.1) -> torch.Tensor:
    dictionary = filters() if dictionary is None else dictionary
    seen = analyze(img, dictionary) if net.uses_responses else None
    return net(img, noise if net.uses_noise_level else None, seen)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@all_features
@pytest.mark.parametrize('image_channel', [False, True])
@pytest.mark.parametrize('coarsening', [1, 2])
def test_permutation_equivariance(features: dict[str, Any], image_channel: bool, coarsening: int) -> None:
    """The maps of V3 go with the filters; V1 does not see them, and V2 takes them for other channels."""
    if coarsening > 1 and features['features'] == 'real_imaginary':
        pytest.skip('needs features without sign')
    order = [2, 0, 3, 1]
    permuted = filters()[order]
    options = features | {'coarsening': coarsening}
    each = network('each', image_channel=image_channel, **options)
    expected = maps(each, image())
    assert expected.shape == (N_FILTERS, *SHAPE)
    assert (maps(each, image(), permuted) - expected[order]).abs().max() < 1e-12 * expected.abs().max()
    assert difference(expected[order], expected) > 1e-3
    if features.get('noise_level'):
        inverse = network('each', image_channel=image_channel, high_pass=True, inverse_response=True, **options)
        expected = maps(inverse, image())
        assert (maps(inverse, image(), permuted) - expected[order]).abs().max() < 1e-12 * expected.abs().max()
    joint = network('joint', image_channel=image_channel, **options)
    assert difference(maps(joint, image(), permuted), maps(joint, image())[order]) > 1e-3
    none = network('none', **options)
    assert torch.equal(maps(none, image(), permuted), maps(none, image()))
    assert difference(maps(none, image(), permuted), maps(none, image())[order]) > 1e-3


@pytest.mark.parametrize(('image_channel', 'response_mean'), [*itertools.product([False, True], repeat=2)])
def test_each_response_by_itself(image_channel: bool, response_mean: bool) -> None:
    """The map of a filter is the same with and without other filters."""
    options: dict[str, Any] = {'features': 'signal_to_noise', 'noise_level': True}
    net = network('each', image_channel=image_channel, response_mean=response_mean, **options)
    together = maps(net, image())
    for i in range(N_FILTERS):
        torch.testing.assert_close(maps(net, image(), filters()[i : i + 1])[0], together[i], rtol=1e-12, atol=0)


def test_response_mean_is_the_last_channel() -> None:
    """The mean over the image of what the backbone sees of each response, for each image of a batch."""
    seen: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x[:, :1]

    options: dict[str, Any] = {'features': 'magnitude', 'image_channel': True, 'coarsening': 2, 'padding': 0}
    net = network('each', backbone=Recorder(), response_mean=True, **options)
    maps(net, image())
    (channels,) = seen
    assert channels.shape == (N_FILTERS * SHAPE[0], 3, SHAPE[-2] // 2, SHAPE[-1] // 2)
    expected = channels[:, :1].mean((-2, -1), keepdim=True).expand_as(channels[:, :1])
    torch.testing.assert_close(channels[:, 2:], expected)
    assert len(expected[:, 0, 0, 0].unique()) == len(channels)


@pytest.mark.parametrize('circular', [False, True])
@pytest.mark.parametrize('responses', ['joint', 'each'])
def test_inverse_response(responses: Any, circular: bool) -> None:
    """A network that gives zero leaves the estimate of the weight of a Laplace distribution, and scales with it."""

    class Zero(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x[:, : 1 if responses == 'each' else N_FILTERS])

    options: dict[str, Any] = {'high_pass': True, 'noise_level': True, 'features': 'signal_to_noise'}
    options['circular_dim'] = (-1,) if circular else ()
    net = network(responses, backbone=Zero(), inverse_response=True, initial_scale=3.0, **options)
    assert net.inverse_response is not None
    seen, noise_std = analyze(image(), filters()), 0.1
    lambda_map = net(image(), noise_std, seen)
    torch.testing.assert_close(net(2 * image(), 2 * noise_std, 2 * seen), 2 * lambda_map)
    magnitude = torch.nn.functional.pad(seen.abs().flatten(0, 2), (0, 0, 3, 3), mode='reflect')
    magnitude = torch.nn.functional.pad(magnitude, (3, 3, 0, 0), mode='circular' if circular else 'reflect')
    mean = magnitude.unfold(-2, 7, 1).unfold(-2, 7, 1).mean((-2, -1)).reshape(seen.shape)
    scale = 3.0 * noise_std * math.log(2)
    torch.testing.assert_close(
        lambda_map, scale / (1 + mean / (net.inverse_response.log_threshold.exp() * noise_std)), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize('n_filters', [1, 3, 9])
@pytest.mark.parametrize('size', [1, 5, 11])
def test_v3_takes_any_dictionary(n_filters: int, size: int) -> None:
    dictionary = RandomGenerator(4).randn_tensor((n_filters, size, size), torch.float64)
    lambda_map = maps(network('each', features='magnitude'), image(), dictionary)
    assert lambda_map.shape == (n_filters, *SHAPE)
    assert bool((lambda_map.isfinite() & (lambda_map > 0)).all())


@pytest.mark.parametrize('image_channel', [False, True])
@pytest.mark.parametrize('coarsening', [1, 3])
def test_filters_at_once(image_channel: bool, coarsening: int) -> None:
    """Neither the maps nor the gradient for parameters, image and responses depend on it."""
    results = []
    for at_once in (1, 3, N_FILTERS):
        net = network(
            'each',
            features='signal_to_noise',
            noise_level=True,
            image_channel=image_channel,
            coarsening=coarsening,
            filters_at_once=at_once,
        )
        img = image().requires_grad_()
        seen = analyze(image(), filters()).requires_grad_()
        lambda_map = net(img, 0.1, seen)
        weight = RandomGenerator(3).float64_tensor(lambda_map.shape)
        gradient = torch.autograd.grad((weight * lambda_map).sum(), [img, seen, *net.parameters()], allow_unused=True)
        results.append([lambda_map.detach(), *(g for g in gradient if g is not None)])
        # relative to the noise, the image is only used as a channel
        assert (gradient[0] is None) != image_channel
        assert len(results[-1]) == len(list(net.parameters())) + 2 + image_channel
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            assert bool(expected.any())
            assert difference(found, expected) < 1e-12
    with torch.no_grad():
        torch.testing.assert_close(net(image(), 0.1, analyze(image(), filters())), results[0][0], rtol=1e-12, atol=0)


@without_sign
@all_variants
def test_constant_phase(responses: Any, features: dict[str, Any]) -> None:
    """It can not matter where the phase of the image begins."""
    net = network(responses, image_channel=responses != 'none', **features)
    for angle in (0.7, math.pi / 2, math.pi):
        rotated = maps(net, cmath.exp(1j * angle) * image())
        torch.testing.assert_close(rotated, maps(net, image()), rtol=1e-10, atol=0)


@all_variants
def test_real_and_imaginary_part_see_a_constant_phase(responses: Any) -> None:
    net = network(responses)
    assert difference(maps(net, 1j * image()), maps(net, image())) > 1e-2


@without_sign
def test_local_phase(features: dict[str, Any]) -> None:
    """V1 sees no phase at all; responses depend on it, but little on a smooth one, other than their real parts.

    The phase changes by 0.7 over the image, 0.05 per pixel, and turns it by up to 2 at its end.
    """
    img = image()
    y = torch.linspace(0, 1, SHAPE[-2], dtype=torch.float64)[:, None]
    any_phase = torch.polar(torch.ones(SHAPE, dtype=torch.float64), 6 * RandomGenerator(6).float64_tensor(SHAPE))
    smooth = torch.polar(torch.ones_like(y), 1.3 + 0.7 * y)
    v1 = network('none', **features)
    torch.testing.assert_close(maps(v1, any_phase * img), maps(v1, img), rtol=1e-10, atol=0)
    v3 = network('each', **features)
    signed = network('each', features='real_imaginary', noise_level=features.get('noise_level', False))
    bound = 0.02
    change = difference(maps(v3, smooth * img), maps(v3, img))
    assert 1e-6 < change < bound
    assert difference(maps(signed, smooth * img), maps(signed, img)) > 5 * bound
    assert difference(maps(v3, any_phase * img), maps(v3, img)) > 2 * change


@pytest.mark.parametrize('scale', [1e-9, 3.7, 1e9])
@all_features
@all_variants
def test_scale_equivariance(responses: Any, features: dict[str, Any], scale: float) -> None:
    """Image, noise and responses in other units give the maps in these units."""
    net = network(responses, image_channel=responses != 'none', **features)
    scaled = maps(net, scale * image(), noise=0.1 * scale)
    torch.testing.assert_close(scaled, scale * maps(net, image()), rtol=1e-10, atol=0)


@pytest.mark.parametrize('coarsening', [2, 3, 5])
@pytest.mark.parametrize('size', [(16, 12), (17, 13), (7, 19)])
@without_sign
@all_variants
def test_coarse_grid_of_any_size(responses: Any, features: dict[str, Any], size: Any, coarsening: int) -> None:
    """A constant image, also of a size that is no multiple of the cells, gives constant maps of its size."""
    net = network(responses, coarsening=coarsening, image_channel=responses != 'none', **features)
    img = torch.full((2, 1, 1, *size), 0.6 + 0.8j, dtype=torch.complex128)
    offsets = torch.tensor([0.1, -0.2, 0.3, 0.5], dtype=torch.float64)[:, None, None]  # a response to constants
    constant = maps(net, img, filters() + offsets)
    assert constant.shape == (N_FILTERS, *img.shape)
    mean = constant.mean((-2, -1), keepdim=True)
    torch.testing.assert_close(constant, mean.expand_as(constant), rtol=1e-10, atol=0)
    assert mean.flatten().std() > 1e-4 * mean.mean()
    varied = maps(net, image((2, 1, 1, *size)), filters() + offsets)
    assert bool((varied.isfinite() & (varied > 0)).all())


def test_coarse_channels_are_root_mean_squares() -> None:
    """The backbone sees the cells, the last one filled up with the last sample, and their map is interpolated."""
    seen: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    net = LambdaNet(Recorder(), [ImageInput('signal_to_noise')], dim=(-1,), coarsening=2, padding=0)
    net = net.double()
    magnitude = torch.tensor([3.0, 4.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    lambda_map = net(1j * magnitude.reshape(1, 1, 1, 1, 5), 0.5)
    cells = torch.tensor([12.5, 0.5, 4.0], dtype=torch.float64).sqrt()
    torch.testing.assert_close(seen[0], (cells / 0.5).log1p().reshape(1, 1, 3))
    u = torch.nn.functional.interpolate(seen[0], scale_factor=2, mode='linear')[..., :5]
    torch.testing.assert_close(lambda_map.flatten(), 0.5 * torch.nn.functional.softplus(u.flatten()))


@pytest.mark.parametrize('image_channel', [False, True])
@all_features
@all_variants
def test_number_of_channels(responses: Any, features: dict[str, Any], image_channel: bool) -> None:
    """It is the number that the backbone receives, here one that takes any number."""
    if image_channel and responses == 'none':
        pytest.skip('sees the image anyway')
    seen: set[int] = set()

    class Recorder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add(x.shape[1])
            return x[:, :1]

    net = network(responses, backbone=Recorder(), image_channel=image_channel, **features)
    maps(net, image())
    assert seen == {len(net.channels)}


def test_channel_names_in_examples() -> None:
    def names(*options: Any, **flags: Any) -> list[str]:
        return [name for item in inputs(*options, **flags) for name in item.channel_names]

    assert names('none') == ['image, real part', 'image, imaginary part']
    assert len(names('joint', noise_level=True, n_filters=5)) == 11
    assert names('each', 'magnitude', noise_level=True, image_channel=True) == [
        'response, magnitude',
        'image, magnitude',
        'noise level',
    ]
    assert names('each', 'signal_to_noise', noise_level=True, high_pass=True) == [
        'high-passed response, signal to noise'
    ]
    mean = 'mean of the response, magnitude'
    assert names('each', 'magnitude', response_mean=True) == ['response, magnitude', mean]


@all_features
@all_variants
def test_batch_entries_are_independent(responses: Any, features: dict[str, Any]) -> None:
    """Of any intensity. Batches and filters are not mixed up."""
    net = network(responses, image_channel=responses != 'none', **features)
    img = image((3, 1, 1, 16, 12)) * torch.tensor([1.0, 3.0, 0.2]).reshape(3, 1, 1, 1, 1)
    together = maps(net, img)
    for i in range(3):
        torch.testing.assert_close(maps(net, img[i : i + 1]), together[:, i : i + 1], rtol=1e-10, atol=0)


@pytest.mark.parametrize(('responses', 'given'), [*itertools.product(VARIANTS, [True, False])])
def test_responses_must_be_given_if_and_only_if_they_are_used(responses: Any, given: bool) -> None:
    net, seen = network(responses), analyze(image(), filters())
    if given == (responses != 'none'):
        assert net(image(), responses=seen if given else None).shape == (N_FILTERS, *SHAPE)
        return
    got = r'shape \(4, 2, 1, 1, 16, 12\)' if given else 'none'
    kind = 'without' if responses == 'none' else 'with'
    with pytest.raises(ValueError, match=f'network {kind} inputs for responses, .*got responses of {got}'):
        net(image(), responses=seen if given else None)


@pytest.mark.parametrize('index', [0, (slice(None), slice(1)), (..., slice(3))])
def test_shape_of_the_responses(index: Any) -> None:
    seen = analyze(image(), filters())[index]
    with pytest.raises(ValueError, match=r'responses must have shape \(n_filters, \*image\), got'):
        network('each')(image(), responses=seen)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'inputs': [ResponsesInput(), ResponsesInput(of_high_pass=True)]}, 'All inputs must see the same responses'),
        ({'inverse_response': True, 'inputs': [ResponsesInput(of_high_pass=True)]}, 'noise_level=False'),
        (
            {'inverse_response': True, 'inputs': [ResponsesInput('signal_to_noise')]},
            'inverse_response needs .*high_pass=False',
        ),
        ({'coarsening': 0, 'inputs': [ImageInput('magnitude')]}, 'coarsening must be an integer from 1 to 1024'),
        ({'coarsening': 2}, "features without sign, got coarsening=2 for image with features='real_imaginary'"),
        ({'filters_at_once': 0}, 'filters_at_once must be an integer from 1 on'),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LambdaNet(UNet(2, 2, 1, n_features=2), **options)


@pytest.mark.parametrize(
    ('create', 'message'),
    [
        (lambda: inputs('none', 'phase'), "features must be one of .* got features='phase'"),
        (lambda: ResponsesInput(n_filters=0), 'n_filters must be an integer from 1 on'),
        (lambda: ResponseMeanInput(ResponsesInput()), 'needs responses that are each by itself, with features without'),
        (lambda: ResponseMeanInput(ResponsesInput('magnitude', 4)), 'needs responses that are each by itself'),
    ],
)
def test_invalid_inputs(create: Any, message: str) -> None:
    """Each rule is that of the input that it concerns."""
    with pytest.raises(ValueError, match=message):
        create()


def test_another_number_of_filters_than_are_seen_jointly() -> None:
    with pytest.raises(ValueError, match=r'responses of 4 filter\(s\) jointly, got responses of shape \(3, '):
        maps(network('joint'), image(), filters(3))


def test_backbone_for_each_response_gives_one_map() -> None:
    with pytest.raises(ValueError, match=r'n_channels_out=1 .* got n_channels_out=4'):
        LambdaNet(UNet(2, 2, 4, n_features=2), [ResponsesInput()])


def test_a_new_input_is_one_class() -> None:
    """It needs no change of the network, which still scales with the image."""

    @dataclass(frozen=True)
    class LocalMean(NetworkInput):
        @property
        def name(self) -> str:
            return 'local mean'

        @property
        def channel_names(self) -> tuple[str, ...]:
            return (self.name,)

        def channels(self, context: InputContext) -> torch.Tensor:
            magnitude = context.arrange(context.image('intensity').abs())
            return torch.nn.functional.avg_pool2d(magnitude, 3, stride=1, padding=1).movedim(0, 1)[None]

    net = LambdaNet(UNet(2, 3, 1, n_features=2), [ImageInput(), LocalMean()]).double()
    torch.testing.assert_close(net(7 * image()), 7 * net(image()))
    assert net.channels[-1] == 'local mean'
