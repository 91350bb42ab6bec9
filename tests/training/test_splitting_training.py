"""Training of a learned regularization that is split from the inversion."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro_lambda.compare.pictures import read_log
from mrpro_lambda.datasets import VariableDensityRandom
from mrpro_lambda.metrics import foreground_mask, psnr
from mrpro_lambda.models import SplittingModel
from mrpro_lambda.nets import intensity
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.recipes import Recipe, SplittingRecipe
from mrpro_lambda.training.AlternatingLoops import AlternatingLoops
from mrpro_lambda.training.EndToEnd import EndToEnd
from mrpro_lambda.training.train import train
from mrpro_lambda.training.train_splitting import train_splitting
from mrpro_lambda.training.TrainingConfig import TrainingConfig
from mrpro_lambda.training.TrainingProcedure import TrainingProcedure

from tests.training.test_network_training import configured, pytestmark  # noqa: F401

SMALL: dict[str, Any] = {'features': (8, 8), 'n_loops': 3, 'solver_iterations': 10, 'image_steps': 3}


def config(folder: Path, **options: Any) -> TrainingConfig:
    base = configured('splitting', VariableDensityRandom(2.0), folder)
    return dataclasses.replace(base, model=SplittingRecipe(**SMALL | options), max_steps=9)


def weights(path: Path) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(load_weights(path)[0].parameters()).detach()


@pytest.mark.parametrize('network', ['scae', 'snlae', 'gan'])
def test_an_interrupted_training_goes_on(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same weights, whichever loop it was in."""
    settings = config(tmp_path, network=network, patch_size=4)
    whole = train(settings, tmp_path / 'whole', progress=False)
    invert = SplittingModel.invert

    def interrupted(self: SplittingModel, measured: Any, img: Any, dual: Any, loop: int) -> torch.Tensor:
        if loop == 2:
            raise KeyboardInterrupt
        return invert(self, measured, img, dual, loop)

    with monkeypatch.context() as patched:
        patched.setattr(SplittingModel, 'invert', interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(settings, tmp_path / 'parts', progress=False)
    assert not (tmp_path / 'parts' / 'weights.safetensors').exists()
    other = dataclasses.replace(settings, max_steps=12)
    with pytest.raises(ValueError, match=r'max_steps.*9, 12'):
        train(other, tmp_path / 'parts', resume=True, progress=False)
    parts = train(settings, tmp_path / 'parts', resume=True, progress=False)
    assert torch.equal(weights(whole), weights(parts))
    assert load_weights(parts)[1]['steps'] == '9'


def test_states_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loop x is stationary for network, inversion and dual, and b is the sum of all differences x - z."""
    settings = config(tmp_path, n_loops=1, image_steps=300, rho=3.0)
    recipe = settings.model
    assert isinstance(recipe, SplittingRecipe)
    model, data, kept = recipe.build(1), settings.training_data(), []
    assert isinstance(model, SplittingModel)
    invert = SplittingModel.invert

    def recording(self: SplittingModel, *args: Any) -> torch.Tensor:
        kept.append(invert(self, *args))
        return kept[-1]

    monkeypatch.setattr(SplittingModel, 'invert', recording)
    checkpoint = tmp_path / 'last.ckpt'
    train_splitting(model, recipe, settings, data, checkpoint, parameters={}, progress=False)
    content = torch.load(checkpoint, weights_only=True)
    x, z = content['x'].requires_grad_(), torch.cat(kept)
    torch.testing.assert_close(content['dual'], (x - z).detach())
    targets, weights_of_pixels = [], []
    for sample in (data[i] for i in range(len(data))):
        s = intensity(sample.initial_image[None], (-4, -3, -2, -1))
        targets.append(sample.img / s)
        weights_of_pixels.append(torch.where(foreground_mask(sample.img[None]), 1.0, settings.background_weight))

    def functional(x: torch.Tensor) -> torch.Tensor:
        error = (model.net(x) - torch.cat(targets)).abs().square()
        return (torch.cat(weights_of_pixels) * error).sum() + 1.5 * (x - z).abs().square().sum()

    (gradient,) = torch.autograd.grad(functional(x), x)
    (elsewhere,) = torch.autograd.grad(functional(start := z.clone().requires_grad_()), start)
    assert gradient.norm() < 1e-2 * elsewhere.norm()


def test_training_makes_images_better(tmp_path: Path) -> None:
    settings = dataclasses.replace(config(tmp_path, first_mu=0.05), max_steps=120, learning_rate=3e-3)
    model, _ = load_weights(train(settings, tmp_path / 'output', progress=False))
    untrained = settings.model.build(settings.seed, inference=True)
    gains = []
    for sample in (settings.training_data()[i] for i in range(3)):
        given = [x[None] for x in (sample.data, sample.initial_image, sample.img)]
        op = sample.acquisition_op()
        with torch.no_grad():
            after, before = (psnr(m(given[0], op, given[1]), given[2]) for m in (model, untrained))
        gains.append(after - before)
    assert torch.stack(gains).mean() > 1.0


def test_another_loss_is_refused(tmp_path: Path) -> None:
    """Before anything is written: the images are states of the training."""
    for loss in ('recorrupted', 'psnr'):
        settings = dataclasses.replace(config(tmp_path), loss=loss, n_coils=(1,))
        with pytest.raises(ValueError, match=f"'splitting' needs loss = 'target', got loss = {loss!r}"):
            train(settings, tmp_path / 'output', progress=False)
    assert not (tmp_path / 'output').exists()


def test_log(tmp_path: Path) -> None:
    """The loss of the steps, also after an interruption, and the validation of the weights at the last step."""
    settings = dataclasses.replace(config(tmp_path), max_steps=60)
    train(settings, tmp_path / 'output', progress=False)
    log = read_log(tmp_path / 'output')
    assert list(log['loss']) == [19, 39, 59]
    assert list(log['psnr_foreground']) == [60]
    assert all(0 < value < 2 for value in log['loss'].values())


@pytest.mark.parametrize('method', Recipe.methods())
def test_each_description_has_a_procedure(method: str) -> None:
    """That of its nearest class: the one of splitting for it and what is derived from it, else the common one."""
    kind = Recipe.methods()[method]
    procedure = TrainingProcedure.of(object.__new__(kind))
    assert type(procedure) is (AlternatingLoops if issubclass(kind, SplittingRecipe) else EndToEnd)
    assert issubclass(kind, procedure.recipe)
