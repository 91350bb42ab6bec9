"""Tests of what a file says about itself."""

import json
import math
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
import torch
from einops import rearrange
from mrpro.data import KData
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.raw_data import RawScan, read_noise, read_scan
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction, prewhiten

from tests.raw_data.cases import cartesian_lines, line, write_lines
from tests.raw_file import N_X, N_Y, simulate_kspace

KSPACE = simulate_kspace(n_coils=3, n_slices=1)[0]
CALIBRATION, BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


def said(scan: RawScan, text: str) -> bool:
    return any(text in note for note in scan.notes)


def images(kdata: KData) -> torch.Tensor:
    return FourierOp.from_kdata(kdata).adjoint(kdata.data)[0]


def rows(kdata: KData) -> list[int]:
    return (kdata.traj.ky + N_Y // 2).int().flatten().tolist()


def test_flags_tell_what_lines_are_for(tmp_path: Path) -> None:
    """The ends of averages and of second phase encodings belong to the image, other purposes do not."""
    edges = ('AVERAGE', 'ENCODE_STEP2', 'SLICE', 'REPETITION', 'CONTRAST', 'SEGMENT')
    flags = [[getattr(ismrmrd, f'ACQ_{end}_IN_{what}')] for what in edges for end in ('FIRST', 'LAST')]
    lines = [line(KSPACE[:, k1], k1=k1, flags=flags[k1] if k1 < len(flags) else []) for k1 in range(N_Y)]
    others = ('NOISE_MEASUREMENT', 'NAVIGATION_DATA', 'PHASECORR_DATA', 'DUMMYSCAN_DATA', 'PHASE_STABILIZATION')
    for other in others:
        lines.append(line(KSPACE[:, 3] + 7, k1=3, flags=[getattr(ismrmrd, f'ACQ_IS_{other}')]))
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines))
    torch.testing.assert_close(scan.kdata.data[0, :, 0], KSPACE)
    assert scan.calibration is None
    assert scan.noise is not None
    torch.testing.assert_close(scan.noise.data[0, :, 0, 0], KSPACE[:, 3] + 7)
    assert said(scan, 'not used: 1 navigator, 1 phase correction, 1 dummy, 1 phase stabilization.')


def test_calibration_lines_of_the_same_file(tmp_path: Path) -> None:
    """Embedded and separate ones; those for both are lines of the image, too."""
    image = cartesian_lines(KSPACE, [1, 4, 7, 13, 16]) + cartesian_lines(KSPACE, [10], flags=[BOTH])
    extra = cartesian_lines(KSPACE, [8, 9, 11], flags=[CALIBRATION])
    scan = read_scan(write_lines(tmp_path / 'scan.h5', [*extra, *image]))
    assert rows(scan.kdata) == [1, 4, 7, 10, 13, 16]
    assert scan.calibration is not None
    assert rows(scan.calibration) == [8, 9, 10, 11]
    torch.testing.assert_close(scan.calibration.data[0, :, 0], KSPACE[:, 8:12])
    assert scan.calibration.header.recon_matrix == scan.kdata.header.recon_matrix
    assert scan.found['calibration_lines'] == 4
    assert scan.found['acceleration_y'] == pytest.approx(16 / 6)


@pytest.mark.parametrize('flags', [[], [CALIBRATION]])
def test_calibration_lines_of_another_file(flags: list[int], tmp_path: Path) -> None:
    file = write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE, range(0, N_Y, 3)))
    other = write_lines(tmp_path / 'other.h5', cartesian_lines(2 * KSPACE, range(6, 14), flags=flags))
    scan = read_scan(file, calibration_file=other)
    assert scan.calibration is not None
    torch.testing.assert_close(scan.calibration.data[0, :, 0], 2 * KSPACE[:, 6:14])
    assert scan.kdata.data.shape[-2] == 7
    np.save(tmp_path / 'other.npy', np.zeros(3))
    for name, message in (('absent.h5', 'There is no file'), ('other.npy', 'must be complex')):
        with pytest.raises(ValueError, match=rf'calibration file .*{name} can not be used: .*{message}'):
            read_scan(file, calibration_file=tmp_path / name)


