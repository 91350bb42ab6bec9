"""The noise level that networks use."""

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
from mrpro.data import AcqIdx, AcqInfo, KData, KHeader, KTrajectory, SpatialDimension
from mrpro.data.traj_calculators import KTrajectoryRadial2D
from mrpro.operators import FastFourierOp, FourierOp, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruction import LearnedReconstruction, estimate_noise, estimate_noise_std

from tests.reconstruction.cases import (
    cartesian_kdata,
    coil_maps,
    csm_data,
    learned_model,
    noise_measurement,
    radial_kdata,
)

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


def acquire_without_air(
    pattern: str, noise: float, n_coils: int, *, seed: int = 0, oversampling: int = 1, n: int = 80, center: int = 12
) -> KData:
    """Acquire an object that fills the field of view, with signal above a noise of 0.01 in all of k-space."""
    rng = RandomGenerator(seed)
    frequency = torch.hypot(torch.fft.fftfreq(n)[:, None], torch.fft.fftfreq(n))
    spectrum = rng.randn_tensor((n, n), torch.complex64) / (frequency + 1 / n) ** 1.2
    img = torch.fft.ifft2(spectrum) + 0.2 * spectrum.abs().mean() / n
    img = coil_maps(n_coils, n, n) * img / img.abs().square().mean().sqrt()
    k = torch.arange(n) - n // 2
    lines = k[(k % 3 == 0) | (k.abs() < 12)] if pattern == 'lines' else k
    matrix, encoding = SpatialDimension(1, n, n), SpatialDimension(1, n, oversampling * n)
    kx = (torch.arange(encoding.x) - encoding.x // 2).float().reshape(1, 1, 1, 1, -1)
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), lines.float().reshape(1, 1, 1, -1, 1), kx)
    if pattern == 'points':
        square = k.abs() < center
        points = (square[:, None] & square) | (rng.rand_tensor((n, n), torch.float32) < 0.2)
        ky, kx = (k[index].float().reshape(1, 1, 1, -1, 1) for index in points.nonzero().T)
        traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    elif pattern == 'radial':
        encoding = SpatialDimension(1, oversampling * n, oversampling * n)
        spokes = torch.arange(60, dtype=torch.float32)[:, None]
        traj = KTrajectoryRadial2D()(n_k0=encoding.x, k0_center=encoding.x // 2, k1_idx=spokes)
    fov, encoding_fov = (SpatialDimension(0.005, 0.002 * m.y, 0.002 * m.x) for m in (matrix, encoding))
    info = AcqInfo(idx=AcqIdx(k1=torch.arange(traj.shape[-2]).reshape(1, 1, 1, -1, 1)))
    header = KHeader(matrix, encoding, fov, encoding_fov, info, vendor='Siemens')
    (data,) = FourierOp(matrix, encoding, traj)(img)
    return KData(header, data + noise * rng.randn_tensor(data.shape, data.dtype), traj)


@pytest.mark.parametrize('n_coils', [4, 8])
@pytest.mark.parametrize('noise', [0.01, 0.1])
@pytest.mark.parametrize('pattern', ['full', 'lines', 'points'])
def test_coils_show_the_noise_without_air(pattern: str, noise: float, n_coils: int) -> None:
    """The calibration region is enough, although there is more signal than noise in all of k-space and the image."""
    kdata = acquire_without_air(pattern, noise, n_coils)
    estimate = estimate_noise(kdata)
    assert estimate.std == pytest.approx(noise, rel=0.15)
    assert estimate.reliable
    assert estimate.source == 'calibration region'


@pytest.mark.parametrize('noise', [0.01, 0.1])
def test_coil_sensitivities_show_the_noise_of_single_points(noise: float) -> None:
    """The image that is nearest to the data of all coils leaves it, where there is no center to see it in."""
    kdata = acquire_without_air('points', noise, 8, center=2)
    fourier_op = FourierOp.from_kdata(kdata)
    alone = estimate_noise(kdata, fourier_op)
    estimate = estimate_noise(kdata, fourier_op @ SensitivityOp(coil_maps(8, 80, 80)[None]))
    assert estimate.std == pytest.approx(noise, rel=0.15)
    assert abs(estimate.std - noise) < abs(alone.std - noise)


def test_wrong_coil_sensitivities_give_an_upper_bound() -> None:
    kdata = acquire_without_air('points', 0.01, 8, center=2)
    wrong = SensitivityOp(coil_maps(8, 80, 80)[None].roll(1, -4))
    estimate = estimate_noise(kdata, FourierOp.from_kdata(kdata) @ wrong)
    assert not estimate.reliable
    assert estimate.std > 0.01


def test_one_coil_without_air_has_an_upper_bound() -> None:
    """Noise below the signal everywhere can not be seen, and the estimate says so."""
    estimate = estimate_noise(acquire_without_air('points', 0.01, 1))
    assert not estimate.reliable
    assert estimate.std > 0.01


@pytest.mark.parametrize('pattern', ['full', 'lines', 'radial'])
@pytest.mark.parametrize('n_coils', [1, 4])
def test_air_beyond_the_field_of_view(pattern: str, n_coils: int) -> None:
    """Of an oversampled readout, also where receivers attenuate its ends; the removal keeps the noise of a sample."""
    kdata = acquire_without_air(pattern, 0.05, n_coils, oversampling=2)
    n = kdata.data.shape[-1]
    position = (torch.arange(n) - n // 2).abs() / n
    attenuation = torch.where(position < 0.33, 1, 1 - 3 * (position - 0.33))
    (img,) = FastFourierOp(dim=(-1,)).adjoint(kdata.data)
    (kdata.data,) = FastFourierOp(dim=(-1,))(attenuation * img)
    estimate = estimate_noise(kdata)
    assert estimate.std == pytest.approx(0.05, rel=0.15)
    assert estimate.reliable


@pytest.mark.parametrize('n_coils', [1, 4])
def test_dense_samples_at_the_center(n_coils: int) -> None:
    """Spokes show the noise where they are denser than the field of view requires, without any oversampling."""
    kdata = acquire_without_air('radial', 0.1, n_coils)
    estimate = estimate_noise(kdata)
    assert estimate.std == pytest.approx(0.1, rel=0.15)
    assert (estimate.source, estimate.reliable) == ('dense samples', True)
    kdata.traj.ky[..., ::2, :] += 0.3  # as if gradients were delayed
    assert estimate_noise(kdata).source != 'dense samples'


def test_coils_of_different_noise_without_air() -> None:
    """They are less well seen, because the directions are those of the smallest noise."""
    kdata = acquire_without_air('lines', 0.0, 8)
    level = torch.linspace(0.6, 1.4, 8)
    noise = RandomGenerator(1).randn_tensor(kdata.data.shape, torch.complex64)
    kdata.data = kdata.data + 0.05 * level.reshape(8, 1, 1, 1) * noise
    expected = 0.05 * level.square().mean().sqrt().item()
    assert estimate_noise(kdata).std == pytest.approx(expected, rel=0.3)


def test_differences_of_repeated_samples_are_exact() -> None:
    """Their mean energy is that of noise, whatever the image; copies of samples are no repeats."""
    first = acquire_without_air('lines', 0.0, 1)
    rng = RandomGenerator(0)
    noise = 0.3 * rng.randn_tensor((3, *first.data.shape), torch.complex64)
    traj = KTrajectory(first.traj.kz, torch.cat([first.traj.ky] * 3, -2), first.traj.kx)
    info = AcqInfo(idx=AcqIdx(k1=torch.arange(traj.shape[-2]).reshape(1, 1, 1, -1, 1)))
    header = replace(first.header, acq_info=info)
    kdata = KData(header, torch.cat([*(first.data + noise)], -2), traj)
    expected = noise.var(0).mean().sqrt().item()
    estimate = estimate_noise(kdata)
    assert estimate.std == pytest.approx(expected, rel=1e-4)
    assert (estimate.source, estimate.reliable) == ('repeated samples', True)
    kdata.data = torch.cat([first.data + noise[0]] * 3, -2)
    assert estimate_noise(kdata).source != 'repeated samples'


@pytest.mark.parametrize('pattern', ['lines', 'radial'])
def test_scale_equivariance_without_air(pattern: str) -> None:
    kdata = acquire_without_air(pattern, 0.1, 4)
    acquisition_op = FourierOp.from_kdata(kdata) @ SensitivityOp(coil_maps(4, 80, 80)[None])
    expected = estimate_noise(kdata, acquisition_op).std
    for scale in (1e-25, 1e12, 1e25):
        scaled = kdata.clone()
        scaled.data *= scale
        assert estimate_noise(scaled, acquisition_op).std == pytest.approx(scale * expected, rel=1e-4)


def test_data_of_another_acquisition() -> None:
    kdata = acquire_without_air('points', 0.1, 4)
    with pytest.raises(ValueError, match=r'trajectory, coils and image .* got shape \(1, 4, 1, \d+, 1\)'):
        estimate_noise(kdata, FourierOp.from_kdata(acquire_without_air('lines', 0.1, 4)))


def test_images_are_averaged() -> None:
    """Along other axes, each image has calibration directions of its own."""
    parts = [acquire_without_air('lines', noise, 8, seed=i) for i, noise in enumerate((0.1, 0.2))]
    kdata = parts[0].clone()
    kdata.data = torch.stack([part.data for part in parts])
    assert estimate_noise(kdata).std == pytest.approx(sqrt((0.1**2 + 0.2**2) / 2), rel=0.15)


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
