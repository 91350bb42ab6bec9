"""The default reconstruction of undersampled raw data of a brain with 16 coils, against BART and mrpro at their best.

The fully sampled scan of `brain-16coil-full` is undersampled: single points of variable density and regular lines with
16 calibration lines, for several random masks, and radial spokes, which are interpolated from it, with white noise of
the level of the scan (its own is within the field of view then, as if it were signal). `reconstruct` gets no option;
beside it are the weights of TV-Lambda by their name, and the map fitted to the scan. BART's l1-wavelet and total
variation get maps of its ESPIRiT and, *same maps*, those of this package, as mrpro's total variation does, and each the
best of eight weights, chosen with the reference for each quality. The reference is the fully sampled image, combined
with ESPIRiT maps of all data; images are scaled to it.

The reference shares its noise with the samples, which favors weak regularization. The error of the samples that were
not measured, relative to their energy, does not: their noise is new to all methods. With spokes these are the points
of the grid without a sample of a spoke within a distance of 1, in the corners and between the outer ends. Their noise
is nearly new: it is in the spokes as far as these were interpolated from it.

    python benchmarks/raw_brain.py --data-root DIR [--seeds N] [--figure FILE]

Needs BART on the path, and prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from mrpro.algorithms.reconstruction import TotalVariationRegularizedReconstruction
from mrpro.data import KData, KTrajectory
from mrpro.data.traj_calculators import KTrajectoryCartesian
from mrpro.operators import FourierOp
from mrpro_lambda.array_files import read_cfl, write_cfl
from mrpro_lambda.coil_maps import find_coil_maps
from mrpro_lambda.datasets import Radial, VariableDensityRandom
from mrpro_lambda.metrics import foreground_mask, psnr, ssim
from mrpro_lambda.plotting import plot_comparison
from mrpro_lambda.raw_data.from_array import from_array
from mrpro_lambda.reconstruct import Settings, reconstruct

FILE = 'brain-16coil-full/kspace_96x96.h5'
CENTER = 16
NOISE = 1.7e-4
"""Noise level of the scan in its air, relative to the largest magnitude of k-space."""
BART = shutil.which('bart') or 'bart'
SCALES = [10 ** (-3.5 + 0.4 * i) for i in range(8)]
"""Weights of BART, relative to the intensity of the image, and of mrpro, relative to the largest magnitude."""
OURS = {
    'default': Settings(),
    'TV-Lambda, named': Settings(model='tv-variable-density'),
    'fitted to the scan': Settings(fit=True),
}


class Scene(NamedTuple):
    """An undersampled acquisition."""

    name: str
    kdata: KData
    kspace: torch.Tensor
    """Fully sampled k-space, shape `(coils, 1, y, x)`."""
    mask: torch.Tensor | None
    """What was sampled of it, `None` for radial spokes."""
    missing: torch.Tensor
    """Points of k-space, shape `(y, x)`, that no sample was near to."""
    reference: torch.Tensor
    """Magnitude of the reference, shape `(1, 1, 1, y, x)`."""

    def measure(self, img: torch.Tensor, csm: torch.Tensor) -> torch.Tensor:
        """Return the qualities of a complex image with the maps that it was reconstructed with."""
        magnitude, target = img.detach().abs().reshape(self.reference.shape), self.reference
        scale = (magnitude * target).sum() / magnitude.square().sum()
        magnitude = magnitude * scale
        inside = foreground_mask(target)
        values = [psnr(magnitude, target, inside), ssim(magnitude, target, inside)]
        predicted = fft(csm.reshape(self.kspace.shape) * img.detach().reshape(1, 1, *self.kspace.shape[-2:]))
        if self.mask is None:  # the operators of spokes differ by a factor
            predicted = scale * predicted
        measured = self.kspace[..., self.missing]
        values.append((predicted[..., self.missing] - measured).norm() / measured.norm())
        return torch.cat([v.flatten() for v in values])


def fft(img: torch.Tensor) -> torch.Tensor:
    """Return the centered orthonormal Fourier transform in the plane."""
    shifted = torch.fft.ifftshift(img, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(shifted, norm='ortho'), dim=(-2, -1))


def scenes(path: Path, seeds: int) -> list[Scene]:
    """Undersample the scan."""
    full = KData.from_file(path, KTrajectoryCartesian())
    kspace = full.data.reshape(-1, 1, *full.data.shape[-2:])
    kspace = kspace / kspace.abs().max()
    shape = (kspace.shape[-2], kspace.shape[-1])
    maps = find_coil_maps(from_array(kspace)[0]).csm.data[0]
    coils = inverse(kspace)
    combined = (maps.conj() * coils).sum(0) / maps.abs().square().sum(0).clamp_min(1e-6)
    reference = combined.abs().reshape(1, 1, 1, *shape)
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        masks = {'points, R = 4': VariableDensityRandom(4.0).mask(shape, generator)}
        for factor in (3, 4):
            lines = torch.zeros(shape)
            lines[seed % factor :: factor] = 1
            lines[shape[0] // 2 - CENTER // 2 : shape[0] // 2 + CENTER // 2] = 1
            masks[f'lines, R = {factor}'] = lines
        for name, mask in masks.items():
            found.append(Scene(name, from_array(kspace * mask)[0], kspace, mask, mask == 0, reference))
    n_spokes = shape[0] // 2
    trajectory = Radial(n_spokes).trajectory(shape, torch.Generator())
    spokes = torch.stack([trajectory.ky, trajectory.kx], -1).reshape(-1, 2)
    points = torch.cartesian_prod(*(torch.arange(n) - n // 2 for n in shape)).to(spokes)
    missing = (torch.cdist(points, spokes).amin(1) > 1).reshape(shape)
    data = radial(coils, trajectory, NOISE)
    return [*found, Scene(f'radial, {n_spokes} spokes', data, kspace, None, missing, reference)]


def inverse(kspace: torch.Tensor) -> torch.Tensor:
    """Return the coil images of k-space."""
    shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(shifted, norm='ortho'), dim=(-2, -1))


def radial(coils: torch.Tensor, trajectory: KTrajectory, noise_std: float) -> KData:
    """Interpolate spokes from coil images, and add white noise."""
    header = from_array(fft(coils))[0].header
    n = trajectory.kx.shape[-1]
    header.encoding_matrix.y = header.encoding_matrix.x = n
    header.encoding_fov.y = header.encoding_fov.x = header.recon_fov.x * n / header.recon_matrix.x
    empty = KData(header, torch.zeros(1, len(coils), 1, *trajectory.kx.shape[-2:], dtype=coils.dtype), trajectory)
    (samples,) = FourierOp.from_kdata(empty)(coils[None])
    generator = torch.Generator().manual_seed(0)
    noise = noise_std * torch.randn(samples.shape, generator=generator, dtype=samples.dtype)
    return KData(header, samples + noise, trajectory)


def ours(scene: Scene, settings: Settings) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Reconstruct with this package."""
    result = reconstruct(scene.kdata, settings)
    csm = find_coil_maps(scene.kdata).csm.data
    certificate = result.report['certificate']
    note = f'{result.report["model"]}, {certificate["n_iterations"]} iterations, gap {certificate["relative_gap"]:.1e}'
    return result.img, csm, note


