"""Trainings whose loss does not look at the target."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro_lambda.datasets import CartesianLines, CentralBox, LowDoseParallelBeam, Radial, SimulatedData
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.training.train import train
from mrpro_lambda.training.TrainingConfig import Loss, TrainingConfig
from torch.utils.data import ConcatDataset, Dataset, default_collate

pytestmark = [
    pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning'),
]


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    config = TrainingConfig.from_toml(folder / 'config.toml')
    return dataclasses.replace(config, n_coils=(1,), max_steps=2, validation_interval=2, loss='recorrupted')


@pytest.fixture
def no_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """All samples have NaN as target."""
    for cls in SimulatedData.__subclasses__():
        get = cls.__getitem__

        def unknown(self: Any, index: int, get: Any = get) -> Any:
            sample = get(self, index)
            return sample._replace(img=torch.full_like(sample.img, torch.nan))

        monkeypatch.setattr(cls, '__getitem__', unknown)


def error(path: Path, data: Dataset[Any]) -> float:
    """Return the mean error of images relative to that of the initial ones."""
    model, _ = load_weights(path)
    values = []
    with torch.no_grad():
        for i in range(len(data)):  # type: ignore[arg-type]
            sample = default_collate([data[i]])
            img = model(sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std)
            values.append((img - sample.img).norm() / (sample.initial_image - sample.img).norm())
    return torch.stack(values).mean().item()


@pytest.mark.usefixtures('no_targets')
@pytest.mark.parametrize('loss', ['recorrupted', 'held_out', 'unbiased_risk'])
def test_training_without_targets(config: TrainingConfig, tmp_path: Path, loss: Loss) -> None:
    """The targets are NaN, and the validation has the loss in place of the metrics."""
    path = train(dataclasses.replace(config, loss=loss), tmp_path / 'output', progress=False)
    model, card = load_weights(path)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert {key for key in card if key.startswith('validation')} == {'validation_loss'}


def test_known_targets_are_reported_and_not_used(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The same weights with and without them."""
    known = train(config, tmp_path / 'known', progress=False)
    assert 'validation_psnr' in load_weights(known)[1]
    request.getfixturevalue('no_targets')
    unknown = train(config, tmp_path / 'unknown', progress=False)
    for a, b in zip(*(load_weights(p)[0].parameters() for p in (known, unknown)), strict=True):
        assert torch.equal(a, b)


def test_training_without_targets_lowers_the_error(
    config: TrainingConfig, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """That to the truth, of images that the training has not seen; from far too little regularization."""
    model = dataclasses.replace(config.model, initial_scale=0.02, noise_level=True)  # type: ignore[call-arg]
    config = dataclasses.replace(
        config,
        model=model,
        sampling=CentralBox(0.9),
        validation_sampling=CentralBox(0.9),
        noise=(0.3, 0.3),
        validation_noise=(0.3,),
        learning_rate=3e-2,
    )
    data: ConcatDataset[Any] = config.validation_data()
    truth = [data[i] for i in range(len(data))]
    request.getfixturevalue('no_targets')
    before = train(dataclasses.replace(config, max_steps=1, learning_rate=1e-9), tmp_path / 'before', progress=False)
    after = train(dataclasses.replace(config, max_steps=60), tmp_path / 'after', progress=False)
    assert error(after, truth) < 0.9 * error(before, truth)  # type: ignore[arg-type]


def test_same_seed_gives_the_same_weights(config: TrainingConfig, tmp_path: Path) -> None:
    first, second = (load_weights(train(config, tmp_path / name, progress=False))[0].state_dict() for name in 'ab')
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_does_not_suit_is_an_error(config: TrainingConfig, tmp_path: Path) -> None:
    """Before anything is written."""
    lines, beam = CartesianLines(1.0, 4), LowDoseParallelBeam()
    for changes, message in (
        ({'sampling': Radial(9), 'validation_sampling': Radial(9)}, 'adjoint of the data, which those of Radial'),
        ({'colored_noise': True}, r'which those of CartesianLines with colored_noise = True'),
        ({'sampling': beam, 'validation_sampling': beam}, 'the noise of least squares, got PoissonCounts'),
        ({'loss': 'held_out', 'sampling': lines, 'validation_sampling': lines}, 'needs an undersampled acquisition'),
    ):
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(config, **changes), tmp_path / 'output', progress=False)
    assert not (tmp_path / 'output').exists()
    with pytest.raises(ValueError, match='loss must be one of'):
        TrainingConfig(**{**vars(config), 'loss': 'other'})
