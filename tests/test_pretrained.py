"""Weights in files, and those that ship with the package."""

import dataclasses
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import mrpro_lambda.pretrained
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights, save_weights
from mrpro_lambda.recipes import TotalVariationRecipe
from safetensors import safe_open
from safetensors.torch import load_file, save_file

CONFIG = TotalVariationRecipe(n_features=2, n_resolutions=2, padding=3, n_iterations=4, max_iterations=6)
CARD = {'purpose': 'tests', 'data': 'none, ünïcode'}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File with weights of seed 3."""
    path = tmp_path / 'weights.safetensors'
    save_weights(CONFIG.build(3), CONFIG, CARD, path)
    return path


def image(model: LambdaMapModel) -> torch.Tensor:
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, 12, 12))
    img = RandomGenerator(0).randn_tensor((1, 1, 1, 12, 12), torch.complex64)
    with torch.no_grad():
        return model(acquisition_op(img)[0], acquisition_op, img)


def rewrite(path: Path, *, config: Any = None, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """Change a part of a file."""
    with safe_open(str(path), framework='pt') as file:
        metadata = file.metadata()
    if config is not None:
        metadata['config'] = json.dumps(config)
    save_file(load_file(path) if tensors is None else tensors, path, metadata=metadata)


def test_round_trip(path: Path) -> None:
    """The image is that of the saved model with the number of iterations for use."""
    model, card = load_weights(path)
    assert card == CARD
    assert not model.training
    assert model.solver.max_iterations == 6
    torch.testing.assert_close(image(model), image(CONFIG.build(3, inference=True)), rtol=0, atol=0)
    assert not torch.equal(image(model), image(CONFIG.build(4, inference=True)))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert load_weights(str(path))[1] == CARD


def test_every_option_of_the_model_survives(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG,
        dim=(-5, -2, -1),
        boundary='neumann',
        band_limit=False,
        features='magnitude',
        noise_level=True,
        solver='PDHG',
        initial_scale=0.3,
    )
    save_weights(config.build(), config, {}, tmp_path / 'file')
    model, card = load_weights(tmp_path / 'file')
    assert card == {}
    expected = config.build(inference=True)
    assert type(model.solver) is type(expected.solver)
    assert model.band_limit == expected.band_limit
    assert vars(model.solver.regularizer).keys() == vars(expected.solver.regularizer).keys()
    assert model.solver.regularizer.dim == (-5, -2, -1)
    assert not model.solver.regularizer.circulant
    assert model.lambda_net is not None
    assert model.lambda_net.uses_noise_level
    assert model.lambda_net.channels == ['image, magnitude', 'noise level']


def test_file_holds_the_weight_only(path: Path) -> None:
    model = CONFIG.build()
    assert model.weight is not None
    image(model)
    save_weights(model, CONFIG, CARD, path)
    expected = model.weight.state_dict()
    stored = load_file(path)
    assert stored.keys() == expected.keys()
    for name, tensor in stored.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
    with safe_open(str(path), framework='pt') as file:
        assert file.metadata().keys() == {'config', 'card'}


@pytest.mark.parametrize(
    'config', [[], 'text', 3, {'n_features': 10**7}, {'n_resolutions': 40}, {'padding': 'a'}, {'tolerance': -1}]
)
def test_metadata_that_are_no_model(path: Path, config: Any) -> None:
    """Found before a network of that size is built."""
    rewrite(path, config=config)
    with pytest.raises(ValueError, match=r'is no weights file of mrpro_lambda: .*must be'):
        load_weights(path)


def test_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(_: Any, partial: Path, **__: Any) -> None:
        partial.write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(mrpro_lambda.pretrained, 'save_file', fail)
    with pytest.raises(OSError, match='disk full'):
        save_weights(CONFIG.build(4), CONFIG, CARD, path)
    assert path.read_bytes() == before


def test_model_without_a_weight_has_nothing_to_store(tmp_path: Path) -> None:
    model = LambdaMapModel(None, CONFIG.build().solver)
    with pytest.raises(ValueError, match='without a weight has nothing to store'):
        save_weights(model, CONFIG, {}, tmp_path / 'file')


@pytest.mark.parametrize(
    'changes', [{'n_features': 3}, {'n_resolutions': 1}, {'n_convs': 1}, {'noise_level': True}, {'dim': (-5, -2, -1)}]
)
def test_other_architecture(path: Path, changes: dict[str, Any]) -> None:
    """The error tells how many tensors have another shape, or are in one of the networks only."""
    other = dataclasses.replace(CONFIG, **changes)
    rewrite(path, config=dataclasses.asdict(other))
    stored, expected = ({k: v.shape for k, v in c.build().state_dict().items()} for c in (CONFIG, other))
    n_different = sum(stored.get(key) != expected.get(key) for key in {*stored, *expected})
    message = rf'{re.escape(str(path))} are those of another architecture: {n_different} tensor\(s\) differ'
    with pytest.raises(ValueError, match=message):
        load_weights(path)


def test_missing_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors['lambda_net.log_scale']
    rewrite(path, tensors=tensors)
    with pytest.raises(ValueError, match=r'1 tensor\(s\) differ, the first is lambda_net.log_scale with shape None'):
        load_weights(path)


@pytest.mark.parametrize('content', [b'', b'not a safetensors file', b'\x08\0\0\0\0\0\0\0{}      '])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'file'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{path} is no weights file of mrpro_lambda'):
        load_weights(path)


def test_safetensors_of_someone_else(tmp_path: Path) -> None:
    path = tmp_path / 'file.safetensors'
    for metadata in (None, {'format': 'pt'}, {'config': '{', 'card': '{}'}):
        save_file({'x': torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(ValueError, match='is no weights file of mrpro_lambda'):
            load_weights(path)


def test_configuration_of_a_newer_version(path: Path) -> None:
    rewrite(path, config=dataclasses.asdict(CONFIG) | {'new_option': 1})
    with pytest.raises(ValueError, match=r"Unknown key\(s\) \['new_option'\]"):
        load_weights(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / 'missing.safetensors')


@pytest.fixture
def published(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish the weights under the name `weights`."""
    monkeypatch.setattr(mrpro_lambda.pretrained, '_FOLDER', path.parent)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(mrpro_lambda.pretrained, '_SHA256', {'weights': digest, 'a-lost-one': digest})
    return path


