"""Real data at 0.055 T with two dictionaries and one network, beside TV-Lambda.

For each contrast: iterations, residual relative to the noise as measured and in a simulation (see residual.py), and the
blur of the image; the simulation takes the reconstruction as the truth. Prints a table in Markdown, saves a picture.

    python benchmarks/dictionary_real.py --data-root DIR --picture docs/source/_static/dictionary_low_field.png
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.metrics import blur
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.raw_data import read_kdata, upsample

from dictionary_exchange import load
from residual import ratios

SLICE = 2


def main() -> None:
    """Print the table and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--model', default='cdl-v3-low-field', help='name or file of the weights')
    parser.add_argument('--dictionaries', nargs=2, default=['k32-9x9-medium', 'k16-11x11-high'])
    parser.add_argument('--tolerance', type=float, default=1e-2)
    parser.add_argument('--picture', type=Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    mpl.use('agg')
    figure, axes = plt.subplots(2, 4, figsize=(12, 6.3), layout='constrained')
    print('| | method | iterations | gap | residual / noise | simulated | blur | seconds |\n' + '|---' * 8 + '|')
    for contrast, row in zip(('FSE', 'FLAIR'), axes, strict=True):
        kdata = upsample(read_kdata(args.data_root / f'low-field-brain/7A/0.055T_{contrast}.h5', 'cartesian'), 2)
        models = {'TV-Lambda': load_pretrained('tv-low-field')}
        for name in args.dictionaries:
            model = load(args.model, load_dictionary(name).filters, None)
            models[f'CDL-Lambda, {name}'] = model
        panels: dict[str, torch.Tensor] = {}
        for title, model in models.items():
            model.solver.tolerance = args.tolerance
            start = time.perf_counter()
            result, _, measured, simulated = ratios(kdata, model, whiten=True)
            seconds = time.perf_counter() - start
            if not panels:
                panels['zero-filled'] = result.initial_idata.data
            panels[title] = result.idata.data
            solution = result.solution
            print(
                f'| {contrast} | {title} | {solution.n_iterations} | {solution.relative_gap:.1e} '
                f'| {measured[0]:.3f} | {simulated[0]:.3f} | {blur(result.idata.data).mean():.3f} | {seconds:.0f} |',
                flush=True,
            )
        window = float(panels['TV-Lambda'][SLICE].abs().quantile(0.998))
        for ax, (title, img) in zip(row, panels.items(), strict=True):
            ax.imshow(img[SLICE, 0, 0].abs().numpy(), cmap='gray', vmin=0, vmax=window)
            ax.set_title(title, fontsize=9)
            ax.axis('off')
    figure.savefig(args.picture, dpi=100)


if __name__ == '__main__':
    main()
