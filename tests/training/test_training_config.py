"""Configuration of a training, read from a file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mrpro_lambda.datasets import AcquisitionSample, CartesianLines, CentralBox, Radial, VariableDensityRandom
from mrpro_lambda.recipes import TotalVariationRecipe
from mrpro_lambda.training.TrainingConfig import TrainingConfig
from torch.utils.data import Dataset

from tests.training.conftest import CONFIG


def changed(folder: Path, old: str, new: str) -> Path:
    assert CONFIG.count(old) == 1, old
    path = folder / 'changed.toml'
    path.write_text(CONFIG.replace(old, new))
    return path


def test_from_toml(folder: Path) -> None:
    config = TrainingConfig.from_toml(folder / 'config.toml')
    assert config.noise == (0.1, 0.3)
    assert config.validation_noise == (0.1, 0.2)
    assert config.n_coils == (1, 2)
    assert config.model == TotalVariationRecipe(n_features=2, n_resolutions=2, padding=3, n_iterations=4)
    assert config.sampling == CartesianLines((1.5, 2.0), 4)
    assert config.validation_sampling == CartesianLines(2.0, 4)
    assert config.images[0].source.path == folder / 'training.npy'
    assert config.images[0].repeat == 2
    assert config.validation_images[0].source.slices == slice(0, 2)
    assert config.card == {'data': 'none'}
    assert (config.max_steps, config.batch_size, config.seed, config.crop) == (4, 2, 3, 16)


def test_folder_of_the_images(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp('other')
    path = other / 'config.toml'
    path.write_text(CONFIG.replace('seed = 3', "seed = 3\ninitial_weights = 'start.safetensors'"))
    config = TrainingConfig.from_toml(path, folder)
    assert config.images[0].source.path == folder / 'training.npy'
    assert config.initial_weights == str(folder / 'start.safetensors')
    assert len(config.training_data()) == 8
    config = TrainingConfig.from_toml(path)
    assert config.images[0].source.path == other / 'training.npy'
    with pytest.raises((FileNotFoundError, ValueError), match=r'training\.npy'):
        config.training_data()


def n_coils(data: Dataset, index: int) -> int:
    """Number of coils that receive something; samples of fewer coils are filled up with zeros."""
    return int(data[index].csm.any(dim=(-3, -2, -1)).sum())


def test_data(folder: Path) -> None:
    """Each validation image at each noise level, with all coils; training crops with any number of coils."""
    config = TrainingConfig.from_toml(folder / 'config.toml')
    data, validation = config.training_data(), config.validation_data()
    assert len(data) == 8
    assert len(validation) == 4
    assert data[0].img.shape == (1, 1, 16, 16)
    assert {n_coils(data, i) for i in range(8)} == {1, 2}
    assert {n_coils(validation, i) for i in range(4)} == {2}
    assert validation[0].img.shape == (1, 1, 20, 18)
    torch.testing.assert_close(validation[2].img, validation[0].img, rtol=0, atol=0)
    ratio = validation[2].noise_std / validation[0].noise_std
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0))
    # training and validation do not share random numbers
    assert not torch.equal(data[0].img, data[1].img)
    ours, other = data[0], validation[0]
    assert isinstance(ours, AcquisitionSample)
    assert isinstance(other, AcquisitionSample)
    assert not torch.equal(ours.csm, other.csm[..., :16, :16])


@pytest.mark.parametrize(
    ('section', 'sampling'),
    [
        ("'CentralBox'\nfraction = [0.4, 0.6]", CentralBox((0.4, 0.6))),
        ("'VariableDensityRandom'\nacceleration = 3.0", VariableDensityRandom(3.0)),
        ("'Radial'\nn_spokes = 9", Radial(9)),
    ],
)
def test_samplings(folder: Path, section: str, sampling: Any) -> None:
    path = changed(folder, "'CartesianLines'\nacceleration = [1.5, 2.0]\nn_center_lines = 4", section)
    assert TrainingConfig.from_toml(path).sampling == sampling


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('seed = 3', 'sed = 3', r"Unknown key\(s\) \['sed'\] in section \[top level\]"),
        ('padding = 3', 'paddding = 3', r"Unknown key\(s\) \['paddding'\] in section \[model\]"),
        (
            'acceleration = 2.0',
            'fraction = 2.0',
            r"Unknown key\(s\) \['fraction'\] in section \[validation_sampling\]",
        ),
        ('repeat = 2', 'repeats = 2', r"Unknown key\(s\) \['repeats'\] in section \[images\]"),
        ("path = 'validation.npy'", '', r"Missing key\(s\) \['path'\] in section \[validation_images\]"),
        ('noise = [0.1, 0.3]', '', r"Missing key\(s\) \['noise'\]"),
        ('[model]\n', '[modell]\n', r"Unknown key\(s\) \['modell'\]"),
        ("name = 'CartesianLines'\nacceleration = 2.0", "name = 'Spiral'", r"\[validation_sampling\].*got 'Spiral'"),
        ("name = 'CartesianLines'\nacceleration = 2.0", 'acceleration = 2.0', 'got None'),
    ],
)
def test_errors(folder: Path, old: str, new: str, message: str) -> None:
    text = CONFIG.replace(old, new, 1)
    assert text != CONFIG
    (folder / 'changed.toml').write_text(text)
    with pytest.raises(ValueError, match=message):
        TrainingConfig.from_toml(folder / 'changed.toml')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('max_steps = 4', 'max_steps = -1', r'\[top level\]: max_steps must be an integer of at least 1 .*, got -1'),
        ('max_steps = 4', 'max_steps = 4.5', 'max_steps must be an integer'),
        ('batch_size = 2', 'batch_size = 0', 'batch_size must be an integer of at least 1 .*, got 0'),
        ('seed = 3', 'seed = -3', 'seed must be an integer of at least 0'),
        ('seed = 3', 'seed = 4294967295', 'seed must be'),  # that of the validation is one larger
        ('seed = 3', 'seed = 3\nvalidation_interval = 0', 'validation_interval must be an integer of at least 1'),
        ('seed = 3', 'seed = 3\nlearning_rate = -1', 'learning_rate must be a finite number above 0 .*, got -1'),
        ('seed = 3', 'seed = 3\nlearning_rate = nan', 'learning_rate must be a finite number'),
        ('seed = 3', 'seed = 3\nbackground_weight = -1', 'background_weight must be a finite number of at least 0'),
        ('seed = 3', 'seed = 3\nlearn_beta = true', 'learn_beta must be false without method'),
        ('seed = 3', "seed = 3\nn_workers = 'two'", 'n_workers must be an integer'),
        ('seed = 3', 'seed = 3\ndictionaries = [1]', 'dictionaries must be a list, each text'),
        ('seed = 3', 'seed = 3\ninitial_weights = 1', 'initial_weights must be text'),
        ('n_coils = [1, 2]', 'n_coils = 2', 'n_coils must be a list, each an integer of at least 1'),
        ('n_coils = [1, 2]', 'n_coils = []', 'n_coils must not be empty'),
        ('n_coils = [1, 2]', 'n_coils = [0]', 'n_coils must be'),
        ('validation_noise = [0.1, 0.2]', "validation_noise = ['low']", 'validation_noise must be a list'),
        ('validation_noise = [0.1, 0.2]', 'validation_noise = []', 'validation_noise must not be empty'),
        ('validation_noise = [0.1, 0.2]', 'validation_noise = [-0.1]', 'validation_noise must be a list'),
        ('noise = [0.1, 0.3]', 'noise = 0.1', 'noise must be a list of 2'),
        ('repeat = 2', 'repeat = 0', r'\[images\]: repeat must be an integer of at least 1'),
        ('repeat = 2', "repeat = '2'", 'repeat must be an integer'),
        ('repeat = 2', 'size = -1', 'size must be an integer of at least 1'),
        ('repeat = 2', 'min_tissue = [1]', 'min_tissue must be a finite number'),
        ("path = 'training.npy'", 'path = 1', 'path must be text'),
        ('{ start = 0, stop = 2 }', '{ start = 0, stap = 2 }', r"Unknown key.*'stap'.*\[validation_images.slices\]"),
        (
            '{ start = 0, stop = 2 }',
            '{ step = 0 }',
            r'\[validation_images.slices\]: step must be an integer of at least',
        ),
        ('{ start = 0, stop = 2 }', "{ start = 'a' }", 'start must be an integer'),
        ('{ start = 0, stop = 2 }', '1', 'slices must be a list, each an integer or a table'),
        ('[[images]]', '[images]', r'images must be a list of tables \[\[images\]\], got .'),
        ('[model]\n', '[[model]]\n', r'Section \[model\] must be a table'),
        ('[sampling]\n', '[[sampling]]\n', r'Section \[sampling\] must be a table'),
        ("name = 'CartesianLines'\nacceleration = 2.0", 'name = [1]', r'name in section \[validation_sampling\]'),
        ('n_center_lines = 4', "n_center_lines = 'four'", r'\[sampling\]: n_center_lines must be an integer'),
        ('acceleration = [1.5, 2.0]', "acceleration = 'two'", 'acceleration must be a finite number or a list of 2'),
        ('n_features = 2', 'n_features = 2.5', r'\[model\]: n_features must be an integer'),
        ('padding = 3', 'net_dim = 2', 'net_dim must be a list, each an integer'),
        ("data = 'none'", 'data = 1', 'card must be a table, each text'),
        ('seed = 3', 'seed = ', r'changed.toml is no TOML file: Invalid value'),
        ('seed = 3', 'seed = \x00', r'changed.toml is no TOML file'),
        ('seed = 3', 'a = ' + 5000 * '[', r'changed.toml is no TOML file'),
    ],
    ids=lambda text: str(text)[:40],
)
def test_invalid_values(folder: Path, old: str, new: str, message: str) -> None:
    """Each is found without an image being read."""
    text = CONFIG.replace(old, new, 1)
    assert text != CONFIG
    (folder / 'changed.toml').write_text(text)
    (folder / 'training.npy').unlink()
    with pytest.raises(ValueError, match=message) as caught:
        TrainingConfig.from_toml(folder / 'changed.toml')
    assert '\n' not in str(caught.value)


def mask(data: Dataset, index: int) -> torch.Tensor:
    sample = data[index]
    assert isinstance(sample, AcquisitionSample)
    return sample.mask


def test_training_and_validation_have_different_seeds(folder: Path) -> None:
    """The same images have other masks: each mask depends on the seed, the index and the shape only."""
    config = TrainingConfig.from_toml(folder / 'config.toml')
    np.save(folder / 'validation.npy', np.ones((3, config.crop, config.crop)))
    config = dataclasses.replace(config, validation_sampling=config.sampling)
    training, validation = config.training_data(), config.validation_data().datasets[0]
    assert any(not torch.equal(mask(training, i), mask(validation, i)) for i in range(2))


def test_missing_section(folder: Path) -> None:
    text = CONFIG.replace('[model]\nn_features = 2\nn_resolutions = 2\npadding = 3\nn_iterations = 4\n', '')
    (folder / 'changed.toml').write_text(text)
    with pytest.raises(ValueError, match=r"Missing key\(s\) \['model'\]"):
        TrainingConfig.from_toml(folder / 'changed.toml')
