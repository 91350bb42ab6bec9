"""The model of CDL-Lambda, its description and its weights in files."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import mrpro_lambda.pretrained
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ResponsesInput
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import load_pretrained, load_weights, save_weights
from mrpro_lambda.recipes import DictionaryRecipe, Recipe, TotalVariationRecipe
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import ADMM, FISTA
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.helper import relative_image_difference

SMALL: dict[str, Any] = {'n_features': 2, 'n_resolutions': 2, 'padding': 3, 'n_iterations': 30, 'initial_scale': 0.2}
SIZE = 14
VARIANTS = ('none', 'joint', 'each')
all_variants = pytest.mark.parametrize('responses', VARIANTS, ids=('V1', 'V2', 'V3'))


def dictionary(n_filters: int = 4, size: int = 3, seed: int = 0) -> torch.Tensor:
    filters = RandomGenerator(seed).randn_tensor((n_filters, size, size), torch.float32)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


def acquire() -> tuple[torch.Tensor, CartesianAcquisitionOp, torch.Tensor]:
    """Data, acquisition operator and initial image in double precision."""
    rng = RandomGenerator(0)
    mask = (rng.float64_tensor((1, 1, 1, SIZE, SIZE)) < 0.6).double()
    img = 0.1 * rng.randn_tensor((2, 1, 1, SIZE, SIZE), torch.complex128)
    img[..., 3:9, 4:11] += 1 + 1j
    acquisition_op = CartesianAcquisitionOp(mask)
    (data,) = acquisition_op(img)
    return data, acquisition_op, acquisition_op.adjoint(data)[0]


def reconstruct(model: LambdaMapModel) -> torch.Tensor:
    """Reconstruct in double precision."""
    with torch.no_grad():
        return model.double()(*acquire())


def build(config: DictionaryRecipe, filters: torch.Tensor, seed: int = 0) -> LambdaMapModel:
    """Build a model with maps that are not even: undo the small start of the last layer."""
    model = config.build(seed, filters=filters.double())
    assert model.lambda_net is not None
    with torch.no_grad():
        model.lambda_net.backbone.last.weight.mul_(10)  # type: ignore[union-attr, operator]
    return model


@pytest.mark.parametrize('solver', ['ADMM', 'FISTA'])
@all_variants
def test_permutation_of_the_filters(responses: Any, solver: Any) -> None:
    """The image of V3 does not depend on their order. The maps of V1 and V2 belong to their places."""
    order, filters = [2, 0, 3, 1], dictionary()
    config = DictionaryRecipe(**SMALL, responses=responses, features='magnitude', solver=solver)
    change = relative_image_difference(reconstruct(build(config, filters[order])), reconstruct(build(config, filters)))
    if responses == 'each':
        assert change < 1e-12
    else:
        assert change > 1e-4


def test_exchange_of_the_dictionary() -> None:
    """A V3 model goes on with the dictionary that its regularizer gets, of another number and size of filters."""
    config = DictionaryRecipe(**SMALL, features='magnitude')
    model, other = build(config, dictionary()), dictionary(7, 5, seed=1).double()
    model.solver.regularizer = DictionarySparsity(other, beta=config.beta)
    assert model.double().estimate(acquire()[2]).shape == (7, 2, 1, 1, SIZE, SIZE)
    torch.testing.assert_close(reconstruct(model), reconstruct(build(config, other)), rtol=0, atol=0)


@pytest.mark.parametrize('responses', ['joint', 'each'])
@pytest.mark.parametrize('high_pass', [False, True])
def test_high_pass(responses: Any, high_pass: bool) -> None:
    """A constant image is smooth: it does not change the maps, other than by the mean of the filters."""
    options: dict[str, Any] = {'features': 'signal_to_noise', 'noise_level': True, 'high_pass': high_pass}
    model = build(DictionaryRecipe(**SMALL, responses=responses, **options), dictionary()).double()
    _, _, img = acquire()
    lambda_map = model.estimate(img, 0.1)
    change = relative_image_difference(model.estimate(img + 3, 0.1), lambda_map)
    if high_pass:
        assert change < 1e-12
        assert relative_image_difference(model.estimate(1.1 * img, 0.1), lambda_map) > 1e-3
    else:
        assert change > 1e-3


def test_gradient_for_the_strength_of_the_low_pass_filter() -> None:
    """Through the smooth part, and through the responses to the rest of the image."""
    model = build(DictionaryRecipe(**SMALL, features='magnitude', high_pass=True), dictionary()).double()
    data, acquisition_op, img = acquire()

    def mean_square(beta: torch.Tensor) -> torch.Tensor:
        model.solver.regularizer = DictionarySparsity(dictionary().double(), beta=beta)
        return model(data, acquisition_op, img).abs().square().mean()

    beta = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean_square, (beta,), eps=1e-5, atol=0, rtol=1e-3)


@pytest.mark.parametrize('filters_at_once', [1, 3])
def test_gradient_does_not_depend_on_the_filters_at_once(filters_at_once: int) -> None:
    """Through the solver, and for all parameters."""
    gradients = []
    for at_once in (8, filters_at_once):
        model = build(DictionaryRecipe(**SMALL, features='magnitude', filters_at_once=at_once), dictionary())
        loss = model.double()(*acquire()).abs().square().sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        assert bool(expected.any())
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


@pytest.mark.parametrize(
    ('options', 'n_channels'),
    [
        ({}, 2),
        ({'image_channel': True, 'noise_level': True}, 5),
        ({'image_channel': True, 'response_mean': True, 'features': 'magnitude'}, 3),
        ({'response_mean': True, 'high_pass': True, 'features': 'magnitude'}, 2),
        ({'inverse_response': True, 'high_pass': True, 'features': 'signal_to_noise', 'noise_level': True}, 1),
        ({'responses': 'none', 'features': 'magnitude', 'noise_level': True}, 2),
        ({'responses': 'joint', 'features': 'signal_to_noise', 'noise_level': True, 'image_channel': True}, 5),
        ({'responses': 'joint', 'coarsening': 2, 'features': 'magnitude', 'solver': 'FISTA', 'boundary': 'zero'}, 4),
    ],
)
def test_build(options: dict[str, Any], n_channels: int) -> None:
    """The model is as described, and fits together."""
    config = DictionaryRecipe(**SMALL, beta=2.5, filters_at_once=3, **options)
    filters = dictionary()
    model = config.build(filters=filters)
    net, regularizer = model.lambda_net, model.solver.regularizer
    assert net is not None
    assert isinstance(net.backbone, UNet)
    assert (net.backbone.n_channels_in, net.backbone.n_channels_out) == (n_channels, 4 if 'responses' in options else 1)
    for name in ('high_pass', 'coarsening', 'filters_at_once', 'padding'):
        assert getattr(net, name) == getattr(config, name)
    assert net.uses_noise_level == config.noise_level
    assert net.uses_responses == (config.responses != 'none')
    assert net.each == (config.responses == 'each')
    assert ('image' in {item.name for item in net.inputs}) == (config.image_channel or config.responses == 'none')
    assert ('mean of the' in ' '.join(net.channels)) == config.response_mean
    assert (net.inverse_response is not None) == config.inverse_response
    assert isinstance(regularizer, DictionarySparsity)
    assert torch.equal(regularizer.synthesis_op.filters, filters)
    assert regularizer.synthesis_op.boundary == config.boundary
    assert regularizer.low_pass_op.beta == 2.5
    assert isinstance(model.solver, FISTA if config.solver == 'FISTA' else ADMM)
    assert not model.band_limit
    lambda_map = model.estimate(torch.ones(2, 1, 1, 11, 13) + 0j, 0.1 if config.noise_level else None)
    assert lambda_map.shape == (4, 2, 1, 1, 11, 13)


def test_round_trip_through_json() -> None:
    """The method tells which description it is, `tv` for those of before."""
    config = DictionaryRecipe(**SMALL, responses='joint', beta=2.0, coarsening=2)
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert Recipe.from_dict(values) == config
    assert Recipe.from_dict({}) == TotalVariationRecipe()
    assert Recipe.from_dict({'method': 'tv', 'boundary': 'neumann'}) == TotalVariationRecipe(boundary='neumann')
    assert Recipe.from_dict({'method': 'cdl'}) == DictionaryRecipe()


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'method': 'wavelet'}, r"method in section \[model\] must be one of \[.*'cdl', .*'tv', .*\], got 'wavelet'"),
        ({'method': 'cdl', 'band_limit': True}, r"Unknown key\(s\) \['band_limit'\] in section \[model\]"),
        ({'method': 'tv', 'beta': 2.0}, r"Unknown key\(s\) \['beta'\] in section \[model\]"),
    ],
)
def test_invalid_description(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'solver': 'PDHG'}, r"solver must be one of \['ADMM', 'FISTA'\], got 'PDHG'"),
        ({'solver': 'FISTA', 'penalty_factor': 0.5}, 'penalty_factor is a setting of ADMM'),
        ({'responses': 'all'}, 'responses must be one of'),
        ({'boundary': 'reflect'}, 'boundary must be one of'),
        ({'beta': -1.0}, 'beta must be a finite number of at least 0'),
        ({'coarsening': 2}, 'features without sign'),
    ],
)
def test_invalid_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DictionaryRecipe(**SMALL, **options).build(filters=dictionary())


@pytest.mark.parametrize('filters', [dictionary(4, 4), 2 * dictionary(), 0 * dictionary(), dictionary() / 0])
def test_invalid_filters(filters: torch.Tensor) -> None:
    with pytest.raises(ValueError, match='filters must'):
        DictionaryRecipe(**SMALL).build(filters=filters)


@pytest.mark.parametrize('n_filters', [3, 5])
@pytest.mark.parametrize('responses', ['none', 'joint'])
def test_network_of_another_number_of_filters(responses: Any, n_filters: int, tmp_path: Path) -> None:
    """The error names the variant that takes any number, also for weights in a file."""
    config, message = DictionaryRecipe(**SMALL, responses=responses), r"responses='each' \(V3\)"
    model = config.build(filters=dictionary())
    with pytest.raises(ValueError, match=message):
        LambdaMapModel(model.lambda_net, ADMM(DictionarySparsity(dictionary(n_filters)), n_iterations=2))
    save_weights(model, config, {}, tmp_path / 'file')
    with pytest.raises(ValueError, match=message):
        load_weights(tmp_path / 'file', filters=dictionary(n_filters))


@all_variants
def test_weights_with_filters_and_beta(responses: Any, tmp_path: Path) -> None:
    config = DictionaryRecipe(**SMALL, responses=responses, beta=2.5, boundary='zero', solver='FISTA')
    filters = dictionary()
    save_weights(config.build(3, filters=filters), config, {'data': 'none'}, tmp_path / 'file')
    model, card = load_weights(tmp_path / 'file')
    assert card == {'data': 'none'}
    regularizer = model.solver.regularizer
    assert isinstance(regularizer, DictionarySparsity)
    assert torch.equal(regularizer.synthesis_op.filters, filters)
    assert regularizer.synthesis_op.boundary == 'zero'
    assert regularizer.low_pass_op.beta == 2.5
    expected = config.build(3, filters=filters, inference=True)
    torch.testing.assert_close(reconstruct(model), reconstruct(expected), rtol=0, atol=0)
    # other filters of the same number
    given = load_weights(tmp_path / 'file', filters=dictionary(seed=1))[0]
    expected = config.build(3, filters=dictionary(seed=1), inference=True)
    torch.testing.assert_close(reconstruct(given), reconstruct(expected), rtol=0, atol=0)
    assert relative_image_difference(reconstruct(given), reconstruct(model)) > 1e-4


def test_weights_of_v3_take_any_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that ship with the package."""
    config, other = DictionaryRecipe(**SMALL), dictionary(6, 5)
    path = tmp_path / 'weights.safetensors'
    save_weights(config.build(3, filters=dictionary()), config, {}, path)
    expected = reconstruct(config.build(3, filters=other, inference=True))
    torch.testing.assert_close(reconstruct(load_weights(path, other)[0]), expected, rtol=0, atol=0)
    monkeypatch.setattr(mrpro_lambda.pretrained, '_FOLDER', tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(mrpro_lambda.pretrained, '_SHA256', {'weights': digest})
    torch.testing.assert_close(reconstruct(load_pretrained('weights', other)), expected, rtol=0, atol=0)
    for bad in (dictionary(2, 4), 0 * other, other / 0):
        with pytest.raises(ValueError, match='filters must'):
            load_weights(path, bad)


def test_weights_without_filters(tmp_path: Path) -> None:
    config = DictionaryRecipe(**SMALL)
    save_weights(config.build(filters=dictionary()), config, {}, tmp_path / 'file')
    with safe_open(str(tmp_path / 'file'), framework='pt') as file:
        metadata = file.metadata()
    tensors = {name: value for name, value in load_file(tmp_path / 'file').items() if name != 'dictionary.filters'}
    save_file(tensors, tmp_path / 'file', metadata=metadata)
    for given in (None, dictionary()):
        with pytest.raises(ValueError, match='holds no filters, but its model has a dictionary'):
            load_weights(tmp_path / 'file', given)


def test_weights_of_total_variation_have_no_dictionary(tmp_path: Path) -> None:
    config = TotalVariationRecipe(n_features=2, n_resolutions=2)
    save_weights(config.build(), config, {}, tmp_path / 'file')
    assert all(not name.startswith('dictionary') for name in load_file(tmp_path / 'file'))
    with pytest.raises(ValueError, match=r'has no dictionary, got filters of shape \(4, 3, 3\)'):
        load_weights(tmp_path / 'file', filters=dictionary())


def test_network_for_responses_needs_a_dictionary() -> None:
    net = LambdaNet(UNet(2, 2, 1, n_features=2), [ResponsesInput()])
    with pytest.raises(ValueError, match='needs a dictionary, got TotalVariation'):
        LambdaMapModel(net, TotalVariationRecipe().build().solver)
