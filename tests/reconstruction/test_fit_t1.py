"""T1 maps of series of images."""

from typing import Any

import pytest
import torch
from mrpro.data import IData
from mrpro.operators.models import InversionRecovery, SaturationRecovery
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruction import fit_t1
from scipy.optimize import least_squares

from tests.reconstruction.cases import cartesian_kdata

TIMES = [0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
SHAPE = (2, 1, 1, 6, 5)
MODELS: dict[str, Any] = {'inversion': InversionRecovery(TIMES), 'saturation': SaturationRecovery(TIMES)}
all_models = pytest.mark.parametrize('model', MODELS.values(), ids=MODELS)


def parameters(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Equilibrium signals over four orders of magnitude, and T1 of all tissues."""
    rng = RandomGenerator(0)
    m0 = rng.randn_tensor(SHAPE, dtype) * 10 ** rng.rand_tensor(SHAPE, dtype.to_real(), low=-2, high=2)
    return m0, rng.rand_tensor(SHAPE, dtype.to_real(), low=0.2, high=4.0)


@all_models
@pytest.mark.parametrize('dtype', [torch.complex64, torch.float32, torch.complex128])
@pytest.mark.parametrize('chunk_size', [7, 10_000])
def test_parameters_of_a_noise_free_series_are_found(model: Any, dtype: torch.dtype, chunk_size: int) -> None:
    m0, t1 = parameters(dtype)
    (series,) = model(m0, t1)
    found = fit_t1(series, model, time_dim=-6, chunk_size=chunk_size)
    assert found.t1.shape == found.m0.shape == SHAPE
    torch.testing.assert_close(found.t1, t1, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.m0, m0, rtol=1e-3, atol=0)
    assert bool((found.residual < 1e-3 * m0.abs()).all())


@all_models
def test_fit_is_that_of_an_independent_optimizer(model: Any) -> None:
    """Of noisy pixels, each by itself."""
    m0, t1 = parameters(torch.complex128)
    (series,) = model(m0, t1)
    series = series + 0.02 * m0.abs() * RandomGenerator(1).randn_tensor(series.shape, series.dtype)
    found = fit_t1(series, model, time_dim=-6, max_iterations=100)
    double = type(model)(torch.tensor(TIMES, dtype=torch.float64))
    for i in range(0, series[0].numel(), 7):
        y = series.flatten(1)[:, i] / m0.flatten()[i].abs()

        def difference(p: Any, y: torch.Tensor = y) -> Any:
            (signal,) = double(
                torch.tensor(complex(p[0], p[1]), dtype=y.dtype), torch.tensor(p[2], dtype=torch.float64)
            )
            return torch.view_as_real(signal - y).flatten().detach().numpy()

        unit = (m0 / m0.abs()).flatten()[i]
        start = [unit.real.item(), unit.imag.item(), t1.flatten()[i].item()]
        expected = least_squares(difference, start, bounds=([-9, -9, 0.05], [9, 9, 6.0]), xtol=1e-12, ftol=1e-12)
        assert found.t1.flatten()[i].item() == pytest.approx(expected.x[2], rel=5e-3)


def test_time_axis_mask_and_image_data() -> None:
    model = MODELS['inversion']
    m0, t1 = parameters(torch.complex64)
    (series,) = model(m0, t1)
    mask = torch.zeros(6, 5)
    mask[1:4, 2:] = 1
    found = fit_t1(series.movedim(0, 1), model, mask=mask)
    whole = fit_t1(series, model, time_dim=-6)
    assert bool((found.t1[..., mask == 0] == 0).all())
    torch.testing.assert_close(found.t1[..., mask == 1], whole.t1[..., mask == 1], rtol=1e-2, atol=0)
    idata = IData.from_tensor_and_kheader(series[:, 0], cartesian_kdata(n_other=len(TIMES)).header)
    torch.testing.assert_close(fit_t1(idata, model).t1, whole.t1[0], rtol=1e-2, atol=0)
    series[..., 0, 0] = 0
    assert fit_t1(series, model, time_dim=-6).t1[..., 0, 0].tolist() == [[[0.0]], [[0.0]]]
    assert fit_t1(torch.zeros(10, 1, 1, 2, 2), model).t1.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'idata': torch.ones(9, 1, 1, 4, 4)}, r'one image for each of the 10 times along axis -5, got shape \(9, 1, '),
        ({'idata': torch.ones(4, 4)}, r'along axis -5, got shape \(4, 4\)'),
        ({'idata': torch.full((10, 1, 1, 4, 4), torch.inf)}, 'idata must be finite'),
        ({'signal_model': InversionRecovery([0.1, 0.5, 0.3])}, r'ascending order and not negative, got \[0.1'),
        ({'signal_model': SaturationRecovery([-0.1, 0.5, 1.3])}, r'ascending order and not negative, got \[-0.1'),
        ({'signal_model': InversionRecovery([0.1, 0.5, 0.5])}, 'ascending order'),
        ({'signal_model': InversionRecovery([0.1, 0.5])}, 'at least 3 finite times'),
        ({'signal_model': InversionRecovery([0.1, 0.5, float('nan')])}, 'at least 3 finite times'),
        ({'t1_range': (2.0, 1.0)}, r't1_range must be \(smallest, largest\)'),
        ({'t1_range': (0.0, 1.0)}, 't1_range must be positive'),
        ({'mask': torch.ones(3, 3)}, r'mask must broadcast to \(1, 1, 4, 4\), got shape \(3, 3\)'),
        ({'max_iterations': 0}, 'max_iterations must be an integer from 1'),
    ],
)
def test_invalid_calls(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {'idata': torch.ones(10, 1, 1, 4, 4), 'signal_model': MODELS['inversion']} | change
    with pytest.raises(ValueError, match=message):
        fit_t1(**given)


def test_other_models_are_no_models_of_t1() -> None:
    with pytest.raises(TypeError, match='signal_model must be InversionRecovery or SaturationRecovery, got Identity'):
        fit_t1(torch.ones(10, 1, 1, 4, 4), torch.nn.Identity())  # type: ignore[arg-type]
