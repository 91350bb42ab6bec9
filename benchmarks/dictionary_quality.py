"""Image quality of CDL-Lambda against one weight for all filters, on persons that were not used in training.

For every second test image of the brain and one heart of each second person: the weights of a network, and the best of
a few numbers c * sigma for the image, chosen with the ground truth for each metric on its own. All take the dictionary
of the network and the same number of ADMM iterations. Prints the paired gain for each image and the mean.

    python benchmarks/dictionary_quality.py --data-root DIR --model cdl-v1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mrpro_lambda.datasets import acquisition_op
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.training.metrics import foreground_mask

from quality import METRICS, gain_row, images, measure, simulate

SETTINGS = (('low-field', 0.35, (0.8, 1.1, 1.5)), ('variable-density', 0.1, (0.5, 0.7, 1.0)))


def main() -> None:
    """Run the evaluation and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--model', required=True, help='name or file of the weights')
    parser.add_argument('--iterations', type=int, default=120)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_pretrained(args.model) if args.model in list_pretrained() else load_weights(args.model)[0]
    solver = ADMM(model.solver.regularizer, n_iterations=args.iterations, penalty_factor=0.5)
    tests, groups = images(args.data_root, test=True)
    chosen = [i for i, g in enumerate(groups) if g == 'brain'][::2] + [i for i, g in enumerate(groups) if g == 'heart'][
        ::6
    ]
    for kind, noise, weights in SETTINGS:
        gains = []
        for i in chosen:
            sample = simulate(tests[i], kind, noise, 1000 + i)
            operator, mask, sigma = acquisition_op(sample), foreground_mask(sample.img), sample.noise_std.item()
            with torch.no_grad():
                lambda_map = model.estimate(sample.initial_image, sample.noise_std)
            rows = [
                measure(solver(sample.data, operator, sample.initial_image, w), sample.img, mask)
                for w in (lambda_map, *(c * sigma for c in weights))
            ]
            scalar = torch.stack(rows[1:])
            best = torch.where(torch.tensor([m == 'NRMSE' for m in METRICS]), scalar.amin(0), scalar.amax(0))
            gains.append(rows[0] - best)
            print(
                kind,
                noise,
                groups[i],
                ' '.join(f'{name} {value:+.3f}' for name, value in zip(METRICS, gains[-1], strict=True)),
            )
        print(f'\n| | {" | ".join(METRICS)} |')
        for group in ('brain', 'heart'):
            members = [gain for gain, i in zip(gains, chosen, strict=True) if groups[i] == group]
            print(gain_row(f'{kind} {noise}, {group}', torch.stack(members)))


if __name__ == '__main__':
    main()
