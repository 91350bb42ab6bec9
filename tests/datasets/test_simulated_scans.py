"""Simulated scans of low-dose computed tomography."""

import copy
import math
from typing import Any

import pytest
import torch
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.datasets import AcquisitionFamily, LowDoseParallelBeam, LowDoseSample, SimulatedData, SimulatedScans
from torch.utils.data import default_collate

FAMILY = LowDoseParallelBeam(12)


def images(n: int = 3) -> list[torch.Tensor]:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 24),) * 2, indexing='ij')
    return [0.3 * (y.hypot(x) < 0.9) + 0.7 * (y.hypot(x - 0.1 * k) < 0.3) for k in range(n)]


def scans(**options: Any) -> SimulatedScans:
    return SimulatedScans(images(), FAMILY, **{'noise': 1 / 64, **options})


def test_the_family_finds_its_data_set() -> None:
    assert AcquisitionFamily.by_name()['LowDoseParallelBeam'] is LowDoseParallelBeam
    assert isinstance(SimulatedData.simulate(images(), FAMILY, noise=0.1), SimulatedScans)


def test_sample() -> None:
    sample = scans(crop=20)[1]
    assert isinstance(sample, LowDoseSample)
    assert sample.img.shape == sample.initial_image.shape == (1, 1, 20, 20)
    assert sample.data.shape == (1, 1, 12, math.ceil(20 * 2**0.5) + 1)
    assert sample.n_photons.item() == pytest.approx(4096)
    assert sample.img.max() == pytest.approx(0.5)
    assert sample.initial_image.min() == 0
    term = sample.acquisition_op()
    assert isinstance(term, PoissonCounts)
    (response,) = term.acquisition_op(sample.img)
    # the standard deviation of the data is that of counts
    normalized = (sample.data - response) * term.attenuation * term.counts(response).sqrt()
    assert normalized.mean().abs() < 0.15
    assert normalized.std() == pytest.approx(1, abs=0.12)
    torch.testing.assert_close(sample.noise_std, term.noise_std(sample.data, sample.img))


def test_counts_are_drawn_anew_in_each_epoch() -> None:
    data = scans(augment=True, crop=16, seed=3)
    first, again = data[0], copy.deepcopy(data)[0]
    for expected, found in zip(first, again, strict=True):
        assert torch.equal(expected, found)
    data.set_epoch(1)
    assert not torch.equal(data[0].data, first.data)
    plain = scans(seed=3)
    before = plain[0]
    plain.set_epoch(1)
    assert torch.equal(plain[0].img, before.img)
    assert not torch.equal(plain[0].data, before.data)


def test_batch() -> None:
    """Samples with their own numbers of photons."""
    data = scans(noise=(0.01, 0.1))
    samples = [data[0], data[2]]
    batch = default_collate(samples)
    assert batch.img.shape == (2, 1, 1, 24, 24)
    together = batch.acquisition_op().value(torch.zeros_like(batch.data), batch.data)
    for i, sample in enumerate(samples):
        alone = sample.acquisition_op().value(torch.zeros_like(sample.data), sample.data)
        torch.testing.assert_close(together[i], alone)
    assert batch.n_photons[0] != batch.n_photons[1]


def test_dense_objects_have_counts_of_zero() -> None:
    """They are no warning here, as they are to be expected."""
    sample = SimulatedScans(images(), LowDoseParallelBeam(12, largest=(1.0, 1.0)), noise=0.5)[0]
    assert sample.acquisition_op().counts(sample.data).min() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'noise': 0}, 'noise must be a finite number or a range'),
        ({'n_coils': 2}, 'A scan has neither coils nor colored noise'),
        ({'colored_noise': True}, 'A scan has neither coils nor colored noise'),
        ({'crop': 0}, 'crop must be a positive integer or None'),
        ({'sampling': None}, 'sampling must be a LowDoseParallelBeam, got NoneType'),
        ({'images': [torch.tensor([[-1.0, 1.0]])]}, 'images must be finite, non-negative'),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {'images': images(), 'sampling': FAMILY, 'noise': 0.1}
    with pytest.raises(ValueError, match=message):
        SimulatedScans(**arguments | options)


@pytest.mark.parametrize('options', [{'n_angles': 0}, {'largest': (0.6, 0.4)}, {'cutoff': 0.0}, {'field_of_view': 0}])
def test_families_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LowDoseParallelBeam(**options)
