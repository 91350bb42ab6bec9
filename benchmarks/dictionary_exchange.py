"""Exchange of the dictionary after training: order of the filters, and dictionaries that were not in the training.

Permutations: each network with the filters of its training, and with three permutations of them. Networks V1 and V2
give one map for each place in the order; V3 sees each filter on its own.

Dictionaries: V3 with each dictionary that ships with the package, of which those with 128 filters were not in the
training, and with cosines, which were not learned at all.

    python benchmarks/dictionary_exchange.py --data-root DIR --picture docs/source/_static/dictionary_exchange.png

Images: brains at 3 T of a person that was not used in training. Prints tables in Markdown, saves a picture.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mrpro_lambda.datasets import AcquisitionSample
from mrpro_lambda.dictionary import list_dictionaries, load_dictionary
from mrpro_lambda.metrics import foreground_mask, mse, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from tqdm import tqdm

from dictionary_quality import with_iterations
from quality import images, simulate

ITERATIONS = 100
SETTINGS = {'variable-density': 0.1, 'low-field': 0.35}
TRAINED = 'k32-9x9-medium'


def load(name: str, filters: torch.Tensor, n_iterations: int | None = ITERATIONS) -> LambdaMapModel:
    """Load weights, with other filters than those of the training, and a number of iterations if there is one."""
    model = load_pretrained(name, filters) if name in list_pretrained() else load_weights(name, filters)[0]
    return model if n_iterations is None else with_iterations(model, n_iterations)


def cosines(size: int) -> torch.Tensor:
    """Return the products of cosines of all frequencies but the constant, with unit norm."""
    index = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(math.pi / size * (index + 0.5) * index[:, None])
    waves /= torch.linalg.vector_norm(waves, dim=1, keepdim=True)
    return torch.einsum('ay,bx->abyx', waves, waves).flatten(0, 1)[1:].float()


def reconstruct(model: LambdaMapModel, sample: AcquisitionSample) -> torch.Tensor:
    """Reconstruct one acquisition."""
    with torch.no_grad():
        return model(sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std)


def permutation_table(names: list[str], samples: list[AcquisitionSample]) -> None:
    """Print the quality of each network with the filters in other orders, in the foreground."""
    filters = load_dictionary(TRAINED).filters
    orders = [torch.arange(len(filters))]
    orders += [torch.randperm(len(filters), generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    print('\n| | | SSIM | MSE / 1e-3 | PSNR / dB | largest change |\n|---|---|---|---|---|---|')
    for name in names:
        base: list[torch.Tensor] = []
        for number, order in enumerate(orders):
            model, rows, change = load(name, filters[order]), [], 0.0
            for i, sample in enumerate(tqdm(samples, desc=f'{name}, order {number}')):
                img = reconstruct(model, sample)
                if number == 0:
                    base.append(img)
                change = max(change, ((img - base[i]).abs().amax() / base[i].abs().amax()).item())
                mask, scale = foreground_mask(sample.img), sample.img.abs().amax()
                values = (
                    ssim(img, sample.img, mask),
                    1e3 * mse(img / scale, sample.img / scale, mask),
                    psnr(img, sample.img, mask),
                )
                rows.append(torch.cat(values))
            table = torch.stack(rows)
            cells = [f'{m:.3f} ({s:.3f})' for m, s in zip(table.mean(0).tolist(), table.std(0).tolist(), strict=True)]
            label = 'base' if number == 0 else f'permutation {number}'
            print(f'| {Path(name).stem} | {label} | {" | ".join(cells)} | {"" if number == 0 else f"{change:.1e}"} |')


def mean_psnr(model: LambdaMapModel, samples: dict[str, list[AcquisitionSample]]) -> dict[str, tuple[float, float]]:
    """Return the mean for each kind of acquisition, in the whole image and in the foreground."""
    result = {}
    for kind, members in samples.items():
        values = []
        for sample in members:
            img = reconstruct(model, sample)
            values.append(torch.cat([psnr(img, sample.img), psnr(img, sample.img, foreground_mask(sample.img))]))
        whole, foreground = torch.stack(values).mean(0).tolist()
        result[kind] = (whole, foreground)
    return result


def main() -> None:
    """Run the evaluation, print its tables and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--models', nargs=3, default=['cdl-v1', 'cdl-v2', 'cdl-v3'], help='weights of V1, V2 and V3')
    parser.add_argument('--kinds', nargs='+', choices=SETTINGS, default=[*SETTINGS], help='acquisitions, default: both')
    parser.add_argument('--picture', type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tests, groups = images(args.data_root, test=True)
    brains = tests[: groups.count('brain')]
    samples = {
        kind: [simulate(img, kind, SETTINGS[kind], 1000 + i) for i, img in enumerate(brains)] for kind in args.kinds
    }
    for kind in args.kinds:
        print(f'\n**{kind}, noise {SETTINGS[kind]}**: mean (standard deviation) of {len(brains)} images.')
        permutation_table(args.models, samples[kind])

    name = args.models[2]
    few = {kind: members[::2] for kind, members in samples.items()}
    dictionaries = {key: load_dictionary(key).filters for key in list_dictionaries()}
    dictionaries |= {f'cosines {size}x{size}': cosines(size) for size in (7, 9)}
    table = {
        key: mean_psnr(load(name, filters), few)
        for key, filters in tqdm(sorted(dictionaries.items(), key=lambda item: len(item[1])), desc='dictionaries')
    }
    print(f'\n| dictionary | filters | {" | ".join(f"{k} | {k}, foreground" for k in few)} |\n|---|---|' + '---|' * 4)
    for key, row in table.items():
        cells = ' | '.join(f'{value:.2f}' for pair in row.values() for value in pair)
        print(f'| {key} | {len(dictionaries[key])} | {cells} |')
    save_picture(name, dictionaries, table, few[args.kinds[0]][0], args.picture)


def save_picture(
    name: str,
    dictionaries: dict[str, torch.Tensor],
    table: dict[str, dict[str, tuple[float, float]]],
    sample: AcquisitionSample,
    path: Path,
) -> None:
    """Save the curves over the number of filters, and one image with dictionaries of all sizes."""
    mpl.use('agg')
    kinds = [*next(iter(table.values()))]
    figure = plt.figure(figsize=(13, 6.6), layout='constrained')
    grid = figure.add_gridspec(2, 1, height_ratios=(1.5, 1))
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    for ax, kind in zip(np.atleast_1d(upper.subplots(1, len(kinds))), kinds, strict=True):
        for size, marker in (('9x9', 'o'), ('11x11', 's')):
            for color, level in enumerate(('low', 'medium', 'high')):
                keys = [key for key in table if f'-{size}-{level}' in key]
                counts = [len(dictionaries[key]) for key in keys]
                label = f'{size}, {level}'
                ax.plot(counts, [table[k][kind][1] for k in keys], f'C{color}-', marker=marker, label=label)
        for key in table:
            if key.startswith('cosines'):
                ax.plot(len(dictionaries[key]), table[key][kind][1], 'kx')
                ax.annotate(key, (len(dictionaries[key]), table[key][kind][1]), fontsize=8)
        ax.axvspan(90, 150, color='0.92', zorder=0)
        ax.set(xscale='log', xlabel='filters (gray: more than in the training)', ylabel='PSNR in the foreground / dB')
        ax.set_xticks([16, 32, 64, 128], ['16', '32', '64', '128'])
        ax.minorticks_off()
        ax.set_title(f'{kind}, noise {SETTINGS[kind]}')
    ax.legend(fontsize=8, title='filters, sparsity')
    keys = [f'k{n}-9x9-medium' for n in (16, 32, 64, 128)] + ['cosines 7x7']
    panels = [('truth', sample.img), ('zero-filled', sample.initial_image)]
    panels += [(key, reconstruct(load(name, dictionaries[key]), sample)) for key in keys]
    peak = sample.img.abs().amax().item()
    for ax, (title, img) in zip(np.atleast_1d(lower.subplots(1, len(panels))), panels, strict=True):
        ax.imshow(img[0, 0, 0].abs().numpy(), cmap='gray', vmin=0, vmax=0.8 * peak)
        db = '' if title == 'truth' else f'\n{psnr(img, sample.img, foreground_mask(sample.img)).item():.2f} dB'
        ax.set_title(f'{title}{db}', fontsize=9)
        ax.axis('off')
    figure.savefig(path, dpi=90)


if __name__ == '__main__':
    main()