@pytest.mark.parametrize(
    ('options', 'header', 'message'),
    [
        ({'kspace': KSPACE[:2]}, {}, 'must have the coils of the scan, 3, got 2'),
        ({}, {'recon': (N_X // 2, N_Y, 1)}, 'must have the field of view'),
        ({'position': (1, 2, 50)}, {}, 'must have the position'),
    ],
)
def test_calibration_must_fit(options: Any, header: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE))
    other = write_lines(tmp_path / 'other.h5', cartesian_lines(**({'kspace': KSPACE} | options)), **header)
    with pytest.raises(ValueError, match=rf'calibration file .*other.h5 can not be used: .*{message}'):
        read_scan(file, calibration_file=other)
    if not header:  # lines that do not fit are not used, and that is said
        flagged = cartesian_lines(**{'kspace': KSPACE, 'flags': [CALIBRATION]} | options)
        scan = read_scan(write_lines(tmp_path / 'both.h5', cartesian_lines(KSPACE) + flagged))
        assert scan.calibration is None
        assert said(scan, 'The 20 calibration lines of the file can not be used')


def test_one_calibration_image_for_several(tmp_path: Path) -> None:
    lines = [a for n in range(2) for a in cartesian_lines((n + 1) * KSPACE, repetition=n)]
    file = write_lines(tmp_path / 'scan.h5', lines)
    one = write_lines(tmp_path / 'one.h5', cartesian_lines(KSPACE))
    assert read_scan(file, calibration_file=one).calibration is not None
    with pytest.raises(ValueError, match='number of images, or one'):
        read_scan(one, calibration_file=file)


def test_calibration_of_low_resolution_is_on_the_grid_of_the_image(tmp_path: Path) -> None:
    """Its images are those of the central part of k-space of the scan."""
    file = write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE))
    low = KSPACE[:, 6:14, 6:18]

    def edit(xml: bytes) -> bytes:  # the same field of view
        return xml.replace(b'<x>24.0<', b'<x>48.0<').replace(b'<y>16.0<', b'<y>40.0<')

    other = write_lines(tmp_path / 'other.h5', cartesian_lines(low), matrix=(12, 8, 1), edit=edit)
    scan = read_scan(file, calibration_file=other)
    assert scan.calibration is not None
    central = torch.nn.functional.pad(low, (6, 6, 6, 6))
    expected = read_scan(write_lines(tmp_path / 'central.h5', cartesian_lines(central)))
    torch.testing.assert_close(images(scan.calibration), images(expected.kdata))


def test_averages_become_repeated_samples_of_one_image(tmp_path: Path) -> None:
    """The image is that of the mean where all averages have all lines, and each sample keeps its noise."""
    noise = RandomGenerator(seed=4).complex64_tensor((2, *KSPACE.shape))
    lines = [a for n in range(2) for a in cartesian_lines(KSPACE + noise[n], average=n)]
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines, average=(0, 1)))
    assert scan.kdata.data.shape == (1, 3, 1, 2 * N_Y, N_X)
    assert said(scan, '2 averages are combined')
    mean = read_scan(write_lines(tmp_path / 'mean.h5', cartesian_lines(KSPACE + noise.mean(0)))).kdata
    results = []
    for kdata, weight in ((scan.kdata, 2.0), (mean, 1.0)):
        reconstruction = AdaptiveTotalVariationReconstruction(
            kdata, csm=None, regularization_dim=(-2, -1), regularization_weight=weight, tolerance=1e-5
        )
        results.append(reconstruction(kdata).data)
    torch.testing.assert_close(*results, rtol=0, atol=2e-3 * results[1].abs().max().item())
    separate = read_scan(tmp_path / 'scan.h5', averages='separate').kdata
    torch.testing.assert_close(separate.data[:, :, 0], KSPACE + noise)


def test_averages_need_not_have_the_same_lines(tmp_path: Path) -> None:
    lines = cartesian_lines(KSPACE, average=0) + cartesian_lines(KSPACE, range(8, 12), average=1)
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines))
    assert rows(scan.kdata) == sorted([*range(N_Y), *range(8, 12)])
    with pytest.raises(ValueError, match='different numbers of'):
        read_scan(tmp_path / 'scan.h5', averages='separate')


