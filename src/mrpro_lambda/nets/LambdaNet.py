"""Network that estimates where and how strongly to regularize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate, softplus
from torch.utils.checkpoint import checkpoint

from mrpro_lambda.checks import check_axes, check_number, check_tensor, check_type

Features = Literal['real_imaginary', 'magnitude', 'signal_to_noise']
Responses = Literal['none', 'joint', 'each']

_INTERPOLATION = {1: 'linear', 2: 'bilinear', 3: 'trilinear'}
_AVERAGE = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_LARGEST = 1024  # pixels of padding and of a cell: beyond it, memory is out of reach
_WINDOW = 7  # of the local mean of the responses, about the size of a filter
_THRESHOLD = 0.8  # the mean response to noise alone is about 0.5 to 0.9 of its standard deviation


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

    For a dictionary there are three variants [KOF2025]_ [ICIP2026]_. The backbone sees the image and gives the maps of
    all filters (`responses='none'`, V1); it sees the responses :math:`D^H x_0` of all filters and gives all maps
    (`'joint'`, V2); or it sees the response of one filter and gives its map, for each filter in turn (`'each'`, V3).
    The last one takes any number of filters of any size, and a permutation of the filters permutes the maps.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    .. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
       for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
    .. [CHA2000] Chang SG, Yu B, Vetterli M (2000) Adaptive wavelet thresholding for image denoising and compression.
       IEEE Trans Image Process 9(9) https://doi.org/10.1109/83.862633
    .. [ICIP2026] Extension to arbitrary dictionaries (2026) ICIP 2026 https://arxiv.org/abs/2602.21707
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        *,
        dim: Sequence[int] | None = None,
        noise_level: bool = False,
        features: Features = 'real_imaginary',
        responses: Responses = 'none',
        high_pass: bool = False,
        image_channel: bool = False,
        response_mean: bool = False,
        inverse_response: bool = False,
        coarsening: int = 1,
        filters_at_once: int = 8,
        padding: int = 8,
        circular_dim: Sequence[int] = (),
        initial_scale: float = 1.0,
    ) -> None:
        r"""Initialize the network.

        Parameters
        ----------
        backbone
            Image network, from `(batch, n_channels_in, *size)` to `(batch, n_maps, *size)`, to one map if it sees each
            response by itself. See `channel_names` for the channels. An attribute `size_divisor` says what the
            sizes must be multiples of (default 1).
        dim
            Negative axes of the image that the backbone convolves. Default: the last `backbone.n_dim` axes.
        noise_level
            Use the standard deviation of the noise.
        features
            What of the complex image or responses the backbone sees: real and imaginary part, or the magnitude,
            relative to :math:`s`; or the logarithm of one plus the magnitude relative to :math:`\sigma`, which needs
            `noise_level` and makes that channel superfluous. With a magnitude the map can not follow the phase.
        responses
            Whether the backbone sees the image, the responses of all filters, or each of them by itself.
        high_pass
            Whether the responses are those of the image without its smooth part, the one that the coefficients explain.
            Learned filters have a mean, so that responses to the image itself follow its intensity first of all.
        image_channel
            Whether it sees the image besides the responses.
        response_mean
            Whether it sees the mean over the image of the features of the response, where each filter is by itself:
            how much signal and noise of the acquisition pass the filter. Needs features without sign.
        inverse_response
            Multiply the map by :math:`(1 + m_k / (\tau \sigma))^{-p}`, where :math:`m_k` is the mean magnitude of the
            response in a window of 7 pixels. :math:`\tau > 0` and :math:`p` are learned; :math:`p` begins at 1:
            coefficients with a Laplace distribution of mean magnitude :math:`b` have the weight :math:`\sigma^2 / b` in
            the maximum a posteriori estimate, see [CHA2000]_ for :math:`\sigma^2` over a standard deviation. Needs
            `noise_level`, and responses with `high_pass`.
        coarsening
            Run the backbone on a grid that is coarser by this factor, on root mean squares of the features in its
            cells, and interpolate the map. Needs features without sign.
        filters_at_once
            Number of filters that are treated together where each is by itself. In training, the activations of the
            others are computed again, so that the memory does not grow with the number of filters.
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
        check_axes('dim', dim)
        check_axes('circular_dim', circular_dim)
        self.dim = tuple(dim)
        if not self.dim or len(set(self.dim)) != len(self.dim):
            raise ValueError(f'dim must hold negative axes, each once, got {dim=}.')
        if not set(circular_dim) <= set(self.dim):
            raise ValueError(f'circular_dim must be part of dim={self.dim}, got {circular_dim=}.')
        if features not in get_args(Features):
            raise ValueError(f'features must be one of {get_args(Features)}, got {features=}.')
        if responses not in get_args(Responses):
            raise ValueError(f'responses must be one of {get_args(Responses)}, got {responses=}.')
        for name, value in {'high_pass': high_pass, 'image_channel': image_channel}.items():
            if value and responses == 'none':
                raise ValueError(f"{name} needs responses='joint' or 'each', got 'none'.")
        if response_mean and (responses != 'each' or features == 'real_imaginary'):
            raise ValueError(
                f"response_mean needs responses='each' and features without sign, got {responses=}, {features=}."
            )
        if inverse_response and not (high_pass and noise_level):
            raise ValueError(
                f'inverse_response needs responses with high_pass=True and noise_level=True, got {responses=}, '
                f'{high_pass=}, {noise_level=}.'
            )
        if features == 'signal_to_noise' and not noise_level:
            raise ValueError("features='signal_to_noise' needs noise_level=True.")
        check_number('coarsening', coarsening, 1, _LARGEST, integer=True)
        check_number('filters_at_once', filters_at_once, 1, integer=True)
        check_number('padding', padding, 0, _LARGEST, integer=True)
        check_number('initial_scale', initial_scale, positive=True)
        check_type('noise_level', noise_level, bool)
        if coarsening > 1 and features == 'real_imaginary':
            raise ValueError(
                f'coarsening must be 1, or above for features without sign, got {coarsening=}, {features=}.'
            )
        self.backbone = backbone
        self.noise_level = noise_level
        self.features = features
        self.responses = responses
        self.high_pass = high_pass
        self.image_channel = image_channel
        self.response_mean = response_mean
        self.coarsening = coarsening
        self.filters_at_once = filters_at_once
        self.padding = padding
        self.circular_dim = tuple(circular_dim)
        self.channels = self.channel_names(
            features,
            noise_level=noise_level,
            responses=responses,
            n_filters=getattr(backbone, 'n_channels_out', 1),
            high_pass=high_pass,
            image_channel=image_channel,
            response_mean=response_mean,
        )
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(initial_scale)))
        self.log_threshold: torch.nn.Parameter | None = None
        self.exponent: torch.nn.Parameter | None = None
        if inverse_response:
            self.log_threshold = torch.nn.Parameter(torch.tensor(math.log(_THRESHOLD)))
            self.exponent = torch.nn.Parameter(torch.tensor(1.0))

    @staticmethod
    def channel_names(
        features: Features,
        *,
        noise_level: bool = False,
        responses: Responses = 'none',
        n_filters: int = 1,
        high_pass: bool = False,
        image_channel: bool = False,
        response_mean: bool = False,
    ) -> list[str]:
        """Return what the channels are that the backbone sees, in their order, for the arguments of a network."""
        response = 'high-passed response' if high_pass else 'response'
        signals = [response] if responses == 'each' else ['image']
        if responses == 'joint':
            signals = [f'{response} {i}' for i in range(n_filters)]
        signals += ['image'] * (image_channel and responses != 'none')
        parts = (', real part', ', imaginary part') if features == 'real_imaginary' else ('',)
        names = [f'{signal}{part}' for signal in signals for part in parts]
        names += ['noise level'] * (noise_level and features != 'signal_to_noise')
        return names + ['mean of the response'] * response_mean

    def forward(
        self,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
        responses: torch.Tensor | None = None,
    ) -> torch.Tensor:
        r"""Estimate the map.

        Parameters
        ----------
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation :math:`\sigma` of the complex noise of one k-space sample, :math:`E|n|^2 = \sigma^2`, in
            the units of the orthonormal Fourier transform; a number or one for each image, broadcastable to the image.
        responses
            Responses of the filters, :math:`D^H x_0` or with `high_pass` :math:`D^H (x_0 - x_{low})`, shape
            `(n_filters, *other, coils, z, y, x)`, for networks that use them.

        Returns
        -------
            Lambda map, shape `(n_maps, *other, coils, z, y, x)`.

        Raises
        ------
        ValueError
            If the noise level or the responses are missing, not valid, or given to a network that does not use them, if
            an image is zero, or if image and network are not both of single or both of double precision.
        """
        self._check_precision(initial_image)
        modulus = initial_image.abs()
        largest = modulus.detach().amax(self.dim, keepdim=True)
        if not bool(((largest > 0) & largest.isfinite()).all()):
            raise ValueError(
                f'The initial image must be finite and not be zero, got shape {tuple(initial_image.shape)}.'
            )
        if responses is not None:
            check_tensor('responses', responses)
        if (responses is None) != (self.responses == 'none'):
            given = 'none' if responses is None else f'shape {tuple(responses.shape)}'
            raise ValueError(f'A network with responses={self.responses!r} got responses of {given}.')
        if responses is not None and responses.shape[1:] != initial_image.shape:
            raise ValueError(
                f'responses must have shape (n_filters, *image), got {tuple(responses.shape)} for an image of shape '
                f'{tuple(initial_image.shape)}.'
            )
        energy = (modulus / largest).square()  # fourth powers of raw data would leave the range of single precision
        intensity = largest * (energy.square().sum(self.dim, keepdim=True) / energy.sum(self.dim, keepdim=True)).sqrt()
        reference = intensity
        if self.noise_level:
            reference = self._noise_std(noise_std, initial_image, largest).expand_as(intensity)
        elif noise_std is not None:
            raise ValueError('This network does not use the noise level, got noise_std: leave it out.')

        unit = reference if self.features == 'signal_to_noise' else intensity
        level = None
        if self.noise_level and self.features != 'signal_to_noise':
            level = self._coarsen(self._arrange((reference / intensity).expand_as(energy)[None]))
        image_channels = self._channels((initial_image / unit)[None])
        if responses is None:
            u = self._maps([image_channels, level])
        else:
            context = image_channels if self.image_channel else None
            if self.responses == 'joint':
                u = self._maps([self._channels(responses / unit), context, level])
            else:
                parts = [(part / unit).contiguous() for part in responses.split(self.filters_at_once)]
                u = torch.cat([self._each(part, context, level, recompute=len(parts) > 1) for part in parts])
        other_shape = [
            n for d, n in zip(range(-initial_image.ndim, 0), initial_image.shape, strict=True) if d not in self.dim
        ]
        last = tuple(range(-len(self.dim), 0))
        for i, d in enumerate(self.dim):
            u = u.narrow(i - len(self.dim), 0, initial_image.shape[d])  # interpolated to whole cells
        modulation = softplus(u)
        if self.log_threshold is not None and self.exponent is not None and responses is not None:
            strength = self._local_mean(self._arrange((responses / reference).abs()))
            modulation = modulation * torch.exp(-self.exponent * torch.log1p(strength / self.log_threshold.exp()))
        modulation = modulation.unflatten(1, other_shape).movedim(last, self.dim)
        return reference * self.log_scale.exp() * modulation

    def _check_precision(self, img: torch.Tensor) -> None:
        """Raise an error unless image and network have the same precision, single or double."""
        check_tensor('initial_image', img, finite=False)
        if img.ndim < max(-d for d in self.dim):
            raise ValueError(f'initial_image must have the axes dim={self.dim}, got shape {tuple(img.shape)}.')
        if self.log_scale.dtype != img.dtype.to_real():
            raise ValueError(
                'Reconstruction needs float32 or float64 for network and image alike, got a network of '
                f'{self.log_scale.dtype} and an initial image of {img.dtype}, shape {tuple(img.shape)}: convert one of '
                'them, for example the model by its method float() or double().'
            )

    def _channels(self, signals: torch.Tensor) -> torch.Tensor:
        """Return what the backbone sees of signals of shape `(n, *image)`: shape `(channels, batch, *size)`."""
        if self.features == 'real_imaginary':
            imaginary = signals.imag if signals.is_complex() else torch.zeros_like(signals)
            return self._arrange(torch.stack((signals.real, imaginary), 1).flatten(0, 1))
        channels = self._arrange(signals.abs())
        if self.coarsening > 1:
            channels = self._coarsen(channels.square()).sqrt()
        return channels.log1p() if self.features == 'signal_to_noise' else channels

    def _arrange(self, channels: torch.Tensor) -> torch.Tensor:
        """Move the convolved axes to the end and join all others but the first: shape `(channels, batch, *size)`."""
        last = tuple(range(-len(self.dim), 0))
        return channels.movedim(self.dim, last).flatten(1, -len(self.dim) - 1)

    def _coarsen(self, x: torch.Tensor) -> torch.Tensor:
        """Average over cells; where the size is no multiple of theirs, the last sample is repeated."""
        if self.coarsening == 1:
            return x
        for d in range(-len(self.dim), 0):
            n, c = x.shape[d], self.coarsening
            x = x.index_select(d, torch.arange(n + -n % c, device=x.device).clamp_max(n - 1))
            x = x.unflatten(d, (-1, c)).mean(d)
        return x

    def _local_mean(self, x: torch.Tensor) -> torch.Tensor:
        """Average over windows around each sample of the convolved axes, which come last."""
        for i, d in enumerate(self.dim):
            x = _continue(x, i - len(self.dim), _WINDOW // 2, _WINDOW // 2, circular=d in self.circular_dim)
        return _AVERAGE[len(self.dim)](x, _WINDOW, stride=1)

    def _maps(self, channels: list[torch.Tensor | None]) -> torch.Tensor:
        """Apply the backbone to channels that are seen jointly: shape `(n_maps, batch, *size)`."""
        return self._apply_backbone(torch.cat([c for c in channels if c is not None]).movedim(0, 1)).movedim(0, 1)

    def _each(
        self, part: torch.Tensor, context: torch.Tensor | None, level: torch.Tensor | None, *, recompute: bool
    ) -> torch.Tensor:
        """Apply the backbone to some of the filters, each in its own entry of the batch."""

        def apply(part: torch.Tensor) -> torch.Tensor:
            signals = self._channels(part)
            per_filter = signals.unflatten(0, (len(part), -1)).movedim(1, 2)  # filter, batch, channels
            shared = [
                c.movedim(0, 1).expand(len(part), *c.movedim(0, 1).shape) for c in (context, level) if c is not None
            ]
            channels = [per_filter, *shared]
            if self.response_mean:
                spatial = tuple(range(-len(self.dim), 0))
                channels.append(per_filter.mean(spatial, keepdim=True).expand_as(per_filter))
            x = torch.cat(channels, 2)
            return self._apply_backbone(x.flatten(0, 1)).squeeze(1).unflatten(0, (len(part), -1))

        if recompute and torch.is_grad_enabled():
            u: torch.Tensor = checkpoint(apply, part, use_reentrant=False)
            return u
        return apply(part)

    @staticmethod
    def _noise_std(noise_std: torch.Tensor | float | None, img: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
        """Check the noise level."""
        if noise_std is None:
            raise ValueError('This network needs the noise level: give noise_std.')
        check_type('noise_std', noise_std, (torch.Tensor, int, float))
        noise_std = torch.as_tensor(noise_std, dtype=img.dtype.to_real(), device=img.device)
        if noise_std.ndim > img.ndim or any(
            n not in (1, m) for n, m in zip(noise_std.shape[::-1], img.shape[::-1], strict=False)
        ):
            raise ValueError(
                f'noise_std must broadcast to the image, got shapes {tuple(noise_std.shape)} and {tuple(img.shape)}.'
            )
        if not bool(((noise_std > 0) & (noise_std < 1e10 * largest)).all()):
            raise ValueError(
                'noise_std must be positive and finite, and below 1e10 times the largest magnitude of the image, got '
                f'values from {noise_std.min().item()} to {noise_std.max().item()}.'
            )
        return noise_std

    def _apply_backbone(self, x: torch.Tensor) -> torch.Tensor:
        """Continue the image beyond its borders, apply the backbone, crop and interpolate to the fine grid."""
        divisor = getattr(self.backbone, 'size_divisor', 1)
        crops = []
        for i, d in enumerate(self.dim):
            n = x.shape[i - len(self.dim)]
            before = -(-self.padding // self.coarsening)
            after = before + -(n + 2 * before) % divisor
            crops.append(slice(before, before + n))
            x = _continue(x, i - len(self.dim), before, after, circular=d in self.circular_dim)
        u: torch.Tensor = self.backbone(x)[(..., *crops)]
        if self.coarsening == 1:
            return u
        return interpolate(u, scale_factor=self.coarsening, mode=_INTERPOLATION[len(self.dim)], align_corners=False)


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
