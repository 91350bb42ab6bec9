"""Weights that are fitted to the scan itself."""

import math
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.losses import HeldOut, Recorrupted, UnbiasedRisk
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import PhaseAware, Regularizer, TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import ActivityWeight, FittedToScan, LearnedNumbers, NoiseWeight, Scan, Weight, fit_weight
from mrpro_lambda.weighting.fit_weight import ScanTask

from tests.solvers.cases import DICTIONARY
from tests.weighting.test_automatic_weights import SIGMA, TV, scan

SOLVER = ADMM(TV, max_iterations=300, tolerance=1e-2)
LOSSES = {'R2R': Recorrupted(), 'held out': HeldOut(0.4), 'SURE': UnbiasedRisk()}
SHORT: dict[str, Any] = {'n_steps': 3, 'n_iterations': 6, 'safeguard': False}


class Broken(Recorrupted):
    def __call__(self, *args: Any) -> torch.Tensor:
        return torch.nan * super().__call__(*args)


def number(initial: float = 0.01) -> LearnedNumbers:
    return LearnedNumbers(1, initial).double()


def fit(weight: Weight, seed: int = 0, **options: Any) -> Any:
    task = ScanTask(scan(SOLVER), options.pop('loss', Recorrupted()), 15)
    given: dict[str, Any] = {'n_steps': 40, 'learning_rate': 0.3} | options
    return fit_weight(weight, task, generator=torch.Generator().manual_seed(seed), **given)


@pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize('initial', [0.05, 1.6])
def test_number_finds_its_way(loss: Any, initial: float) -> None:
    """From far too little and far too much regularization, to one with nearly the smallest loss of all."""
    weight = number(initial)
    found = fit(weight, loss=loss)
    assert len(found.losses) == 40
    assert not found.stopped
    task = ScanTask(scan(SOLVER), loss, 12)
    losses = {factor: sum(task.compare(number(factor), 5)) for factor in (0.05, 0.2, 0.4, 0.8, 1.6)}
    assert losses[initial] > 1.02 * min(losses.values())
    assert sum(task.compare(weight, 5)) < min(losses.values()) + 0.3 * (losses[initial] - min(losses.values()))


@pytest.mark.parametrize('regularizer', [TV, PhaseAware(TV)], ids=['TV', 'phase-aware'])
def test_fitted_map_is_better_than_one_weight(regularizer: Regularizer) -> None:
    """Where one half of the image has structure and the other has none: in its error, which the fit has not seen."""
    solver = ADMM(regularizer, max_iterations=300, tolerance=1e-3)
    img = torch.ones(1, 1, 1, 24, 24, dtype=torch.complex128)
    img[..., 12:] += 2 * RandomGenerator(1).randn_tensor((1, 1, 1, 24, 12), torch.float64)
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, 24, 24, dtype=torch.float64))
    data = acquisition_op(img)[0] + SIGMA * RandomGenerator(2).randn_tensor(img.shape, torch.complex128)
    given = Scan(data, acquisition_op, acquisition_op.adjoint(data)[0], SIGMA, solver)
    choice = FittedToScan(ActivityWeight(), n_steps=30, n_iterations=16, learning_rate=0.05).choose(given)
    assert choice.report is not None
    assert choice.report['taken'] == 'map'
    model, one = LambdaMapModel(None, solver), choice.report['one weight']['factor'] * SIGMA
    errors = [(model(*given[:3], lambda_map=found) - img).norm() for found in (choice.lambda_map, one)]
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize('weight', [None, ActivityWeight().double()], ids=['network', 'formula'])
def test_same_scan_same_map(weight: Weight | None) -> None:
    """To the last bit, with other random numbers in between; another seed gives another map."""
    maps = []
    for seed in (0, 0, 1):
        torch.rand(3)
        maps.append(FittedToScan(weight, seed=seed, **SHORT)(scan(SOLVER)))
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


@pytest.mark.parametrize('factor', [1e-6, 1e4])
def test_scale_equivariance(factor: float) -> None:
    given = scan(SOLVER)
    data, acquisition_op = given.measured()
    scaled = Scan(factor * data, acquisition_op, factor * given.initial_image, factor * SIGMA, SOLVER)
    fitted = FittedToScan(ActivityWeight(), **SHORT)
    torch.testing.assert_close(fitted(scaled), factor * fitted(given), rtol=1e-8, atol=0)


def test_weight_to_begin_with_stays_as_it_is() -> None:
    weight = number()
    before = weight.log_numbers.clone()
    FittedToScan(weight, **SHORT)(scan(SOLVER))
    assert torch.equal(weight.log_numbers, before)
    assert weight.log_numbers.grad is None


def test_images_of_a_batch_train_one_weight() -> None:
    given = scan(SOLVER, shape=(3, 1, 1, 16, 14))
    assert FittedToScan(**SHORT)(given).shape == (1, 3, 1, 1, 16, 14)


