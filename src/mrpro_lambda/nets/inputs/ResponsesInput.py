"""The responses of the filters of a dictionary as input of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.nets.inputs.InputContext import InputContext, Unit
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput
from mrpro_lambda.nets.inputs.SignalInput import Features, SignalInput


@dataclass(frozen=True)
class ResponsesInput(SignalInput):
    r"""Responses :math:`D^H x_0` of the filters of a dictionary [KOF2025]_ [ICIP2026]_.

    With `n_filters` the network sees those of all filters and gives all maps (V2). Without, it sees the response of one
    filter and gives its map, for each filter in turn (V3): it takes any number of filters of any size, and a
    permutation of the filters permutes the maps. A network that sees no responses is V1.

    References
    ----------
    .. [KOF2025] Kofler A, Calatroni L, Kolbitsch C, Papafitsoros K (2025) Learning Spatially Adaptive l1-Norms Weights
       for Convolutional Synthesis Regularization. EUSIPCO 2025 https://arxiv.org/abs/2503.09483
    .. [ICIP2026] Extension to arbitrary dictionaries (2026) ICIP 2026 https://arxiv.org/abs/2602.21707
    """

    n_filters: int | None = None
    """Number of filters that are seen jointly. `None`: any number, each by itself."""
    of_high_pass: bool = False
    """Whether the responses are those of the image without its smooth part, the one that the coefficients explain.
    Learned filters have a mean, so that responses to the image itself follow its intensity first of all."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_type('of_high_pass', self.of_high_pass, bool)
        if self.n_filters is not None:
            check_number('n_filters', self.n_filters, 1, integer=True)

    @classmethod
    def examples(cls) -> tuple[NetworkInput, ...]:
        """Return each by itself and all jointly, with each feature."""
        return (*super().examples(), *(cls(features, 3, True) for features in get_args(Features)))

    @property
    def name(self) -> str:
        """Return what the input shows."""
        return 'high-passed response' if self.of_high_pass else 'response'

    @property
    def signal_names(self) -> tuple[str, ...]:
        """Return the names of the responses that are seen together."""
        return (self.name,) if self.n_filters is None else tuple(f'{self.name} {i}' for i in range(self.n_filters))

    @property
    def high_pass(self) -> bool:
        """Whether the responses are those of the image without its smooth part."""
        return self.of_high_pass

    @property
    def each(self) -> bool:
        """Whether each response is seen by itself."""
        return self.n_filters is None

    def signals(self, context: InputContext, unit: Unit) -> torch.Tensor:
        """Return the responses."""
        responses = context.response(unit)
        if self.n_filters not in (None, len(responses)):
            raise ValueError(
                f'The network sees the responses of {self.n_filters} filter(s) jointly, got responses of shape '
                f'{tuple(responses.shape)}: networks that see each by itself (V3) take any number.'
            )
        return responses
