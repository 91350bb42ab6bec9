"""Coil maps survive a round trip through files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mrpro.data import CsmData
from mrpro.utils import RandomGenerator
from mrpro_lambda.array_files import read_cfl, write_cfl
from mrpro_lambda.coil_maps import read_coil_maps, write_coil_maps

from tests.coil_maps.cases import idata, true_maps


@pytest.mark.parametrize('suffix', ['.npy', '.cfl', '.hdr'])
@pytest.mark.parametrize('n_slices', [0, 3])
def test_round_trip(tmp_path: Path, suffix: str, n_slices: int) -> None:
    shape = (n_slices, 4, 2, 5, 6) if n_slices else (4, 2, 5, 6)
    maps = RandomGenerator(0).complex64_tensor(shape)
    path = tmp_path / f'maps{suffix}'
    write_coil_maps(path, maps)
    torch.testing.assert_close(read_coil_maps(path), maps, rtol=0, atol=0)
    write_coil_maps(path, CsmData(maps[None] * 2, idata(maps[None]).header))
    assert torch.equal(read_coil_maps(path).reshape(maps.shape), 2 * maps)
    assert not list(tmp_path.glob('*.partial'))


def test_dimensions_are_those_of_bart(tmp_path: Path) -> None:
    write_coil_maps(tmp_path / 'maps.cfl', true_maps(4, (1, 5, 6))[None].expand(3, -1, -1, -1, -1))
    lines = (tmp_path / 'maps.hdr').read_text('ascii').splitlines()
    assert lines[0] == '# Dimensions'
    assert [int(n) for n in lines[1].split()] == [6, 5, 1, 4, *[1] * 9, 3, 1, 1]
    numbers = np.fromfile(tmp_path / 'maps.cfl', '<c8')
    expected = true_maps(4, (1, 5, 6))[1, 0, 2, 3].numpy()
    assert numbers.reshape(6, 5, 4, 3, order='F')[3, 2, 1, 0] == expected


def test_file_of_bart_is_read(tmp_path: Path) -> None:
    numbers = np.arange(24, dtype='<c8') * (1 + 2j)
    numbers.tofile(tmp_path / 'sens.cfl')
    (tmp_path / 'sens.hdr').write_text('# Dimensions\n3 2 1 4\n# Command\necalib -m1\n')
    maps = read_coil_maps(tmp_path / 'sens.cfl')
    assert maps.shape == (4, 1, 2, 3)
    assert maps[2, 0, 1, 0] == (2 * 6 + 3) * (1 + 2j)
    assert torch.equal(read_cfl(tmp_path / 'sens'), maps)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'maps.cfl'
    with pytest.raises(ValueError, match=r'no file .*maps.hdr'):
        read_coil_maps(path)
    write_coil_maps(path, true_maps(4, (1, 5, 6)))
    (tmp_path / 'maps.hdr').write_text('# Dimensions\n6 5 1 3\n')
    with pytest.raises(ValueError, match='must hold 720 bytes'):
        read_coil_maps(path)
    (tmp_path / 'maps.hdr').write_text('6 5 1 4\n')
    with pytest.raises(ValueError, match='no header'):
        read_coil_maps(path)
    (tmp_path / 'maps.hdr').write_text('# Dimensions\n6 0 1 4\n')
    with pytest.raises(ValueError, match='positive'):
        read_coil_maps(path)
    (tmp_path / 'maps.hdr').write_text('# Dimensions\n6 5 1 2 2\n')
    with pytest.raises(ValueError, match='one set of coil maps'):
        read_coil_maps(path)
    with pytest.raises(ValueError, match=r'\.npy or \.cfl'):
        read_coil_maps(tmp_path / 'maps.mat')
    with pytest.raises(ValueError, match=r'\.npy or \.cfl'):
        write_coil_maps(tmp_path / 'maps.mat', true_maps(2))
    with pytest.raises(ValueError, match='16 dimensions'):
        write_cfl(path, torch.ones((1,) * 17) + 0j)
    with pytest.raises(ValueError, match='complex'):
        write_coil_maps(path, torch.ones(1, 2, 1, 4, 4))
    numpy = tmp_path / 'maps.npy'
    with pytest.raises(ValueError, match='no file'):
        read_coil_maps(numpy)
    numpy.write_bytes(b'nothing')
    with pytest.raises(ValueError, match='no array of numbers'):
        read_coil_maps(numpy)
    for numbers, match in (
        (np.ones((1, 2, 1, 4, 4)), 'complex'),
        (np.zeros((2, 1, 4, 4), complex), 'not all zero'),
        (np.ones((4, 4), complex), 'shape'),
        (np.full((2, 1, 4, 4), np.nan + 0j), 'finite'),
    ):
        np.save(numpy, numbers)
        with pytest.raises(ValueError, match=match):
            read_coil_maps(numpy)
