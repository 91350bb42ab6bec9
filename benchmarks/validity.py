"""Where the weights that ship are worth their use: TV-Lambda against the automatic weight, far outside of the training.

Images of training persons are acquired with several coils (whose maps are known), patterns, accelerations and noise
levels relative to the root mean square of the image. Both are phase-aware and solved to a certified gap of 1 %. A row
holds the mean and the smallest difference of TV-Lambda to total variation with the weight of `Sure`, in PSNR of the
whole image and of the foreground and in SSIM, over the images.

    python benchmarks/validity.py --data-root DIR

The ranges in which `mrpro_lambda.reconstruct` takes the weights by default follow from this table, which it prints in
Markdown.
"""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path

import torch
from mrpro_lambda.datasets import CentralBox, VariableDensityRandom, complex_noise, simulate_coil_maps, smooth_phase
from mrpro_lambda.metrics import foreground_mask, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.weighting import Sure

from quality import SIZE, images

CHOSEN = (1, 8)
"""Numbers of the images, of a brain and a heart."""
CENTER = 16
"""Fully sampled lines in the center."""


def pattern(kind: str, acceleration: float, generator: torch.Generator) -> torch.Tensor:
    """Draw a mask of shape `(y, x)`."""
    shape, mask = (SIZE, SIZE), torch.zeros(SIZE, SIZE)
    if kind == 'box':
        return CentralBox(1 / math.sqrt(acceleration)).mask(shape, generator)
    if kind == 'points':
        return VariableDensityRandom(acceleration).mask(shape, generator)
    lines = torch.arange(SIZE) - SIZE // 2
    center = (lines.abs() < CENTER // 2) | (lines == -CENTER // 2)
    if kind == 'regular lines':
        chosen = (lines % round(acceleration)) == 0
    else:
        density = torch.exp(-0.5 * (lines / (SIZE / 6)).square()) + 0.15
        n = round(SIZE / acceleration) - CENTER
        chosen = torch.zeros(SIZE, dtype=torch.bool)
        chosen[torch.multinomial(density * ~center, n, generator=generator)] = True
    mask[chosen | center] = 1
    return mask


def differences(
    image: torch.Tensor, name: str, kind: str, acceleration: float, n_coils: int, noise: float, seed: int
) -> torch.Tensor:
    """Return the differences of the three qualities, and the number of iterations of TV-Lambda."""
    generator = torch.Generator().manual_seed(seed)
    img = (image * torch.exp(1j * smooth_phase((SIZE, SIZE), generator)))[None, None, None]
    csm = simulate_coil_maps(n_coils, (SIZE, SIZE), generator)[None]
    mask = pattern(kind, acceleration, generator)[None, None, None]
    operator = CartesianAcquisitionOp(mask, csm)
    noise_std = noise * img.abs().square().mean().sqrt()
    (data,) = operator(img)
    data = data + mask * complex_noise(tuple(data.shape), noise_std, generator)
    (start,) = operator.adjoint(data)
    model = load_pretrained(name)
    model.solver = model.solver.replace(max_iterations=1000, tolerance=1e-2)
    target, inside = img.abs(), foreground_mask(img.abs())
    found, n_iterations = [], 0
    for tried in (model, LambdaMapModel(Sure(max_iterations=300), model.solver, band_limit=model.band_limit)):
        result = tried.phase_aware().solve(data, operator, start, noise_std=noise_std)
        magnitude = result.img.abs()
        found.append(torch.cat([psnr(magnitude, target), psnr(magnitude, target, inside), ssim(magnitude, target)]))
        if result.solution is not None:
            n_iterations = n_iterations or result.solution.n_iterations
    return torch.cat([found[0] - found[1], torch.tensor([float(n_iterations)])])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--kind', help='one pattern only')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    selected = [images(args.data_root, test=False)[0][i] for i in CHOSEN]
    rows = [
        (name, kind, acceleration, n_coils, noise)
        for name, kind, accelerations, levels in (
            ('tv-low-field', 'box', (1.0, 2.0, 4.0), (0.05, 0.35, 0.8)),
            ('tv-variable-density', 'points', (2.0, 4.0, 8.0), (0.01, 0.05, 0.3)),
            ('tv-variable-density', 'lines', (2.0, 3.0), (0.01, 0.05, 0.3)),
            ('tv-variable-density', 'regular lines', (2.0, 3.0), (0.01, 0.05, 0.3)),
        )
        for acceleration in accelerations
        for n_coils in (1, 8)
        for noise in levels
        if args.kind in (None, kind)
    ]
    head = ('weights', 'pattern', 'R', 'coils', 'noise', 'PSNR', 'foreground', 'SSIM', 'iterations')
    print(f'| {" | ".join(head)} |\n|{"---|" * len(head)}')
    for i, row in enumerate(rows):
        values = torch.stack([differences(image, *row, seed=100 * i + k) for k, image in enumerate(selected)])
        cells = [f'{values[:, j].mean():+.{d}f} ({values[:, j].min():+.{d}f})' for j, d in ((0, 2), (1, 2), (2, 3))]
        print(f'| {" | ".join(map(str, row))} | {" | ".join(cells)} | {values[:, 3].mean():.0f} |', flush=True)


if __name__ == '__main__':
    main()
