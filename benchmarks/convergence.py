"""Iterations that default solves take to a certified gap of 1e-2, before and after, on real scans and simulations.

    git worktree add /tmp/old ab81415
    python benchmarks/convergence.py --data-root DIR --old /tmp/old/src [--scans '16 coils*'] [--methods TV CDL]

The scans are undersampled brains with 8 and 16 coils, a bottle with regular R = 3 and 14 coils, an object with radial
samples and 16 coils, and heads at 0.055 T; coil maps are those of Inati from the fully sampled center. Simulated are an
odd size, readouts of 512 samples, and random points with one coil. Real and imaginary part are taken apart as by the
command line. *No net* is total variation with a weight of one noise level. Each solve runs in a process of its own with
each version, which take turns. Prints a table in Markdown; seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mrpro.algorithms.csm import inati
from mrpro.data import KData, KNoise, SpatialDimension
from mrpro.data.acq_filters import is_coil_calibration_acquisition
from mrpro.data.traj_calculators import KTrajectoryCartesian, KTrajectoryIsmrmrd
from mrpro.operators import FourierOp, LinearOperator, SensitivityOp

ROOT = Path(__file__).parent
METHODS = ('TV', 'TV, no net', 'TGV', 'CDL')


class Scan(NamedTuple):
    """An acquisition as the solvers take it."""

    data: torch.Tensor
    acquisition_op: LinearOperator
    initial_image: torch.Tensor
    noise_std: float
    fully_sampled: bool = False


def center_maps(kdata: KData, width: int) -> SensitivityOp:
    """Estimate coil maps from the center of k-space, Cartesian lines or the ends of spokes alike."""
    matrix = kdata.header.encoding_matrix
    window = torch.ones(1)
    for k, n in ((kdata.traj.ky, matrix.y), (kdata.traj.kx, matrix.x)):
        relative = k[0].abs() / (width * (n / matrix.y) / 2)
        window = window * torch.where(relative < 1, (0.5 * math.pi * relative).cos().square(), 0)
    (coils,) = FourierOp.from_kdata(kdata).adjoint(kdata.data * window)
    return SensitivityOp(inati(coils[0], SpatialDimension(1, 5, 5))[None])


def scan_of(kdata: KData, maps: SensitivityOp | None, noise_std: float | None = None) -> Scan:
    """Put a scan together, with the noise level estimated unless it is known."""
    from mrpro_lambda.reconstruction import estimate_noise_std

    fourier_op = FourierOp.from_kdata(kdata)
    operator = fourier_op if maps is None else fourier_op @ maps
    noise_std = estimate_noise_std(kdata, fourier_op) if noise_std is None else noise_std
    return Scan(kdata.data, operator, operator.adjoint(kdata.data)[0], noise_std)


def read(path: Path, *, calibration: bool = False, radial: bool = False, scaled: bool = True) -> KData:
    """Read a file, with small and huge values scaled unless they are to fit to a noise measurement."""
    from mrpro_lambda.raw_data import standardize, to_unit_range

    trajectory = KTrajectoryIsmrmrd() if radial else KTrajectoryCartesian()
    if not calibration:
        kdata = standardize(KData.from_file(path, trajectory))
        return to_unit_range(kdata)[0] if scaled else kdata
    flag = is_coil_calibration_acquisition
    return standardize(KData.from_file(path, trajectory, acquisition_filter_criterion=flag))


def brain(root: Path, lines: Callable[[int], torch.Tensor]) -> Scan:
    """Return the brain with 16 coils with some of its lines."""
    kdata = read(root / 'brain-16coil-full/kspace_96x96.h5')
    mask = lines(kdata.data.shape[-2])
    kdata = kdata[..., mask.nonzero().flatten(), :]
    return scan_of(kdata, center_maps(kdata, 16))._replace(fully_sampled=bool(mask.all()))


def bottle(root: Path) -> Scan:
    """Return the scan with calibration lines of its own, prewhitened."""
    from mrpro_lambda.reconstruction import prewhiten

    path = root / 'calibration-14coil-r3/SNR_R3.h5'
    noise = KNoise.from_file(path)
    kdata = prewhiten(read(path, scaled=False), noise)
    return scan_of(kdata, center_maps(prewhiten(read(path, calibration=True), noise), 24), 1.0)


def poisson(root: Path) -> Scan:
    """Return the brain with 8 coils and a mask of points."""
    from mrpro_lambda.operators import CartesianAcquisitionOp

    data = torch.tensor(np.load(root / 'brain-8coil-undersampled/kspace_8x230x180_complex64.npy'))[None, :, None]
    mask = (data[:, :1].abs() > 0).float()
    axes = [(torch.arange(n) - n // 2).abs() for n in data.shape[-2:]]
    window = [torch.where(k < 12, (k * math.pi / 24).cos().square(), 0) for k in axes]
    (coils,) = CartesianAcquisitionOp(mask).adjoint(data * window[0][:, None] * window[1])
    operator = CartesianAcquisitionOp(mask, inati(coils[0], SpatialDimension(1, 5, 5))[None])
    outer = (torch.hypot(axes[0][:, None] / 115, axes[1] / 90) > 0.9) & (mask > 0)
    noise_std = data.abs().square().sum(1, keepdim=True)[outer].mean().div(data.shape[1]).sqrt().item()
    return Scan(data, operator, operator.adjoint(data)[0], noise_std)


def low_field(root: Path, name: str) -> Scan:
    """Return four slices at 0.055 T on the refined grid, the noise of the lines whitened."""
    from mrpro_lambda.raw_data import upsample
    from mrpro_lambda.reconstruction import estimate_noise_weight

    kdata = upsample(read(root / 'low-field-brain' / f'{name}.h5'), 2)
    data, operator, initial_image, noise_std, _ = scan_of(kdata, None)
    weight = estimate_noise_weight(kdata)
    return Scan(weight * data, weight * operator, initial_image, noise_std, fully_sampled=True)


def simulation(shape: tuple[int, int], n_coils: int, noise: float, mask: torch.Tensor) -> Scan:
    """Simulate a head; the noise is relative to the root mean square of the image."""
    from mrpro_lambda.datasets import complex_noise, simulate_coil_maps, smooth_phase
    from mrpro_lambda.operators import CartesianAcquisitionOp

    import problems

    generator = torch.Generator().manual_seed(1)
    image = torch.nn.functional.interpolate(problems.magnitude(256)[None, None], size=shape, mode='bilinear')[0, 0]
    csm = simulate_coil_maps(n_coils, shape, generator)[None] if n_coils > 1 else None
    operator = CartesianAcquisitionOp(mask.expand(shape)[None, None, None].float(), csm)
    (signal,) = operator(torch.polar(image, smooth_phase(shape, generator))[None, None, None])
    noise_std = noise * image.square().mean().sqrt().item()
    data = signal + mask * complex_noise(signal.shape, noise_std, generator)
    return Scan(data, operator, operator.adjoint(data)[0], noise_std)


def regular(n: int, *, step: int) -> torch.Tensor:
    """Return every n-th line and 16 calibration lines."""
    k = torch.arange(n)
    return (k % step == 0) | ((k - n // 2 + 0.5).abs() < 8)


def variable_density(n: int, *, n_center: int = 16) -> torch.Tensor:
    """Return a quarter of the lines, more of them near the center, and calibration lines."""
    distance = (torch.arange(n) - n // 2 + 0.5).abs()
    density = torch.where(distance < n_center / 2, torch.inf, (1 - 2 * distance / n).clamp_min(1e-3) ** 3)
    drawn = torch.rand(n, generator=torch.Generator().manual_seed(0)).log() / density
    return torch.zeros(n, dtype=torch.bool).index_fill(0, drawn.topk(n // 4).indices, value=True)


def random_points(shape: tuple[int, int]) -> torch.Tensor:
    """Return points at R = 4."""
    from mrpro_lambda.datasets import VariableDensityRandom

    return VariableDensityRandom(4.0).mask(shape, torch.Generator().manual_seed(0))


def scans(root: Path) -> dict[str, Callable[[], Scan]]:
    """Return the scans by their names."""

    def simulated(shape: tuple[int, int], n_coils: int, noise: float) -> Scan:
        return simulation(shape, n_coils, noise, variable_density(shape[0], n_center=24)[:, None])

    def spokes() -> Scan:
        kdata = read(root / 'radial-16coil/brick_69_spokes.h5', radial=True)
        return scan_of(kdata, center_maps(kdata, 24))

    return {
        '16 coils, all lines': partial(brain, root, partial(regular, step=1)),
        '16 coils, random lines R = 4': partial(brain, root, variable_density),
        '16 coils, regular R = 3': partial(brain, root, partial(regular, step=3)),
        '16 coils, regular R = 4': partial(brain, root, partial(regular, step=4)),
        '14 coils, regular R = 3, calibration lines': partial(bottle, root),
        '8 coils, points R = 8': partial(poisson, root),
        '16 coils, 69 spokes': spokes,
        '0.055 T, FSE': partial(low_field, root, '6A/0.055T_FSE'),
        '0.055 T, FLAIR': partial(low_field, root, '6A/0.055T_FLAIR'),
        '0.055 T, GRE': partial(low_field, root, '6A/0.055T_GRE'),
        'simulated, 201 x 259, 8 coils, noise 0.01': partial(simulated, (201, 259), 8, 0.01),
        'simulated, 201 x 259, 8 coils, noise 0.1': partial(simulated, (201, 259), 8, 0.1),
        'simulated, 256 x 512, 8 coils, noise 0.01': partial(simulated, (256, 512), 8, 0.01),
        'simulated, 192 x 192, 1 coil, points R = 4, noise 0.1': lambda: simulation(
            (192, 192), 1, 0.1, random_points((192, 192))
        ),
    }


def work(root: Path, name: str, method: str) -> None:
    """Solve with the version that is on the path, and print JSON."""
    from mrpro_lambda.models import LambdaMapModel
    from mrpro_lambda.pretrained import load_pretrained
    from mrpro_lambda.regularizers import TotalVariation
    from mrpro_lambda.solvers import ADMM

    warnings.simplefilter('ignore')
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    scan = scans(root)[name]()
    weight = None
    if method == 'TV, no net':
        model = LambdaMapModel(None, ADMM(TotalVariation((-2, -1)), max_iterations=1000))
        weight = scan.noise_std
    else:
        names = {'TV': 'tv', 'TGV': 'tgv', 'CDL': 'cdl-v3'}
        suffix = '-low-field' if scan.fully_sampled else '' if method == 'CDL' else '-variable-density'
        model = load_pretrained(names[method] + suffix)
        model.solver = model.solver.replace(max_iterations=1000, tolerance=1e-2)
    noise_std = scan.noise_std if model.uses_noise_level else None
    model = model.phase_aware()
    lambda_map = model.choose(
        scan.data, scan.acquisition_op, scan.initial_image, noise_std, lambda_map=weight
    ).lambda_map
    start = time.process_time()
    solution = model.solver.solve(scan.data, scan.acquisition_op, scan.initial_image, lambda_map)
    seconds = time.process_time() - start
    print(json.dumps([solution.n_iterations, solution.relative_gap, seconds, solution.reason == 'tolerance reached']))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--old', type=Path, help='folder src of the version before')
    parser.add_argument('--scans', default='*', help='pattern of names')
    parser.add_argument('--methods', nargs='+', default=['TV', 'TV, no net', 'TGV'], choices=METHODS)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.data_root, *args.worker)
        return
    versions = [*([args.old] if args.old else []), ROOT.parent / 'src']
    heads = [' before', ' after'] if args.old else ['']
    columns = [f'{name}{head}' for head in heads for name in ('iterations', 'gap', 'seconds')]
    print('| scan | method | ' + ' | '.join(columns) + ' |\n' + '|---' * (2 + len(columns)) + '|')
    for name in scans(args.data_root):
        for method in args.methods if fnmatch(name, args.scans) else []:
            cells = []
            for path in versions:
                environment = os.environ | {'PYTHONPATH': f'{path}:{ROOT}', 'OMP_NUM_THREADS': str(args.threads)}
                command = [sys.executable, __file__, '--data-root', str(args.data_root), '--worker', name, method]
                output = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
                if output.returncode:
                    cells.append(output.stderr.strip().splitlines()[-1][:60] + ' | - | -')
                    continue
                n_iterations, gap, seconds, reached = json.loads(output.stdout.splitlines()[-1])
                cells.append(f'{n_iterations}{"" if reached else ", missed"} | {gap:.1e} | {seconds:.1f}')
            print(f'| {name} | {method} | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
