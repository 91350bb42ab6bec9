"""T1 mapping with TV-Lambda: error of T1 in brain tissues.

    python benchmarks/t1_mapping.py --data-root DIR --output FILE.json --picture FILE.png [--model FILE]

Inversion recovery of BrainWeb tissues at 10 times, 8 coils, random lines of k-space at R = 4 and 8, others for
each time, noise of 0.1 times the root mean square of the series. The weights are tuned on the coronal slice at 96 x 96
with 4 coils, in units of the noise, and tested on the axial one. Series are reconstructed jointly, with one weight or
map for space and one for the contrast, which is no cycle (Neumann boundary). Prints the mean absolute error of T1 in ms
in each tissue, mean and standard error of the acquisitions. Each solve has 100 iterations of ADMM.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import scipy.io
import torch
from mrpro.operators.models import InversionRecovery
from mrpro_lambda.datasets import KtLines, complex_noise, simulate_coil_maps, smooth_phase
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.reconstruction import fit_t1
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import ActivityWeight, FittedToScan

from measure import table

TIMES = [0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
TISSUES = {  # label of BrainWeb: proton density, T1 in s
    23: (1.0, 2.569),
    46: (0.86, 0.833),
    70: (0.77, 0.5),
    93: (1.0, 0.35),
    116: (1.0, 0.9),
    139: (1.0, 0.569),
    209: (0.77, 0.5),
    232: (1.0, 2.569),
    255: (0.77, 0.5),
}
SHOWN = {'white matter': 70, 'grey matter': 46, 'cerebrospinal fluid': 23}
NOISE = 0.1
REGULARIZER = TotalVariation((-5, -2, -1), boundary=('neumann', 'circular', 'circular'))
SOLVER = ADMM(REGULARIZER, n_iterations=100)
ONE = ((0.025, 0.025), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.4, 0.4))
TWO = tuple((a, b) for a in (0.025, 0.05, 0.1, 0.2) for b in (0.0125, 0.025, 0.05, 0.1, 0.2) if a != b)


def labels(root: Path, view: str, size: int) -> torch.Tensor:
    """Read a slice of labels, padded to a square and resampled to the nearest."""
    content = scipy.io.loadmat(root / 'brain-labels/brain2D.mat')
    found = torch.from_numpy(content[view].astype('float32'))
    n = max(found.shape)
    square = torch.zeros(n, n)
    top, left = (n - found.shape[0]) // 2, (n - found.shape[1]) // 2
    square[top : top + found.shape[0], left : left + found.shape[1]] = found
    return torch.nn.functional.interpolate(square[None, None], size=(size, size), mode='nearest')[0, 0]


class Acquisition:
    """Simulated acquisition of an inversion recovery."""

    def __init__(self, label: torch.Tensor, n_coils: int, acceleration: float, seed: int) -> None:
        """Simulate the acquisition."""
        generator = torch.Generator().manual_seed(seed)
        self.label = label
        self.t1, density = torch.zeros_like(label), torch.zeros_like(label)
        for value, (proton_density, t1) in TISSUES.items():
            density[label == value], self.t1[label == value] = proton_density, t1
        shape = (label.shape[0], label.shape[1])
        m0 = torch.polar(density, smooth_phase(shape, generator))[None, None]
        (self.img,) = InversionRecovery(TIMES)(m0, self.t1.clamp_min(0.01)[None, None])
        mask = KtLines(acceleration, 6, n_frames=len(TIMES)).mask(shape, generator)[:, None, None]
        self.operator = CartesianAcquisitionOp(mask, simulate_coil_maps(n_coils, shape, generator)[None])
        (signal,) = self.operator(self.img)
        self.noise_std = NOISE * self.img.abs().square().mean().sqrt().item()
        self.data = signal + mask * complex_noise(signal.shape, self.noise_std, generator)
        (self.initial_image,) = self.operator.adjoint(self.data)

    def solve(self, weight: tuple[float, float]) -> torch.Tensor:
        """Solve with weights for space and contrast in units of the noise."""
        lambda_map = [w * self.noise_std for w in weight]
        return SOLVER(self.data, self.operator, self.initial_image, lambda_map)

    def t1_map(self, img: torch.Tensor) -> torch.Tensor:
        """Fit T1 in the brain."""
        mask = torch.stack([self.label == value for value in SHOWN.values()]).any(0)
        return fit_t1(img, InversionRecovery(TIMES), mask=mask).t1[0, 0]

    def errors(self, t1: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error in ms in each tissue."""
        return torch.stack([1e3 * (t1 - self.t1)[self.label == value].abs().mean() for value in SHOWN.values()])


