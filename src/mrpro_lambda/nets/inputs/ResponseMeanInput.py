"""The mean of the response of a filter as input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mrpro_lambda.checks import check_type
from mrpro_lambda.nets.inputs.InputContext import InputContext
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput
from mrpro_lambda.nets.inputs.ResponsesInput import ResponsesInput


@dataclass(frozen=True)
class ResponseMeanInput(NetworkInput):
    """The mean over the image of the channels of a response, where each filter is by itself.

    It tells how much signal and noise of the acquisition pass the filter.
    """

    responses: ResponsesInput
    """Input that the mean is taken of, with features without sign."""

    def __post_init__(self) -> None:
        """Check the input."""
        check_type('responses', self.responses, ResponsesInput)
        if not self.responses.each or self.responses.has_sign:
            raise ValueError(
                'The mean of the response needs responses that are each by itself, with features without sign, got '
                f'{self.responses}.'
            )

    @classmethod
    def examples(cls) -> tuple[NetworkInput, ...]:
        """Return the mean of each feature without sign."""
        return (cls(ResponsesInput('magnitude')), cls(ResponsesInput('signal_to_noise', of_high_pass=True)))

    @property
    def name(self) -> str:
        """Return what the input shows."""
        return f'mean of the {self.responses.name}'

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the names of the channels that the mean is taken of."""
        return tuple(f'mean of the {name}' for name in self.responses.channel_names)

    @property
    def uses_noise_level(self) -> bool:
        """Whether the responses are relative to the noise."""
        return self.responses.uses_noise_level

    @property
    def high_pass(self) -> bool:
        """Whether the responses are those of the image without its smooth part."""
        return self.responses.high_pass

    @property
    def each(self) -> bool:
        """Whether the channels differ between the filters, which they do."""
        return True

    def channels(self, context: InputContext) -> torch.Tensor:
        """Return the mean at each sample."""
        channels = self.responses.channels(context)
        return channels.mean(tuple(range(-len(context.dim), 0)), keepdim=True).expand_as(channels)
