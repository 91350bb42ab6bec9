"""Description of a CDL-Lambda model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch

from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model
from mrpro_lambda.nets.inputs import NetworkInput, ResponseMeanInput, ResponsesInput
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary, check_filters
from mrpro_lambda.recipes.LambdaRecipe import LambdaRecipe
from mrpro_lambda.regularizers.DictionarySparsity import DictionarySparsity
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.FISTA import FISTA
from mrpro_lambda.solvers.Solver import Solver

CERTIFYING_PENALTY_FACTOR = 0.18
"""Penalty of ADMM that solves dictionary problems to a tolerance.

The lower bound of the minimum needs the dual variable, which small penalties favor: with 1, 2000 iterations ended at a
gap of 3e-2 for a brain at R = 4 and 160 x 160, where 1158 with this one reached 1e-2. Images of few iterations favor
large ones.
"""


@dataclass(frozen=True)
class DictionaryRecipe(LambdaRecipe):
    """Everything that is needed to build a CDL-Lambda model, apart from its weights and its filters."""

    takes_filters: ClassVar[bool] = True
    """Whether the model has a dictionary, which it has."""

    method: Literal['cdl'] = 'cdl'
    """Tells this description from that of another model."""
    responses: Literal['none', 'joint', 'each'] = 'each'
    """Network: it sees no responses (V1), those of all filters (V2) or each by itself (V3), see
    `~mrpro_lambda.nets.inputs.ResponsesInput`."""
    high_pass: bool = False
    """Whether the responses are those of the image without its smooth part."""
    image_channel: bool = False
    """Whether the network sees the image besides the responses of the filters."""
    response_mean: bool = False
    """Whether V3 sees the mean of each response over the image."""
    inverse_response: bool = False
    """Whether the map has a factor that falls with the local mean of the responses."""
    coarsening: Annotated[int, Range(1, 64)] = 1
    """Factor between the grids of the image and the network."""
    filters_at_once: Annotated[int, Range(1, 10**6)] = 8
    """Filters that V3 treats together."""
    boundary: DictionaryBoundary = 'circular'
    """Boundary of the convolutions."""
    beta: Annotated[float, Range(0, 1e6)] = 4.0
    """Strength of the low-pass filter of the smooth part, in training its initial value."""
    solver: Literal['ADMM', 'FISTA'] = 'ADMM'
    """Algorithm."""

    def regularizer(
        self, filters: torch.Tensor | None = None, strength: float | torch.Tensor | None = None
    ) -> DictionarySparsity:
        """Build the regularizer of filters."""
        if filters is None:
            raise ValueError('A dictionary model needs filters, got none.')
        return DictionarySparsity(filters, boundary=self.boundary, beta=self.beta if strength is None else strength)

    def inputs(self, n_maps: int) -> list[NetworkInput]:
        """Return what the network sees, see `responses`."""
        image, *level = super().inputs(n_maps)
        if self.responses == 'none':
            for name in ('high_pass', 'image_channel', 'response_mean'):
                if getattr(self, name):
                    raise ValueError(f"{name} needs responses='joint' or 'each', got 'none'.")
            return [image, *level]
        n_filters = n_maps if self.responses == 'joint' else None
        seen = ResponsesInput(self.features, n_filters, self.high_pass)
        context = [image] if self.image_channel else []
        return [seen, *context, *level, *([ResponseMeanInput(seen)] if self.response_mean else [])]

    def network_options(self) -> dict[str, Any]:
        """Return the options of networks for dictionaries."""
        return {
            'inverse_response': self.inverse_response,
            'coarsening': self.coarsening,
            'filters_at_once': self.filters_at_once,
        }

    def n_maps(self, filters: torch.Tensor | None) -> int:
        """Return the number of filters."""
        if filters is None:
            raise ValueError('A dictionary model needs filters, got none.')
        check_filters(filters)
        return len(filters)

    @property
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""
        return FISTA if self.solver == 'FISTA' else ADMM

    @property
    def limits_band(self) -> bool:
        """Whether the image is limited to the measured band, a remedy for the staircases of total variation.

        A dictionary extrapolates beyond the band.
        """
        return False

    @property
    def penalty_in_use(self) -> float:
        """Penalty of ADMM in use, where a proof is looked for."""
        return CERTIFYING_PENALTY_FACTOR

    def filters_of(self, model: Model) -> torch.Tensor:
        """Return the filters of the dictionary of a model."""
        regularizer: Any = _model_of_dictionary(model).solver.regularizer
        filters: torch.Tensor = regularizer.synthesis_op.filters
        return filters

    def check_filters(self, stored: torch.Tensor, given: torch.Tensor) -> None:
        """Raise an error if the weight is bound to the number of filters, unless it is the same."""
        free = self.weight == 'network' and self.responses == 'each'
        if not free and len(given) != len(stored):
            raise ValueError(
                f'The weight was trained for {len(stored)} filters and gives as many maps, got filters of shape '
                f"{tuple(given.shape)}: take weights of a network with responses='each' (V3)."
            )

    def exchange_filters(self, model: Model, filters: torch.Tensor, strength: float | torch.Tensor | None) -> None:
        """Give a model another dictionary, see `Recipe.exchange_filters`."""
        _model_of_dictionary(model).solver.regularizer = self.regularizer(filters, strength)

    @property
    def low_pass_strength(self) -> float:
        """Strength of the low-pass filter of the smooth part."""
        return self.beta

    def with_low_pass_strength(self, strength: float) -> Self:
        """Return the description with the strength that was learned."""
        return replace(self, beta=strength)


def _model_of_dictionary(model: Model) -> LambdaMapModel:
    """Return a model after checking that it has a dictionary."""
    if not isinstance(model, LambdaMapModel) or not isinstance(model.solver.regularizer, DictionarySparsity):
        raise TypeError(f'The model must be a LambdaMapModel with a dictionary, got {type(model).__name__}.')
    return model
