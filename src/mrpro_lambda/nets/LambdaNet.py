"""Network that estimates where and how strongly to regularize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch.nn.functional import softplus

Features = Literal['real_imaginary', 'magnitude']


class LambdaNet(torch.nn.Module):
    r"""Estimate the Lambda map of an initial image with any image network :math:`u` [KOF2023]_.

    .. math::

        \Lambda = \rho\, t \cdot \mathrm{softplus}(u(x_0 / s, \sigma / s)), \qquad
        s = \big( \textstyle\sum |x_0|^4 / \sum |x_0|^2 \big)^{1/2}

    :math:`s` measures the intensity of the object, whatever the amount of air around it, and :math:`t > 0` is
    learned. With `noise_level=True` the standard deviation :math:`\sigma` of the noise is an input and the reference
    :math:`\rho = \sigma`: a weight proportional to :math:`\sigma` is close to the best number for an image, so only
    its modulation is left to learn. Otherwise :math:`\rho = s`, and the network sees the image only.

    Either way :math:`\Lambda(c x_0, c \sigma) = c \Lambda(x_0, \sigma)` for :math:`c > 0`: weights work in the units of
    any scanner. This is the only place where the map becomes non-negative.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        *,
        dim: Sequence[int] | None = None,
        noise_level: bool = False,
        features: Features = 'real_imaginary',
        padding: int = 8,
        circular_dim: Sequence[int] = (),
        initial_scale: float = 1.0,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        backbone
            Image network, from `(batch, n_channels_in, *size)` to `(batch, n_maps, *size)`. The channels are real and
            imaginary part or the magnitude, then the relative noise level if it is used. An attribute `size_divisor`
            says what the sizes must be multiples of (default 1).
        dim
            Negative axes of the image that the backbone convolves. Default: the last `backbone.n_dim` axes.
        noise_level
            Use the standard deviation of the noise.
        features
            What of the complex image the backbone sees. With the magnitude the map can not follow the phase.
        padding
            Number of pixels by which the image is continued on each side, removed from the map again.
        circular_dim
            Axes of `dim` that are continued periodically (the time of a cardiac cycle); others are reflected.
        initial_scale
            Initial value of the learned factor.

        Raises
        ------
        ValueError
            If an axis is not negative or is repeated, if `circular_dim` is not part of `dim`, or if a number is not
            valid.
        """
        super().__init__()
        if dim is None:
            n_dim = getattr(backbone, 'n_dim', None)
            if not isinstance(n_dim, int):
                raise ValueError('dim must be given for a backbone without the attribute n_dim.')
            dim = range(-n_dim, 0)
        self.dim = tuple(dim)
        if not self.dim or any(d >= 0 for d in self.dim) or len(set(self.dim)) != len(self.dim):
            raise ValueError(f'dim must hold negative axes, each once, got {dim=}.')
        if not set(circular_dim) <= set(self.dim):
            raise ValueError(f'circular_dim must be part of dim={self.dim}, got {circular_dim=}.')
        if features not in get_args(Features):
            raise ValueError(f'features must be one of {get_args(Features)}, got {features=}.')
        if padding < 0:
            raise ValueError(f'padding must not be negative, got {padding=}.')
        if not (math.isfinite(initial_scale) and initial_scale > 0):
            raise ValueError(f'initial_scale must be positive and finite, got {initial_scale=}.')
        self.backbone = backbone
        self.noise_level = noise_level
        self.features = features
        self.padding = padding
        self.circular_dim = tuple(circular_dim)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(initial_scale)))

    def forward(self, initial_image: torch.Tensor, noise_std: torch.Tensor | float | None = None) -> torch.Tensor:
        r"""Estimate the map.

        Parameters
        ----------
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation :math:`\sigma` of the complex noise of one k-space sample, :math:`E|n|^2 = \sigma^2`, in
            the units of the orthonormal Fourier transform; a number or one for each image, broadcastable to the image.

        Returns
        -------
            Lambda map, shape `(n_maps, *other, coils, z, y, x)`.

        Raises
        ------
        ValueError
            If the noise level is missing, not positive, or given to a network that does not use it, or if an image is
            zero.
        """
        modulus = initial_image.abs()
        largest = modulus.detach().amax(self.dim, keepdim=True)
        if not bool((largest > 0).all()):
            raise ValueError(f'The initial image must not be zero, got shape {tuple(initial_image.shape)}.')
        energy = (modulus / largest).square()  # fourth powers of raw data would leave the range of single precision
        intensity = largest * (energy.square().sum(self.dim, keepdim=True) / energy.sum(self.dim, keepdim=True)).sqrt()

        normalized = initial_image / intensity
        if self.features == 'magnitude':
            channels = [normalized.abs()]
        else:
            channels = [normalized.real, normalized.imag if normalized.is_complex() else torch.zeros_like(normalized)]
        reference = intensity
        if self.noise_level:
            reference = self._noise_std(noise_std, initial_image).expand_as(intensity)
            channels.append((reference / intensity).expand_as(energy))
        elif noise_std is not None:
            raise ValueError('This network does not use the noise level, got noise_std: leave it out.')

        last = tuple(range(-len(self.dim), 0))
        x = torch.stack(channels).movedim(self.dim, last)  # channels, other axes, convolved axes
        other_shape = x.shape[1 : -len(self.dim)]
        u = self._apply_backbone(x.flatten(1, -len(self.dim) - 1).movedim(0, 1)).movedim(0, 1)
        u = u.unflatten(1, other_shape).movedim(last, self.dim)
        return reference * self.log_scale.exp() * softplus(u)

    @staticmethod
    def _noise_std(noise_std: torch.Tensor | float | None, img: torch.Tensor) -> torch.Tensor:
        """Check the noise level."""
        if noise_std is None:
            raise ValueError('This network needs the noise level: give noise_std.')
        noise_std = torch.as_tensor(noise_std, dtype=img.dtype.to_real(), device=img.device)
        if noise_std.ndim > img.ndim or any(
            n not in (1, m) for n, m in zip(noise_std.shape[::-1], img.shape[::-1], strict=False)
        ):
            raise ValueError(
                f'noise_std must broadcast to the image, got shapes {tuple(noise_std.shape)} and {tuple(img.shape)}.'
            )
        if not bool((noise_std.isfinite() & (noise_std > 0)).all()):
            raise ValueError(
                f'noise_std must be positive and finite, got a smallest value of {noise_std.min().item()}.'
            )
        return noise_std

    def _apply_backbone(self, x: torch.Tensor) -> torch.Tensor:
        """Continue the image beyond its borders, apply the backbone and crop."""
        divisor = getattr(self.backbone, 'size_divisor', 1)
        crops = []
        for i, d in enumerate(self.dim):
            n = x.shape[i - len(self.dim)]
            before = self.padding
            after = before + -(n + 2 * before) % divisor
            crops.append(slice(before, before + n))
            x = _continue(x, i - len(self.dim), before, after, circular=d in self.circular_dim)
        return self.backbone(x)[(..., *crops)]


def _continue(x: torch.Tensor, dim: int, before: int, after: int, *, circular: bool) -> torch.Tensor:
    """Continue an array beyond its ends along one axis, periodically or by reflection, by any number of samples."""
    n = x.shape[dim]
    index = torch.arange(-before, n + after, device=x.device)
    if circular or n == 1:
        index = index % n
    else:
        index = index % (2 * n - 2)
        index = torch.minimum(index, 2 * n - 2 - index)
    return x.index_select(dim, index)
