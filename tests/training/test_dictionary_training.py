"""A small training of a dictionary model over several dictionaries."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.datasets import CartesianLines, Mixture, VariableDensityRandom
from mrpro_lambda.dictionary import Dictionary, save_dictionary
from mrpro_lambda.metrics import relative_mse
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import UNet
from mrpro_lambda.pretrained import load_weights, save_weights
from mrpro_lambda.recipes import DictionaryRecipe, TotalVariationRecipe
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.training.ModelModule import ModelModule
from mrpro_lambda.training.train import train
from mrpro_lambda.training.TrainingConfig import TrainingConfig

from tests.training.conftest import CONFIG

pytestmark = [
    pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning'),
]
SHAPES = ((4, 3, 3), (2, 5, 5))
CDL = CONFIG.replace(
    '[model]\n', "[model]\nmethod = 'cdl'\nfeatures = 'magnitude'\nbeta = 2.0\ninitial_scale = 0.05\n"
).replace('seed = 3\n', "seed = 3\ndictionaries = ['first.safetensors', 'second.safetensors']\nlearn_beta = true\n")


def filters(shape: tuple[int, int, int]) -> torch.Tensor:
    drawn = RandomGenerator(0).randn_tensor(shape, torch.float32)
    return drawn / drawn.flatten(1).norm(dim=1)[:, None, None]


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    """Description of a training with two dictionaries of different numbers and sizes of filters."""
    for name, shape in zip(('first', 'second'), SHAPES, strict=True):
        save_dictionary(Dictionary(filters(shape), 0.05, 4.0), folder / f'{name}.safetensors')
    (folder / 'config.toml').write_text(CDL)
    config = TrainingConfig.from_toml(folder / 'config.toml')
    return dataclasses.replace(config, n_coils=(1,), max_steps=2, validation_interval=2)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of filters of the training steps."""
    found: list[int] = []
    step = ModelModule.training_step

    def recorded(self: ModelModule, sample: Any, batch_idx: int) -> torch.Tensor:
        loss = step(self, sample, batch_idx)
        found.append(lambda_model(self).solver.regularizer.n_maps)
        return loss

    monkeypatch.setattr(ModelModule, 'training_step', recorded)
    return found


def beta(path: Path) -> float:
    regularizer = load_weights(path)[0].solver.regularizer
    assert isinstance(regularizer, DictionarySparsity)
    return regularizer.low_pass_op.beta.item()


def weights(path: Path) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(load_weights(path)[0].parameters()).detach()


def module(config: TrainingConfig, **options: Any) -> ModelModule:
    common: dict[str, Any] = {'filters': [filters(shape) for shape in SHAPES], 'learn_beta': config.learn_beta}
    return ModelModule(config.model, max_steps=config.max_steps, seed=config.seed, **common | options)


def lambda_model(trained: ModelModule) -> LambdaMapModel:
    assert isinstance(trained.model, LambdaMapModel)
    return trained.model


def test_from_toml(config: TrainingConfig, folder: Path) -> None:
    """Names stay, files are relative to the folder."""
    assert config.dictionaries == (str(folder / 'first.safetensors'), str(folder / 'second.safetensors'))
    assert config.learn_beta
    assert isinstance(config.model, DictionaryRecipe)
    assert config.model.beta == 2.0
    (folder / 'config.toml').write_text(CDL.replace('second.safetensors', 'a-name'))
    assert TrainingConfig.from_toml(folder / 'config.toml').dictionaries[1] == 'a-name'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (CONFIG.replace('seed = 3', "seed = 3\ndictionaries = ['a']"), r"only for it, got \['a'\]"),
        (CDL.replace("dictionaries = ['first.safetensors', 'second.safetensors']", ''), r'dictionaries must be given'),
        (CDL.replace("'cdl'", "'wavelet'"), r"must be one of \[.*'cdl', .*'tgv', 'tv', .*\], got 'wavelet'"),
        (CDL.replace('beta = 2.0', 'gamma = 2.0'), r"Unknown key\(s\) \['gamma'\] in section \[model\]"),
        (CDL.replace("name = 'CartesianLines'", "name = 'Mixture'", 1), r"Unknown key\(s\) \['acceleration'"),
    ],
)
def test_errors(folder: Path, text: str, message: str) -> None:
    assert text not in (CDL, CONFIG)
    (folder / 'changed.toml').write_text(text)
    with pytest.raises(ValueError, match=message):
        TrainingConfig.from_toml(folder / 'changed.toml')