def bart(scene: Scene, regularization: str, *, own_maps: bool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Reconstruct with BART for all weights, with maps of its own or those of the default."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> None:
            environment = os.environ | {'OMP_NUM_THREADS': '1'}
            subprocess.run([BART, *command], cwd=folder, check=True, capture_output=True, env=environment)  # noqa: S603

        spokes: list[str] = []
        if scene.mask is None:
            traj, n = scene.kdata.traj, scene.kspace.shape[-1]
            k = torch.stack([traj.kx, traj.ky, traj.kz.expand_as(traj.kx)], -1).reshape(*traj.kx.shape[-2:], 3)
            # in units of the field of view, whatever the oversampling of the readout
            write_cfl(Path(folder) / 'traj', (k * n / traj.kx.shape[-1]).to(torch.complex64))
            write_cfl(Path(folder) / 'k', scene.kdata.data[0, :, 0, :, :, None])
            spokes = ['-e', '-t', 'traj']  # the step by the largest eigenvalue: all diverge without it
        else:
            write_cfl(Path(folder) / 'k', scene.kspace * scene.mask)
        if own_maps:
            run('ecalib', '-m1', '-r24', 'k', 'maps')
        else:
            write_cfl(Path(folder) / 'maps', find_coil_maps(scene.kdata).csm.data[0])
        csm, images = read_cfl(Path(folder) / 'maps').squeeze()[:, None], []
        for scale in SCALES:
            run('pics', '-S', '-i200', *spokes, '-R', f'{regularization}:3:0:{scale}', 'k', 'maps', 'img')
            images.append((read_cfl(Path(folder) / 'img').squeeze(), csm))
        return images


def mrpro_tv(scene: Scene) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Reconstruct with total variation of mrpro for all weights."""
    csm = find_coil_maps(scene.kdata).csm
    largest = scene.reference.max().item()
    images = []
    for scale in SCALES:
        reconstruction = TotalVariationRegularizedReconstruction(
            scene.kdata, csm=csm, max_iterations=200, regularization_dim=(-2, -1), regularization_weight=scale * largest
        )
        images.append((reconstruction(scene.kdata).data, csm.data))
    return images


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--figure', type=Path, help='pictures of the first mask')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    peers: dict[str, Callable[[Scene], list[tuple[torch.Tensor, torch.Tensor]]]] = {
        'BART, l1-wavelet': lambda scene: bart(scene, 'W', own_maps=True),
        'BART, total variation': lambda scene: bart(scene, 'T', own_maps=True),
        'BART, l1-wavelet, same maps': lambda scene: bart(scene, 'W', own_maps=False),
        'BART, total variation, same maps': lambda scene: bart(scene, 'T', own_maps=False),
        'mrpro, total variation': mrpro_tv,
    }
    values: dict[tuple[str, str], list[torch.Tensor]] = {}
    notes, pictures = list[str](), dict[str, torch.Tensor]()
    sign = torch.tensor([1.0, 1.0, -1.0])
    for scene in scenes(args.data_root / FILE, args.seeds):
        for name, settings in OURS.items() if scene.mask is not None else [('default', Settings())]:
            start = time.perf_counter()
            img, csm, note = ours(scene, settings)
            notes.append(f'{scene.name}, {name}: {note}, {time.perf_counter() - start:.0f} s')
            values.setdefault((scene.name, name), []).append(scene.measure(img, csm))
            pictures.setdefault(f'{scene.name}: {name}', img.abs() / img.abs().amax())
        for name, peer in peers.items():
            if scene.mask is None and name in ('BART, l1-wavelet', 'BART, total variation'):
                continue  # its maps come from a center on a grid
            # iterations of BART on spokes may diverge
            measured = [scene.measure(img, csm) for img, csm in peer(scene) if bool(img.isfinite().all())]
            if measured:
                best = (torch.stack(measured) * sign).amax(0) * sign
                values.setdefault((scene.name, name), []).append(best)
        print('.', end='', flush=True)
    print('\n\n| sampling | method | PSNR foreground | SSIM foreground | error of unmeasured samples |')
    print('|---|---|---|---|---|')
    for (scene_name, method), rows in values.items():
        mean, spread = torch.stack(rows).mean(0), torch.stack(rows).std(0) if len(rows) > 1 else torch.zeros(3)
        cells = [f'{mean[i]:.{d}f} ({spread[i]:.{d}f})' for i, d in ((0, 2), (1, 4), (2, 4))]
        print(f'| {scene_name} | {method} | {" | ".join(cells)} |')
    print('\n' + '\n'.join(notes))
    if args.figure is not None:
        shown = {name: picture.reshape(picture.shape[-2:]) for name, picture in pictures.items()}
        plot_comparison(shown).savefig(args.figure, dpi=150, bbox_inches='tight')


if __name__ == '__main__':
    main()
