"""Tests of the data set of simulated acquisitions."""

import copy
import math
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mrpro.operators import FastFourierOp
from mrpro_lambda.datasets import (
    AcquisitionSample,
    CartesianLines,
    CartesianSampling,
    CentralBox,
    Radial,
    RadialSample,
    SimulatedAcquisitions,
    VariableDensityRandom,
)
from torch.utils.data import default_collate

IMAGES = torch.rand(4, 24, 20, generator=torch.Generator().manual_seed(0)) + 0.1
SAMPLINGS: list[CartesianSampling | Radial] = [
    CentralBox(0.5),
    VariableDensityRandom(3.0),
    CartesianLines(2.0, 4),
    Radial(9, random_start=True),
]


def equal(a: AcquisitionSample | RadialSample, b: AcquisitionSample | RadialSample) -> bool:
    return type(a) is type(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize('sampling', SAMPLINGS, ids=str)
@pytest.mark.parametrize('n_coils', [1, 3])
def test_shapes(sampling: CartesianSampling | Radial, n_coils: int) -> None:
    dataset = SimulatedAcquisitions(IMAGES, sampling, noise=0.1, n_coils=n_coils, crop=16, augment=True)
    loader = torch.utils.data.DataLoader(dataset, batch_size=2, generator=torch.Generator())
    batches = list(loader)
    assert len(dataset) == 4
    assert len(batches) == 2
    k1, k0 = (9, 32) if isinstance(sampling, Radial) else (16, 16)
    for batch in batches:
        assert isinstance(batch, RadialSample if isinstance(sampling, Radial) else AcquisitionSample)
        assert batch.img.shape == batch.initial_image.shape == (2, 1, 1, 16, 16)
        assert batch.csm.shape == (2, n_coils, 1, 16, 16)
        assert batch.data.shape == (2, n_coils, 1, k1, k0)
        assert batch.noise_std.shape == (2, 1, 1, 1, 1)
        for complex_tensor in (batch.img, batch.initial_image, batch.csm, batch.data):
            assert complex_tensor.dtype == torch.complex64
        if isinstance(batch, AcquisitionSample):
            assert batch.mask.shape == (2, 1, 1, k1, k0)
            assert batch.mask.dtype == batch.noise_std.dtype == torch.float32
            assert (batch.data[(batch.mask == 0).expand_as(batch.data)] == 0).all()
            assert (batch.data[(batch.mask == 1).expand_as(batch.data)] != 0).all()
        else:
            assert batch.traj.shape == (2, 3, 1, 1, k1, k0)
        peak = batch.img.abs().amax(dim=(1, 2, 3, 4))
        torch.testing.assert_close(peak, torch.ones(2))


@pytest.mark.parametrize('augment', [True, False])
@pytest.mark.parametrize('sampling', SAMPLINGS[1:], ids=str)
def test_sample_depends_on_seed_epoch_and_index_only(sampling: CartesianSampling | Radial, augment: bool) -> None:
    images = IMAGES[:1].expand(3, -1, -1)  # the same image, so that only the random draws differ

    def create(seed: int, epoch: int) -> SimulatedAcquisitions:
        dataset = SimulatedAcquisitions(
            images, sampling, noise=(0.1, 0.5), n_coils=2, crop=16, augment=augment, seed=seed
        )
        dataset.set_epoch(epoch)
        return dataset

    first, again = create(5, 0), create(5, 0)
    in_order = [first[i] for i in range(3)]
    assert all(equal(again[i], in_order[i]) for i in (2, 0, 1))
    assert equal(again[-1], in_order[2])
    for other in (in_order[1], create(5, 1)[0], create(6, 0)[0], create(0, 5)[0]):
        for name in ('img', 'csm', 'data', 'noise_std'):
            assert not torch.equal(getattr(other, name), getattr(in_order[0], name)), name
    again.set_epoch(1)
    assert not equal(again[0], in_order[0])
    again.set_epoch(0)
    assert equal(again[0], in_order[0])


def test_noise_level_changes_neither_image_nor_mask_nor_noise() -> None:
    low, high = (
        SimulatedAcquisitions(IMAGES, SAMPLINGS[1], noise=noise, n_coils=2, crop=16, augment=True)[1]
        for noise in (0.1, 0.2)
    )
    assert torch.equal(low.img, high.img)
    assert torch.equal(low.csm, high.csm)
    assert torch.equal(low.data == 0, high.data == 0)
    clean = SimulatedAcquisitions(IMAGES, SAMPLINGS[1], noise=0.0, n_coils=2, crop=16, augment=True)[1]
    torch.testing.assert_close(2 * (low.data - clean.data), high.data - clean.data, rtol=0, atol=1e-6)


def test_global_random_state_is_untouched() -> None:
    dataset = SimulatedAcquisitions(
        IMAGES, SAMPLINGS[1], noise=(0.1, 1), n_coils=(1, 2), crop=16, augment=True, colored_noise=True
    )
    torch_state, numpy_state = torch.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    sample = dataset[0]
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert pickle.dumps(np.random.get_state()) == numpy_state  # noqa: NPY002
    torch.rand(3)
    assert equal(dataset[0], sample)


@pytest.mark.filterwarnings('ignore:This process .* is multi-threaded:DeprecationWarning')
def test_persistent_workers_see_the_epoch() -> None:
    dataset = SimulatedAcquisitions(IMAGES, SAMPLINGS[1], noise=0.1, crop=16, augment=True)
    reference = copy.deepcopy(dataset)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=2, num_workers=2, persistent_workers=True, generator=torch.Generator()
    )
    for epoch in (0, 1, 7):
        dataset.set_epoch(epoch)
        reference.set_epoch(epoch)
        data = torch.cat([batch.data for batch in loader])
        torch.testing.assert_close(data, torch.stack([reference[i].data for i in range(4)]), rtol=1e-5, atol=1e-6)


