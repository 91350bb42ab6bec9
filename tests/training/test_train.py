"""A small training from images to weights."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro_lambda.datasets import CentralBox, Radial
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import load_weights, load_weights_with_recipe, save_weights
from mrpro_lambda.recipes import Recipe, TotalVariationRecipe
from mrpro_lambda.training.ModelModule import ModelModule
from mrpro_lambda.training.train import train
from mrpro_lambda.training.TrainingConfig import TrainingConfig
from torch.utils.data import default_collate

pytestmark = [
    pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning'),
]

Losses = list[float]


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    return TrainingConfig.from_toml(folder / 'config.toml')


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Losses:
    """Losses of all training steps."""
    found: Losses = []
    step = ModelModule.training_step

    def recorded(self: ModelModule, sample: Any, batch_idx: int) -> torch.Tensor:
        loss = step(self, sample, batch_idx)
        found.append(loss.item())
        return loss

    monkeypatch.setattr(ModelModule, 'training_step', recorded)
    return found


def weights(path: Path) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(load_weights(path)[0].parameters()).detach()


def lambda_model(trained: ModelModule) -> LambdaMapModel:
    assert isinstance(trained.model, LambdaMapModel)
    return trained.model


def single_coil(config: TrainingConfig, **options: Any) -> TrainingConfig:
    return dataclasses.replace(config, n_coils=(1,), **options)


def initial_weights(config: TrainingConfig) -> torch.Tensor:
    assert isinstance(config.model, TotalVariationRecipe)
    return torch.nn.utils.parameters_to_vector(config.model.build(config.seed).parameters()).detach()


def test_training(config: TrainingConfig, losses: Losses, tmp_path: Path) -> None:
    """Three steps and a validation; the file with the weights gives the map of the trained model."""
    config = single_coil(config, max_steps=3, validation_interval=3)
    path = train(config, tmp_path / 'output', progress=False)
    assert path == tmp_path / 'output' / 'weights.safetensors'
    assert len(losses) == 3
    assert all(0 < loss < 100 for loss in losses)
    assert not torch.equal(weights(path), initial_weights(config))

    model, card = load_weights(path)
    assert card['steps'] == '3'
    assert card['data'] == 'none'
    assert {key for key in card if key.startswith('validation')} == {
        'validation_psnr',
        'validation_psnr_foreground',
        'validation_psnr_initial',
        'validation_ssim_foreground',
    }
    checkpoint = torch.load(tmp_path / 'output' / 'last.ckpt', weights_only=True)
    trained = ModelModule(config.model)
    trained.load_state_dict(checkpoint['state_dict'])
    sample = default_collate([config.validation_data()[0]])
    with torch.no_grad():
        found, expected = (m.estimate(sample.initial_image) for m in (model, lambda_model(trained)))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_loss_by_which_all_images_count_alike(config: TrainingConfig, losses: Losses, tmp_path: Path) -> None:
    """In a step with one image, it is the logarithm of the other loss."""
    config = single_coil(config, max_steps=1, validation_interval=1, batch_size=1)
    for loss in ('target', 'psnr'):
        train(dataclasses.replace(config, loss=loss), tmp_path / loss, progress=False)
    assert losses[1] == pytest.approx(math.log(losses[0]), rel=1e-5)


def test_several_coils_and_radial(config: TrainingConfig, losses: Losses, tmp_path: Path) -> None:
    """Batches of different numbers of coils, and of non-Cartesian acquisitions."""
    config = dataclasses.replace(config, max_steps=2, validation_interval=2)
    radial = single_coil(config, sampling=Radial(9), validation_sampling=Radial(9))
    for name, options in (('cartesian', config), ('radial', radial)):
        path = train(options, tmp_path / name, progress=False)
        assert bool(weights(path).isfinite().all())
        assert not torch.equal(weights(path), initial_weights(config))
    assert len(losses) == 4
    assert all(0 < loss < 100 for loss in losses)


def test_same_seed_gives_the_same_weights(config: TrainingConfig, losses: Losses, tmp_path: Path) -> None:
    config = single_coil(config, max_steps=3, validation_interval=10)
    first = weights(train(config, tmp_path / 'a', progress=False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        assert torch.equal(weights(train(config, tmp_path / 'b', progress=False)), first)
    assert losses[:3] == losses[3:]
    other = dataclasses.replace(config, seed=4)
    assert not torch.equal(weights(train(other, tmp_path / 'c', progress=False)), first)


def test_loss_falls(config: TrainingConfig, losses: Losses, tmp_path: Path) -> None:
    config = single_coil(
        config, max_steps=60, validation_interval=100, sampling=CentralBox(0.9), noise=(0.3, 0.3), learning_rate=3e-2
    )
    train(config, tmp_path / 'output', progress=False)
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


@pytest.mark.parametrize('n_workers', [0, 1])
@pytest.mark.parametrize(
    ('interval', 'stop'),
    [
        pytest.param(4, 6, id='from the end of an epoch'),
        pytest.param(3, 5, id='from within the first epoch'),
        pytest.param(6, 9, id='from within a later epoch'),
    ],
)
def test_interrupted_training_goes_on_to_the_same_weights(
    config: TrainingConfig,
    losses: Losses,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    interval: int,
    stop: int,
    n_workers: int,
) -> None:
    """Images, their order, the simulation, optimizer and schedule go on. An epoch has four steps."""
    if n_workers and stop != 9:
        pytest.skip('starting processes takes time: one case is enough')
    config = single_coil(config, max_steps=11, validation_interval=interval, n_workers=n_workers)
    expected = weights(train(config, tmp_path / 'uninterrupted', progress=False))
    uninterrupted = losses.copy()
    step: Callable[..., torch.Tensor] = ModelModule.training_step

    def interrupted(self: ModelModule, sample: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == stop:
            raise RuntimeError('power failure')
        return step(self, sample, batch_idx)

    with monkeypatch.context() as context:
        context.setattr(ModelModule, 'training_step', interrupted)
        with pytest.raises(RuntimeError, match='power failure'):
            train(config, tmp_path / 'interrupted', progress=False)
    losses.clear()
    resumed = train(config, tmp_path / 'interrupted', resume=True, progress=False)
    assert losses == uninterrupted[interval:]
    torch.testing.assert_close(weights(resumed), expected, rtol=0, atol=0)
    assert load_weights(resumed)[1]['steps'] == '11'


def test_learning_rates(config: TrainingConfig) -> None:
    """A warm-up of 50 steps, then half a cosine; that of the scale is five times that of the network."""
    module = ModelModule(config.model, learning_rate=0.01, max_steps=200)
    configured = module.configure_optimizers()
    optimizer, schedule = configured['optimizer'], configured['lr_scheduler']
    assert isinstance(schedule, dict)
    net = lambda_model(module).lambda_net
    assert net is not None
    network, numbers = (group['params'] for group in optimizer.param_groups)
    assert {id(p) for p in network} == {id(p) for p in net.backbone.parameters()}
    assert [id(p) for p in numbers] == [id(net.log_scale)]
    for step in range(200):
        cosine = 0.5 * (1 + math.cos(math.pi * step / 200))
        expected = 0.01 * min(1.0, (step + 1) / 50) * cosine
        assert [group['lr'] for group in optimizer.param_groups] == pytest.approx([expected, 5 * expected])
        optimizer.step()
        schedule['scheduler'].step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0, abs=1e-9)


def test_gradient_is_clipped(config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To a norm of 1 over all parameters, which are updated with it."""
    norms: list[tuple[float, float]] = []
    clip = ModelModule.configure_gradient_clipping
    step: Callable[..., torch.Tensor] = ModelModule.training_step

    def norm(module: ModelModule) -> float:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        return torch.nn.utils.parameters_to_vector(gradients).norm().item()

    def recorded(self: ModelModule, *args: Any, **options: Any) -> None:
        before = norm(self)
        clip(self, *args, **options)
        norms.append((before, norm(self)))

    monkeypatch.setattr(ModelModule, 'training_step', lambda *args: 1e6 * step(*args))
    monkeypatch.setattr(ModelModule, 'configure_gradient_clipping', recorded)
    train(single_coil(config, max_steps=2), tmp_path / 'output', progress=False)
    assert len(norms) == 2
    assert all(before > 10 and after == pytest.approx(1, rel=1e-3) for before, after in norms)


