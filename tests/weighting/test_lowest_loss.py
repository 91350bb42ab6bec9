"""The number with the lowest loss on a scan, and a map that is fitted to counts of photons."""

import pytest
import torch
from mrpro_lambda.losses import Recorrupted
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import ParallelBeam, RayTransformOp
from mrpro_lambda.reconstruction import AdaptiveLowDoseReconstruction
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import PreconditionedPDHG
from mrpro_lambda.weighting import FittedToScan, LowestLoss, NoiseWeight, Sure
from mrpro_lambda.weighting.fit_weight import ScanTask

from tests.weighting.test_automatic_weights import scan
from tests.weighting.test_fitted_to_scan import SOLVER

N = 24
WIDTH = 0.26 / N
OPERATOR = RayTransformOp(ParallelBeam.half_turn(30, 36, WIDTH), (N, N), WIDTH)


def phantom() -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, N),) * 2, indexing='ij')
    return (0.2 * (y.hypot(x) < 0.8) + 0.3 * (y.hypot(x - 0.3) < 0.3))[None, None, None]


def low_dose(weight: LowestLoss | FittedToScan | float) -> tuple[AdaptiveLowDoseReconstruction, torch.Tensor]:
    reconstruction = AdaptiveLowDoseReconstruction(OPERATOR, n_photons=300, regularization_weight=weight, tolerance=0.1)
    counts = reconstruction.data_term.draw(phantom(), torch.Generator().manual_seed(0)).clamp_min(1)
    return reconstruction, reconstruction.from_counts(counts)


def test_number_is_that_of_the_lowest_loss() -> None:
    """Between those that are tried, and close to what the risk says of Gaussian noise."""
    given = scan(SOLVER)
    choice = LowestLoss(Recorrupted(), low=0.05, high=2.0, n_weights=7, n_iterations=20).choose(given)
    assert choice.report is not None
    factor = choice.report['factor']
    task = ScanTask(given, Recorrupted(), 20)
    losses = [sum(task.compare(NoiseWeight(c).double(), 0)) for c in (factor / 4, factor, factor * 4)]
    assert losses[1] < min(losses[0], losses[2])
    one = Sure().choose(given).report
    assert one is not None
    assert 0.4 < factor / one['factor'] < 2.5
    assert len(choice.report['tried']) == 7


def test_end_of_the_weights_is_told() -> None:
    with pytest.warns(UserWarning, match='lowest loss at an end'):
        LowestLoss(Recorrupted(), low=1e-4, high=4e-4, n_weights=3, n_iterations=2).choose(scan(SOLVER))
    with pytest.raises(ValueError, match='low must be below high'):
        LowestLoss(low=1.0, high=0.5)


def test_number_for_counts() -> None:
    """It is nearly as good as the best one, which the truth tells."""
    reconstruction, data = low_dose(LowestLoss(n_iterations=20, n_weights=5))
    found = psnr(reconstruction(data), phantom()).item()
    best = []
    for factor in (0.005, 0.01, 0.02, 0.04, 0.08, 0.16):
        other = low_dose(NoiseWeight(factor))[0]  # type: ignore[arg-type]
        best.append(psnr(other(data), phantom()).item())
    assert found > max(best) - 0.5
    assert found > min(best) + 1


@pytest.mark.filterwarnings('ignore:The map that was fitted')
def test_map_fitted_to_counts() -> None:
    """From counts to the image; the unit of the map is that of the likelihood."""
    reconstruction, data = low_dose(FittedToScan(n_steps=2, n_iterations=4))
    found = reconstruction.solve(data)
    assert found.lambda_map is not None
    assert found.lambda_map.shape[1:] in (phantom().shape, (1, 1, 1, 1, 1))
    assert found.report is not None
    assert found.report['loss'] == 'Thinned'
    assert set(found.report['compared']) == {'map', 'one weight'}
    unit = reconstruction.data_term.weight_unit(data, phantom()) ** 0.5
    ratio = found.lambda_map.mean().item() / unit.item() / found.report['one weight']['factor']
    assert 0.5 < ratio < 2
    assert psnr(found.img, phantom()) > psnr(reconstruction.initial_image(data), phantom()) + 2


def test_fit_needs_to_know_where_the_initial_image_comes_from() -> None:
    reconstruction, data = low_dose(1.0)
    model = LambdaMapModel(LowestLoss(), PreconditionedPDHG(TotalVariation((-2, -1)), n_iterations=2))
    with pytest.raises(ValueError, match='how the initial image comes from data'):
        model.choose(data, reconstruction.data_term, reconstruction.initial_image(data))
    with pytest.raises(ValueError, match='A rule that reconstructs needs least squares, got PoissonCounts'):
        LambdaMapModel(Sure(), model.solver).choose(data, reconstruction.data_term, reconstruction.initial_image(data))