def test_mixture(folder: Path) -> None:
    """Several families of acquisitions, in sections of their own."""
    old = "[sampling]\nname = 'CartesianLines'\nacceleration = [1.5, 2.0]\nn_center_lines = 4\n"
    members = (
        "[[sampling.members]]\nname = 'CartesianLines'\nacceleration = 2.0\nn_center_lines = 4\n"
        "[[sampling.members]]\nname = 'VariableDensityRandom'\nacceleration = 3.0\n"
    )
    assert CONFIG.count(old) == 1
    text = CONFIG.replace(old, f"[sampling]\nname = 'Mixture'\n{members}")
    (folder / 'changed.toml').write_text(text)
    config = TrainingConfig.from_toml(folder / 'changed.toml')
    assert config.sampling == Mixture((CartesianLines(2.0, 4), VariableDensityRandom(3.0)))
    assert config.training_data()[0].img.shape == (1, 1, 16, 16)
    for bad, message in (
        (text.replace(members, ''), 'members must not be empty'),
        (text.replace("'VariableDensityRandom'\nacceleration = 3.0", "'Radial'\nn_spokes = 9"), 'members must be'),
        (text.replace("'VariableDensityRandom'", "'Spiral'"), r"must be one of .*'Mixture'.*, got 'Spiral'"),
        (text.replace("'Mixture'\n", "'Mixture'\nweights = [1, 2]\n"), r"Unknown key\(s\) \['weights'\]"),
    ):
        (folder / 'changed.toml').write_text(bad)
        with pytest.raises(ValueError, match=message):
            TrainingConfig.from_toml(folder / 'changed.toml')


def test_training_over_two_dictionaries(config: TrainingConfig, drawn: list[int], tmp_path: Path) -> None:
    """Both are drawn. The file has the first one, and the strength of the low-pass filter that was learned."""
    config = dataclasses.replace(config, max_steps=8)
    path = train(config, tmp_path / 'output', progress=False)
    assert len(drawn) == 8
    assert set(drawn) == {4, 2}
    model, card = load_weights(path)
    assert card['steps'] == '8'
    synthesis_op = model.solver.regularizer.dictionary_op
    assert synthesis_op is not None
    assert torch.equal(synthesis_op.filters, filters(SHAPES[0]))
    before = torch.nn.utils.parameters_to_vector(module(config).model.parameters())
    assert not torch.equal(weights(path), before)
    assert abs(beta(path) - 2) > 1e-4
    # a strength that is not learned stays
    fixed = dataclasses.replace(config, max_steps=2, learn_beta=False)
    assert beta(train(fixed, tmp_path / 'fixed', progress=False)) == 2