def test_frames_share_one_network() -> None:
    """The same frame twice has the same map twice, although what the loss draws differs."""
    one = scan(SOLVER)
    data, acquisition_op = one.measured()
    twice = Scan(
        data.expand(2, -1, -1, -1, -1), acquisition_op, one.initial_image.expand(2, -1, -1, -1, -1), SIGMA, SOLVER
    )
    lambda_map = FittedToScan(**SHORT)(twice)
    assert torch.equal(lambda_map[:, 0], lambda_map[:, 1])


@pytest.mark.filterwarnings('ignore:The map that was fitted to the scan has a loss')
@pytest.mark.parametrize('fully_sampled', [False, True])
def test_what_the_map_is_compared_by(fully_sampled: bool) -> None:
    """Samples that are held out, or the loss of the fit where none are missing."""
    choice = FittedToScan(ActivityWeight(), n_steps=1, n_iterations=3).choose(scan(SOLVER, fully_sampled=fully_sampled))
    assert choice.report is not None
    assert choice.report['loss'] == 'Recorrupted'
    assert choice.report['compared by'] == ('Recorrupted' if fully_sampled else 'HeldOut')


def test_dictionary() -> None:
    """There is a map for each filter."""
    solver = ADMM(DICTIONARY, max_iterations=300, tolerance=1e-2)
    lambda_map = FittedToScan(**SHORT)(scan(solver))
    assert len(lambda_map) == DICTIONARY.n_maps
    assert bool((lambda_map > 0).all())


def test_one_weight_is_taken_if_the_fit_is_worse() -> None:
    fitted = FittedToScan(number(100.0), n_steps=1, n_iterations=6, learning_rate=1e-9)
    with pytest.warns(UserWarning, match='has a loss of .* the one weight is taken'):
        choice = fitted.choose(scan(SOLVER))
    assert choice.report is not None
    assert choice.report['taken'] == 'one weight'
    assert choice.lambda_map.max() < 10 * SIGMA


def test_time_limit() -> None:
    with pytest.warns(UserWarning, match=r'has stopped after 0 of 3 steps, as its time of 1e-09 s was over'):
        FittedToScan(ActivityWeight(), seconds=1e-9, **SHORT)(scan(SOLVER))


def test_gradient_mode_of_the_caller_does_not_matter() -> None:
    with torch.no_grad():
        lambda_map = FittedToScan(ActivityWeight(), **SHORT)(scan(SOLVER))
    assert torch.equal(lambda_map, FittedToScan(ActivityWeight(), **SHORT)(scan(SOLVER)))
    assert not lambda_map.requires_grad


def test_errors() -> None:
    given = scan(SOLVER)
    fitted = FittedToScan(**SHORT)
    with pytest.raises(ValueError, match='noise level is needed'):
        fitted(given._replace(noise_std=None))
    with pytest.raises(ValueError, match='needs data and acquisition_op'):
        fitted(given._replace(data=None))
    with pytest.raises(ValueError, match=r'one noise level for each image, got noise_std of shape \(1, 1, 1, 16, 14\)'):
        fitted(given._replace(noise_std=torch.full((1, 1, 1, 16, 14), SIGMA)))
    with pytest.raises(ValueError, match='needs parameters, NoiseWeight has none'):
        FittedToScan(NoiseWeight(1.0))
    with pytest.raises(ValueError, match=r'at least 100 samples, got \d\d in data of shape'):
        fitted(scan(SOLVER, shape=(1, 1, 1, 10, 12)))
    with pytest.raises(ValueError, match='needs an undersampled acquisition'):
        FittedToScan(loss=HeldOut(), **SHORT)(scan(SOLVER, fully_sampled=True))
    for name in ('n_steps', 'n_iterations'):
        with pytest.raises(ValueError, match=f'{name} must be an integer from 1 on, got 0'):
            FittedToScan(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='seconds must be positive, got nan'):
        FittedToScan(seconds=math.nan)
    with pytest.raises(ValueError, match='lower learning_rate'):
        fit(number(), loss=Broken())


def test_network_of_a_series_sees_its_neighbors_in_time() -> None:
    """That of images which the regularizer does not couple sees each by itself."""

    def change(regularizer: Regularizer) -> torch.Tensor:
        weight = FittedToScan(**{**SHORT, 'n_steps': 1, 'n_iterations': 2})
        given = scan(ADMM(regularizer, n_iterations=2), shape=(3, 1, 1, 16, 16))
        start = weight._start(given)
        later = given.initial_image.clone()
        later[2] *= 2
        maps = [start(given._replace(initial_image=img)).detach() for img in (given.initial_image, later)]
        assert maps[0].shape == (regularizer.n_maps, 3, 1, 1, 16, 16)
        return (maps[1] - maps[0])[:, 1].abs().max() / maps[0].max()

    assert change(TotalVariation((-5, -2, -1))) > 1e-5
    assert change(TotalVariation((-2, -1))) == 0