def test_averages_that_contradict_the_header(tmp_path: Path) -> None:
    lines = cartesian_lines(KSPACE, average=0) + cartesian_lines(KSPACE, average=3)
    file = write_lines(tmp_path / 'scan.h5', lines, average=(0, 0))
    with pytest.raises(ValueError, match=r'header says 1 average.* belong to 2, numbered from 0 to 3: choose'):
        read_scan(file)
    assert said(read_scan(file, averages='separate'), 'kept separate')
    assert said(read_scan(file, averages='combine'), 'were combined')
    with pytest.raises(ValueError, match=r"averages must be one of .* got 'some'"):
        read_scan(file, averages='some')  # type: ignore[arg-type]
    fewer = read_scan(write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), average=(0, 3)))
    assert said(fewer, 'header says 4 averages, but the lines belong to 1')


def test_repetitions_and_slices_stay_images(tmp_path: Path) -> None:
    lines = [
        a for r in range(2) for s in range(3) for a in cartesian_lines((r + 3 * s + 1) * KSPACE, repetition=r, slice=s)
    ]
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines))
    assert scan.kdata.data.shape[0] == 6
    assert (scan.found['repetitions'], scan.found['slices'], scan.found['averages']) == (2, 3, 1)


def test_reversed_readouts_are_turned_around(tmp_path: Path) -> None:
    """Half of the lines of an echo-planar scan; the center of scanners is one sample after that of the definition."""
    lines = cartesian_lines(KSPACE, range(0, N_Y, 2)) + cartesian_lines(
        KSPACE.flip(-1), range(1, N_Y, 2), flags=[ismrmrd.ACQ_IS_REVERSE]
    )
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines, trajectory='epi'))
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(KSPACE))).kdata
    torch.testing.assert_close(scan.kdata.data, expected.data)
    torch.testing.assert_close(scan.kdata.traj.as_tensor(), expected.traj.as_tensor())
    assert said(scan, '10 of the 20 readouts are reversed')
    assert said(scan, 'phases between odd and even echoes')


def test_samples_to_discard_are_cut_off_with_the_center(tmp_path: Path) -> None:
    padded = torch.nn.functional.pad(KSPACE, (5, 2), value=1e3)
    lines = cartesian_lines(padded, discard=(5, 2), center=5 + N_X // 2)
    kdata = read_scan(write_lines(tmp_path / 'scan.h5', lines)).kdata
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(KSPACE))).kdata
    torch.testing.assert_close(kdata.data, expected.data)
    torch.testing.assert_close(kdata.traj.kx, expected.traj.kx)


def test_asymmetric_echo_and_partial_fourier(tmp_path: Path) -> None:
    """Samples stay where they were measured."""
    lines = cartesian_lines(KSPACE[..., 7:], range(6, N_Y), center=N_X // 2 - 7)
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines))
    assert scan.kdata.traj.kx.min() == -N_X // 2 + 7
    zero_filled = KSPACE.clone()
    zero_filled[:, :6] = zero_filled[..., :7] = 0
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(zero_filled))).kdata
    torch.testing.assert_close(images(scan.kdata), images(expected))
    assert set(scan.found['partial_fourier']) == {'x', 'y'}
    assert said(scan, 'Asymmetric echo')
    assert said(scan, 'Partial Fourier along y')


def test_air_stays_for_the_noise(tmp_path: Path) -> None:
    wide = simulate_kspace(n_coils=2, n_slices=1, n_x=2 * N_X)[0]
    lines = cartesian_lines(wide)
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines, matrix=(2 * N_X, N_Y, 1), recon=(N_X, N_Y, 1)))
    assert scan.oversampled is not None
    torch.testing.assert_close(scan.oversampled.data[0, :, 0], wide)
    assert scan.kdata.data.shape[-1] == N_X
    assert read_scan(write_lines(tmp_path / 'scan.h5', lines, matrix=(2 * N_X, N_Y, 1))).oversampled is None


