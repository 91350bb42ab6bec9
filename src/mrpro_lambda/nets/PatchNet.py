"""Dense layers on patches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch.nn import Linear, Module, ModuleList
from torch.nn.functional import fold, unfold

from mrpro_lambda.checks import check_number, check_tensor

_LARGEST = 8192


class PatchNet(Module):
    """Dense layers with ReLU in between on each patch of an image; where patches overlap, their mean is taken.

    Without the grouping of similar patches it is the network of the non-local auto-encoder of [LIU2020]_, whose size
    of patches is not given.

    References
    ----------
    .. [LIU2020] Liu J, Kuang T, Zhang X (2020) Image reconstruction by splitting deep learning regularization from
       iterative inversion. MICCAI, Lect Notes Comput Sci 12262
    """

    n_dim = 2

    def __init__(
        self,
        n_channels: int = 2,
        features: Sequence[int] = (512, 1024, 2048, 1024, 512),
        *,
        patch_size: int = 8,
        stride: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        n_channels
            Number of channels of the images.
        features
            Number of features between the first two dense layers, the next two, and so on.
        patch_size
            Size of the patches along both axes.
        stride
            Distance of two patches, which divides their size.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        for name, value in (
            ('n_channels', n_channels),
            ('patch_size', patch_size),
            ('stride', stride),
            *(('Each of features', n) for n in features),
        ):
            check_number(name, value, 1, _LARGEST, integer=True)
        if patch_size % stride:
            raise ValueError(f'stride must divide patch_size, got {stride=}, {patch_size=}.')
        self.n_channels_in = self.n_channels_out = n_channels
        self.patch_size = patch_size
        self.stride = stride
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        n_values = n_channels * patch_size**2
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            layers = [Linear(n_in, n_out) for n_in, n_out in pairwise([n_values, *features, n_values])]
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity='relu', generator=generator)
            torch.nn.init.zeros_(layer.bias)
        with torch.no_grad():
            layers[-1].weight.mul_(0.1)
        self.layers = ModuleList(layers)

    @property
    def size_divisor(self) -> int:
        """Input sizes must be multiples of this number."""
        return self.patch_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        x
            Images, shape `(batch, n_channels, y, x)`, with sizes that are multiples of `size_divisor`.

        Returns
        -------
            Images of the same shape.

        Raises
        ------
        ValueError
            If the shape is not as said.
        """
        check_tensor('input', x, finite=False)
        if x.ndim != 4 or x.shape[1] != self.n_channels_in or any(n % self.patch_size for n in x.shape[2:]):
            raise ValueError(
                f'The input must have shape (batch, {self.n_channels_in}, y, x) with multiples of {self.patch_size}, '
                f'got shape {tuple(x.shape)}.'
            )
        patches = unfold(x, self.patch_size, stride=self.stride).movedim(1, -1)
        for i, layer in enumerate(self.layers):
            patches = layer(patches.relu() if i else patches)
        out = fold(patches.movedim(-1, 1), x.shape[2:], self.patch_size, stride=self.stride)
        ones = x.new_ones(1, self.patch_size**2, patches.shape[1])
        return out / fold(ones, x.shape[2:], self.patch_size, stride=self.stride)