def test_published_weights(published: Path) -> None:
    torch.testing.assert_close(image(load_pretrained('weights')), image(load_weights(published)[0]), rtol=0, atol=0)


def test_unknown_name(published: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights 'weight'; there are \['a-lost-one', 'weights'\]"):
        load_pretrained('weight')


def test_changed_file(published: Path) -> None:
    save_weights(CONFIG.build(4), CONFIG, CARD, published)
    with pytest.raises(ValueError, match=r'not those that were published: SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}'):
        load_pretrained('weights')


def test_lost_file(published: Path) -> None:
    with pytest.raises(ValueError, match='not those that were published: SHA-256 no file'):
        load_pretrained('a-lost-one')


def test_weights_that_ship_with_the_package() -> None:
    """Each loads, has a card and gives an image."""
    for name, card in list_pretrained().items():
        assert card
        model = load_pretrained(name)
        assert not isinstance(model, LambdaMapModel) or model.lambda_net is not None
        if not model.uses_noise_level:
            assert bool(image(model).isfinite().all())


# Of the maps of two images: values at one pixel of the first image, of the first map and of the one in the middle, and
# at another pixel of the last map and the second image. They are those of the version that had no objects for inputs.
NUMBERS = {
    'cdl-v1': (0.3697299, 0.3438787, 1.3013396),
    'cdl-v1-low-field': (0.3581562, 0.5399187, 1.9749137),
    'cdl-v2': (0.2320163, 0.5268621, 0.8284309),
    'cdl-v2-low-field': (0.2814448, 0.3919764, 1.7952286),
    'cdl-v3': (0.0755331, 0.1981574, 0.9088213),
    'cdl-v3-low-field': (0.1118643, 0.2087296, 1.4034926),
    'ct-tv': (0.0469313525, 0.0469313525, 0.0818364024),
    'tgv-low-field': (0.0308323149, 0.0477708429, 0.5580827),
    'tgv-variable-density': (0.0261570551, 0.0154147157, 0.0447248444),
    'tv-low-field': (0.0269131, 0.0269131, 0.4328290),
    'tv-variable-density': (0.0147278, 0.0147278, 0.1280325),
}


def test_maps_of_the_weights_that_ship_do_not_change() -> None:
    assert NUMBERS.keys() == {name for name in list_pretrained() if isinstance(load_pretrained(name), LambdaMapModel)}
    img = RandomGenerator(0).randn_tensor((2, 1, 1, 18, 21), torch.complex64)
    img[..., 4:12, 5:14] += 3 + 2j
    noise_std = torch.tensor([0.3, 0.7]).reshape(2, 1, 1, 1, 1)
    for name, expected in NUMBERS.items():
        with torch.no_grad():
            lambda_map = load_pretrained(name).estimate(img, noise_std)
        assert lambda_map.shape[1:] == img.shape
        at = lambda_map[:, 0, 0, 0, 9, 3]
        found = (at[0].item(), at[len(at) // 2].item(), lambda_map[-1, 1, 0, 0, 6, 8].item())
        assert found == pytest.approx(expected, rel=2e-5), name


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
def test_default_type_does_not_matter(dtype: torch.dtype) -> None:
    """Weights keep their precision, and give the same map and image."""
    names = ('tv-low-field', 'cdl-v1', 'cdl-v3')
    expected = [estimate_and_solve(load_pretrained(name)) for name in names]
    torch.set_default_dtype(dtype)
    try:
        found = [estimate_and_solve(load_pretrained(name)) for name in names]
    finally:
        torch.set_default_dtype(torch.float32)
    for pairs in zip(found, expected, strict=True):
        for value, reference in zip(*pairs, strict=True):
            torch.testing.assert_close(value, reference, rtol=0, atol=0)


def estimate_and_solve(model: LambdaMapModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Map and image, with few iterations."""
    mask = torch.ones(1, 1, 1, 16, 12, dtype=torch.bool)
    mask[..., :3, :] = False
    acquisition_op = CartesianAcquisitionOp(mask)
    img = RandomGenerator(0).randn_tensor((1, 1, 1, 16, 12), torch.complex64)
    lambda_map = model.estimate(img, 0.1)
    model.solver.max_iterations = 10
    return lambda_map, model.solve(acquisition_op(img)[0], acquisition_op, img, lambda_map=lambda_map).img


@pytest.mark.parametrize('name', ['tv-low-field', 'cdl-v3'])
def test_precision_of_a_model(name: str) -> None:
    """All of it becomes double; half is refused, and so is an image of another precision."""
    model = load_pretrained(name).double()
    assert {value.dtype for value in model.state_dict().values()} == {torch.float64}
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, 12, 12).double())
    img = RandomGenerator(0).randn_tensor((1, 1, 1, 12, 12), torch.complex128)
    model.solver.max_iterations = 10
    assert model.solve(*acquisition_op(img), acquisition_op, img, noise_std=0.1).img.dtype == torch.complex128
    with pytest.raises(ValueError, match=r'needs float32 or float64 for network and image alike'):
        model.estimate(img.to(torch.complex64), 0.1)
    with pytest.raises(ValueError, match=r'needs (float32 or float64|numbers in float32)|must be float32 or float64'):
        model.half().estimate(img.to(torch.complex64), 0.1)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_weights_that_are_not_finite(path: Path, value: float) -> None:
    tensors = load_file(path)
    tensors['lambda_net.backbone.last.weight'][0, 1] = value
    rewrite(path, tensors=tensors)
    with pytest.raises(ValueError, match=r'must be finite .* lambda_net.backbone.last.weight .* holds 1 NaN or Inf'):
        load_weights(path)


@pytest.mark.parametrize('dtype', [torch.float16, torch.int32])
def test_weights_of_another_type(path: Path, dtype: torch.dtype) -> None:
    rewrite(path, tensors={key: value.to(dtype) for key, value in load_file(path).items()})
    with pytest.raises(ValueError, match=f'single or double precision, .* of {dtype}, shape'):
        load_weights(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'n_resolutions': 12}, 'lowest resolution must have at most 2048 features'),
        ({'n_resolutions': 10**12}, 'n_resolutions must be an integer of at least 1 and at most 12'),
        ({'n_features': 10**7}, 'n_features must be an integer of at least 1 and at most 2048'),
        ({'n_features': 2048, 'n_resolutions': 1}, 'those of another architecture'),
        ({'n_convs': 10**9}, 'n_convs must be an integer of at least 1 and at most 16'),
        ({'n_features': '2'}, 'n_features must be an integer'),
        ({'padding': 10**9}, 'padding must be'),
        ({'net_dim': ['x']}, 'net_dim must be a list, each an integer'),
        ({'n_iterations': 3, 'max_iterations': 'x'}, 'max_iterations must be an integer'),
    ],
)
def test_hostile_configuration(path: Path, changes: dict[str, Any], message: str) -> None:
    """It is refused before the network that it describes takes memory or time."""
    rewrite(path, config=dataclasses.asdict(CONFIG) | changes)
    with pytest.raises(ValueError, match=message):
        load_weights(path)


@pytest.mark.parametrize('config', [[], None, 3])
def test_configuration_that_is_no_mapping(path: Path, config: Any) -> None:
    with safe_open(str(path), framework='pt') as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, 'config': json.dumps(config)})
    with pytest.raises(ValueError, match='configuration and card must be tables'):
        load_weights(path)


def test_list(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(mrpro_lambda.pretrained._SHA256, 'a-lost-one')
    assert list_pretrained() == {'weights': CARD}