def test_interpolated_matrix_of_the_header(tmp_path: Path) -> None:
    """The image has the pixels that were measured, and the field of view of the header."""

    def interpolate(xml: bytes) -> bytes:
        head, recon = xml.split(b'<reconSpace>')
        return head + b'<reconSpace>' + recon.replace(b'<x>24</x>', b'<x>48</x>').replace(b'<z>1<', b'<z>6<')

    scan = read_scan(write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), edit=interpolate))
    assert scan.kdata.header.recon_matrix.zyx == (1, N_Y, N_X)
    assert scan.kdata.header.recon_fov.x == pytest.approx(2e-3 * N_X)
    assert said(scan, '48 pixels along x, but 24 were measured')
    assert said(scan, '6 partitions')


def test_field_of_view_that_contradicts_the_encoded_one(tmp_path: Path) -> None:
    def enlarge(xml: bytes) -> bytes:
        head, recon = xml.split(b'<reconSpace>')
        return head + b'<reconSpace>' + recon.replace(b'<x>48.0<', b'<x>3.0<').replace(b'<y>40.0<', b'<y>900<')

    scan = read_scan(write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), edit=enlarge))
    assert scan.kdata.header.recon_matrix.zyx == (1, N_Y, N_X)
    assert said(scan, '900 mm along y, which contradicts the 20 encoded pixels of 2 mm')
    assert said(scan, '3 mm along x, which')


@pytest.mark.parametrize('missing', ['lines', 'samples'])
def test_missing_center(missing: str, tmp_path: Path) -> None:
    lines = cartesian_lines(KSPACE, center=0 if missing == 'samples' else None)
    edit = (lambda xml: xml.replace(b'<center>10<', b'<center>0<')) if missing == 'lines' else bytes
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines, edit=edit))
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(KSPACE))).kdata
    torch.testing.assert_close(scan.kdata.traj.as_tensor(), expected.traj.as_tensor())
    assert said(scan, 'no center')
    shifted = write_lines(
        tmp_path / 'scan.h5', cartesian_lines(KSPACE, range(14)), edit=lambda xml: xml.replace(b'>10<', b'>5<')
    )
    assert said(read_scan(shifted), 'at line 5, but line 10 is the strongest')


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (cartesian_lines(KSPACE) + cartesian_lines(KSPACE[:2]), r'different numbers of coils, nor none, got \[2, 3\]'),
        (cartesian_lines(KSPACE) + cartesian_lines(KSPACE[..., :9]), r'different numbers of samples.*\[9, 24\]'),
        (cartesian_lines(KSPACE, discard=(20, 20)), 'numbers of samples'),
        (cartesian_lines(KSPACE, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT]), 'no lines of an image among 20'),
        (cartesian_lines(KSPACE) + cartesian_lines(KSPACE, [1], slice=1), 'different numbers of'),
    ],
)
def test_lines_that_make_no_image(lines: list[ismrmrd.Acquisition], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_scan(write_lines(tmp_path / 'scan.h5', lines))


def test_lines_of_another_encoded_space_are_left_out(tmp_path: Path) -> None:
    lines = cartesian_lines(KSPACE) + cartesian_lines(9 * KSPACE, [1, 2])
    for acquisition in lines[-2:]:
        acquisition.encoding_space_ref = 1
    scan = read_scan(write_lines(tmp_path / 'scan.h5', lines))
    torch.testing.assert_close(scan.kdata.data[0, :, 0], KSPACE)
    assert said(scan, '2 lines belong to another encoded space')
    for acquisition in lines:
        acquisition.encoding_space_ref = 1
    with pytest.raises(ValueError, match='one of the 1 encoded spaces of the header, got 1'):
        read_scan(write_lines(tmp_path / 'scan.h5', lines))


def test_noise_has_the_phases_and_the_level_of_the_data(tmp_path: Path) -> None:
    """mrpro conjugates the data of Siemens; noise of longer samples has less variance."""
    mix = torch.tensor([[1, 0, 0], [2j, 1, 0], [1 + 1j, 0.5j, 0.7]])
    generator = RandomGenerator(seed=5)
    data = 3 * mix @ generator.randn_tensor((N_Y, 3, N_X), dtype=torch.complex64)
    noise = mix @ generator.randn_tensor((4, 3, 500), dtype=torch.complex64)
    for vendor, time in (('SIEMENS', 9 * 0.8 * 0.5), ('Other', 9 * 0.8 * 0.5), (None, 9 * 0.5)):
        parts = [*noise[:, :, :300], *noise[:, :, 300:]]  # of two lengths
        lines = [line(part, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT], time=time) for part in parts]
        lines += [line(data[k1], k1=k1, time=0.5) for k1 in range(N_Y)]
        scan = read_scan(write_lines(tmp_path / 'scan.h5', lines, vendor=vendor))
        assert scan.noise is not None
        white = prewhiten(scan.kdata, scan.noise).data
        samples = rearrange(white, '... coils k2 k1 k0 -> coils (... k2 k1 k0)')
        covariance = samples @ samples.mH / samples.shape[1]
        torch.testing.assert_close(covariance, torch.eye(3, dtype=torch.complex64), rtol=0, atol=0.2)
    alone = write_lines(tmp_path / 'noise.h5', lines[:4], vendor='siemens')
    with pytest.warns(UserWarning, match=r'taken as it is, because the bandwidths .* 4.5 us and 0 us'):
        measured = read_noise(alone, required=True)
    assert measured is not None
    torch.testing.assert_close(measured.data[0, :, 0, 0], noise[:, :, :300].transpose(0, 1).flatten(1).conj())
    # a file with noise alone has the level of the samples of the scan
    scan = read_scan(write_lines(tmp_path / 'image.h5', lines[8:]), noise_file=alone)
    assert scan.noise is not None
    torch.testing.assert_close(scan.noise.data, (4.5 / (0.8 * 0.5)) ** 0.5 * measured.data)


