"""The description of a model for counts of photons."""

import dataclasses
from pathlib import Path

import pytest
import torch
from mrpro_lambda.datasets import LowDoseParallelBeam, LowDoseSample, SimulatedScans
from mrpro_lambda.pretrained import load_weights, save_weights
from mrpro_lambda.recipes import LowDoseRecipe, Recipe
from mrpro_lambda.recipes.ScanProperties import ScanProperties
from mrpro_lambda.solvers import PreconditionedPDHG
from mrpro_lambda.weighting import Discrepancy, GivenWeight, NoiseWeight
from torch.utils.data import default_collate

RECIPE = LowDoseRecipe(n_features=2, n_resolutions=2, padding=3, n_iterations=5, max_iterations=20)


def batch(scale: float = 1.0, n_photons: float = 4096.0) -> LowDoseSample:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 20),) * 2, indexing='ij')
    family = LowDoseParallelBeam(9, attenuation=81.35858 / scale, largest=(0.5, 0.5) if scale == 1 else (0.05, 0.05))
    data = SimulatedScans([(y.hypot(x) < r).float() for r in (0.5, 0.8)], family, noise=n_photons**-0.5)
    return default_collate([data[0], data[1]])


def test_gradient_reaches_the_network() -> None:
    sample, model = batch(), RECIPE.build()
    img = model(sample.data, sample.acquisition_op(), sample.initial_image, sample.noise_std)
    assert isinstance(model.solver, PreconditionedPDHG)
    assert bool((img >= 0).all())
    img.square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in model.parameters() if parameter.grad is not None)
    assert any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize('trained', [None, NoiseWeight(0.1)], ids=['network', 'number'])
def test_units_of_the_image_do_not_matter(trained: NoiseWeight | None) -> None:
    """The same counts of an image in a tenth of the units give the same image in these, the map ten times as large."""
    model = RECIPE.build(trained=trained)
    model.solver = model.solver.replace(n_iterations=100)  # steps are rounded, which shows before the minimum
    sample, other = batch(), batch(0.1)
    torch.testing.assert_close(other.data, 0.1 * sample.data, rtol=1e-4, atol=1e-7)
    maps, images = [], []
    for s in (sample, other):
        found = model.solve(s.data, s.acquisition_op(), s.initial_image, s.noise_std)
        assert found.lambda_map is not None
        maps.append(found.lambda_map)
        images.append(found.img)
    torch.testing.assert_close(maps[1], 10 * maps[0], rtol=1e-3, atol=0)
    torch.testing.assert_close(images[1], 0.1 * images[0], rtol=0, atol=1e-4)


def test_noise_level_is_known_from_the_counts() -> None:
    sample, model = batch(), RECIPE.build()
    arguments = sample.data, sample.acquisition_op(), sample.initial_image
    torch.testing.assert_close(model(*arguments), model(*arguments, sample.noise_std))


def test_a_number_is_taken_as_it_is() -> None:
    """Without the unit of weights that scale with the scan."""
    sample = batch()
    model = RECIPE.build(trained=GivenWeight(30.0))
    found = model.choose(sample.data, sample.acquisition_op(), sample.initial_image).lambda_map
    assert bool((found == 30).all())


def test_rules_that_reconstruct_say_so() -> None:
    sample = batch()
    model = RECIPE.build(trained=Discrepancy())
    with pytest.raises(ValueError, match='A rule that reconstructs needs least squares, got PoissonCounts'):
        model(sample.data, sample.acquisition_op(), sample.initial_image)


def test_stored_and_loaded(tmp_path: Path) -> None:
    model = RECIPE.build(3)
    save_weights(model, RECIPE, {}, tmp_path / 'weights.safetensors')
    loaded, _ = load_weights(tmp_path / 'weights.safetensors')
    assert loaded.solver.max_iterations == 20
    sample = batch()
    maps = [
        m.choose(sample.data, sample.acquisition_op(), sample.initial_image).lambda_map.detach()
        for m in (model, loaded)
    ]
    assert torch.equal(*maps)
    assert isinstance(Recipe.from_dict({'method': 'ct-tv'}), LowDoseRecipe)


def test_scans_that_the_weights_are_good_for() -> None:
    """The noise of a ray is one over the root of its photons; neither k-space data nor other counts are."""
    recipe = LowDoseRecipe(noise_range=(0.01, 0.02), valid_angles=(30, 120))
    assert recipe.good_for() == '2500 to 10000 photons, 30 to 120 angles'
    assert recipe.mismatches_of_counts(4096, 60) == []
    assert recipe.mismatches_of_counts(1000, 20) == [
        '1000 photons instead of 2500 to 10000',
        '20 angles instead of 30 to 120',
    ]
    measured = dataclasses.replace(recipe, valid_noise=(0.01, 0.04))
    assert measured.mismatches_of_counts(1000, 121) == []
    assert measured.mismatches_of_counts(500, 60) == ['500 photons instead of 625 to 10000']
    assert recipe.mismatches(ScanProperties('other', None, 1, None)) == ['k-space data instead of counts of photons']
    assert LowDoseRecipe().good_for() == ''
    assert LowDoseRecipe().mismatches_of_counts(1, 1) == []


def test_errors() -> None:
    with pytest.raises(ValueError, match='takes no filters'):
        RECIPE.build(filters=torch.zeros(1, 3, 3))
    with pytest.raises(ValueError, match='penalty_factor is a setting of ADMM'):
        LowDoseRecipe(penalty_factor=2.0).build()