def test_initial_weights(config: TrainingConfig, tmp_path: Path) -> None:
    """Where a training with a tiny learning rate starts, it ends."""
    assert isinstance(config.model, TotalVariationRecipe)
    start = config.model.build(seed=9)
    save_weights(start, config.model, {}, tmp_path / 'start.safetensors')
    config = single_coil(config, max_steps=1, learning_rate=1e-9, initial_weights=str(tmp_path / 'start.safetensors'))
    found = weights(train(config, tmp_path / 'output', progress=False))
    torch.testing.assert_close(found, torch.nn.utils.parameters_to_vector(start.parameters()).detach())
    assert not torch.allclose(found, initial_weights(config))


def test_noise_level_and_iterations_in_use(config: TrainingConfig, tmp_path: Path) -> None:
    config = single_coil(config, max_steps=1, validation_interval=1)
    assert isinstance(config.model, TotalVariationRecipe)
    model = dataclasses.replace(config.model, noise_level=True, max_iterations=9)
    loaded, _ = load_weights(train(dataclasses.replace(config, model=model), tmp_path / 'output', progress=False))
    assert isinstance(loaded, LambdaMapModel)
    assert loaded.solver.max_iterations == 9
    assert loaded.lambda_net is not None
    assert loaded.lambda_net.uses_noise_level


