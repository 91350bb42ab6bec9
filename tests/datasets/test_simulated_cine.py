"""Simulated acquisitions of the beating heart."""

from typing import Any

import pytest
import torch
from mrpro_lambda.datasets import ImageSource, KtLines, SimulatedCine, SimulatedData, read_images
from mrpro_lambda.datasets.cardiac_motion import contraction, displace, estimate_motion
from torch.utils.data import default_collate

from tests.helper import relative_image_difference


def disk(radius: float, size: int = 32) -> torch.Tensor:
    """Smooth disk with a bright rim."""
    axis = torch.arange(size) - size / 2
    r = torch.hypot(axis[:, None], axis)
    return torch.sigmoid(radius - r) + 0.5 * torch.exp(-(((r - radius) / 2) ** 2)) + 0.1


PAIR = torch.stack([disk(6), disk(9)])
CYCLE = torch.stack([disk(9 - 3 * contraction(i / 10, 0.35, 0.4)) for i in range(10)])


def area(frames: torch.Tensor) -> torch.Tensor:
    return (frames.abs() > 0.6).flatten(1).sum(-1).double()


def dataset(images: Any = (PAIR,), **changes: Any) -> SimulatedCine:
    sampling = changes.pop('sampling', KtLines(4.0, 4, n_frames=12))
    return SimulatedCine(images, sampling, **{'noise': 0.1, 'n_coils': 3} | changes)


def test_lines_of_a_frame() -> None:
    """Whole readouts, as many in each frame, others in each, always those at the center, more there than outside."""
    masks = KtLines((4.0, 4.0), 6, n_frames=40).mask((48, 20), torch.Generator().manual_seed(0))
    assert masks.shape == (40, 48, 20)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(masks, masks[..., :1].expand_as(masks))
    lines = masks[..., 0]
    assert lines.sum(-1).unique().tolist() == [12]
    assert bool((lines[:, 21:27] == 1).all())
    assert len(lines.unique(dim=0)) > 30
    assert lines[:, 12:36].mean() > 2 * lines[:, [*range(12), *range(36, 48)]].mean()
    assert lines.any(0).float().mean() > 0.9
    again = KtLines((4.0, 4.0), 6, n_frames=40).mask((48, 20), torch.Generator().manual_seed(0))
    assert torch.equal(again, masks)
    accelerations = [
        48 / KtLines((2.0, 6.0), 2).mask((48, 8), torch.Generator().manual_seed(i))[0, :, 0].sum() for i in range(20)
    ]
    assert min(accelerations) < 3
    assert max(accelerations) > 5


def test_motion_brings_one_frame_to_the_other() -> None:
    small, large = PAIR
    motion = estimate_motion(large, small)
    moved = displace(small, motion)
    assert (moved - large).norm() < 0.4 * (small - large).norm()
    assert torch.equal(displace(small, torch.zeros_like(motion)), small)
    shift = torch.zeros_like(motion)
    shift[0] = 2
    torch.testing.assert_close(displace(small, shift)[:-2], small[2:], rtol=1e-5, atol=1e-5)


def test_contraction_is_periodic_and_smooth() -> None:
    phases = torch.linspace(-1, 2, 3001).tolist()
    values = torch.tensor([contraction(p, 0.35, 0.4) for p in phases])
    torch.testing.assert_close(values[:1001], values[1000:2001], rtol=0, atol=1e-5)
    assert values.min() == 0
    assert values.max() > 0.999
    assert contraction(0.35, 0.35, 0.4) == 1
    assert contraction(0.8, 0.35, 0.4) == pytest.approx(0, abs=1e-30)
    assert values.diff().abs().max() < 2 * 0.001 * 3.2 / 2 / 0.35  # no jump: the slope of a squared sine


@pytest.mark.parametrize('images', [(PAIR,), (CYCLE,)], ids=['pair', 'cycle'])
def test_the_heart_contracts_and_relaxes_once_in_a_cycle(images: Any) -> None:
    data = dataset(images, noise=0.0, seed=3)
    areas = area(data[0].img)
    assert areas.max() > 1.5 * areas.min()
    assert areas.min() >= 0.9 * area(PAIR)[0]
    assert areas.max() <= 1.1 * area(PAIR)[1]
    changes = torch.cat((areas, areas[:1])).diff()
    signs = changes[changes != 0].sign()
    assert (signs != signs.roll(1)).sum() == 2  # one contraction, one relaxation, also across the ends


def test_frames_of_a_cycle_are_kept() -> None:
    data = dataset((CYCLE,), noise=0.0, sampling=KtLines(4.0, 4, n_frames=10))
    torch.testing.assert_close(data[0].img.abs()[:, 0, 0] * CYCLE.max(), CYCLE)


def test_series_in_real_time_has_several_beats() -> None:
    data = dataset(noise=0.0, sampling=KtLines(4.0, 4, n_frames=30, frames_per_cycle=10.0))
    img = data[0].img
    torch.testing.assert_close(img[:10], img[10:20], rtol=1e-4, atol=1e-4)
    assert (img[5] - img[0]).norm() > 0.05 * img[0].norm()