def test_copies() -> None:
    """The epoch is shared with worker processes, however they are started, but not with copies."""
    dataset = SimulatedAcquisitions(IMAGES, SAMPLINGS[0], noise=0.1)
    in_worker = ForkingPickler.loads(ForkingPickler.dumps(dataset))
    copies = [copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))]  # noqa: S301
    dataset.set_epoch(4)
    assert in_worker.epoch == 4
    assert equal(in_worker[0], dataset[0])
    for other in copies:
        assert other.epoch == 0
        assert other._epoch.is_shared()


@pytest.mark.parametrize(('n_coils', 'colored_noise'), [(1, False), (3, False), (3, (0.2, 0.4))])
def test_noise_level(n_coils: int, colored_noise: bool | tuple[float, float]) -> None:
    """Noise is relative to the root mean square of the image over the field of view, whatever is sampled."""
    noisy, clean = (
        SimulatedAcquisitions(
            IMAGES.repeat(10, 4, 4), CentralBox(0.5), noise=noise, n_coils=n_coils, colored_noise=colored_noise, seed=1
        )
        for noise in (0.3, 0.0)
    )
    squares, n_samples = 0.0, 0.0
    for i in range(len(noisy)):
        sample, reference = noisy[i], clean[i]
        assert isinstance(sample, AcquisitionSample)
        rms = sample.img.abs().square().mean().sqrt()
        torch.testing.assert_close(sample.noise_std.squeeze(), 0.3 * rms)
        squares += float((sample.data - reference.data).abs().square().sum()) / float(rms) ** 2
        n_samples += n_coils * float((sample.mask > 0).sum())
    assert math.isclose(math.sqrt(squares / n_samples), 0.3, rel_tol=0.01)


def test_radial_noise_level() -> None:
    noisy, clean = (SimulatedAcquisitions(IMAGES.repeat(10, 2, 2), Radial(20), noise=noise) for noise in (0.3, 0.0))
    ratios = [
        ((noisy[i].data - clean[i].data).abs().square().mean().sqrt() / noisy[i].noise_std).squeeze()
        for i in range(len(noisy))
    ]
    torch.testing.assert_close(torch.stack(ratios).mean(), torch.tensor(1.0), rtol=0.01, atol=0)
    # an image of 48 x 40 pixels is encoded on 96 x 96 points
    expected = 0.3 * noisy[0].img.norm() / 96
    torch.testing.assert_close(noisy[0].noise_std.squeeze(), expected)


def test_noise_range_is_logarithmic() -> None:
    dataset = SimulatedAcquisitions(IMAGES[:1].expand(400, -1, -1), SAMPLINGS[0], noise=(0.01, 1.0))
    levels = torch.stack(
        [x.noise_std.squeeze() / x.img.abs().square().mean().sqrt() for x in map(dataset.__getitem__, range(400))]
    )
    assert levels.min() >= 0.0099
    assert levels.max() <= 1.001
    assert math.isclose((levels < 0.1).float().mean(), 0.5, abs_tol=0.07)