@pytest.mark.parametrize('stop', [2, 3])
def test_interrupted_training_goes_on_to_the_same_weights(
    config: TrainingConfig, drawn: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: int
) -> None:
    """The dictionaries that are drawn depend on the step; the strength goes on as the weights do."""
    config = dataclasses.replace(config, max_steps=5)
    expected = train(config, tmp_path / 'uninterrupted', progress=False)
    uninterrupted = drawn.copy()
    step = ModelModule.training_step

    def interrupted(self: ModelModule, sample: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == stop:
            raise RuntimeError('power failure')
        return step(self, sample, batch_idx)

    with monkeypatch.context() as context:
        context.setattr(ModelModule, 'training_step', interrupted)
        with pytest.raises(RuntimeError, match='power failure'):
            train(config, tmp_path / 'interrupted', progress=False)
    drawn.clear()
    checkpoint = torch.load(tmp_path / 'interrupted' / 'last.ckpt', weights_only=True)
    assert not any('regularizer' in key for key in checkpoint['state_dict'])
    resumed = train(config, tmp_path / 'interrupted', resume=True, progress=False)
    assert drawn == uninterrupted[2:]
    assert torch.equal(weights(resumed), weights(expected))
    assert beta(resumed) == beta(expected)


def test_initial_weights(config: TrainingConfig, tmp_path: Path) -> None:
    """Network and strength of another training, whatever the dictionary of it was."""
    assert isinstance(config.model, DictionaryRecipe)
    earlier = dataclasses.replace(config.model, beta=3.0)
    start = earlier.build(9, filters=filters((3, 7, 7)))
    save_weights(start, earlier, {}, tmp_path / 'start.safetensors')
    trained = module(config)
    trained.load_weights(tmp_path / 'start.safetensors')
    for found, expected in zip(trained.model.parameters(), start.parameters(), strict=True):
        assert torch.equal(found, expected)
    model, description = trained.trained_model()
    assert isinstance(description, DictionaryRecipe)
    assert description.beta == pytest.approx(3.0)
    assert lambda_model(trained).solver.regularizer.n_maps == SHAPES[0][0]
    assert model is trained.model


RELATIVE_TO_NOISE = {'noise_level': True, 'features': 'signal_to_noise', 'high_pass': True}


@pytest.mark.parametrize(
    ('before', 'added'),
    [
        ({}, {'response_mean': True}),
        ({}, {'response_mean': True, 'image_channel': True}),
        ({'response_mean': True}, {'image_channel': True}),
        ({'responses': 'none'}, {'responses': 'joint', 'image_channel': True}),
        ({'responses': 'joint'}, {'image_channel': True}),
        (RELATIVE_TO_NOISE, {'inverse_response': True, 'image_channel': True}),
    ],
)
def test_new_channels_are_ignored_at_first(
    config: TrainingConfig, tmp_path: Path, before: dict[str, Any], added: dict[str, Any]
) -> None:
    """A network that sees more starts with the maps of one that sees less, and learns to use the rest."""
    assert isinstance(config.model, DictionaryRecipe)
    earlier = dataclasses.replace(config.model, **before)
    start = earlier.build(9, filters=filters(SHAPES[0]))
    save_weights(start, earlier, {}, tmp_path / 'start.safetensors')
    trained = module(dataclasses.replace(config, model=dataclasses.replace(earlier, **added)))
    trained.load_weights(tmp_path / 'start.safetensors')
    img = RandomGenerator(1).randn_tensor((1, 1, 1, 16, 16), torch.complex64)
    noise_std = 0.1 if earlier.noise_level else None
    model = lambda_model(trained)
    lambda_map = model.estimate(img, noise_std)
    torch.testing.assert_close(lambda_map, start.estimate(img, noise_std))
    net, seen = model.lambda_net, start.lambda_net
    assert net is not None
    assert seen is not None
    assert isinstance(net.backbone, UNet)
    assert len(net.channels) == net.backbone.n_channels_in
    new = [i for i, name in enumerate(net.channels) if name not in seen.channels]
    assert new
    numbers = [] if net.inverse_response is None else [net.inverse_response.exponent]
    gradient, *others = torch.autograd.grad(
        lambda_map.square().sum(), [net.backbone.get_parameter('encoder.0.0.weight'), *numbers]
    )
    assert all(bool(gradient[:, i].any()) for i in new)
    assert all(bool(other != 0) for other in others)


@pytest.mark.parametrize(
    ('before', 'message'),
    [
        ({'high_pass': True}, r"does not see \['high-passed response, magnitude'\]"),
        ({'noise_level': True}, 'must use the noise level if and only if that of the initial weights does'),
        ({'features': 'real_imaginary'}, 'must see the channels of the initial weights'),
    ],
)
def test_initial_weights_of_a_network_that_does_not_fit(
    config: TrainingConfig, tmp_path: Path, before: dict[str, Any], message: str
) -> None:
    assert isinstance(config.model, DictionaryRecipe)
    earlier = dataclasses.replace(config.model, **before)
    save_weights(earlier.build(filters=filters(SHAPES[0])), earlier, {}, tmp_path / 'start.safetensors')
    with pytest.raises(ValueError, match=message):
        module(config).load_weights(tmp_path / 'start.safetensors')


def test_dictionary_model_needs_filters(config: TrainingConfig) -> None:
    with pytest.raises(ValueError, match='dictionary model needs filters'):
        module(config, filters=())
    with pytest.raises(ValueError, match='learn_beta needs a dictionary model with beta above 0'):
        ModelModule(TotalVariationRecipe(n_features=2, n_resolutions=2), learn_beta=True)


def test_validation_takes_the_dictionaries_in_turn(config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(ModelModule, 'log', lambda *_, **__: None)
    trained = module(config)
    sample = torch.utils.data.default_collate([config.validation_data()[0]])
    for index in range(3):
        with torch.no_grad():
            trained.validation_step(trained.on_before_batch_transfer(sample, 0), index)
        taken.append(lambda_model(trained).solver.regularizer.n_maps)
    assert taken == [4, 2, 4]


def test_foreground_is_found_once_for_each_batch(config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the batch goes to its device; the loss is that with the foreground of the targets."""
    monkeypatch.setattr(ModelModule, 'log', lambda *_, **__: None)
    trained = module(config, filters=[filters(SHAPES[0])])
    sample = torch.utils.data.default_collate([config.validation_data()[0]])
    with torch.no_grad():
        expected = relative_mse(trained(sample), sample.img, sample.initial_image, trained.background_weight)
        batch = trained.on_before_batch_transfer(sample, 0)
        for name in ('metrics', 'training.ModelModule'):
            monkeypatch.setattr(f'mrpro_lambda.{name}.foreground_mask', None)
        assert torch.equal(trained.training_step(batch, 0), expected)
