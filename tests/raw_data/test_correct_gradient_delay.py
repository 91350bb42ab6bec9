"""Tests of the estimate of gradient delays."""

import math
from pathlib import Path

import pytest
import torch
from mrpro.data import KData, KHeader, KTrajectory, SpatialDimension
from mrpro.utils import RandomGenerator
from mrpro_lambda.raw_data import correct_gradient_delay, read_scan

from tests.raw_data.cases import line, write_lines

N = 40


def radial(
    angles: torch.Tensor, delays: tuple[float, float, float] = (0, 0, 0), noise: float = 0, n_frames: int = 1
) -> KData:
    """Spokes of blocks in half of the field of view with two coils, by sums over their pixels."""
    x = (torch.arange(N // 2).double() - N // 4) / N
    img = torch.zeros(len(x), len(x), dtype=torch.complex128)
    img[3:16, 4:14] = 1
    img[6:9, 6:9] *= 0.3 + 0.4j
    img[11:13, 5:12] = 2
    coils = torch.stack((torch.exp(-2 * (x + 1j * x[:, None])), torch.exp(3j * x) * torch.exp(x[:, None] * 2)))
    contrast = 1 + torch.arange(n_frames)[:, None, None, None] * x  # images differ
    radius = torch.arange(N).double() - N // 2
    normal = torch.stack((angles.cos(), angles.sin()), -1).double()
    k = radius[:, None] * normal[:, None]
    xx, yy, xy = delays
    shifted = k + (normal @ torch.tensor([[xx, xy], [xy, yy]]).double())[:, None]
    ex, ey = (torch.exp(-2j * math.pi * shifted[..., i, None] * x) for i in (0, 1))
    data = torch.einsum('fcyx,skx,sky->fcsk', img * coils * contrast, ex, ey) / len(x)
    data = data + noise * RandomGenerator(seed=3).complex64_tensor(data.shape, high=1)
    fov, matrix = SpatialDimension(5e-3, 0.2, 0.2), SpatialDimension(1, N, N)
    kx, ky = (k[..., i].float()[None, None, None] for i in (0, 1))
    header = KHeader(recon_matrix=matrix, encoding_matrix=matrix, recon_fov=fov, encoding_fov=fov)
    return KData(header, data.to(torch.complex64)[:, :, None], KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx))


GOLDEN = math.pi * 0.618034 * torch.arange(25)
FULL = 2 * math.pi / 33 * torch.arange(33)
HALF = math.pi / 32 * torch.arange(32)


@pytest.mark.parametrize('noise', [0, 0.02])
@pytest.mark.parametrize(
    ('angles', 'delays'),
    [(FULL, (-0.54, -0.69, 0.04)), (HALF, (0.3, -0.2, 0.1)), (GOLDEN, (1.1, 0.8, -0.1)), (FULL, (0.0, 0.4, 0.0))],
)
def test_delays_are_found(angles: torch.Tensor, delays: tuple[float, float, float], noise: float) -> None:
    """For spokes over a full and a half turn and at golden angles; the trajectory is shifted by them."""
    kdata = radial(angles, delays, noise)
    corrected, found = correct_gradient_delay(kdata)
    assert found.tolist() == pytest.approx(delays, abs=0.02)
    true = torch.tensor([[delays[0], delays[2]], [delays[2], delays[1]]])
    shift = torch.stack((angles.cos(), angles.sin()), -1) @ true
    for i, name in enumerate(('kx', 'ky')):
        moved = getattr(corrected.traj, name) - getattr(kdata.traj, name)
        torch.testing.assert_close(moved[0, 0, 0], shift[:, i, None].expand(-1, N), rtol=0, atol=0.03)
    assert correct_gradient_delay(corrected)[1].abs().max() < 0.02


@pytest.mark.parametrize('noise', [0, 0.1])
@pytest.mark.parametrize('angles', [FULL, HALF, GOLDEN])
def test_no_delay_gives_none(angles: torch.Tensor, noise: float) -> None:
    kdata = radial(angles, noise=noise)
    corrected, found = correct_gradient_delay(kdata)
    assert found.abs().max() < 0.02
    assert not noise or not found.any()
    torch.testing.assert_close(corrected.traj.as_tensor(), kdata.traj.as_tensor(), rtol=0, atol=0.02)


def test_images_share_the_delays() -> None:
    """They may differ."""
    found = correct_gradient_delay(radial(FULL, (-0.5, -0.7, 0.05), n_frames=3))[1]
    assert found.tolist() == pytest.approx((-0.5, -0.7, 0.05), abs=0.01)


def test_delays_of_a_file(tmp_path: Path) -> None:
    kdata = radial(FULL, (-0.5, -0.7, 0.05))
    k = torch.stack((kdata.traj.kx, kdata.traj.ky), -1)[0, 0, 0]
    lines = [line(kdata.data[0, :, 0, i], k1=i, trajectory=k[i]) for i in range(len(k))]
    file = write_lines(tmp_path / 'scan.h5', lines, matrix=(N, N, 1), trajectory='radial')
    scan = read_scan(file)
    assert scan.found['gradient_delay'] == pytest.approx((-0.5, -0.7, 0.05), abs=0.01)
    assert any('delayed by -0.50 (x), -0.70 (y) and 0.05 (xy)' in note for note in scan.notes)
    assert 'gradient_delay' not in read_scan(file, correct_delay=False).found
    few = write_lines(tmp_path / 'few.h5', lines[:9], matrix=(N, N, 1), trajectory='radial')
    assert any('not corrected: There must be at least 121 samples' in note for note in read_scan(few).notes)


def test_other_trajectories() -> None:
    kdata = radial(FULL)
    traj = kdata.traj
    spiral = KTrajectory(traj.kz, traj.ky + 3 * traj.kx.cos(), traj.kx)
    lines = KTrajectory(traj.kz, torch.arange(33.0)[:, None].expand(1, 1, 1, 33, N), traj.kx[:, :, :, :1])
    ball = KTrajectory(traj.kx, traj.ky, traj.kx)
    for other, message in ((spiral, 'beside it'), (lines, 'beside it'), (ball, 'constant kz')):
        with pytest.raises(ValueError, match=message):
            correct_gradient_delay(KData(kdata.header, kdata.data, other))
    one = KTrajectory(traj.kz, torch.zeros(1, 1, 1, 1, 1), traj.kx[:, :, :, :1])
    with pytest.raises(ValueError, match='at least 8 directions'):
        correct_gradient_delay(KData(kdata.header, kdata.data, one))
