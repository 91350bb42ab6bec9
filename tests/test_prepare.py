"""Noise level and whitening of a scan: nothing is skipped without a word."""

import pytest
import torch
from mrpro.data import KNoise
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.raw_data import RawScan, standardize
from mrpro_lambda.reconstruct.prepare import prepare
from mrpro_lambda.reconstruct.Settings import Settings
from mrpro_lambda.reconstruction import estimate_noise_weight, prewhiten

from tests.reconstruction.cases import cartesian_kdata

SETTINGS = Settings(csm='none')
N_X = 96


@pytest.fixture
def scan() -> RawScan:
    """Scan of two coils with twofold oversampling of the readout, an object that fills the image, and noise of 0.1."""
    kdata = cartesian_kdata(n_coils=2, lines=range(-16, 16), size=(32, N_X), oversampling=2, noise=0.1)
    img = torch.polar(torch.full((1, 2, 1, 32, N_X), 3.0), torch.linspace(0, 2, 32)[:, None].expand(32, N_X))
    kdata.data = kdata.data + FourierOp.from_kdata(kdata)(img)[0]
    return RawScan(standardize(kdata), None, None, standardize(kdata, keep_oversampling=True), [], {})


def noise_measurement(level: float, n_samples: int = 1000) -> KNoise:
    """White noise of two coils."""
    return KNoise(level * RandomGenerator(2).randn_tensor((1, 2, 1, 1, n_samples), torch.complex64))


def test_air_that_is_removed_shows_the_noise(scan: RawScan) -> None:
    """Level and weights are those of the oversampled readout; the data are those without."""
    prepared = prepare(scan, SETTINGS, None)
    assert scan.oversampled is not None
    assert prepared.kdata.data.shape[-1] == N_X
    assert prepared.noise.std == pytest.approx(0.1 * prepared.factor, rel=0.15)
    assert prepared.noise.reliable
    assert prepared.whitening == ('background',)
    torch.testing.assert_close(prepared.noise_weight, estimate_noise_weight(scan.oversampled))


def test_signal_at_the_ends_of_the_readout_is_said(scan: RawScan) -> None:
    """The phase encodings can not be whitened without air."""
    scan = scan._replace(oversampled=None)
    with pytest.warns(UserWarning, match='noise of the phase encodings is not whitened: .* signal at both ends'):
        prepared = prepare(scan, Settings(csm='none', noise_std=0.1), None)
    assert prepared.noise_weight is None
    with pytest.raises(ValueError, match='signal at both ends'):
        prepare(scan, Settings(csm='none', noise_std=0.1, whitening='background'), None)


def test_noise_of_another_bandwidth_is_said(scan: RawScan) -> None:
    """A noise measurement of the right level gives 1; with another one, what the data show is used."""
    prepared = prepare(scan._replace(noise=noise_measurement(0.1)), SETTINGS, None)
    assert prepared.noise.source == 'noise measurement'
    assert prepared.noise.std == prepared.factor
    with pytest.warns(UserWarning, match=r'prewhitened data is not 1 but 3\.\d+, .* another bandwidth'):
        prepared = prepare(scan._replace(noise=noise_measurement(0.03)), SETTINGS, None)
    assert prepared.noise.std == pytest.approx(0.1 / 0.03 * prepared.factor, rel=0.15)


def test_few_samples_of_noise_are_said(scan: RawScan) -> None:
    with pytest.warns(UserWarning, match='There are 15 samples of noise for 2 coils'):
        prewhiten(scan.kdata, noise_measurement(0.1, 15))
