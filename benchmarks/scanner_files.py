"""What happens with files as they come from scanners: thirty of them, made from one raw scan.

The fully sampled scan of `brain-16coil-full`, compressed to six coils, is written again with other sizes, samplings,
counters, headers and formats, right and wrong ones, and each file is given to `mrpro-lambda reconstruct` without other
options than those that are named. Where the image has the grid of the scan, its PSNR in the foreground is that against
the fully sampled image.

    python benchmarks/scanner_files.py --data-root DIR [--output DIR] [--only TEXT ...]

Prints a table in Markdown: exit code (0 is a result, 2 an error, 3 a missed tolerance), what was taken, and what was
said about it. With `--output` the results are kept there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import ismrmrd
import nibabel
import numpy as np
import torch
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian
from mrpro_lambda.array_files import write_cfl
from mrpro_lambda.cli import main as run
from mrpro_lambda.coil_maps import compress_coils
from mrpro_lambda.datasets import Radial, VariableDensityRandom
from mrpro_lambda.metrics import foreground_mask, psnr

from raw_brain import FILE, fft, inverse, radial

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.raw_data.cases import cartesian_lines, line, write_lines

N = 96
CALIBRATION = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
NOISE = (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,)


class File(NamedTuple):
    """A file with what is special about it."""

    name: str
    write: Callable[[Path], Path]
    """Write the file in a folder."""
    options: tuple[str, ...] = ()
    """Options of the command line; `DIR` is the folder of the file."""
    same_grid: bool = True
    """Whether the image has the grid of the scan."""


def files(kspace: torch.Tensor, noise_std: float) -> list[File]:
    """Return the files, made from k-space of shape `(coils, y, x)`."""
    generator = torch.Generator().manual_seed(0)

    def noise(shape: tuple[int, ...]) -> torch.Tensor:
        return noise_std * torch.randn(shape, generator=generator, dtype=torch.complex64)

    center = list(range(N // 2 - 8, N // 2 + 8))
    regular = sorted({*range(0, N, 3), *center})
    points = VariableDensityRandom(4.0).mask((N, N), generator)
    images = inverse(kspace)
    wide = fft(torch.nn.functional.pad(images, (N // 2, N // 2)))
    spokes = radial(images[:, None], Radial(64).trajectory((N, N), generator), noise_std)
    trajectory = torch.stack([spokes.traj.kx.flatten(0, -2), spokes.traj.ky.flatten(0, -2)], -1)
    single = kspace[:1]

    def ismrmrd_file(**options: Any) -> Callable[[list[Any]], Callable[[Path], Path]]:  # noqa: ANN401
        options = {'matrix': (N, N, 1)} | options
        return lambda lines: lambda folder: write_lines(folder / 'scan.h5', lines, **options)

    plain, flat, small = (ismrmrd_file(matrix=(N, n, 1)) for n in (N, 64, N // 2))
    oversampled = ismrmrd_file(matrix=(2 * N, N, 1), recon=(N, N, 1))

    def npy(array: torch.Tensor, name: str = 'scan.npy') -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            np.save(folder / name, array.numpy())
            return folder / name

        return write

    def both(*writes: Callable[[Path], Path]) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            path, *_ = [part(folder) for part in writes]
            return path

        return write

    def cfl(folder: Path) -> Path:
        write_cfl(folder / 'scan', kspace[:, None] * points)
        return folder / 'scan.cfl'

    def fastmri(folder: Path) -> Path:
        mask = torch.zeros(N)
        mask[regular] = 1
        with h5py.File(folder / 'scan.h5', 'w') as file:
            file['kspace'] = (kspace * mask[:, None]).mT[None].numpy()
            file['mask'] = mask.numpy()
        return folder / 'scan.h5'

    def truncated(folder: Path) -> Path:
        path = plain(cartesian_lines(kspace))(folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    def radial_lines(*, stored: bool) -> list[Any]:
        data = spokes.data[0, :, 0]
        return [line(data[:, i], k1=i, trajectory=trajectory[i] if stored else None) for i in range(data.shape[1])]

    odd = kspace[:, :95, 2:95]
    broken = cartesian_lines(kspace)
    broken[5].data[:] = np.nan
    volume = torch.stack([kspace * f for f in (0.3, 0.6, 0.8, 1.0, 0.8, 0.6, 0.3, 0.1)], 1)
    volume = torch.fft.fftshift(torch.fft.fft(torch.fft.ifftshift(volume, dim=1), dim=1, norm='ortho'), dim=1)
    other_slice = [line(kspace[:, k], k1=k, slice=1, position=(1, 2, 13)) for k in range(0, N, 2)]
    wrong_maps = torch.full((len(kspace), 1, N, N), torch.nan, dtype=torch.complex64)
    radial_file = ismrmrd_file(trajectory='radial', matrix=(2 * N, 2 * N, 1), recon=(N, N, 1))
    return [
        File('all lines, 1 coil', plain(cartesian_lines(single)), same_grid=False),
        File('all lines, 6 coils', plain(cartesian_lines(kspace))),
        File('lines R = 2 and 16 in the center', plain(cartesian_lines(kspace, sorted({*range(0, N, 2), *center})))),
        File('lines R = 3 and 16 in the center', plain(cartesian_lines(kspace, regular))),
        File(
            'lines R = 3, calibration lines apart',
            plain(cartesian_lines(kspace, range(0, N, 3)) + cartesian_lines(kspace, center, flags=CALIBRATION)),
        ),
        File('lines R = 3, no calibration', plain(cartesian_lines(kspace, range(0, N, 3)))),
        File(
            'the same with a calibration file',
            both(
                plain(cartesian_lines(kspace, range(0, N, 3))),
                lambda folder: write_lines(folder / 'cal.h5', cartesian_lines(kspace, center), matrix=(N, N, 1)),
            ),
            ('--calibration-file', 'DIR/cal.h5'),
        ),
        File('points R = 4, .npy', npy(kspace * points)),
        File('points R = 4, BART .cfl', cfl),
        File('lines R = 3, fastMRI', fastmri),
        File('odd size, 93 x 95', ismrmrd_file(matrix=(93, 95, 1))(cartesian_lines(odd)), same_grid=False),
        File('not square, 96 x 64', flat(cartesian_lines(kspace[:, 16:80])), same_grid=False),
        File('readout oversampled', oversampled(cartesian_lines(wide, regular))),
        File(
            'two averages',
            ismrmrd_file(average=(0, 1))(
                [a for i in range(2) for a in cartesian_lines(kspace + noise(kspace.shape), regular, average=i)]
            ),
        ),
        File(
            'three averages, two in the header',
            ismrmrd_file(average=(0, 1))([a for i in range(3) for a in cartesian_lines(kspace, regular, average=i)]),
        ),
        File(
            'two repetitions',
            plain([a for i in range(2) for a in cartesian_lines(kspace + noise(kspace.shape), regular, repetition=i)]),
        ),
        File(
            'three slices',
            plain(
                [
                    a
                    for i in range(3)
                    for a in cartesian_lines((1 - 0.1 * i) * kspace, regular, slice=i, position=(1, 2, 5 * i))
                ]
            ),
        ),
        File('slices of different numbers of lines', plain(cartesian_lines(kspace, regular) + other_slice)),
        File(
            '3D, 8 partitions',
            ismrmrd_file(matrix=(N, N, 8))([a for k in range(8) for a in cartesian_lines(volume[:, k], regular, k2=k)]),
            same_grid=False,
        ),
        File('partial Fourier, 5/8', plain(cartesian_lines(kspace, range(N * 5 // 8)))),
        File(
            'asymmetric echo, 70 %',
            plain([line(kspace[:, k, N * 3 // 10 :], k1=k, center=N // 2 - N * 3 // 10) for k in range(N)]),
        ),
        File('radial, stored trajectory', radial_file(radial_lines(stored=True))),
        File('radial, no trajectory', radial_file(radial_lines(stored=False))),
        File('radial, --trajectory cartesian', radial_file(radial_lines(stored=True)), ('--trajectory', 'cartesian')),
        File('lines, --trajectory radial2d', plain(cartesian_lines(kspace)), ('--trajectory', 'radial2d')),
        File('noise measurement', plain([line(noise((6, 512)), flags=NOISE), *cartesian_lines(kspace, regular)])),
        File(
            'noise file of other coils',
            both(
                plain(cartesian_lines(kspace, regular)),
                lambda folder: write_lines(folder / 'n.h5', [line(noise((4, 512)), flags=NOISE)], matrix=(N, N, 1)),
            ),
            ('--noise-file', 'DIR/n.h5'),
        ),
        File(
            'calibration file of other coils',
            both(
                plain(cartesian_lines(kspace, range(0, N, 3))),
                lambda folder: write_lines(folder / 'cal.h5', cartesian_lines(kspace[:4], center), matrix=(N, N, 1)),
            ),
            ('--calibration-file', 'DIR/cal.h5'),
        ),
        File(
            'coil maps with NaN',
            both(plain(cartesian_lines(kspace, regular)), npy(wrong_maps, 'maps.npy')),
            ('--coil-maps-file', 'DIR/maps.npy'),
        ),
        File(
            'unreadable vendor',
            ismrmrd_file(vendor='VENDOR', edit=lambda xml: xml.replace(b'VENDOR', b'\xff\xfe\x80'))(
                cartesian_lines(kspace, regular)
            ),
        ),
        File(
            'matrix of the header too small',
            small(cartesian_lines(kspace)),
            same_grid=False,
        ),
        File('field of view 0', ismrmrd_file(edit=lambda xml: xml.replace(b'192.0', b'0.0'))(cartesian_lines(kspace))),
        File('NaN in a line', plain(broken)),
        File('cut in the middle', truncated),
    ]


def row(file: File, folder: Path, reference: torch.Tensor) -> list[str]:
    """Reconstruct a file, and return the cells of its row."""
    folder.mkdir(parents=True)
    path, output = file.write(folder), folder / 'out'
    options = [option.replace('DIR', str(folder)) for option in file.options]
    start, said, printed = time.perf_counter(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = run(['reconstruct', str(path), '--output', str(output), '--progress', 'off', *options])
    seconds = time.perf_counter() - start
    if not (output / 'report.json').is_file():
        return [str(code), '-', '-', '-', f'{seconds:.0f}', said.getvalue().strip().replace(str(folder), 'DIR')[:200]]
    report = json.loads((output / 'report.json').read_text())
    quality = '-'
    if file.same_grid:
        array = np.asarray(nibabel.Nifti1Image.from_filename(output / 'image.nii.gz').dataobj, dtype=np.float32)
        img = torch.from_numpy(array).reshape(*array.shape[:2], -1)[..., 0].T.reshape(reference.shape)
        img = img * (img * reference).sum() / img.square().sum()
        quality = f'{psnr(img, reference, foreground_mask(reference)).item():.1f}'
    certificate, maps = report['certificate'], report['coil_maps']
    taken = f'{report["model"]}; maps: {"none" if maps is None else maps["source"]}; {report["image_shape"]}'
    notes = ' '.join(report['notes'])
    return [str(code), quality, taken, str(certificate['n_iterations']), f'{seconds:.0f}', notes[:300]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--only', nargs='+', default=('',), help='files whose names hold one of these texts')
    args = parser.parse_args()
    torch.set_num_threads(1)
    full = compress_coils(KData.from_file(args.data_root / FILE, KTrajectoryCartesian()), 1.0).kdata
    kspace = full.data.reshape(-1, N, N)[:6]
    kspace = 100 * kspace / kspace.abs().max()
    reference = inverse(kspace).abs().square().sum(0).sqrt().reshape(1, 1, 1, N, N)
    head = ('file', 'exit code', 'PSNR foreground', 'taken', 'iterations', 'seconds', 'said')
    print(f'| {" | ".join(head)} |\n|{"---|" * len(head)}')
    with tempfile.TemporaryDirectory() as temporary:
        for i, file in enumerate(files(kspace, 0.05)):
            if any(text in file.name for text in args.only):
                cells = row(file, (args.output or Path(temporary)) / f'{i:02}', reference)
                print(
                    f'| {" | ".join([file.name, *(cell.replace("|", "/").replace(chr(10), " ") for cell in cells)])} |',
                    flush=True,
                )


if __name__ == '__main__':
    main()
