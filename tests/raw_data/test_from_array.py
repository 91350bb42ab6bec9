"""Tests of k-space on a grid as input."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from mrpro.data import KData
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.array_files import write_cfl
from mrpro_lambda.raw_data import from_array, read_noise, read_scan, upsample

from tests.raw_data.cases import cartesian_lines, sampled_fraction, write_lines
from tests.raw_file import N_X, N_Y, simulate_kspace

KSPACE = simulate_kspace(n_coils=3, n_slices=2)


def images(kdata: KData) -> torch.Tensor:
    return FourierOp.from_kdata(kdata).adjoint(kdata.data)[0]


def centered_ifft(kspace: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(kspace, dim), dim=dim, norm='ortho'), dim)


@pytest.mark.parametrize('pattern', ['all', 'lines', 'asymmetric', 'points', 'other lines'])
def test_image_is_that_of_the_zero_filled_array(pattern: str) -> None:
    """Whatever is sampled; the trajectory holds only that."""
    mask = torch.ones(2, 1, N_Y, N_X)
    if pattern in ('lines', 'asymmetric'):
        mask[..., 1::3, :] = 0
    if pattern == 'asymmetric':
        mask[..., :5] = 0
    if pattern == 'points':
        mask[:] = RandomGenerator(seed=0).float32_tensor((N_Y, N_X)) > 0.5
    if pattern == 'other lines':
        mask[0, :, ::4] = mask[1, :, 2::4] = 0
    kspace = mask * KSPACE
    kdata, notes = from_array(kspace[:, :, None])
    torch.testing.assert_close(images(kdata)[:, :, 0], centered_ifft(kspace, (-2, -1)))
    assert kdata.data.numel() == 3 * int(mask.sum())
    assert (kdata.data.shape[-1] == 1) == (pattern == 'points')
    assert any('are sampled' in note for note in notes) == (pattern != 'all')
    if pattern != 'other lines':
        assert sampled_fraction(kdata) == pytest.approx(mask[0].mean().item(), abs=0.05)
    assert upsample(kdata, 2).header.recon_matrix.zyx == (1, 2 * N_Y, 2 * N_X)
    assert kdata.header.recon_fov.zyx == pytest.approx((1e-3, 1e-3 * N_Y, 1e-3 * N_X))


def test_single_zeros_do_not_split_lines() -> None:
    kspace = KSPACE[:1, :1].clone()
    kspace[..., 4, 7] = 0
    assert from_array(kspace[:, :, None])[0].data.shape == (1, 1, 1, N_Y, N_X)


def test_volume_and_plane(tmp_path: Path) -> None:
    """The order of the axes is that of the documentation, in npy as in BART's reversed order."""
    volume = RandomGenerator(seed=1).complex64_tensor((2, 4, 6, 8))
    volume[:, 1::2] = 0
    expected = {'volume': centered_ifft(volume, (-3, -2, -1)), 'plane': centered_ifft(volume[:, 0], (-2, -1))[:, None]}
    for name, kspace in (('volume', volume), ('plane', volume[:, 0])):
        np.save(tmp_path / f'{name}.npy', kspace.numpy())
        write_cfl(tmp_path / f'{name}.cfl', kspace if name == 'volume' else kspace[:, None])
        for file in (f'{name}.npy', f'{name}.cfl', f'{name}.hdr', name):
            scan = read_scan(tmp_path / file)
            torch.testing.assert_close(images(scan.kdata)[0], expected[name])
            assert scan.found['format'] == ('npy' if file.endswith('npy') else 'BART')
            assert any('2 coils' in note for note in scan.notes)
            assert read_noise(tmp_path / file, required=False) is None


