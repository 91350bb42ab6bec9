"""Tests of reading raw data."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
import torch
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian, KTrajectoryRadial2D
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.raw_data import TRAJECTORIES, read_kdata, read_noise, read_scan, to_unit_range, upsample
from mrpro_lambda.reconstruct import Settings, reconstruct_file
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction, prewhiten

from tests.raw_data.cases import cartesian_lines, sampled_fraction, write_lines
from tests.raw_file import LINES, N_X, N_Y, simulate_kspace, write_raw


@pytest.fixture(autouse=True)
def _ignore_warnings() -> Iterator[None]:
    """mrpro's warnings are notes for the command line, except for those that it makes errors."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def images(kdata: KData) -> torch.Tensor:
    return FourierOp.from_kdata(kdata).adjoint(kdata.data)[0]


def test_file_is_read_as_by_mrpro(tmp_path: Path) -> None:
    file = write_raw(tmp_path / 'scan.h5')
    kdata, expected = read_kdata(file, 'cartesian'), KData.from_file(file, KTrajectoryCartesian())
    torch.testing.assert_close(kdata.data, expected.data)
    torch.testing.assert_close(kdata.data[:, :, 0], simulate_kspace())
    torch.testing.assert_close(kdata.traj.as_tensor(), expected.traj.as_tensor())
    assert kdata.header.encoding_matrix.zyx == (1, N_Y, N_X)


def test_trajectory_of_the_file_is_used(tmp_path: Path) -> None:
    file = write_raw(tmp_path / 'scan.h5', lines=LINES, trajectory=True)
    torch.testing.assert_close(images(read_kdata(file, 'ismrmrd')), images(read_kdata(file, 'cartesian')))


def test_readout_oversampling_is_removed(tmp_path: Path) -> None:
    kdata = read_kdata(write_raw(tmp_path / 'scan.h5', simulate_kspace(n_x=2 * N_X)), 'cartesian')
    assert kdata.data.shape == (2, 1, 1, N_Y, N_X)
    without = read_kdata(write_raw(tmp_path / 'once.h5'), 'cartesian')
    torch.testing.assert_close(images(kdata), images(without), rtol=0, atol=0.15)  # other noise


