"""Plain convolutional network in one, two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, Module, ReLU, Sequential

from mrpro_lambda.checks import check_number, check_tensor, check_type

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_NORM = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
_LARGEST = 2048


class ConvNet(Module):
    """Convolutions of width 3 with ReLU in between, the residual network of DnCNN [ZHA2017]_ and MoDL.

    With `batch_norm` each convolution, the last one too, is followed by a batch normalization in place of its bias.
    Images are continued by zeros.

    References
    ----------
    .. [ZHA2017] Zhang K, Zuo W, Chen Y, Meng D, Zhang L (2017) Beyond a Gaussian denoiser: Residual learning of deep
       CNN for image denoising. IEEE Trans Image Process 26(7) https://doi.org/10.1109/TIP.2017.2662206
    """

    size_divisor = 1
    """Input sizes must be multiples of this number."""

    def __init__(
        self,
        n_dim: int,
        n_channels_in: int,
        n_channels_out: int,
        features: Sequence[int] = (64, 64, 64, 64),
        *,
        batch_norm: bool = False,
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
        features
            Number of features between the first two convolutions, the next two, and so on.
        batch_norm
            Normalize the features, in training by the statistics of the batch, otherwise by those of the training.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        check_number('n_dim', n_dim, 1, 3, integer=True)
        for name, value in (
            ('n_channels_in', n_channels_in),
            ('n_channels_out', n_channels_out),
            *(('Each of features', n) for n in features),
        ):
            check_number(name, value, 1, _LARGEST, integer=True)
        check_type('batch_norm', batch_norm, bool)
        self.n_dim = n_dim
        self.n_channels_in = n_channels_in
        self.n_channels_out = n_channels_out
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        layers: list[Module] = []
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced
            for n_in, n_out in pairwise([n_channels_in, *features, n_channels_out]):
                conv = _CONV[n_dim](n_in, n_out, kernel_size=3, padding=1, bias=not batch_norm)
                torch.nn.init.kaiming_normal_(conv.weight, nonlinearity='relu', generator=generator)
                if conv.bias is not None:
                    torch.nn.init.zeros_(conv.bias)
                layers += [conv, *([_NORM[n_dim](n_out)] if batch_norm else []), ReLU()]
        layers.pop()  # no activation at the end
        self.layers = Sequential(*layers)
        with torch.no_grad():
            layers[-1].weight.mul_(0.1)  # type: ignore[operator]  # what is added to an image starts small

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        x
            Input, shape `(batch, n_channels_in, *size)` with `n_dim` sizes.

        Returns
        -------
            Output, shape `(batch, n_channels_out, *size)`.

        Raises
        ------
        ValueError
            If the shape is not as said.
        """
        check_tensor('input', x, finite=False)
        if x.ndim != self.n_dim + 2 or x.shape[1] != self.n_channels_in:
            raise ValueError(
                f'The input must have {self.n_channels_in} channels and {self.n_dim} axes, got shape {tuple(x.shape)}.'
            )
        return self.layers(x)
