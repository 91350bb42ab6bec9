"""Image network for complex images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_axes, check_tensor, check_type
from mrpro_lambda.nets.continued import continued


class ComplexNet(torch.nn.Module):
    r"""Apply an image network :math:`u` to images in mrpro's shapes, :math:`x \mapsto u(x)` or :math:`x + u(x)`.

    Real and imaginary part are two channels, the noise level is a third one if it is used. All axes that are not
    convolved, that of the coils too, are a batch. Images are reflected up to the sizes that the network needs.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        dim: Sequence[int] | None = None,
        *,
        residual: bool = False,
        noise_level: bool = False,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        net
            Image network, from `(batch, n_channels_in, *size)` to `(batch, 2, *size)`, such as
            `~mrpro_lambda.nets.UNet`. An attribute `size_divisor` says what the sizes must be multiples of (default 1).
        dim
            Negative axes of the image that are convolved. Default: the last `net.n_dim` axes.
        residual
            Add the input.
        noise_level
            Whether the network sees the standard deviation of the noise as a third channel.

        Raises
        ------
        ValueError
            If an axis is not negative or is repeated, or if the network does not have these axes or channels.
        """
        super().__init__()
        check_type('net', net, torch.nn.Module)
        n_dim = getattr(net, 'n_dim', None)
        if dim is None:
            if not isinstance(n_dim, int):
                raise ValueError('dim must be given for a network without the attribute n_dim.')
            dim = range(-n_dim, 0)
        check_axes('dim', dim)
        if not dim or len(set(dim)) != len(dim) or n_dim not in (None, len(dim)):
            raise ValueError(f'dim must hold the axes that the network convolves, {n_dim}, each once, got {dim=}.')
        expected = {'n_channels_in': 3 if noise_level else 2, 'n_channels_out': 2}
        for name, value in expected.items():
            if getattr(net, name, value) != value:
                raise ValueError(f'The network must have {name}={value} with {noise_level=}, got {getattr(net, name)}.')
        self.net = net
        self.dim = tuple(dim)
        self.residual = residual
        self.noise_level = noise_level

    def forward(self, img: torch.Tensor, noise_std: torch.Tensor | None = None) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        img
            Complex image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation of its complex noise, broadcastable to the image; ignored by networks without.

        Returns
        -------
            Image of the same shape.

        Raises
        ------
        ValueError
            If the image is real or of another precision than the network, or if the noise level is missing.
        """
        check_tensor('image', img, finite=False)
        weight = next(self.net.parameters(), None)
        real_dtype = img.dtype.to_real()
        if not img.is_complex() or (weight is not None and weight.dtype != real_dtype):
            raise ValueError(
                f'The image must be complex and of the precision of the network, got {img.dtype} of shape '
                f'{tuple(img.shape)} for a network of {None if weight is None else weight.dtype}.'
            )
        if img.ndim < max(-d for d in self.dim):
            raise ValueError(f'The image must have the axes {self.dim}, got shape {tuple(img.shape)}.')
        channels = [img.real, img.imag]
        if self.noise_level:
            if noise_std is None:
                raise ValueError('This network needs the noise level: give noise_std.')
            channels.append(noise_std.to(real_dtype).expand(img.shape))
        last = tuple(range(-len(self.dim), 0))
        arranged = [channel.movedim(self.dim, last) for channel in channels]
        shape, sizes = arranged[0].shape, arranged[0].shape[-len(self.dim) :]
        x = torch.stack([channel.reshape(-1, *sizes) for channel in arranged], 1)
        divisor = getattr(self.net, 'size_divisor', 1)
        for d, n in zip(last, sizes, strict=True):
            needed = 1 if divisor == 1 else max(2 * divisor, n + -n % divisor)
            if needed > n:
                x = continued(x, d, 0, needed - n, circular=False)
        y = self.net(x)
        for d, n in zip(last, sizes, strict=True):
            y = y.narrow(d, 0, n)
        out = torch.complex(*y.unbind(1)).reshape(shape).movedim(last, self.dim)
        return img + out if self.residual else out
