"""Learning of a dictionary from a configuration."""

import dataclasses
from pathlib import Path

import pytest
import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.training.dictionary import DictionaryConfig, learn_from_config

TOML = """
n_filters = 3
filter_size = 3
sparsity = 0.05
beta = 2.0
n_steps = 3
batch_size = 2
crop = 12
seed = 5

[card]
data = 'none'

[[images]]
path = 'training.npy'
repeat = 2

[[validation_images]]
path = 'validation.npy'
slices = { start = 0, stop = 2 }
"""


@pytest.fixture
def path(folder: Path) -> Path:
    path = folder / 'dictionary.toml'
    path.write_text(TOML)
    return path


def test_from_toml(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = DictionaryConfig.from_toml(path)
    assert (config.n_filters, config.filter_size, config.sparsity, config.beta) == (3, 3, 0.05, 2.0)
    assert (config.n_steps, config.batch_size, config.crop, config.seed) == (3, 2, 12, 5)
    assert config.card == {'data': 'none'}
    assert config.images[0].source.path == path.parent / 'training.npy'
    assert config.images[0].repeat == 2
    assert config.validation_images[0].source.slices == slice(0, 2)
    other = tmp_path_factory.mktemp('other')
    assert DictionaryConfig.from_toml(path, other).images[0].source.path == other / 'training.npy'


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('n_steps', 'n_stepz', 'n_stepz'),
        ('repeat = 2', 'repeats = 2', 'repeats'),
        ('n_filters = 3', '', 'n_filters'),
        ("path = 'training.npy'", '', 'path'),
    ],
)
def test_unknown_and_missing_keys(path: Path, old: str, new: str, message: str) -> None:
    assert TOML.count(old) == 1
    path.write_text(TOML.replace(old, new))
    with pytest.raises(ValueError, match=message):
        DictionaryConfig.from_toml(path)


def test_learning(path: Path, tmp_path: Path) -> None:
    found = learn_from_config(path, tmp_path / 'output', progress=False)
    assert found == tmp_path / 'output' / 'dictionary.safetensors'
    dictionary = load_dictionary(found)
    assert dictionary.filters.shape == (3, 3, 3)
    assert (dictionary.sparsity, dictionary.beta) == (0.05, 2.0)
    assert dictionary.card['data'] == 'none'
    assert dictionary.card['steps'] == '3'
    assert float(dictionary.card['validation_objective']) > 0


def test_resuming(path: Path, tmp_path: Path) -> None:
    expected = load_dictionary(learn_from_config(path, tmp_path / 'a', progress=False)).filters
    config = DictionaryConfig.from_toml(path)
    with pytest.raises(ValueError, match='no checkpoint'):
        config.learn(tmp_path / 'b', resume=True, progress=False)
    dataclasses.replace(config, n_steps=2, validation_images=()).learn(tmp_path / 'b', progress=False)
    with pytest.raises(ValueError, match='must be empty'):
        learn_from_config(path, tmp_path / 'b', progress=False)
    found = learn_from_config(path, tmp_path / 'b', resume=True, progress=False)
    assert torch.equal(load_dictionary(found).filters, expected)