@pytest.mark.parametrize('weight', ['numbers', 'number_net'])
def test_weights_that_are_numbers(config: TrainingConfig, losses: Losses, tmp_path: Path, weight: str) -> None:
    """They are trained, stored and loaded as networks are, and start a training again."""
    assert isinstance(config.model, TotalVariationRecipe)
    recipe = Recipe.from_dict(dataclasses.asdict(config.model) | {'weight': weight, 'noise_level': True})
    config = single_coil(config, model=recipe, max_steps=2, validation_interval=2)
    path = train(config, tmp_path / 'output', progress=False)
    assert len(losses) == 2
    before = torch.nn.utils.parameters_to_vector(recipe.build(config.seed).parameters())
    assert not torch.equal(weights(path), before)
    again = ModelModule(recipe)
    again.load_weights(path)
    assert torch.equal(torch.nn.utils.parameters_to_vector(again.model.parameters()), weights(path))
    rates = [group['lr'] for group in again.configure_optimizers()['optimizer'].param_groups]
    assert rates[1] == 5 * rates[0]
    with pytest.raises(TypeError, match='The weight of the initial weights must be NetworkWeight'):
        ModelModule(dataclasses.replace(config.model, weight='network')).load_weights(path)  # type: ignore[call-arg]


def test_what_the_weights_were_trained_for(config: TrainingConfig, tmp_path: Path) -> None:
    """The file tells it, as far as the configuration does not."""
    model = dataclasses.replace(config.model, sampling='mine')
    config = dataclasses.replace(config, model=model, max_steps=1, validation_interval=1)
    _, recipe = load_weights_with_recipe(train(config, tmp_path / 'output', progress=False))
    assert (recipe.noise_range, recipe.acceleration, recipe.n_coils) == ((0.1, 0.3), (1.5, 2.0), (1, 2))
    assert (recipe.sampling, recipe.grid) == ('mine', (16, 16))
    assert dataclasses.replace(config, sampling=Radial(9)).trained_for()['acceleration'] is None
    assert dataclasses.replace(config, sampling=CentralBox(0.9)).trained_for()['sampling'] == 'CentralBox'


def test_output_folder(config: TrainingConfig, tmp_path: Path) -> None:
    config = single_coil(config, max_steps=1, validation_interval=1)
    occupied = tmp_path / 'occupied'
    occupied.mkdir()
    (occupied / 'notes.txt').write_text('precious')
    with pytest.raises(ValueError, match=r'output folder must be empty, or give resume: .*occupied'):
        train(config, occupied, progress=False)
    assert [path.name for path in occupied.iterdir()] == ['notes.txt']
    with pytest.raises(ValueError, match=r'no checkpoint to resume from: .*last\.ckpt'):
        train(config, occupied, resume=True, progress=False)
    with pytest.raises(ValueError, match='no checkpoint to resume from'):
        train(config, tmp_path / 'missing', resume=True, progress=False)
    (tmp_path / 'empty').mkdir()
    assert train(config, tmp_path / 'empty', progress=False).exists()
    with pytest.raises(ValueError, match='must be empty'):
        train(config, tmp_path / 'empty', progress=False)


@pytest.mark.cuda
def test_cuda(config: TrainingConfig, tmp_path: Path) -> None:
    config = single_coil(config, max_steps=2, accelerator='cuda', devices=1)
    assert bool(weights(train(config, tmp_path / 'output', progress=False)).isfinite().all())