@pytest.mark.parametrize('augment', [False, True])
@pytest.mark.parametrize('n_coils', [1, 3, (1, 3)])
def test_samples_are_acquisitions_of_series(n_coils: Any, augment: bool) -> None:
    """In mrpro's shapes, with the noise that is said, adjoint initial image, and a phase that rests."""
    options = {'n_coils': n_coils, 'augment': augment, 'crop': 24}
    data, clean = (dataset((PAIR, PAIR), noise=noise, **options) for noise in (0.2, 0.0))
    batch, truth = (default_collate([d[0], d[1]]) for d in (data, clean))
    most = max(n_coils) if isinstance(n_coils, tuple) else n_coils
    assert batch.img.shape == batch.initial_image.shape == (2, 12, 1, 1, 24, 24)
    assert batch.data.shape == (2, 12, most, 1, 24, 24)
    assert batch.img.abs().amax((1, 2, 3, 4, 5)).tolist() == pytest.approx([1, 1])
    operator = batch.acquisition_op()
    assert torch.equal(batch.img, truth.img)
    assert torch.equal(batch.mask, truth.mask)
    assert relative_image_difference(truth.data, operator(truth.img)[0]) < 1e-6
    assert relative_image_difference(batch.initial_image, operator.adjoint(batch.data)[0]) < 1e-6
    phase = torch.polar(torch.ones_like(batch.img.abs()), batch.img.angle())
    torch.testing.assert_close(phase, phase[:, :1].expand_as(phase), rtol=0, atol=1e-3)
    for i in range(2):
        noise = (batch.data - truth.data)[i]
        measured = noise[noise != 0].abs().square().mean().sqrt()
        assert measured == pytest.approx(batch.noise_std[i].item(), rel=0.1)
        assert batch.noise_std[i].item() == pytest.approx(
            0.2 * batch.img[i].abs().square().mean().sqrt().item(), rel=1e-4
        )


def test_samples_depend_on_seed_epoch_and_index_only() -> None:
    data = dataset((PAIR, PAIR), augment=True, crop=24, seed=1)
    first = data[1]
    torch.random.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(first, data[1], strict=True))
    assert not torch.equal(first.img, data[0].img)
    data.set_epoch(1)
    assert not torch.equal(first.mask, data[1].mask)
    with pytest.raises(IndexError):
        data[2]


def test_configurations_find_the_data_set() -> None:
    found = SimulatedData.simulate([PAIR], KtLines(4.0, 4), noise=0.1)
    assert isinstance(found, SimulatedCine)


def test_images_of_a_file_become_series(tmp_path: Any) -> None:
    """In the order of the file, with one scale for each, and any rest is an error."""
    import numpy as np

    images = torch.cat([PAIR, 0.5 * PAIR.flip(0), CYCLE[:2]])
    np.save(tmp_path / 'images.npy', (100 * images).numpy())
    series = read_images(ImageSource(tmp_path / 'images.npy', n_frames=2))
    assert [tuple(s.shape) for s in series] == [(2, 32, 32)] * 3
    torch.testing.assert_close(series[0], PAIR / PAIR.max())
    torch.testing.assert_close(series[1], PAIR.flip(0) / PAIR.max())
    assert [tuple(s.shape) for s in read_images(ImageSource(tmp_path / 'images.npy', n_frames=3, size=16))] == [
        (3, 16, 16)
    ] * 2
    with pytest.raises(ValueError, match='must be whole series of n_frames=4, got 6'):
        read_images(ImageSource(tmp_path / 'images.npy', n_frames=4))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'images': ()}, 'at least one series, got none'),
        (
            {'images': (PAIR[0],)},
            r'must be series of real magnitude images of shape \(frames, y, x\), got .* \(32, 32\)',
        ),
        ({'images': (PAIR[:1],)}, r'at least 2 frames, got torch.float32 of shape \(1, 32, 32\) at index 0'),
        ({'images': (PAIR, -PAIR)}, 'non-negative .* at index 1'),
        ({'colored_noise': True}, 'colored_noise is not simulated for series'),
        ({'noise': (0.0, 0.1)}, 'must not begin at 0'),
        ({'n_coils': 0}, 'n_coils must be one or several positive integers'),
        ({'crop': 0}, 'crop must be a positive integer'),
        ({'sampling': 3}, 'sampling must be KtLines, got int'),
    ],
)
def test_invalid_data_sets(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(**change)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'n_frames': 1}, 'n_frames must be an integer of at least 2'),
        ({'acceleration': 0.5}, 'acceleration must be'),
        ({'frames_per_cycle': 1.0}, 'frames_per_cycle must be'),
        ({'n_center_lines': -1}, 'n_center_lines must be'),
    ],
)
def test_invalid_sampling(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KtLines(**options)


def test_more_lines_at_the_center_than_permitted() -> None:
    with pytest.raises(
        ValueError, match=r'n_center_lines=8, acceleration=6 permits 3 lines in a k-space of shape \(18, 18\)'
    ):
        KtLines(6.0, 8).mask((18, 18), torch.Generator())
