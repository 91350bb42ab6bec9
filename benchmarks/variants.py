"""Models as they ship and phase-aware, on the same acquisitions of persons not used in training.

    python benchmarks/variants.py --data-root DIR --kind low-field [--method tv] [--phases raw] [--every N]
        [--figure FILE.png]

For each noise level the means over the test images of `quality.py`, and the paired differences to the first model with
their standard errors. All are solved to the tolerance of the weights, wavelets with 150 iterations. `--method tv`
(default) is TV-Lambda, `--method tgv` adds TGV-Lambda, which takes ten times as long, `--method cdl` is CDL-Lambda V3,
and `--method wavelet` are wavelets with one weight for the image, the best of a grid for each metric, found with the
truth. `--phases raw` gives the images the phases of raw scans (0.055 T, 8 and 16 coils combined by Inati) in turn, in
place of the smooth ones of the simulation.
Prints Markdown; with `--figure`, the first image at the middle noise level is written with a zoom.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from mrpro.algorithms.csm import inati
from mrpro_lambda.datasets import AcquisitionSample
from mrpro_lambda.metrics import foreground_mask
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.raw_data import read_kdata
from mrpro_lambda.regularizers import WaveletSparsity
from mrpro_lambda.solvers import ADMM
from torch.nn.functional import interpolate
from tqdm import tqdm

from quality import METRICS, SIZE, acquisition, gain_row, images, measure, oracle, simulate

DIM = (-2, -1)
WEIGHTS = [0.25 * 1.4**i for i in range(6)]
"""Weights of wavelets in units of the noise."""
_BAND = 16.0
"""Standard deviation of the window of the k-space of raw scans, in samples: wider than that of phase-aware models."""


def models(kind: str, method: str) -> dict[str, LambdaMapModel]:
    """Return the models by their names, the one that others are compared with first."""
    if method == 'wavelet':
        solver = ADMM(WaveletSparsity(DIM, maps='one'), n_iterations=150, penalty_factor=0.25)
        wavelets = LambdaMapModel(None, solver)
        return {'wavelets': wavelets, 'wavelets, phase-aware': wavelets.phase_aware()}
    if method == 'cdl':
        dictionary = load_pretrained('cdl-v3-low-field' if kind == 'low-field' else 'cdl-v3')
        return {'CDL-Lambda V3': dictionary, 'CDL-Lambda V3, phase-aware': dictionary.phase_aware()}
    total_variation = load_pretrained('tv-low-field' if kind == 'low-field' else 'tv-variable-density')
    found = {'TV-Lambda': total_variation, 'TV-Lambda, phase-aware': total_variation.phase_aware()}
    if method == 'tv':
        return found
    generalized = load_pretrained('tgv-low-field' if kind == 'low-field' else 'tgv-variable-density')
    return found | {'TGV-Lambda': generalized, 'TGV-Lambda, phase-aware': generalized.phase_aware()}


def reconstruct(model: LambdaMapModel, sample: AcquisitionSample) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the image, its metrics and the number of iterations.

    Without a weight of the model, each metric is the best of a grid of weights, and the image the one of the best PSNR.
    """
    operator, mask = sample.acquisition_op(), foreground_mask(sample.img)
    found = []
    for weight in (None,) if model.weight is not None else WEIGHTS:
        lambda_map = None if weight is None else weight * sample.noise_std.item()
        found.append(
            model.solve(sample.data, operator, sample.initial_image, noise_std=sample.noise_std, lambda_map=lambda_map)
        )
    values = torch.stack([measure(solution.img, sample.img, mask) for solution in found])
    best = found[int(values[:, 0].argmax())]
    n_iterations = 0 if best.solution is None else best.solution.n_iterations
    return best.img, values[0] if len(values) == 1 else oracle(WEIGHTS, values), n_iterations


def raw_phases(root: Path, size: int) -> list[torch.Tensor]:
    """Return phases of raw scans within a band, numbers of modulus 1 of shape `(1, 1, 1, size, size)`."""
    data = [
        read_kdata(root / 'low-field-brain/7A/0.055T_FSE.h5', 'cartesian').data[:1],
        read_kdata(root / 'brain-16coil-full/kspace_96x96.h5', 'cartesian').data[:1],
        torch.as_tensor(np.load(root / 'brain-8coil-undersampled/kspace_8x230x180_complex64.npy'))[None, :, None],
    ]
    phases = []
    for kspace in data:
        shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
        img = torch.fft.fftshift(torch.fft.ifftn(shifted, dim=(-2, -1), norm='ortho'), dim=(-2, -1))[0]
        if len(img) > 1:
            img = (inati(img, smoothing_width=5).conj() * img).sum(0, keepdim=True)
        for d in (-2, -1):  # the phase without the noise of the scan
            frequency = torch.fft.fftfreq(img.shape[d], d=1 / img.shape[d])
            window = torch.exp(-0.5 * (frequency / _BAND).square()).reshape(-1, *(1,) * (-d - 1))
            img = torch.fft.ifft(torch.fft.fft(img, dim=d) * window, dim=d)
        parts = torch.view_as_real(img[:, 0]).movedim(-1, 1)
        parts = interpolate(parts, (size, size), mode='bilinear', align_corners=False)
        field = torch.view_as_complex(parts.movedim(1, -1).contiguous())[None, None]
        phases.append(torch.where(field != 0, field / field.abs().clamp_min(1e-30), 1))
    return phases


