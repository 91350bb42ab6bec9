"""Coil maps come from the best source at hand."""

import pytest
import torch
from mrpro.data import CsmData, KData, KTrajectory, SpatialDimension
from mrpro.operators import FourierOp
from mrpro_lambda.coil_maps import CoilMapMethod, center_images, espirit, find_coil_maps, windowed
from mrpro_lambda.raw_data import upsample

from tests.coil_maps.cases import N, coil_images, head, idata, misalignment, radial_scan, scan, true_maps, with_header

ACCELERATED = sorted({*range(-15, 16, 3), *range(-8, 8)})
INSIDE = head()[0].abs() > 0


def regular() -> KData:
    return scan(coil_images(), range(-15, 16, 3))


def error(csm: CsmData) -> torch.Tensor:
    """Largest misalignment of the maps in the object."""
    return misalignment(csm.data[0], true_maps(6))[INSIDE].max()


@pytest.mark.parametrize(('method', 'largest'), [('espirit', 0.002), ('inati', 0.1), ('walsh', 0.1)])
def test_center_of_the_scan(method: CoilMapMethod, largest: float) -> None:
    maps = find_coil_maps(scan(coil_images(), ACCELERATED), method=method)
    assert (maps.source, maps.method) == ('center', method)
    assert maps.width is not None
    assert maps.width.zyx == (1, 16, N)
    assert error(maps.csm) < largest
    assert str(maps) == f'center ({method}, 16 x 32 samples)'


