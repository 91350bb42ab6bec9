"""The noise level that networks use."""

from math import sqrt
from typing import Any

import pytest
import torch
from mrpro.data import KData, KTrajectory
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruction import LearnedReconstruction, estimate_noise, estimate_noise_std

from tests.reconstruction.cases import cartesian_kdata, csm_data, learned_model, noise_measurement, radial_kdata

SIZE = (128, 96)
FULL_BAND: dict[str, dict[str, Any]] = {
    'full': {'lines': range(-64, 64)},
    'box': {'lines': range(-24, 25)},
    'oversampled readout': {'lines': range(-64, 64), 'oversampling': 2},
}
REPEATED: dict[str, dict[str, Any]] = {
    'averages': {'lines': [*range(-64, 64)] * 2},
    'repeated center': {'lines': [*range(-64, 64), *range(-4, 4), *range(-4, 4)]},
}
UNDERSAMPLED: dict[str, dict[str, Any]] = {
    'partial Fourier': {'lines': range(-16, 64)},
    'dense center': {'lines': [*range(-64, -12, 3), *range(-12, 12), *range(12, 64, 3)]},
    'regular': {'lines': range(-64, 64, 2)},
}


def acquire(name: str, noise: float, n_coils: int, seed: int = 0) -> KData:
    options = (FULL_BAND | REPEATED | UNDERSAMPLED)[name]
    return cartesian_kdata(size=SIZE, n_coils=n_coils, noise=noise, seed=seed, **options)


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('n_coils', [1, 3])
@pytest.mark.parametrize(
    ('name', 'noise'),
    [
        *((name, noise) for name in FULL_BAND | REPEATED for noise in (0.01, 0.1, 1.0)),
        # beyond the edges of k-space of a noise-free image the noise must be visible: see the next test
        *((name, noise) for name in UNDERSAMPLED for noise in (0.2, 1.0)),
    ],
)
def test_estimate_is_within_15_percent(name: str, noise: float, n_coils: int, seed: int) -> None:
    kdata = acquire(name, noise, n_coils, seed)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(noise, rel=0.15)


@pytest.mark.parametrize('name', UNDERSAMPLED)
@pytest.mark.parametrize('n_coils', [1, 3])
def test_hidden_noise(name: str, n_coils: int) -> None:
    """Signal above the noise in all of k-space: the air along the readout shows it, otherwise it is an upper bound."""
    kdata = acquire(name, 0.01, n_coils)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(0.01, rel=0.15)
    kdata.data, kdata.traj = kdata.data[..., 10:], KTrajectory(kdata.traj.kz, kdata.traj.ky, kdata.traj.kx[..., 10:])
    estimate = estimate_noise(kdata)
    assert estimate.std > 0.0098
    assert not estimate.reliable or estimate.std == pytest.approx(0.01, rel=0.15)


def test_level_is_that_of_all_positions_along_the_readout() -> None:
    """Where the noise of the image differs between them, as at 0.055 T. The quiet end alone would be 0.8 of it."""
    kdata = acquire('full', 0.0, 1)
    rng = RandomGenerator(0)
    level = torch.linspace(0.8, 1.2, SIZE[1])
    fourier_op = FourierOp.from_kdata(kdata)
    (noise,) = fourier_op(level * rng.randn_tensor((4, 1, 1, *SIZE), torch.complex64))
    kdata = cartesian_kdata(size=SIZE, n_coils=1, noise=0.0, n_other=4, lines=range(-64, 64))
    kdata.data = kdata.data + 0.3 * noise
    expected = 0.3 * level.square().mean().sqrt().item()
    assert estimate_noise_std(kdata, fourier_op) == pytest.approx(expected, rel=0.15)


def test_scale_equivariance() -> None:
    kdata = acquire('dense center', 0.3, 3)
    fourier_op = FourierOp.from_kdata(kdata)
    expected = estimate_noise_std(kdata, fourier_op)
    for scale in (1e-25, 1e-12, 1e12, 1e25):
        scaled = kdata.clone()
        scaled.data *= scale
        assert estimate_noise_std(scaled, fourier_op) == pytest.approx(scale * expected, rel=1e-5)


def test_radial() -> None:
    kdata = radial_kdata(noise=0.5, n_spokes=200)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(0.5, rel=0.15)


def test_coils_are_averaged_as_squares() -> None:
    kdata = acquire('full', 0.3, 3)
    kdata.data *= torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    expected = 0.3 * sqrt((1 + 4 + 9) / 3)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(expected, rel=0.15)


def test_noise_level_of_a_reconstruction() -> None:
    """Given, known from the prewhitening, or estimated; `None` for models that do not use it."""
    kdata = acquire('dense center', 0.3, 3)
    csm, noise = csm_data(kdata), noise_measurement()
    model = learned_model(noise_level=True)

    def noise_std(**options: Any) -> float | None:
        return LearnedReconstruction(kdata, csm=csm, model=model, **options).solve(kdata).noise_std

    assert noise_std() == pytest.approx(0.3, rel=0.15)
    assert noise_std() == estimate_noise_std(kdata, FourierOp.from_kdata(kdata))
    assert noise_std(noise_std=0.7) == 0.7
    prewhitened = LearnedReconstruction(kdata, csm=csm, noise=noise, model=model)
    assert prewhitened.solve(kdata).noise_std == 1.0
    prewhitened.noise_std = 2.0
    assert prewhitened.solve(kdata).noise_std == 2.0
    without = LearnedReconstruction(kdata, csm=csm, noise=noise, model=learned_model())
    assert without.solve(kdata).noise_std is None


@pytest.mark.parametrize('noise_std', [0.0, -1.0, float('nan'), float('inf')])
def test_invalid_noise_level(noise_std: float) -> None:
    kdata = acquire('full', 0.3, 1)
    with pytest.raises(ValueError, match='noise_std must be positive and finite'):
        LearnedReconstruction(kdata, model=learned_model(noise_level=True), noise_std=noise_std)


def noise_alone(n_coils: int = 2, n_other: int = 4) -> KData:
    """Noise of standard deviation 0.3 in too few lines for the air along the readout to be searched."""
    kdata = cartesian_kdata(size=(12, 512), n_coils=n_coils, n_other=n_other, lines=range(-6, 6))
    kdata.data = 0.3 * RandomGenerator(0).randn_tensor(kdata.data.shape, torch.complex64)
    return kdata


def test_median_of_gaussian_noise() -> None:
    """A few thousand numbers give the standard deviation to 2 %."""
    kdata = noise_alone()
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(0.3, rel=0.02)


def test_rows_with_signal_are_not_air() -> None:
    """An object that reaches the top and the bottom of the image: the noise is that at its left or right."""
    kdata = noise_alone()
    img = torch.zeros(12, 512, dtype=torch.complex64)
    img[:, 128:] = 3
    fourier_op = FourierOp.from_kdata(kdata)
    kdata.data = kdata.data + fourier_op(img.expand(4, 2, 1, 12, 512))[0]
    assert estimate_noise_std(kdata, fourier_op) == pytest.approx(0.3, rel=0.05)