def test_colored_noise_is_whitened() -> None:
    """The data are white with weights in the mask; the initial image shows the noise as it was measured."""
    noisy, clean = (
        SimulatedAcquisitions(torch.ones(20, 64, 64), CentralBox(0.5), noise=noise, colored_noise=(0.2, 0.3), seed=2)
        for noise in (0.3, 0.0)
    )
    whitened = torch.stack([(noisy[i].data - clean[i].data) / noisy[i].noise_std for i in range(20)])
    std = whitened[:, 0, 0, 16:48, 16:48].abs().square().mean((0, 2)).sqrt()
    assert 0.8 < std.min() < 1 < std.max() < 1.2
    measured = torch.stack([FastFourierOp()(noisy[i].initial_image - clean[i].initial_image)[0] for i in range(20)])
    std = measured[:, 0, 0, :, 16:48].abs().square().mean((0, 2)).sqrt()
    for edge in (16, 47):
        assert 0.17 < std[edge] / std[30:34].mean() < 0.35
        sample = noisy[0]
        assert isinstance(sample, AcquisitionSample)
        ratio = sample.mask[0, 0, 32, 32] / sample.mask[0, 0, edge, 32]
        assert 0.15 < ratio < 0.35


@pytest.mark.parametrize('crop', [16, 30, None])
def test_without_augmentation_the_center_is_used(crop: int | None) -> None:
    """The pixel n // 2 of the image becomes the pixel n // 2 of the crop, and zeros are outside of the image."""
    images = [IMAGES[0], IMAGES[1, :20, :18]]
    dataset = SimulatedAcquisitions(images, CentralBox(0.5), noise=0.1, crop=crop)
    for i, image in enumerate(images):
        n_y, n_x = image.shape if crop is None else (crop, crop)
        start_y, start_x = 20 + image.shape[0] // 2 - n_y // 2, 20 + image.shape[1] // 2 - n_x // 2
        expected = torch.nn.functional.pad(image, (20, 20, 20, 20))[start_y : start_y + n_y, start_x : start_x + n_x]
        torch.testing.assert_close(dataset[i].img.abs()[0, 0], expected / expected.max())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'images': []}, 'at least one image'),
        ({'images': torch.ones(2, 3, 4, 5)}, r'\(3, 4, 5\) at index 0'),
        ({'images': [torch.ones(4, 4), torch.ones(4, 4) * 1j]}, 'complex64 of shape .* at index 1'),
        ({'images': [-torch.ones(4, 4)]}, 'non-negative'),
        ({'images': [torch.ones(4, 4), torch.full((4, 4), torch.nan)]}, 'finite'),
        ({'images': [torch.zeros(4, 4)]}, 'not zero everywhere'),
        ({'images': [torch.nn.functional.pad(torch.ones(2, 2), (0, 20, 0, 20))], 'crop': 4}, 'central crop'),
        ({'sampling': 'radial'}, 'CartesianSampling or Radial'),
        ({'noise': -0.1}, 'noise'),
        ({'noise': (0.0, 0.1)}, 'begin at 0'),
        ({'noise': (0.2, 0.1)}, 'noise'),
        ({'n_coils': 0}, 'n_coils'),
        ({'n_coils': ()}, 'n_coils'),
        ({'crop': 0}, 'crop'),
        ({'zoom': (0.0, 1.0)}, 'zoom'),
        ({'zoom': (1.2, 1.0)}, 'zoom'),
        ({'colored_noise': (0.0, 0.5)}, 'colored_noise'),
        ({'colored_noise': True, 'sampling': Radial(9)}, 'Cartesian'),
        ({'seed': -1}, 'seed'),
    ],
)
def test_bad_values(changes: dict, message: str) -> None:
    arguments = {'images': IMAGES, 'sampling': SAMPLINGS[0], 'noise': 0.1, **changes}
    with pytest.raises(ValueError, match=message):
        SimulatedAcquisitions(**arguments)


def test_bad_epoch_and_index() -> None:
    dataset = SimulatedAcquisitions(IMAGES, SAMPLINGS[0], noise=0.1)
    with pytest.raises(ValueError, match='epoch'):
        dataset.set_epoch(-1)
    with pytest.raises(IndexError, match='4'):
        dataset[4]


@pytest.mark.parametrize('sampling', [CentralBox(0.5), Radial(6)])
def test_different_numbers_of_coils_batch(sampling: CentralBox | Radial) -> None:
    """Coils of zero sensitivity fill up, and change neither the number of real coils nor the adjoint."""
    image = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    data = SimulatedAcquisitions([image] * 8, sampling, noise=0.1, n_coils=(1, 3))
    batch = default_collate([data[i] for i in range(8)])
    n_coils = batch.csm.abs().amax((-3, -2, -1)).count_nonzero(1)
    assert set(n_coils.tolist()) == {1, 3}
    assert torch.equal(batch.data.abs().amax((-3, -2, -1)).count_nonzero(1), n_coils)
    density = sampling.density_compensation((12, 12)) if isinstance(sampling, Radial) else 1.0
    (initial_image,) = batch.acquisition_op().adjoint(density * batch.data)
    torch.testing.assert_close(initial_image, batch.initial_image, rtol=1e-4, atol=1e-4)