@pytest.mark.parametrize('n', [8, 12, 16])
def test_kernel_is_small_enough_for_a_small_center(n: int) -> None:
    kdata = scan(coil_images(noise=0.01), mask=torch.nn.functional.pad(torch.ones(n, n), ((N - n) // 2,) * 4))
    width, kernel = SpatialDimension(1, n, n), SpatialDimension(1, n // 2, n // 2)
    images = center_images(kdata, width)
    half = espirit(images, calibration_width=width, kernel_width=kernel)
    inside = head()[0].abs() > 0
    found, expected = (
        misalignment(csm.data[0], true_maps(6))[inside].norm() for csm in (find_coil_maps(kdata).csm, half)
    )
    assert found < 0.8 * expected


def test_methods_of_mrpro_take_a_smooth_center() -> None:
    kdata, region = scan(coil_images(), ACCELERATED), SpatialDimension(1, 16, N)
    expected = CsmData.from_idata_inati(windowed(center_images(kdata, region), region))
    assert torch.equal(find_coil_maps(kdata, method='inati').csm.data, expected.data)


def test_maps_are_zero_where_nothing_is_measured_on_request() -> None:
    kdata = scan(coil_images(), ACCELERATED)
    whole, cropped = find_coil_maps(kdata).csm.data, find_coil_maps(kdata, crop=0.9).csm.data
    empty = ~cropped.any(-4, keepdim=True)
    assert 0.05 < empty.float().mean() < 0.5
    torch.testing.assert_close(cropped, whole.masked_fill(empty, 0))


def test_center_of_spokes() -> None:
    maps = find_coil_maps(radial_scan(coil_images(), 40))
    assert maps.source == 'center'
    assert error(maps.csm) < 0.01


def test_calibration_comes_before_the_center() -> None:
    other = torch.cat([coil_images(5), coil_images(1)], dim=1)  # of other coils
    maps = find_coil_maps(scan(other, ACCELERATED), calibration=scan(coil_images(), width=16))
    assert maps.source == 'calibration'
    assert error(maps.csm) < 0.002


def test_given_maps_come_first_and_stay_as_they_are() -> None:
    given = true_maps(6)[None] * 0.7
    for value in (given, CsmData(given, idata(given).header), given[0]):
        maps = find_coil_maps(scan(coil_images(), ACCELERATED), maps=value)
        assert (maps.source, maps.method, maps.width, str(maps)) == ('given', None, None, 'given')
        torch.testing.assert_close(maps.csm.data, given)


def test_given_maps_are_interpolated_to_a_refined_grid() -> None:
    maps = find_coil_maps(upsample(scan(coil_images(), ACCELERATED), 2), maps=true_maps(6))
    assert maps.csm.data.shape == (1, 6, 1, 2 * N, 2 * N)
    assert misalignment(maps.csm.data[0, :, :, ::2, ::2], true_maps(6))[INSIDE].max() < 0.01


def test_image_itself_is_the_last_source_and_told() -> None:
    with pytest.warns(UserWarning, match=r'2.9 times fewer.*aliased.*stays folded.*ESPIRiT needs') as record:
        maps = find_coil_maps(regular())
    assert (maps.source, maps.method, maps.width) == ('image', 'inati', None)
    assert error(maps.csm) > 0.1
    assert record[0].filename == __file__
    half = scan(coil_images(), [*range(-16, 2), 6])
    with pytest.warns(UserWarning, match='estimated from the image itself') as record:
        find_coil_maps(half, method='walsh')
    assert 'folded' not in str(record[0].message)
    assert 'ESPIRiT' not in str(record[0].message)


@pytest.mark.parametrize(
    ('maps', 'match'),
    [
        (torch.ones(1, 6, 1, N, N), 'complex'),
        (torch.ones(6, N, N) + 0j, r'shape \(\*other, coils, z, y, x\)'),
        (torch.zeros(1, 6, 1, N, N) + 0j, 'all zero'),
        (torch.full((1, 6, 1, N, N), torch.nan) + 0j, 'finite'),
        (torch.ones(1, 5, 1, N, N) + 0j, 'the 6 coils of the data, got 5'),
        (torch.ones(1, 6, 2, N, N) + 0j, r'grid \(1, 32, 32\)'),
        (torch.ones(1, 6, 1, N, N // 2) + 0j, 'same factor'),
        (torch.ones(3, 6, 1, N, N) + 0j, 'broadcast'),
        (torch.ones(1, 1, 6, 1, N, N) + 0j, 'broadcast'),
    ],
)
def test_wrong_maps_are_refused(maps: torch.Tensor, match: str) -> None:
    kdata = scan(torch.cat([coil_images(), 2 * coil_images()]))
    with pytest.raises(ValueError, match=match):
        find_coil_maps(kdata, maps=maps)


def test_wrong_choices_are_refused() -> None:
    kdata = scan(coil_images())
    with pytest.raises(ValueError, match=r'method of coil maps.*sake'):
        find_coil_maps(kdata, method='sake')  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='either maps or calibration'):
        find_coil_maps(kdata, maps=true_maps(6), calibration=kdata)
    with pytest.raises(ValueError, match='calibration_width'):
        find_coil_maps(kdata, calibration_width=4)
    with pytest.raises(TypeError, match='coil maps'):
        find_coil_maps(kdata, maps=[1])  # type: ignore[arg-type]


def test_volume_with_two_phase_encodings() -> None:
    shape = (12, 16, 14)
    images = coil_images(4, shape)
    sampled = torch.zeros(shape[:2], dtype=torch.bool)
    sampled[::2, ::2] = sampled[2:10, 3:13] = True
    kz, ky = (
        (index - n // 2).float().reshape(1, 1, 1, -1, 1) for index, n in zip(sampled.nonzero().T, shape, strict=False)
    )
    traj = KTrajectory(kz, ky, torch.arange(-7, 7).float().reshape(1, 1, 1, 1, -1))
    matrix = SpatialDimension(*shape)
    (data,) = FourierOp(matrix, matrix, traj)(images)
    maps = find_coil_maps(with_header(data, traj, matrix, matrix))
    assert maps.source == 'center'
    assert maps.width is not None
    assert maps.width.zyx == (8, 10, 14)
    inside = head(shape)[0].abs() > 0
    assert misalignment(maps.csm.data[0], true_maps(4, shape))[inside].max() < 0.02
