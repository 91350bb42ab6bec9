"""Plain U-Net in one, two or three dimensions."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch.nn import Conv1d, Conv2d, Conv3d, LeakyReLU, Module, ModuleList, Sequential
from torch.nn.functional import interpolate, max_pool1d, max_pool2d, max_pool3d

from mrpro_lambda.checks import check_number, check_tensor, check_type

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_POOL = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}
_INTERPOLATION = {1: 'linear', 2: 'bilinear', 3: 'trilinear'}

PaddingMode = Literal['reflect', 'zeros']

_LARGEST = 2048
"""Largest number of features: a convolution has 9 times the square of them as weights."""


class UNet(Module):
    """Plain U-Net [RON2015]_, as the backbone of TV-Lambda.

    Each resolution has `n_convs` convolutions of width 3 with leaky ReLU, and twice the features of the one above it.
    On the way up, features are interpolated linearly, halved by a convolution without activation and joined with those
    of the same resolution on the way down.

    Each convolution reflects its input at the border. With zero padding, that of published weights, the maps have a
    bright frame; it takes inputs of any size, of which the lower resolutions leave out what is no whole cell.

    References
    ----------
    .. [RON2015] Ronneberger O, Fischer P, Brox T (2015) U-Net: Convolutional networks for biomedical image
       segmentation. MICCAI https://doi.org/10.1007/978-3-319-24574-4_28
    """

    def __init__(
        self,
        n_dim: int,
        n_channels_in: int,
        n_channels_out: int,
        n_features: int = 16,
        *,
        n_resolutions: int = 3,
        n_convs: int = 2,
        bias: bool = True,
        residual: bool = False,
        padding_mode: PaddingMode = 'reflect',
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        n_dim
            Number of dimensions that are convolved, 1 to 3.
        n_channels_in
            Number of input channels.
        n_channels_out
            Number of output channels.
        n_features
            Number of features at the highest resolution.
        n_resolutions
            Number of resolutions.
        n_convs
            Number of convolutions at each resolution, on the way down and on the way up.
        bias
            Whether convolutions add a number to each feature.
        residual
            Add the input to the output, which then must have as many channels.
        padding_mode
            How each convolution continues its input, by reflection or with zeros.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        check_number('n_dim', n_dim, 1, 3, integer=True)
        for name, value, largest in (
            ('n_channels_in', n_channels_in, _LARGEST),
            ('n_channels_out', n_channels_out, _LARGEST),
            ('n_features', n_features, _LARGEST),
            ('n_resolutions', n_resolutions, _LARGEST),
            ('n_convs', n_convs, 16),
        ):
            check_number(name, value, 1, largest, integer=True)
        check_type('bias', bias, bool)
        check_type('residual', residual, bool)
        if residual and n_channels_in != n_channels_out:
            raise ValueError(
                'residual=True adds the input to the output, so both must have as many channels, got '
                f'{n_channels_in=} and {n_channels_out=}.'
            )
        if padding_mode not in get_args(PaddingMode):
            raise ValueError(f'padding_mode must be one of {get_args(PaddingMode)}, got {padding_mode=}.')
        if n_features > _LARGEST >> (n_resolutions - 1):
            raise ValueError(
                f'The lowest resolution must have at most {_LARGEST} features, got {n_features=} times 2 for each of '
                f'{n_resolutions=} below the first.'
            )
        self.n_dim = n_dim
        self.n_channels_in = n_channels_in
        self.n_channels_out = n_channels_out
        self.n_resolutions = n_resolutions
        self.residual = residual
        self.padding_mode = padding_mode

        def conv(n_in: int, n_out: int) -> Module:
            return _CONV[n_dim](n_in, n_out, kernel_size=3, padding=1, bias=bias, padding_mode=padding_mode)

        def block(n_in: int, n_out: int) -> Sequential:
            layers: list[Module] = []
            for i in range(n_convs):
                layers += [conv(n_in if i == 0 else n_out, n_out), LeakyReLU()]
            return Sequential(*layers)

        features = [n_features * 2**i for i in range(n_resolutions)]
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            self.encoder = ModuleList(block(n_in, n_out) for n_in, n_out in pairwise([n_channels_in, *features]))
            self.upsampling = ModuleList(conv(n_in, n_out) for n_in, n_out in pairwise(features[::-1]))
            self.decoder = ModuleList(block(2 * n_out, n_out) for n_out in features[-2::-1])
            self.last = _CONV[n_dim](features[0], n_channels_out, kernel_size=1, bias=bias)
        self._initialize(torch.Generator().manual_seed(0) if generator is None else generator)

    def _initialize(self, generator: torch.Generator) -> None:
        """Draw the weights for leaky ReLU; the last layer starts small, so that the map starts even."""
        for module in self.modules():
            if isinstance(module, Conv1d | Conv2d | Conv3d):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity='leaky_relu', generator=generator)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.last.weight.mul_(0.1)

    @property
    def size_divisor(self) -> int:
        """Input sizes must be multiples of this number."""
        return 2 ** (self.n_resolutions - 1) if self.padding_mode == 'reflect' else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        x
            Input, shape `(batch, n_channels_in, *size)` with `n_dim` sizes that are multiples of `size_divisor`, and of
            at least 2 pixels at the lowest resolution.

        Returns
        -------
            Output, shape `(batch, n_channels_out, *size)`.

        Raises
        ------
        ValueError
            If the shape is not as said, or the precision is not that of the network.
        """
        check_tensor('input', x, finite=False)
        if not torch.is_autocast_enabled(x.device.type) and x.dtype != self.last.weight.dtype:
            raise ValueError(
                f'The input must have the precision of the network, got {x.dtype} of shape {tuple(x.shape)} for a '
                f'network of {self.last.weight.dtype}.'
            )
        smallest = 2**self.n_resolutions
        if (
            x.ndim != self.n_dim + 2
            or x.shape[1] != self.n_channels_in
            or any(n % self.size_divisor or n < smallest for n in x.shape[2:])
        ):
            raise ValueError(
                f'The input must have {self.n_channels_in} channels and {self.n_dim} axes with multiples of '
                f'{self.size_divisor}, at least {smallest}, got shape {tuple(x.shape)}.'
            )
        given, skips = x, list[torch.Tensor]()
        for i, block in enumerate(self.encoder):
            x = block(x if i == 0 else _POOL[self.n_dim](x, 2))
            skips.append(x)
        skips.pop()
        for upsampling, block in zip(self.upsampling, self.decoder, strict=True):
            skip = skips.pop()
            up = interpolate(x, size=skip.shape[2:], mode=_INTERPOLATION[self.n_dim], align_corners=False)
            x = block(torch.cat((upsampling(up), skip), dim=1))
        x = self.last(x)
        return x + given if self.residual else x
