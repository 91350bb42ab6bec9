"""Write weights whose maps are next to one number each, in units of the noise, for the start of a training.

    python benchmarks/start_at_numbers.py benchmarks/training/tv-cine.toml 0.0125 0.4 start.safetensors

The last layer of the network gets the biases that give these numbers where all else is zero, and a tenth of its
weights.
A training whose maps differ by a factor of 30 begins with what two tuned numbers reach.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from pathlib import Path

import torch
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.pretrained import save_weights
from mrpro_lambda.recipes import Recipe


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='configuration of the training')
    parser.add_argument('numbers', type=float, nargs='+', help='one number for each map')
    parser.add_argument('output', type=Path)
    parser.add_argument('--seed', type=int, default=7)
    args = parser.parse_args()
    recipe = Recipe.from_dict(tomllib.loads(args.config.read_text('utf-8'))['model'])
    model = recipe.build(args.seed)
    if not isinstance(model, LambdaMapModel):
        raise TypeError(f'The model must have a Lambda map, got {type(model).__name__}.')
    (net,) = (module for module in model.modules() if isinstance(module, LambdaNet))
    if not isinstance(net.backbone, UNet):
        raise TypeError(f'The network must be a UNet, got {type(net.backbone).__name__}.')
    last, largest = net.backbone.last, max(args.numbers)
    if last.bias is None:
        raise ValueError('The last layer of the network must have a bias.')
    with torch.no_grad():
        net.log_scale.fill_(math.log(largest))
        last.weight.mul_(0.1)
        # softplus of the bias is the number relative to the largest one
        last.bias.copy_(torch.tensor([math.log(math.expm1(number / largest)) for number in args.numbers]))
    save_weights(model, recipe, {'purpose': f'start of a training at {args.numbers}'}, args.output)


if __name__ == '__main__':
    main()