def with_phase(sample: AcquisitionSample, phase: torch.Tensor) -> AcquisitionSample:
    """Give the image of a sample another phase, with the same noise in the data."""
    operator = sample.acquisition_op()
    img = sample.img.abs() * phase
    data = operator(img)[0] + sample.data - operator(sample.img)[0]
    return sample._replace(img=img, data=data, initial_image=operator.adjoint(data)[0])


def figure(path: Path, shown: dict[str, torch.Tensor], target: torch.Tensor) -> None:
    """Write the magnitudes at full size and a zoom, each image above its zoom."""
    import matplotlib.pyplot as plt

    shown = {'truth': target} | shown
    fig, axes = plt.subplots(2, len(shown), figsize=(3.2 * len(shown), 6.6), layout='constrained')
    y, x = (n // 2 - 5 for n in target.shape[-2:])
    for (name, img), (above, below) in zip(shown.items(), axes.T, strict=True):
        magnitude = img.abs().squeeze()
        options = {'cmap': 'gray', 'vmin': 0, 'vmax': target.abs().max().item()}
        above.imshow(magnitude, **options)
        below.imshow(magnitude[y : y + 48, x : x + 48], **options)
        above.set_title(name)
        for axis in (above, below):
            axis.set_axis_off()
    fig.savefig(path, dpi=150)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--kind', choices=('variable-density', 'low-field'), default='variable-density')
    parser.add_argument('--method', choices=('tv', 'tgv', 'cdl', 'wavelet'), default='tv')
    parser.add_argument('--phases', choices=('smooth', 'raw'), default='smooth')
    parser.add_argument('--every', type=int, default=1, help='each Nth test image')
    parser.add_argument('--levels', nargs='+', type=int, choices=range(3), default=range(3), help='of noise')
    parser.add_argument('--figure', type=Path, help='picture of the first image')
    args = parser.parse_args()
    torch.set_num_threads(1)
    selected, _ = images(args.data_root, test=True)
    indices = range(0, len(selected), args.every)
    phases = raw_phases(args.data_root, SIZE) if args.phases == 'raw' else []
    compared = models(args.kind, args.method)
    first = next(iter(compared))
    gains = []
    levels = [acquisition(args.kind)[1][level] for level in args.levels]
    for noise in levels:
        results: dict[str, list[torch.Tensor]] = {name: [] for name in compared}
        iterations: dict[str, list[int]] = {name: [] for name in compared}
        for i in tqdm(indices, desc=f'noise {noise}'):
            sample = simulate(selected[i], args.kind, noise, 1000 + i)
            if phases:
                sample = with_phase(sample, phases[i % len(phases)])
            shown = {}
            for name, model in compared.items():
                shown[name], row, n_iterations = reconstruct(model, sample)
                results[name].append(row)
                iterations[name].append(n_iterations)
            if args.figure is not None and i == 0 and noise == acquisition(args.kind)[1][1]:
                figure(args.figure, shown, sample.img)
        values = {name: torch.stack(rows) for name, rows in results.items()}
        print(f'\nNoise {noise:g}: means over {len(indices)} images\n')
        print('| | ' + ' | '.join(METRICS) + ' | iterations |\n|---' + '|---' * (len(METRICS) + 1) + '|')
        for name, rows in values.items():
            numbers = ' | '.join(f'{x:.3f}' for x in rows.mean(0).tolist())
            print(f'| {name} | {numbers} | {sum(iterations[name]) / len(indices):.0f} |', flush=True)
        gains.append({name: rows - values[first] for name, rows in values.items() if name != first})
    print(f'\nPaired differences to {first}; mean (standard error)\n')
    print('| | ' + ' | '.join(METRICS) + ' |\n|---' + '|---' * len(METRICS) + '|')
    for name in gains[0]:
        for noise, gain in zip(levels, gains, strict=True):
            print(gain_row(f'{name}, noise {noise:g}', gain[name]))
        print(gain_row(f'{name}, all', torch.cat([gain[name] for gain in gains])), flush=True)


if __name__ == '__main__':
    main()
