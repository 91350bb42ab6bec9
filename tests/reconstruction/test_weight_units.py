"""The unit of a weight is the same on the command line, in the settings, and in the classes."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro.data import KData, KNoise
from mrpro.data.traj_calculators import KTrajectoryCartesian
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruct import Settings, reconstruct
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction
from mrpro_lambda.weighting import NoiseWeight

from tests.helper import relative_image_difference
from tests.raw_file import LINES, simulate_kspace, write_raw

COMMON: dict[str, Any] = {'csm': 'none', 'phase': 'off', 'tolerance': 1e-5, 'upsample': 1}


@pytest.fixture(autouse=True)
def _ignore_warnings() -> Iterator[None]:
    """mrpro warns of headers without a vendor."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@pytest.fixture(params=['once', 'averages'])
def kdata(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KData:
    """An undersampled scan, and one with each line acquired twice."""
    lines = LINES if request.param == 'once' else [[k for k in LINES[0] for _ in range(2)]] * 2
    return KData.from_file(write_raw(tmp_path_factory.mktemp('raw') / 'a.h5', lines=lines), KTrajectoryCartesian())


def image(kdata: KData, weight: Any, noise_std: float | None = None, noise: KNoise | None = None) -> torch.Tensor:
    reconstruction = AdaptiveTotalVariationReconstruction(
        kdata,
        csm=None,
        noise=noise,
        regularization_dim=(-2, -1),
        regularization_weight=weight,
        noise_std=noise_std,
        tolerance=1e-5,
    )
    return reconstruction(kdata).data


@pytest.mark.parametrize('noise_std', [None, 0.2])
def test_multiples_of_the_noise(kdata: KData, noise_std: float | None) -> None:
    """`Settings(weight=c)` is `NoiseWeight(c)`, whether the noise level is given or estimated."""
    expected = image(kdata, NoiseWeight(0.7), noise_std)
    found = reconstruct(kdata, Settings(weight=0.7, noise_std=noise_std, **COMMON))
    assert relative_image_difference(found.idata.data, expected) < 1e-5


def test_units_of_the_image(kdata: KData) -> None:
    """`Settings(weight=w, weight_unit='image')` is a number in Python, in any unit of the data."""
    expected = image(kdata, 0.3)
    settings = Settings(weight=0.3, weight_unit='image', **COMMON)
    found = reconstruct(kdata, settings)
    assert found.report['model'] == 'total variation with the weight 0.3 in units of the image'
    assert relative_image_difference(found.idata.data, expected) < 1e-5
    scale = 1e-4
    small = KData(kdata.header, scale * kdata.data, kdata.traj)
    found = reconstruct(small, Settings(weight=0.3 * scale, weight_unit='image', **COMMON))
    assert found.report['factor'] != 1
    assert relative_image_difference(found.idata.data / (scale * found.report['factor']), expected) < 1e-4


def test_after_prewhitening(tmp_path: Path) -> None:
    """The image is that of whitened data, and the noise level is 1: both units are the same."""
    noise = KNoise(0.05 * RandomGenerator(seed=2).complex64_tensor((5, 2, 1, 1, 40)))
    kdata = KData.from_file(write_raw(tmp_path / 'a.h5', simulate_kspace(2), lines=LINES), KTrajectoryCartesian())
    expected = image(kdata, NoiseWeight(0.7), noise=noise)
    for unit in ('noise', 'image'):
        found = reconstruct(kdata, Settings(weight=0.7, weight_unit=unit, **COMMON), noise=noise)
        assert relative_image_difference(found.idata.data, expected) < 1e-5


@pytest.mark.parametrize('options', [{}, {'weight': 'sure'}, {'model': 'tv-low-field'}])
def test_unit_without_a_number(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="weight_unit='image' needs a number as weight"):
        Settings(weight_unit='image', **options)