def test_noise_of_other_coils(tmp_path: Path) -> None:
    noise = [line(KSPACE[:2, 0], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    file = write_lines(tmp_path / 'scan.h5', [*noise, *cartesian_lines(KSPACE)])
    with pytest.raises(ValueError, match=r'noise of 3 coil\(s\), or be left out .* got 2'):
        read_scan(file)
    assert read_scan(file, noise_file='none').noise is None
    for value, message in ((math.nan, 'must be finite'), (1e-9, 'too small')):
        bad = [line(value * KSPACE[:, 0], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
        other = write_lines(tmp_path / 'other.h5', [*bad, *cartesian_lines(KSPACE)])
        for noise_file in (None, other):
            with pytest.raises(ValueError, match=rf'other.h5 .*{message}'):
                read_scan(other, noise_file=noise_file)
    with pytest.raises(ValueError, match='holds no noise measurement'):
        read_scan(file, noise_file=write_lines(tmp_path / 'other.h5', cartesian_lines(KSPACE)))


# Trajectories


def spokes(angles: torch.Tensor, n: int = 24, centers: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Data of two coils of a small object on spokes, shape `(spokes, coils, samples)`, and positions (x, y)."""
    radius = torch.arange(n) - n // 2
    k = radius[:, None] * torch.stack((angles.cos(), angles.sin()), -1)[:, None]
    centers = torch.tensor([[0.1, 0.05], [-0.12, 0.2], [0.2, -0.15]]) if centers is None else centers
    modes = torch.exp(-2j * math.pi * (k @ centers.T)) * torch.exp(-(k.square().sum(-1, keepdim=True)) / 60)
    return (modes @ torch.tensor([[1, 0.5j], [0.7j, 1], [0.5, 0.9]], dtype=modes.dtype)).transpose(1, 2), k


@pytest.mark.parametrize('distribution', ['golden', 'half', 'full'])
def test_angle_of_spokes_that_are_not_stored(distribution: str, tmp_path: Path) -> None:
    step = {'golden': math.pi * 0.618034, 'half': math.pi / 17, 'full': 2 * math.pi / 17}[distribution]
    data, k = spokes(step * torch.arange(17))
    lines = [line(spoke, k1=i) for i, spoke in enumerate(data)]
    scan = read_scan(
        write_lines(tmp_path / 'scan.h5', lines, matrix=(24, 24, 1), trajectory='radial'), correct_delay=False
    )
    assert said(scan, 'golden angle' if distribution == 'golden' else f'even over a {distribution} turn')
    assert scan.found['trajectory'] == 'radial2d'
    torch.testing.assert_close(scan.kdata.traj.kx[0, 0, 0], k[..., 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize('units', ['samples', 'relative', 'weights'])
def test_stored_positions_are_used(units: str, tmp_path: Path) -> None:
    data, k = spokes(torch.arange(17) * 0.9)
    stored = k / 24 if units == 'relative' else k
    if units == 'weights':
        stored = torch.cat((k, k.norm(dim=-1, keepdim=True)), -1)
    lines = [line(spoke, k1=i, trajectory=s) for i, (spoke, s) in enumerate(zip(data, stored, strict=True))]
    file = write_lines(tmp_path / 'scan.h5', lines, matrix=(24, 24, 1), trajectory='radial')
    scan = read_scan(file, correct_delay=False)
    assert scan.found['trajectory'] == 'ismrmrd'
    torch.testing.assert_close(scan.kdata.traj.kx[0, 0, 0], k[..., 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(scan.kdata.traj.ky[0, 0, 0], k[..., 1], rtol=0, atol=1e-4)
    assert scan.kdata.traj.kz.numel() == 1
    assert len(scan.notes) == (units != 'samples')
    requested = read_scan(file, trajectory='radial2d', correct_delay=False).kdata.traj
    assert not torch.allclose(requested.kx, scan.kdata.traj.kx)


@pytest.mark.parametrize(
    ('header', 'requested', 'message'),
    [
        ('cartesian', 'radial2d', "header says 'cartesian', which contradicts the requested trajectory 'radial2d'"),
        ('radial', 'cartesian', "header says 'radial', which contradicts the requested trajectory 'cartesian'"),
        ('goldenangle', 'spiral2d', 'contradicts'),
        ('epi', 'sunflower-rpe', 'contradicts'),
        ('spiral', 'auto', "'spiral', and no trajectory is stored: it can not be calculated"),
        ('other', 'auto', 'can not be calculated'),
        ('radial', 'ismrmrd', 'No trajectory is stored'),
        ('cartesian', 'polar', r"trajectory must be one of \['auto', .* got 'polar'"),
    ],
)
def test_trajectories_that_contradict_or_are_missing(header: str, requested: str, message: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), trajectory=header)
    with pytest.raises(ValueError, match=message):
        read_scan(file, trajectory=requested)


def test_cartesian_header_with_a_stored_trajectory(tmp_path: Path) -> None:
    """Positions in any units that agree with the counters change nothing; others on the grid are used."""
    kx = torch.arange(N_X) - N_X // 2
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(KSPACE))).kdata

    def stored(position: Any) -> Path:
        lines = [
            line(KSPACE[:, k1], k1=k1, trajectory=torch.stack(torch.broadcast_tensors(*position(k1)), -1))
            for k1 in range(N_Y)
        ]
        return write_lines(tmp_path / 'scan.h5', lines)

    same = read_scan(stored(lambda k1: (kx / N_X, torch.tensor((k1 - N_Y // 2) / N_Y))))
    torch.testing.assert_close(same.kdata.traj.as_tensor(), expected.traj.as_tensor())
    other = read_scan(stored(lambda k1: (kx, torch.tensor((7 * k1) % N_Y - N_Y // 2))))
    assert other.found['trajectory'] == 'ismrmrd'
    assert said(other, 'positions are those of other lines')
    with pytest.raises(ValueError, match="header says 'cartesian', which contradicts the stored trajectory"):
        read_scan(stored(lambda k1: (kx * math.cos(k1), kx * math.sin(k1))))


def test_notes_on_other_lines_are_for_programs_too(tmp_path: Path) -> None:
    """Everything that was found can be written as JSON, and placeholders are said."""
    edit = lambda xml: xml.replace(b'<x>48.0<', b'<x>4800.0<')  # noqa: E731
    scan = read_scan(write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE, range(0, N_Y, 2)), edit=edit))
    assert json.loads(json.dumps(scan.found)) == scan.found
    assert said(scan, 'pixels of 2 x 200 mm: its field of view may be a placeholder')
