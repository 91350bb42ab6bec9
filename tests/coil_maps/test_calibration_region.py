"""The fully sampled center is found in the trajectory."""

import pytest
import torch
from mrpro.data import KData, KTrajectory, SpatialDimension
from mrpro_lambda.coil_maps import acceleration, calibration_region
from mrpro_lambda.raw_data import upsample

from tests.coil_maps.cases import N, coil_images, radial_scan, scan, with_header

ALL = range(-N // 2, N // 2)


def width(kdata: KData, smallest_width: int = 1) -> tuple[int, int, int] | None:
    region = calibration_region(kdata, smallest_width)
    return None if region is None else region.zyx


@pytest.mark.parametrize(
    ('lines', 'expected'),
    [
        (ALL, N),
        ([*range(-8, 8), *range(-16, 16, 5)], 16),
        ([*range(-7, 8)], 15),
        ([*range(-8, 7)], 14),
        ([*range(-5, 16)], 11),  # partial Fourier
    ],
)
def test_width_of_lines(lines: list[int], expected: int) -> None:
    kdata = scan(coil_images(1), sorted({*lines}))
    assert width(kdata) == (1, expected, N)
    assert width(kdata, expected) == (1, expected, N)
    assert width(kdata, min(expected + 1, N)) == ((1, N, N) if expected == N else None)


def test_regular_lines_have_no_center() -> None:
    assert calibration_region(scan(coil_images(1), range(-15, 16, 3))) is None


def test_center_is_that_of_all_images() -> None:
    frames = [scan(coil_images(1, seed=i), lines) for i, lines in enumerate((range(-8, 8), range(-4, 12)))]
    ky = torch.cat([frame.traj.ky for frame in frames])
    traj = KTrajectory(frames[0].traj.kz, ky, frames[0].traj.kx)
    matrix = SpatialDimension(1, N, N)
    assert width(with_header(torch.cat([frame.data for frame in frames]), traj, matrix, matrix)) == (1, 9, N)


def test_box_is_the_best_of_all() -> None:
    for seed in range(5):
        mask = torch.rand(13, 12, generator=torch.Generator().manual_seed(seed)) < 0.6
        mask[4:8, 4:9] = True
        centered = {
            (h, w)
            for h in range(1, 14)
            for w in range(1, 13)
            if mask[6 - h // 2 : 6 - h // 2 + h, 6 - w // 2 : 6 - w // 2 + w].all()
        }
        best = max(centered, key=lambda box: (min(box), box[0] * box[1]))
        found = width(scan(coil_images(1, (1, 13, 12)), mask=mask))
        assert found is not None
        assert found[1:] in centered
        assert (min(found[1:]), found[1] * found[2]) == (min(best), best[0] * best[1])


def test_width_is_in_samples_of_the_image() -> None:
    kdata = scan(coil_images(1), range(-8, 8), oversampling=2)
    assert width(kdata) == (1, 16, N)
    assert width(upsample(scan(coil_images(1), range(-8, 8)), 2)) == (1, 16, N)


def test_box_of_spokes_is_around_the_ball_of_the_nyquist_criterion() -> None:
    for n_spokes in (16, 24, 36):
        found = width(radial_scan(coil_images(1, (1, 48, 48)), n_spokes))
        assert found is not None
        assert found[1] == found[2]
        radius = n_spokes / torch.pi  # where neighbors have a distance of 1
        assert 2 * (radius - 1) - 1 <= found[1] <= 1.25 * 2 * radius  # whole samples


@pytest.mark.parametrize(('lines', 'expected'), [(ALL, 1.0), (range(-16, 16, 4), 4.0), (range(-8, 8), 1.0)])
def test_acceleration_is_that_within_the_measured_band(lines: list[int], expected: float) -> None:
    assert acceleration(scan(coil_images(1), lines)) == pytest.approx(expected, rel=0.1)


def test_acceleration_of_spokes_is_that_at_the_edge() -> None:
    assert acceleration(radial_scan(coil_images(1, (1, 48, 48)), 16)) == pytest.approx(torch.pi * 24 / 16, rel=0.2)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match='k-space data'):
        calibration_region(coil_images(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='smallest_width'):
        calibration_region(scan(coil_images(1)), 0)
