"""Estimated noise level against the true one, on simulated acquisitions of real images and on real scans.

    python benchmarks/noise_level.py --data-root DIR [--part simulated|replicas|scans] [--images N] ...

The images are those of training persons (heads in air, and hearts). *Without air*, an object fills the field of view:
the center of an image of 1.6 times the size. *Oversampled* data have twice the readout, and the header says so: the
noise is estimated before the oversampling is removed and after it. With several coils, the estimate gets maps of the
noisy data, as in `reconstruct`. Noise is relative to the root mean square of the
image. Prints tables in Markdown: the ratio of the estimate to the truth, mean, and in brackets smallest and largest
value over the images, and how many of the estimates call themselves reliable.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from mrpro.data import AcqIdx, AcqInfo, KData, KHeader, KTrajectory, SpatialDimension
from mrpro.data.traj_calculators import KTrajectoryCartesian, KTrajectoryRadial2D
from mrpro.operators import FourierOp
from mrpro_lambda.coil_maps import find_coil_maps
from mrpro_lambda.datasets import (
    CartesianLines,
    ImageSource,
    VariableDensityRandom,
    complex_noise,
    read_images,
    simulate_coil_maps,
    smooth_phase,
)
from mrpro_lambda.raw_data import read_scan
from mrpro_lambda.reconstruction import NoiseEstimate, estimate_noise, prewhiten

from quality import CARDIAC, images

N_COILS = (1, 4, 8, 16)
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.3)
PATTERNS = ('full', 'points R=4', 'points R=8', 'lines R=4', 'regular R=3', 'radial R=3')


def selected_images(root: Path, size: int, *, air: bool, n: int) -> list[torch.Tensor]:
    """Read some images of training persons, heads and hearts in turn."""
    full = size if air else round(1.6 * size)
    if air and size == 160:
        heads_and_hearts, _ = images(root, test=False)
        heads, hearts = heads_and_hearts[:6:2], heads_and_hearts[6:]
    else:
        contrasts = ('T1w', 'T2w', 'FLAIR')
        heads = [read_images(ImageSource(root / f'low-field-brain/6A/3T_{c}.mat', size=full))[1] for c in contrasts]
        persons = sorted({str(i).split('-IM')[0] for i in np.load(root / CARDIAC)['ids']})[:6]
        hearts = [read_images(ImageSource(root / CARDIAC, ids=(p,), size=full))[0] for p in persons]
    start = (full - size) // 2
    pairs = [img for pair in zip(heads, hearts, strict=False) for img in pair]
    return [img[start : start + size, start : start + size] for img in pairs[:n]]


def trajectory(pattern: str, size: int, oversampling: int, generator: torch.Generator) -> KTrajectory:
    """Return the trajectory of a pattern; random points are along both axes of an image that has no readout."""
    kx = (torch.arange(oversampling * size) - oversampling * size // 2).float()
    ky = (torch.arange(size) - size // 2).float()
    zero = torch.zeros(1, 1, 1, 1, 1)
    if pattern == 'radial R=3':
        n = oversampling * size
        spokes = torch.arange(round(torch.pi / 2 * size / 3), dtype=torch.float32)[:, None]
        return KTrajectoryRadial2D()(n_k0=n, k0_center=n // 2, k1_idx=spokes)
    if pattern.startswith('points'):
        mask = VariableDensityRandom(float(pattern[-1])).mask((size, size), generator)
        y, x = mask.nonzero().T
        return KTrajectory(zero, ky[y].reshape(1, 1, 1, -1, 1), kx[x].reshape(1, 1, 1, -1, 1))
    chosen = torch.ones(size, dtype=torch.bool)
    if pattern == 'lines R=4':
        chosen = CartesianLines(4.0).mask((size, size), generator)[:, 0] > 0
    elif pattern == 'regular R=3':
        chosen = (torch.arange(size) % 3 == 0) | (ky.abs() < 8)
    return KTrajectory(zero, ky[chosen].reshape(1, 1, 1, -1, 1), kx.reshape(1, 1, 1, 1, -1))


def simulate(img: torch.Tensor, pattern: str, n_coils: int, oversampling: int, seed: int) -> KData:
    """Simulate noise-free data of an image, scaled to a root mean square of 1."""
    generator = torch.Generator().manual_seed(seed)
    size = len(img)
    x = torch.polar(img / img.square().mean().sqrt(), smooth_phase((size, size), generator))
    x = (simulate_coil_maps(n_coils, (size, size), generator) * x)[None]
    traj = trajectory(pattern, size, oversampling, generator)
    radial = pattern.startswith('radial')
    recon = SpatialDimension(1, size, size)
    encoding = SpatialDimension(1, size * (oversampling if radial else 1), size * oversampling)
    fov, encoding_fov = (
        SpatialDimension(0.005, 0.2 * matrix.y / size, 0.2 * matrix.x / size) for matrix in (recon, encoding)
    )
    info = AcqInfo(idx=AcqIdx(k1=torch.arange(traj.shape[-2]).reshape(1, 1, 1, -1, 1)))
    header = KHeader(recon, encoding, fov, encoding_fov, info, vendor='Siemens')
    if radial:
        data = nonuniform(x.to(torch.complex128), traj, encoding).to(torch.complex64)
    else:
        (data,) = FourierOp(recon, encoding, traj)(x)
    return KData(header, data, traj)


def nonuniform(x: torch.Tensor, traj: KTrajectory, encoding: SpatialDimension[int]) -> torch.Tensor:
    """Evaluate the Fourier transform at each sample exactly: a NUFFT has errors above the lowest noise levels."""
    n_y, n_x = x.shape[-2:]
    result = []
    for ky, kx in zip(traj.ky[0, 0, 0].double(), traj.kx[0, 0, 0].double(), strict=True):
        wave_y, wave_x = (
            torch.exp(-2j * torch.pi / size * k[:, None] * (torch.arange(n) - n // 2))
            for k, n, size in ((ky, n_y, encoding.y), (kx, n_x, encoding.x))
        )
        result.append(((wave_y @ x[0, :, 0]) * wave_x).sum(-1))
    return torch.stack(result, 1)[None, :, None] / (encoding.y * encoding.x) ** 0.5


def estimate(kdata: KData) -> NoiseEstimate:
    """Estimate the noise level with the coil maps of the same data."""
    fourier_op = FourierOp.from_kdata(kdata)
    if kdata.data.shape[-4] == 1:
        return estimate_noise(kdata, fourier_op)
    return estimate_noise(kdata, fourier_op @ find_coil_maps(kdata).csm.as_operator())


def row(name: str, ratios: list[float], n_reliable: int, sources: Counter[str]) -> str:
    """Return a row of a table."""
    r = torch.tensor(ratios)
    outside = ' **' if bool((r > 1.15).any() or (r < 0.85).any()) else ''
    source = ', '.join(f'{source} {count}' for source, count in sources.most_common())
    return f'| {name} | {r.mean():.2f} ({r.min():.2f}-{r.max():.2f}){outside} | {n_reliable}/{len(ratios)} | {source} |'


def simulated(root: Path, size: int, n_images: int, cases: Iterable[tuple[str, int, bool, int]]) -> Iterator[str]:
    """Yield the table of simulated acquisitions: pattern, coils, air, oversampling."""
    yield '| pattern, coils, air, oversampling, noise | ratio | reliable | source |\n|---|---|---|---|'
    for pattern, n_coils, air, oversampling in cases:
        results: dict[tuple[float, str], list] = {}
        for i, img in enumerate(selected_images(root, size, air=air, n=n_images)):
            clean = simulate(img, pattern, n_coils, oversampling, i)
            for level in LEVELS:
                generator = torch.Generator().manual_seed(1000 + i)
                kdata = KData(clean.header, clean.data + complex_noise(clean.data.shape, level, generator), clean.traj)
                forms = {str(oversampling): kdata}
                if oversampling == 2 and not pattern.startswith('radial'):
                    forms['2, removed'] = kdata.remove_readout_os()
                for form, k in forms.items():
                    results.setdefault((level, form), []).append((estimate(k), level))
        for (level, form), estimates in results.items():
            yield row(
                f'{pattern}, {n_coils}, {"air" if air else "no air"}, {form}, {level:g}',
                [e.std / truth for e, truth in estimates],
                sum(e.reliable for e, _ in estimates),
                Counter(e.source for e, _ in estimates),
            )


def replicas(root: Path, n_replicas: int) -> Iterator[str]:
    """Yield the table of a real scan of 16 coils with white noise added, undersampled and not.

    Its own noise, 3.9 in its air as root mean square over the corners of 5 x 5 pixels, is part of the truth.
    """
    kdata = KData.from_file(root / 'brain-16coil-full/kspace_96x96.h5', KTrajectoryCartesian())
    (img,) = FourierOp.from_kdata(kdata).adjoint(kdata.data)
    corners = [img[..., y, x] for y in (slice(5), slice(-5, None)) for x in (slice(5), slice(-5, None))]
    own = torch.stack(corners).abs().square().mean().sqrt().item()
    rms = img.abs().square().sum(1).mean().sqrt().item()
    size = kdata.data.shape[-1]
    yield f'Own noise {own:.2f}, root mean square of the image {rms:.0f}\n'
    yield '| pattern, noise | ratio | reliable | source |\n|---|---|---|---|'
    for pattern in ('full', 'regular R=3', 'lines R=4', 'points R=4'):
        for level in (0.02, 0.05, 0.1, 0.3):
            estimates = []
            for i in range(n_replicas):
                generator = torch.Generator().manual_seed(i)
                traj = trajectory(pattern, size, 1, generator)
                index_y = (traj.ky + size // 2).long().flatten()
                index_x = (traj.kx + size // 2).long().flatten()
                noisy = kdata.data + complex_noise(kdata.data.shape, level * rms, generator)
                data = noisy[..., index_y, :] if traj.kx.shape[-1] > 1 else noisy[..., index_y, index_x].unsqueeze(-1)
                info = AcqInfo(idx=AcqIdx(k1=torch.arange(traj.shape[-2]).reshape(1, 1, 1, -1, 1)))
                header = KHeader(
                    kdata.header.recon_matrix,
                    kdata.header.encoding_matrix,
                    kdata.header.recon_fov,
                    kdata.header.encoding_fov,
                    info,
                    vendor='Siemens',
                )
                estimates.append(estimate(KData(header, data, traj)))
            truth = (own**2 + (level * rms) ** 2) ** 0.5
            yield row(
                f'{pattern}, {level:g}',
                [e.std / truth for e in estimates],
                sum(e.reliable for e in estimates),
                Counter(e.source for e in estimates),
            )


def scans(root: Path) -> Iterator[str]:
    """Yield the table of real scans."""
    yield '| scan | expected | estimate | reliable | source |\n|---|---|---|---|---|'

    def line(name: str, expected: float, kdata: KData) -> str:
        e = estimate(kdata)
        return f'| {name} | {expected:.3g} | {e.std:.3g} ({e.std / expected:.2f}) | {e.reliable} | {e.source} |'

    scan = read_scan(root / 'calibration-14coil-r3/SNR_R3.h5')
    if scan.oversampled is None or scan.noise is None or scan.calibration is None:
        raise ValueError('SNR_R3.h5 must hold noise, calibration lines and an oversampled readout.')
    for name, kdata in (
        ('image lines, oversampled', scan.oversampled),
        ('image lines', scan.kdata),
        ('calibration lines', scan.calibration),
    ):
        yield line(f'14 coils R = 3, prewhitened, {name}', 1.0, prewhiten(kdata, scan.noise))
    level = scan.noise.data.abs().square().mean().sqrt().item()
    yield line('14 coils R = 3, as measured, oversampled', level, scan.oversampled)
    brain = read_scan(root / 'brain-16coil-full/kspace_96x96.h5').kdata
    yield line('16 coils (expected: root mean square in small corners)', 3.9, brain)
    radial = read_scan(root / 'radial-16coil/brick_69_spokes.h5').kdata
    n = radial.data.shape[-1]
    positions = torch.fft.fftshift(torch.fft.ifft(radial.data, norm='ortho'), dim=-1)
    beside = positions[..., n // 2 - round(0.31 * n) : n // 2 - round(0.28 * n)]
    yield line('radial, 16 coils (expected: beside the object)', beside.abs().square().mean().sqrt().item(), radial)
    for person in ('6A', '6B'):
        for contrast in ('FSE', 'FLAIR', 'GRE'):
            kdata = read_scan(root / f'low-field-brain/{person}/0.055T_{contrast}.h5').kdata
            img = torch.fft.fftshift(torch.fft.ifft2(kdata.data, norm='ortho'), dim=(-2, -1))
            expected = torch.cat((img[..., :6, :], img[..., -6:, :]), dim=-2).abs().square().mean().sqrt().item()
            yield line(f'0.055 T {person} {contrast} (expected: six rows at top and bottom)', expected, kdata)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--part', choices=('simulated', 'replicas', 'scans'), default='simulated')
    parser.add_argument('--images', type=int, default=6, help='images, or replicas of the scan')
    parser.add_argument('--size', type=int, default=160)
    parser.add_argument('--pattern', choices=PATTERNS, action='append')
    parser.add_argument('--coils', type=int, action='append')
    parser.add_argument('--air', choices=('yes', 'no'))
    parser.add_argument('--oversampling', type=int, action='append')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    if args.part == 'simulated':
        airs = (True, False) if args.air is None else (args.air == 'yes',)
        cases = [
            case
            for case in product(args.pattern or PATTERNS, args.coils or N_COILS, airs, args.oversampling or (1, 2))
            if case[-1] == 1 or not case[0].startswith('points')  # which have no readout
        ]
        lines = simulated(args.data_root, args.size, args.images, cases)
    else:
        lines = replicas(args.data_root, args.images) if args.part == 'replicas' else scans(args.data_root)
    for text in lines:
        print(text, flush=True)


if __name__ == '__main__':
    main()