@pytest.mark.parametrize(
    ('kspace', 'message'),
    [
        (KSPACE.real, r'complex .*got torch.float32, shape \(2, 3, 20, 24\)'),
        (KSPACE[0, 0], r'shape \(20, 24\)'),
        (KSPACE[None, None], r'shape \(1, 1, 2, 3, 20, 24\)'),
        (KSPACE[:0], 'got torch.complex64'),
        (0 * KSPACE, 'must not be all zero'),
        (
            KSPACE[:, :, None]
            * torch.tensor([0, 1.0])
            .repeat(2, 10)[:, None, None, :, None]
            .where(torch.tensor([True, False])[:, None, None, None, None], 1),
            r'same number of samples, got \[10, 20\]',
        ),
    ],
)
def test_arrays_that_are_no_kspace(kspace: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_array(kspace)


HEADER = b"""<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions><H1resonanceFrequency_Hz>123000000
</H1resonanceFrequency_Hz></experimentalConditions><encoding><encodedSpace><matrixSize><x>48</x><y>20</y><z>1</z>
</matrixSize><fieldOfView_mm><x>96</x><y>60</y><z>5</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>24</x>
<y>16</y><z>1</z></matrixSize><fieldOfView_mm><x>48</x><y>48</y><z>5</z></fieldOfView_mm></reconSpace><encodingLimits>
</encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


@pytest.mark.parametrize('variant', ['all', 'mask', 'single coil', 'no header'])
def test_fastmri(variant: str, tmp_path: Path) -> None:
    """The readout is the last but one axis; the image is that of an ISMRMRD file with the same lines."""
    kspace = simulate_kspace(n_coils=1 if variant == 'single coil' else 2, n_slices=2, n_x=48)
    lines = list(range(0, N_Y, 2)) if variant == 'mask' else list(range(N_Y))
    stored = kspace.mT.numpy()
    with h5py.File(tmp_path / 'file.h5', 'w') as file:
        file['kspace'] = stored[:, 0] if variant == 'single coil' else stored
        if variant != 'no header':
            file['ismrmrd_header'] = HEADER
        if variant == 'mask':
            file['mask'] = np.isin(np.arange(N_Y), lines).astype(np.float32)
    scan = read_scan(tmp_path / 'file.h5')
    assert scan.found['format'] == 'fastMRI'
    if variant == 'no header':
        torch.testing.assert_close(images(scan.kdata)[:, :, 0], centered_ifft(kspace, (-2, -1)))
        assert any('1 mm' in note for note in scan.notes)
        return
    written = [a for s in range(2) for a in cartesian_lines(kspace[s], lines, slice=s)]
    expected = read_scan(write_lines(tmp_path / 'scan.h5', written, matrix=(48, 20, 1), recon=(24, 16, 1)))
    torch.testing.assert_close(images(scan.kdata), images(expected.kdata))
    assert scan.kdata.header.recon_fov.zyx == pytest.approx((0.005, 0.048, 0.048))
    assert scan.kdata.header.recon_matrix.zyx == (1, 16, 24)
    assert scan.oversampled is not None
    assert scan.kdata.header.lamor_frequency_proton == 123e6


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        ({'kspace': np.zeros((2, 48, 20))}, 'kspace must be complex'),
        ({'kspace': np.ones((2, 3, 1, 48, 20), np.complex64)}, 'kspace must be complex with shape'),
        ({'kspace': KSPACE.numpy(), 'mask': np.ones(7)}, 'one entry for each of 24 phase encodings, got 7'),
        (
            {'kspace': KSPACE.numpy(), 'ismrmrd_header': HEADER},
            'must have the 48 samples of the encoded matrix, got 20',
        ),
        ({'kspace': KSPACE.numpy(), 'ismrmrd_header': b'nothing'}, 'no XML'),
    ],
)
def test_fastmri_files_that_contradict_themselves(parts: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'file.h5', 'w') as file:
        for name, value in parts.items():
            file[name] = value
    with pytest.raises(ValueError, match=message):
        read_scan(tmp_path / 'file.h5')


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / 'text.npy').write_text('text')
    np.save(tmp_path / 'object.npy', np.array([{}], dtype=object))
    write_cfl(tmp_path / 'maps.cfl', KSPACE[:, :, None])
    (tmp_path / 'alone.cfl').write_bytes(bytes(8))
    for name, message in (
        ('text.npy', 'no array of numbers'),
        ('object.npy', 'no array of numbers'),
        ('absent.npy', 'There is no file'),
        ('absent.cfl', 'There is no file'),
        ('alone.cfl', r'There is no file .*alone\.hdr'),
        ('maps.cfl', 'no dimensions but x, y, z and coils'),
    ):
        with pytest.raises(ValueError, match=message):
            read_scan(tmp_path / name)
    with pytest.raises(ValueError, match="on a grid, which contradicts the trajectory 'radial2d'"):
        read_scan(tmp_path / 'maps.cfl', trajectory='radial2d')