def tuned(root: Path, acceleration: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the weights with the smallest error on the coronal slice, relative to T1 and over all tissues."""
    acquisition = Acquisition(labels(root, 'coronal', 96), 4, acceleration, 0)
    true = torch.tensor([1e3 * TISSUES[value][1] for value in SHOWN.values()])
    found = {
        w: (acquisition.errors(acquisition.t1_map(acquisition.solve(w))) / true).mean().item() for w in (*ONE, *TWO)
    }
    print(f'R = {acceleration:g}, relative errors in tuning: {found}', flush=True)
    return min(ONE, key=found.__getitem__), min((*ONE, *TWO), key=found.__getitem__)


def save_picture(path: Path, maps: dict[str, torch.Tensor], weights: torch.Tensor | None) -> None:
    """Save T1 maps, and the maps of the weights below."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(maps), figsize=(2.6 * len(maps), 5.6), squeeze=False, layout='constrained')
    for axis, (title, t1) in zip(axes[0], maps.items(), strict=True):
        shown = axis.imshow((1e3 * t1).numpy(), cmap='viridis', vmin=0, vmax=3000)
        axis.set_title(title, fontsize=9)
    figure.colorbar(shown, ax=axes[0, -1], label='T1 in ms')
    true = next(iter(maps.values()))
    for axis, t1 in zip(axes[1, 1:], [*maps.values()][1:], strict=True):
        error = axis.imshow((1e3 * (t1 - true)).numpy(), cmap='RdBu', vmin=-500, vmax=500)
    figure.colorbar(error, ax=axes[1, -1], label='error in ms')
    if weights is not None:
        axes[1, 0].imshow(weights.numpy(), cmap='inferno')
        axes[1, 0].set_title('map for space', fontsize=9)
    for axis in axes.flat:
        axis.axis('off')
    figure.savefig(path, dpi=80)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--picture', type=Path)
    parser.add_argument('--model', help='name or file of weights for series')
    parser.add_argument('--repeats', type=int, default=2, help='acquisitions at each acceleration')
    parser.add_argument('--size', type=int, default=192)
    parser.add_argument('--fit-steps', type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = {}
    if args.fit_steps:
        fitted = FittedToScan(
            ActivityWeight(2), n_steps=args.fit_steps, n_iterations=20, learning_rate=0.04, safeguard=False
        )
        models['fitted to the scan'] = LambdaMapModel(fitted, SOLVER)
    if args.model is not None:
        trained = load_pretrained(args.model) if args.model in list_pretrained() else load_weights(args.model)[0]
        models['learned map (cine)'] = LambdaMapModel(trained.weight, SOLVER)
    results: dict[str, dict[str, list[list[float]]]] = {}
    for acceleration in (4.0, 8.0):
        one, two = tuned(args.data_root, acceleration)
        rows: dict[str, list[torch.Tensor]] = {}
        for seed in range(args.repeats):
            acquisition = Acquisition(labels(args.data_root, 'axial', args.size), 8, acceleration, 1000 + seed)
            images = {
                'zero-filled': acquisition.initial_image,
                f'one number, {one[0]:g} sigma': acquisition.solve(one),
                f'two numbers, {two[0]:g} and {two[1]:g} sigma': acquisition.solve(two),
            }
            weights = None
            for title, model in models.items():
                args_of_model = (acquisition.data, acquisition.operator, acquisition.initial_image)
                choice = model.choose(*args_of_model, acquisition.noise_std)
                with torch.no_grad():
                    images[title] = SOLVER(*args_of_model, choice.lambda_map)
                if title == 'fitted to the scan':
                    weights = choice.lambda_map[0].mean(0)[0, 0]
            maps = {title: acquisition.t1_map(img) for title, img in images.items()}
            for title, t1 in maps.items():
                rows.setdefault(title, []).append(acquisition.errors(t1))
                print(f'R = {acceleration:g}, {title}: {rows[title][-1].tolist()}', flush=True)
            if args.picture is not None and seed == 0:
                true = torch.where(maps['zero-filled'] > 0, acquisition.t1, 0)
                path = args.picture.with_stem(f'{args.picture.stem}_{acceleration:g}')
                save_picture(path, {'truth': true} | maps, weights)
        results[f'{acceleration:g}'] = {title: torch.stack(v).tolist() for title, v in rows.items()}
        args.output.write_text(json.dumps(results))
        lines = []
        for title, v in rows.items():
            values = torch.stack(v)
            error = values.std(0) / math.sqrt(len(values)) if len(values) > 1 else torch.zeros(len(SHOWN))
            lines.append((title, *(f'{m:.0f} ({e:.0f})' for m, e in zip(values.mean(0), error, strict=True))))
        print(f'\nR = {acceleration:g}\n\n' + table(('T1 error in ms', *SHOWN), lines), flush=True)


if __name__ == '__main__':
    main()
