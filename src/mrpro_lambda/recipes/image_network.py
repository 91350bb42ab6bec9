"""Image networks of descriptions."""

from collections.abc import Sequence
from typing import Literal

import torch

from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.nets.ConvNet import ConvNet
from mrpro_lambda.nets.UNet import UNet

Architecture = Literal['unet', 'conv']
"""Architecture of an image network: a U-Net, or convolutions of one resolution."""


def image_network(
    architecture: Architecture,
    dim: Sequence[int],
    n_features: int,
    depth: int,
    generator: torch.Generator,
    *,
    residual: bool = True,
    noise_level: bool = False,
    batch_norm: bool = False,
) -> ComplexNet:
    """Build a network for complex images.

    Parameters
    ----------
    architecture
        Architecture.
    dim
        Axes that it convolves.
    n_features
        Number of features at the highest resolution.
    depth
        Number of resolutions of a U-Net, or of convolutions.
    generator
        Random number generator of the initial weights.
    residual
        Add the input.
    noise_level
        Whether the network sees the noise level.
    batch_norm
        Normalize the features of convolutions of one resolution by batches.
    """
    n_in = 3 if noise_level else 2
    net: torch.nn.Module
    if architecture == 'unet':
        if batch_norm:
            raise ValueError(f"batch_norm is a setting of architecture='conv', got {architecture!r}.")
        net = UNet(len(dim), n_in, 2, n_features, n_resolutions=depth, generator=generator)
    else:
        net = ConvNet(len(dim), n_in, 2, [n_features] * (depth - 1), batch_norm=batch_norm, generator=generator)
    return ComplexNet(net, dim, residual=residual, noise_level=noise_level)
