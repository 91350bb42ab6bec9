"""Network that tells images from those of another network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn import Conv2d, Module, ModuleList
from torch.nn.functional import leaky_relu

from mrpro_lambda.checks import check_tensor

_FEATURES = (8, 64, 64, 64, 64, 64, 64, 1)
_SIZES = (3, 3, 3, 3, 3, 1, 1, 1)
_STRIDES = (2, 2, 2, 2, 2, 1, 1, 1)


class Discriminator(Module):
    """Eight convolutions to one number for each region of an image, in the sizes of [LIU2020]_.

    References
    ----------
    .. [LIU2020] Liu J, Kuang T, Zhang X (2020) Image reconstruction by splitting deep learning regularization from
       iterative inversion. MICCAI, Lect Notes Comput Sci 12262
    """

    def __init__(self, n_channels: int = 2, *, generator: torch.Generator | None = None) -> None:
        """Initialize the network.

        Parameters
        ----------
        n_channels
            Number of channels of the images.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            layers = [
                Conv2d(n_in, n_out, size, stride=stride, padding=size // 2)
                for (n_in, n_out), size, stride in zip(
                    pairwise((n_channels, *_FEATURES)), _SIZES, _STRIDES, strict=True
                )
            ]
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity='leaky_relu', generator=generator)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
        self.layers = ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return how likely each region is real, before the logistic function.

        Parameters
        ----------
        x
            Images, shape `(batch, n_channels, y, x)`.

        Returns
        -------
            Real numbers, shape `(batch, 1, y / 32, x / 32)`, rounded up.
        """
        check_tensor('input', x, finite=False)
        for i, layer in enumerate(self.layers):
            x = layer(leaky_relu(x, 0.2) if i else x)
        return x
