"""Densely connected network that doubles the resolution."""

from __future__ import annotations

import torch
from torch.nn import Conv2d, ConvTranspose2d, Module, ModuleList, ReLU

from mrpro_lambda.checks import check_number, check_tensor

_LARGEST = 2048


class DenseNet(Module):
    """Densely connected convolutions at low resolution, then one transposed convolution, as SRDenseNet [TON2017]_.

    Each layer sees the features of all layers before it and adds some.

    References
    ----------
    .. [TON2017] Tong T, Li G, Liu X, Gao Q (2017) Image super-resolution using dense skip connections. IEEE ICCV
       https://doi.org/10.1109/ICCV.2017.514
    """

    n_dim = 2

    def __init__(
        self,
        n_channels: int = 2,
        n_features: int = 16,
        *,
        growth: int = 16,
        n_layers: int = 64,
        n_bottleneck: int = 256,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        n_channels
            Number of channels of the images.
        n_features
            Number of features of the first convolution.
        growth
            Number of features that each layer adds.
        n_layers
            Number of layers, 8 blocks of 8 in the paper.
        n_bottleneck
            Number of features at the transposed convolution.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        for name, value in (
            ('n_channels', n_channels),
            ('n_features', n_features),
            ('growth', growth),
            ('n_layers', n_layers),
            ('n_bottleneck', n_bottleneck),
        ):
            check_number(name, value, 1, _LARGEST, integer=True)
        self.n_channels = n_channels
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            self.first = Conv2d(n_channels, n_features, 3, padding=1)
            self.layers = ModuleList(Conv2d(n_features + i * growth, growth, 3, padding=1) for i in range(n_layers))
            self.bottleneck = Conv2d(n_features + n_layers * growth, n_bottleneck, 1)
            # pixel i of the low resolution is pixel 2i of the high one
            self.upsampling = ConvTranspose2d(n_bottleneck, n_bottleneck, 3, stride=2, padding=1, output_padding=1)
            self.last = Conv2d(n_bottleneck, n_channels, 3, padding=1)
        for layer in (self.first, *self.layers, self.bottleneck, self.upsampling, self.last):
            weight, bias = layer.weight, layer.bias
            torch.nn.init.kaiming_normal_(weight, nonlinearity='relu', generator=generator)
            torch.nn.init.zeros_(bias)
        with torch.no_grad():
            self.last.weight.mul_(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        x
            Images, shape `(batch, n_channels, y, x)`.

        Returns
        -------
            Images, shape `(batch, n_channels, 2 y, 2 x)`.

        Raises
        ------
        ValueError
            If the shape is not as said.
        """
        check_tensor('input', x, finite=False)
        if x.ndim != 4 or x.shape[1] != self.n_channels:
            raise ValueError(f'The input must have shape (batch, {self.n_channels}, y, x), got shape {tuple(x.shape)}.')
        relu = ReLU()
        features = relu(self.first(x))
        for layer in self.layers:
            features = torch.cat((features, relu(layer(features))), 1)
        out: torch.Tensor = self.last(relu(self.upsampling(relu(self.bottleneck(features)))))
        return out
