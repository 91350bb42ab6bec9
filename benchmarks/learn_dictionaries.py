"""Learn the dictionaries that ship with the package.

    python learn_dictionaries.py --data-root DIR --work DIR --output DIR [NAME ...]

Run it again after an interruption: it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path

from mrpro_lambda.training.dictionary import DictionaryConfig

SPARSITY = {'low': 0.015, 'medium': 0.04, 'high': 0.1}
FAMILY = {
    f'k{n_filters}-{size}x{size}-{level}': (n_filters, size, sparsity)
    for n_filters in (16, 32, 64, 128)
    for size in (9, 11)
    for level, sparsity in SPARSITY.items()
}


def main() -> None:
    """Learn all dictionaries, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'default: all of {", ".join(FAMILY)}')
    parser.add_argument('--config', type=Path, default=Path(__file__).parent / 'training' / 'dictionary.toml')
    parser.add_argument('--data-root', type=Path, required=True, help='folder of the images')
    parser.add_argument('--work', type=Path, required=True, help='folder for the checkpoints')
    parser.add_argument('--output', type=Path, required=True, help='folder for the dictionaries')
    parser.add_argument('--steps', type=int, help='number of steps, default: that of the configuration')
    args = parser.parse_args()
    config = DictionaryConfig.from_toml(args.config, args.data_root)
    if args.steps is not None:
        config = dataclasses.replace(config, n_steps=args.steps)
    for name in args.names or FAMILY:
        n_filters, size, sparsity = FAMILY[name]
        target = args.output / f'{name}.safetensors'
        if target.exists():
            continue
        folder = args.work / name
        learned = dataclasses.replace(config, n_filters=n_filters, filter_size=size, sparsity=sparsity).learn(
            folder, resume=(folder / 'checkpoint.ckpt').exists(), progress=sys.stderr.isatty()
        )
        partial = target.with_name(target.name + '.partial')
        shutil.copyfile(learned, partial)
        partial.replace(target)
        sys.stdout.write(f'{target}\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
