"""Random objects for the training of low-dose computed tomography, in a file that `ImageSource` reads.

python benchmarks/draw_phantoms.py DIR/phantoms.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from mrpro_lambda.datasets import draw_phantom


def main() -> None:
    """Write the objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('output', type=Path)
    parser.add_argument('--number', type=int, default=200)
    parser.add_argument('--size', type=int, default=112)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    np.save(args.output, torch.stack([draw_phantom(args.size, generator) for _ in range(args.number)]).numpy())


if __name__ == '__main__':
    main()
