"""Network that estimates where and how strongly to regularize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import interpolate, softplus
from torch.utils.checkpoint import checkpoint

from mrpro_lambda.checks import as_noise_std, check_axes, check_number, check_tensor, check_type
from mrpro_lambda.nets.continued import continued
from mrpro_lambda.nets.inputs import ImageInput, InputContext, NetworkInput
from mrpro_lambda.nets.intensity import intensity
from mrpro_lambda.nets.InverseResponse import InverseResponse

_INTERPOLATION = {1: 'linear', 2: 'bilinear', 3: 'trilinear'}
_LARGEST = 1024  # pixels of padding and of a cell: beyond it, memory is out of reach


class LambdaNet(torch.nn.Module):
    r"""Estimate the Lambda map of an initial image with any image network :math:`u` [KOF2023]_.

    .. math::

        \Lambda = \rho\, t \cdot \mathrm{softplus}(u(x_0 / s, \sigma / s)), \qquad
        s = \big( \textstyle\sum |x_0|^4 / \sum |x_0|^2 \big)^{1/2}

    :math:`s` measures the intensity of the object, whatever the amount of air around it, and :math:`t > 0` is
    learned. If an input uses the standard deviation :math:`\sigma` of the noise, the reference is :math:`\rho =
    \sigma`: a weight proportional to :math:`\sigma` is close to the best number for an image, so only its modulation is
    left to learn. Otherwise :math:`\rho = s`, and the network sees the image only.

    Either way :math:`\Lambda(c x_0, c \sigma) = c \Lambda(x_0, \sigma)` for :math:`c > 0`: weights work in the units of
    any scanner. This is the only place where the map becomes non-negative, and the inputs see nothing that has a unit.

    For a dictionary there are three variants. The backbone sees the image and gives the maps of all filters (V1), or it
    sees the responses of all filters, or of each filter in turn, see `~mrpro_lambda.nets.inputs.ResponsesInput` (V2 and
    V3).

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        inputs: Sequence[NetworkInput] = (ImageInput(),),
        *,
        dim: Sequence[int] | None = None,
        inverse_response: bool = False,
        coarsening: int = 1,
        filters_at_once: int = 8,
        padding: int | Sequence[int] = 8,
        circular_dim: Sequence[int] = (),
        initial_scale: float = 1.0,
    ) -> None:
        r"""Initialize the network.

        Parameters
        ----------
        backbone
            Image network, from `(batch, n_channels_in, *size)` to `(batch, n_maps, *size)`, to one map if it sees each
            response by itself. `n_channels_in` is the number of channels of all inputs. An attribute `size_divisor`
            says what the sizes must be multiples of (default 1).
        inputs
            What the backbone sees, in the order of its channels, see `mrpro_lambda.nets.inputs`. Default: real and
            imaginary part of the image.
        dim
            Negative axes of the image that the backbone convolves. Default: the last `backbone.n_dim` axes.
        inverse_response
            Multiply the map by a factor that falls with the responses, see `~mrpro_lambda.nets.InverseResponse`.
        coarsening
            Run the backbone on a grid that is coarser by this factor, and interpolate the map.
        filters_at_once
            Number of filters that are treated together where each is by itself. In training, the activations of the
            others are computed again, so that the memory does not grow with the number of filters.
        padding
            Number of pixels by which the image is continued on each side, removed from the map again; one for all axes,
            or one for each of `dim`.
        circular_dim
            Axes of `dim` that are continued periodically (the time of a cardiac cycle); others are reflected.
        initial_scale
            Initial value of the learned factor.

        Raises
        ------
        ValueError
            If an axis is not negative or is repeated, if `circular_dim` is not part of `dim`, if a number is not valid,
            or if the inputs do not fit each other or the backbone.
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
        check_type('inputs', inputs, Sequence)
        for item in inputs:
            check_type('Each of inputs', item, NetworkInput)
        if not inputs:
            raise ValueError(f'inputs must not be empty, got {inputs!r}.')
        check_number('coarsening', coarsening, 1, _LARGEST, integer=True)
        check_number('filters_at_once', filters_at_once, 1, integer=True)
        widths = tuple(padding) if isinstance(padding, Sequence) else (padding,) * len(self.dim)
        if len(widths) != len(self.dim):
            raise ValueError(f'padding must be a number, or one for each axis of dim={self.dim}, got {padding=}.')
        for width in widths:
            check_number('padding', width, 0, _LARGEST, integer=True)
        check_number('initial_scale', initial_scale, positive=True)
        check_type('inverse_response', inverse_response, bool)
        self.inputs = tuple(inputs)
        for item in self.inputs:
            item.check_coarsening(coarsening)
        if len({item.high_pass for item in self.inputs} - {None}) > 1:
            raise ValueError(f'All inputs must see the same responses, got {[item.name for item in self.inputs]}.')
        if inverse_response:
            InverseResponse.check_inputs(self.inputs)
        for name, expected in (('n_channels_in', len(self.channels)), ('n_channels_out', 1 if self.each else None)):
            given = getattr(backbone, name, None)
            if expected is not None and given not in (None, expected):
                raise ValueError(
                    f'The backbone must have {name}={expected} for inputs with the channels {self.channels}, got '
                    f'{name}={given}.'
                )
        self.backbone = backbone
        self.coarsening = coarsening
        self.filters_at_once = filters_at_once
        self.padding = padding
        self.circular_dim = tuple(circular_dim)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(initial_scale)))
        self.inverse_response = InverseResponse() if inverse_response else None

    @property
    def channels(self) -> list[str]:
        """What the channels are that the backbone sees, in their order."""
        return [name for item in self.inputs for name in item.channel_names]

    @property
    def uses_noise_level(self) -> bool:
        """Whether the network needs the standard deviation of the noise."""
        return any(item.uses_noise_level for item in self.inputs)

    @property
    def uses_responses(self) -> bool:
        """Whether the network needs the responses of filters."""
        return any(item.high_pass is not None for item in self.inputs)

    @property
    def high_pass(self) -> bool:
        """Whether the responses are those of the image without its smooth part."""
        return any(item.high_pass for item in self.inputs)

    @property
    def each(self) -> bool:
        """Whether each filter is treated by itself (V3), so that there are as many maps as filters."""
        return any(item.each for item in self.inputs)

    @property
    def n_maps(self) -> int | None:
        """Number of maps; `None` if it is that of the filters, or if the backbone does not say it."""
        return None if self.each else getattr(self.backbone, 'n_channels_out', None)

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
        s = intensity(initial_image, self.dim)
        self._check_responses(responses, initial_image)
        reference = s
        if self.uses_noise_level:
            largest = initial_image.detach().abs().amax(self.dim, keepdim=True)
            reference = as_noise_std(noise_std, initial_image, 1e10 * largest).expand_as(s)
        elif noise_std is not None:
            raise ValueError('This network does not use the noise level, got noise_std: leave it out.')
        context = InputContext(
            initial_image, s, reference if self.uses_noise_level else None, responses, self.dim, self.coarsening
        )
        u = self._each(context) if self.each else self._jointly(context)
        other_shape = [
            n for d, n in zip(range(-initial_image.ndim, 0), initial_image.shape, strict=True) if d not in self.dim
        ]
        last = tuple(range(-len(self.dim), 0))
        for i, d in enumerate(self.dim):
            u = u.narrow(i - len(self.dim), 0, initial_image.shape[d])  # interpolated to whole cells
        modulation = softplus(u)
        if self.inverse_response is not None:
            magnitude = context.arrange(context.response('noise').abs())
            modulation = modulation * self.inverse_response(magnitude, [d in self.circular_dim for d in self.dim])
        modulation = modulation.unflatten(1, other_shape).movedim(last, self.dim)
        return reference * self.log_scale.exp() * modulation

    def start_from(self, earlier: LambdaNet) -> None:
        """Take the weights of a network that may see less, or give one map for all: what is new is ignored at first.

        Parameters
        ----------
        earlier
            Network with a backbone of the same architecture but for the number of channels in, and of maps if it gives
            a single one.

        Raises
        ------
        ValueError
            If it sees a channel that this one does not, or if one of them only uses the noise level.
        """
        check_type('earlier', earlier, LambdaNet)
        if self.uses_noise_level != earlier.uses_noise_level:
            raise ValueError(
                'The network must use the noise level if and only if that of the initial weights does, got channels '
                f'{self.channels} and {earlier.channels}.'
            )
        missing = [name for name in earlier.channels if name not in self.channels]
        if missing:
            raise ValueError(f'The network must see the channels of the initial weights, but does not see {missing}.')
        state: dict[str, Any] = earlier.state_dict()
        if self.channels != earlier.channels:
            name = 'backbone.encoder.0.0.weight'
            weight, places = state[name], [self.channels.index(name) for name in earlier.channels]
            state[name] = weight.new_zeros(len(weight), len(self.channels), *weight.shape[2:])
            state[name][:, places] = weight
        if earlier.n_maps == 1 and self.n_maps not in (None, 1):
            for name in ('backbone.last.weight', 'backbone.last.bias'):
                state[name] = state[name].expand(self.n_maps, *state[name].shape[1:]).clone()
        if self.inverse_response is not None and earlier.inverse_response is None:
            state['inverse_response.exponent'] = torch.zeros_like(self.inverse_response.exponent)
            state['inverse_response.log_threshold'] = self.inverse_response.log_threshold.detach()
        self.load_state_dict(state)

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

    def _check_responses(self, responses: torch.Tensor | None, img: torch.Tensor) -> None:
        """Raise an error unless responses are given if and only if they are used, and fit the image."""
        if responses is not None:
            check_tensor('responses', responses)
        if (responses is not None) != self.uses_responses:
            given = 'none' if responses is None else f'shape {tuple(responses.shape)}'
            raise ValueError(
                f'A network {"with" if self.uses_responses else "without"} inputs for responses, {self.channels}, got '
                f'responses of {given}.'
            )
        if responses is not None and responses.shape[1:] != img.shape:
            raise ValueError(
                f'responses must have shape (n_filters, *image), got {tuple(responses.shape)} for an image of shape '
                f'{tuple(img.shape)}.'
            )

    def _jointly(self, context: InputContext) -> torch.Tensor:
        """Apply the backbone to channels that are seen jointly: shape `(n_maps, batch, *size)`."""
        channels = torch.cat([item.channels(context) for item in self.inputs], 2)
        return self._apply_backbone(channels.squeeze(0)).movedim(0, 1)

    def _each(self, context: InputContext) -> torch.Tensor:
        """Apply the backbone to each of the filters in turn, as entries of a batch: `(n_filters, batch, *size)`."""
        shared = [None if item.each else item.channels(context) for item in self.inputs]

        def apply(part: torch.Tensor) -> torch.Tensor:
            of_part = replace(context, responses=part)
            channels = [
                item.channels(of_part) if common is None else common.expand(len(part), *common.shape[1:])
                for item, common in zip(self.inputs, shared, strict=True)
            ]
            x = torch.cat(channels, 2)
            return self._apply_backbone(x.flatten(0, 1)).squeeze(1).unflatten(0, (len(part), -1))

        parts = () if context.responses is None else context.responses.split(self.filters_at_once)
        recompute = len(parts) > 1 and torch.is_grad_enabled()
        return torch.cat([checkpoint(apply, part, use_reentrant=False) if recompute else apply(part) for part in parts])

    def _apply_backbone(self, x: torch.Tensor) -> torch.Tensor:
        """Continue the image beyond its borders, apply the backbone, crop and interpolate to the fine grid."""
        divisor = getattr(self.backbone, 'size_divisor', 1)
        crops = []
        widths = self.padding if isinstance(self.padding, Sequence) else (self.padding,) * len(self.dim)
        for i, d in enumerate(self.dim):
            n = x.shape[i - len(self.dim)]
            before = -(-widths[i] // self.coarsening)
            after = before + -(n + 2 * before) % divisor
            crops.append(slice(before, before + n))
            x = continued(x, i - len(self.dim), before, after, circular=d in self.circular_dim)
        u: torch.Tensor = self.backbone(x)[(..., *crops)]
        if self.coarsening == 1:
            return u
        return interpolate(u, scale_factor=self.coarsening, mode=_INTERPOLATION[len(self.dim)], align_corners=False)