@pytest.mark.parametrize('step_2', [False, True])
def test_points_with_a_trajectory_become_one_plane(tmp_path: Path, step_2: bool) -> None:
    """Single samples at any points of a plane, whichever encoding indices they have."""
    file, kspace = tmp_path / 'points.h5', simulate_kspace(n_coils=2, n_slices=1)
    write_raw(file, kspace[..., :1])  # for its header
    points = [(y, x) for y in range(N_Y) for x in range(N_X) if (3 * y + x) % 4 == 0 or y == x]
    with h5py.File(file, 'a') as content:
        del content['dataset']['data']
        xml = content['dataset']['xml']
        xml[0] = xml[0].replace(b'<x>1</x>', f'<x>{N_X}</x>'.encode())
    with ismrmrd.Dataset(str(file), create_if_needed=False) as dataset:
        for number, (y, x) in enumerate(points):
            data = np.ascontiguousarray(kspace[0, :, y, x, None])
            acquisition = ismrmrd.Acquisition.from_array(data, np.array([[x - N_X // 2, y - N_Y // 2]], np.float32))
            acquisition.idx.kspace_encode_step_1 = y if step_2 else number
            acquisition.idx.kspace_encode_step_2 = x if step_2 else 0
            acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = map(tuple, np.eye(3))
            dataset.append_acquisition(acquisition)
    kdata = read_kdata(file, 'ismrmrd')
    mask = torch.zeros(N_Y, N_X)
    mask[tuple(zip(*points, strict=True))] = 1
    assert sampled_fraction(kdata) == pytest.approx(mask.mean().item())
    expected = torch.fft.fftshift(
        torch.fft.ifftn(torch.fft.ifftshift(mask * kspace[0], (-2, -1)), dim=(-2, -1), norm='ortho'), (-2, -1)
    )
    torch.testing.assert_close(images(kdata)[0, :, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'trajectory', 'message'),
    [
        ({'kspace': simulate_kspace() * torch.nan}, 'cartesian', 'must be finite, got 960 NaN or Inf'),
        ({'kspace': simulate_kspace() * 0}, 'cartesian', 'must not be all zero'),
        ({'kspace': simulate_kspace() * 1e-8}, 'cartesian', 'differ by less than 1e-6'),
        ({'n_ky': 4}, 'cartesian', 'lie outside of the encoding_matrix'),
        ({'lines': [[9, 10, 11], [10]]}, 'cartesian', 'different numbers of'),
        ({}, 'ismrmrd', "scan.h5 can not be read with the trajectory 'ismrmrd': No trajectory"),
    ],
)
def test_invalid_data(options: dict[str, Any], trajectory: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_kdata(write_raw(tmp_path / 'scan.h5', **options), trajectory)


@pytest.mark.parametrize(
    ('tag', 'value', 'message'),
    [
        ('<x>48.0<', '<x>0<', r'field of view must be from 1e-6 to 100 m, got \(0.005, 0.06, 0'),
        ('<x>48.0<', '<x>nan<', 'field of view must be'),
        ('<z>5.0<', '<z>-5<', 'field of view must be'),
        (
            '<x>24<',
            '<x>1000000<',
            r'matrix must have 1 to 256 points for each of the 480 samples .* \(1, 20, 1000000\)',
        ),
        ('<y>20<', '<y>0<', 'matrix must have 1 to 256 points'),
        ('<z>1<', '<z>-1<', 'matrix must have 1 to 256 points'),
    ],
)
def test_impossible_headers(tag: str, value: str, message: str, tmp_path: Path) -> None:
    """Neither time nor memory are spent on them."""
    file = write_raw(tmp_path / 'scan.h5')
    with h5py.File(file, 'a') as content:
        xml = content['dataset']['xml']
        found = xml[0].decode().replace('<x>48</x>', '<x>48.0</x>').replace('<z>5</z>', '<z>5.0</z>')
        assert tag in found
        xml[0] = found.replace(tag, value).encode()
    with pytest.raises(ValueError, match=message):
        read_kdata(file, 'cartesian')


@pytest.mark.parametrize(('field', 'value'), [('position', np.nan), ('position', None), ('read_dir', np.nan)])
def test_images_without_a_position(field: str, value: float | None, tmp_path: Path) -> None:
    file = write_raw(tmp_path / 'scan.h5')
    with h5py.File(file, 'a') as content:
        for i, row in enumerate(content['dataset']['data']):
            row['head'][field] = i if value is None else value
            content['dataset']['data'][i] = row
    with pytest.raises(ValueError, match=r'[Pp]osition'):
        read_kdata(file, 'cartesian')


def test_damaged_files(tmp_path: Path) -> None:
    """Whatever the library raises is one error that names the file, also for the noise."""
    content = write_raw(tmp_path / 'good.h5').read_bytes()
    rng, file = np.random.default_rng(0), tmp_path / 'scan.h5'
    messages: list[str] = []
    for _ in range(30):
        damaged = bytearray(content[: int(rng.integers(len(content)))] if rng.random() < 0.3 else content)
        for place in rng.integers(min(len(damaged), 4096), size=8) if damaged else []:
            damaged[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        for read in (lambda: read_kdata(file, 'cartesian'), lambda: read_noise(file, required=True)):
            try:
                read()
            except ValueError as error:
                messages.append(str(error))
    assert len(messages) > 30
    assert all('scan.h5' in message for message in messages)


def test_too_fine_grid(tmp_path: Path) -> None:
    kdata = read_kdata(write_raw(tmp_path / 'scan.h5'), 'cartesian')
    with pytest.raises(ValueError, match=r'1 to 256 points .* and a grid finer by 1e\+06'):
        upsample(kdata, 1e6)


def test_files_that_are_no_raw_data(tmp_path: Path) -> None:
    (tmp_path / 'text.h5').write_text('not HDF5')
    with h5py.File(tmp_path / 'empty.h5', 'w') as file:
        file.create_group('dataset').create_dataset('image', data=np.zeros(3))
    for name in ('text.h5', 'empty.h5'):
        with pytest.raises(ValueError, match=f'{name} is no ISMRMRD file'):
            read_kdata(tmp_path / name, 'cartesian')
    for path in (tmp_path / 'absent.h5', tmp_path):
        with pytest.raises(ValueError, match='There is no file'):
            read_kdata(path, 'cartesian')


def test_all_noise_gives_one_covariance(tmp_path: Path) -> None:
    """The noise itself becomes white, although there are more acquisitions of it than slices."""
    mix = torch.tensor([[2, 0, 0], [1j, 1, 0], [0.5, 0, 3]])
    noise = mix @ RandomGenerator(seed=2).randn_tensor((5, 3, 40), dtype=torch.complex64)
    file = write_raw(tmp_path / 'scan.h5', simulate_kspace(n_coils=3), noise=noise)
    kdata = read_kdata(file, 'cartesian')
    measured = read_noise(file, required=False)
    assert measured is not None
    white = prewhiten(kdata, measured)
    assert white.data.shape == kdata.data.shape
    covariance = noise.transpose(0, 1).flatten(1) @ noise.transpose(0, 1).flatten(1).mH / 200
    expected = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), kdata.data.flatten(2), upper=False)
    torch.testing.assert_close(white.data.flatten(2), expected)


def test_noise_that_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    file = write_raw(tmp_path / 'scan.h5')
    assert read_noise(file, required=False) is None
    with pytest.raises(ValueError, match='holds no noise measurement'):
        read_noise(file, required=True)
    random = RandomGenerator(seed=3).complex64_tensor((2, 3, 8))
    cases = {'3 coils': random, 'rank 1': random[:, :1].expand(2, 2, 8), 'tiny': 1e-8 * random}
    for name, noise in cases.items():
        n_coils = 1 if name == '3 coils' else noise.shape[1]
        file = write_raw(tmp_path / f'{name}.h5', simulate_kspace(n_coils=n_coils), noise=noise)
        with pytest.raises(ValueError, match='less than 1e-6' if name == 'tiny' else f'noise of {n_coils} coil'):
            reconstruct_file(file, Settings(weight=1))


@pytest.mark.parametrize(
    ('scale', 'factor'), [(1e-4, 1e4), (1e-3, 1e3), (10, 1), (1e5, 1), (1e12, 1e-12), (1e35, 1e-35)]
)
def test_small_data_are_multiplied_by_a_power_of_ten(scale: float, factor: float, tmp_path: Path) -> None:
    kspace = simulate_kspace()
    kspace /= kspace.abs().max() / 2
    kdata = read_kdata(write_raw(tmp_path / 'scan.h5', scale * kspace), 'cartesian')
    scaled, found = to_unit_range(kdata)
    assert found == pytest.approx(factor)
    torch.testing.assert_close(scaled.data[:, :, 0], factor * scale * kspace, rtol=1e-4, atol=1e-4 * scale * factor)


def test_sampled_fraction_is_that_of_the_band(tmp_path: Path) -> None:
    full = read_kdata(write_raw(tmp_path / 'full.h5'), 'cartesian')
    under = read_kdata(write_raw(tmp_path / 'under.h5', lines=LINES), 'cartesian')
    partial = read_kdata(write_raw(tmp_path / 'partial.h5', lines=[list(range(7, N_Y))] * 2), 'cartesian')
    assert sampled_fraction(full) == 1
    assert sampled_fraction(upsample(full, 2)) == pytest.approx(
        1, abs=0.15
    )  # even grids have one more negative frequency
    assert sampled_fraction(under) == pytest.approx(12 / 20)
    assert sampled_fraction(partial) == pytest.approx(13 / 19)
    under.header.recon_matrix.y = N_Y + 6  # a finer image without a larger k-space
    assert sampled_fraction(under) == pytest.approx(12 / 20)
    radial = KTrajectoryRadial2D()(n_k0=N_X, k0_center=N_X // 2, k1_idx=torch.arange(N_Y)[:, None])
    assert sampled_fraction(KData(full.header, full.data, radial)) is None


def test_repeated_lines_of_a_file(tmp_path: Path) -> None:
    """All samples are read, each counts in the reconstruction, and the fraction of sampled points stays the same."""
    once = read_kdata(write_raw(tmp_path / 'once.h5', lines=LINES), 'cartesian')
    kdata = read_kdata(write_raw(tmp_path / 'repeated.h5', lines=[[*LINES[0], 10, 10]] * 2), 'cartesian')
    assert kdata.data.shape[-2] == once.data.shape[-2] + 2
    assert sampled_fraction(kdata) == sampled_fraction(once)
    solutions = []
    for scan in (once, kdata):
        reconstruction = AdaptiveTotalVariationReconstruction(
            scan, csm=None, regularization_dim=(-2, -1), regularization_weight=0.02, max_iterations=300
        )
        solutions.append(reconstruction.solve(scan))
    # the same line three times, without new noise: the same initial image, and a closer fit of this line
    torch.testing.assert_close(solutions[1].initial_idata.data, solutions[0].initial_idata.data)
    op = FourierOp.from_kdata(once)
    (residual, closer) = (op(solution.solution.img)[0] - once.data for solution in solutions)
    center = once.traj.ky.flatten().abs().argmin()
    assert closer[..., center, :].norm() < 0.9 * residual[..., center, :].norm()


def test_upsampled_image_has_the_same_field_of_view(tmp_path: Path) -> None:
    """The finer image is the Fourier interpolation of the coarse one, except for the unpaired frequency."""
    kspace = simulate_kspace()
    kspace[..., 0, :] = kspace[..., 0] = 0
    kdata = read_kdata(write_raw(tmp_path / 'scan.h5', kspace), 'cartesian')
    fine = upsample(kdata, 2)
    assert kdata.header.encoding_matrix.zyx == (1, N_Y, N_X)
    assert fine.header.encoding_matrix.zyx == fine.header.recon_matrix.zyx == (1, 2 * N_Y, 2 * N_X)
    assert fine.header.recon_fov == kdata.header.recon_fov
    torch.testing.assert_close(images(fine)[..., ::2, ::2], images(kdata) / 2, rtol=0, atol=1e-5)
    assert upsample(kdata, 1.3).header.recon_matrix.zyx == (1, 26, 31)


def test_all_trajectories_can_be_made() -> None:
    assert all(create() for create in TRAJECTORIES.values())


@pytest.mark.parametrize('position', [1e30, -2e5])
def test_position_that_no_scanner_has(position: float, tmp_path: Path) -> None:
    """Its geometry would overflow in the files of the image."""
    lines = cartesian_lines(simulate_kspace(n_slices=1)[0], position=(position, 0, 0))
    with pytest.raises(ValueError, match='position must be finite and at most 100 m'):
        read_scan(write_lines(tmp_path / 'scan.h5', lines))
