"""Description of a model that is stored with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.fields import Range, check_fields, dataclass_from_dict
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.LambdaNet import Features, LambdaNet, Responses
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.operators.ConvolutionalDictionaryOp import DictionaryBoundary
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.regularizers.DictionarySparsity import DictionarySparsity
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.backward import TruncatedBackward
from mrpro_lambda.solvers.FISTA import FISTA
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.Solver import Solver

CERTIFYING_PENALTY_FACTOR = 0.18
"""Penalty of ADMM that solves dictionary problems to a tolerance.

The lower bound of the minimum needs the dual variable, which small penalties favor: with 1, 2000 iterations ended at a
gap of 3e-2 for a brain at R = 4 and 160 x 160, where 1158 with this one reached 1e-2. Images of few iterations favor
large ones.
"""


@dataclass(frozen=True)
class NetworkConfig:
    """What the descriptions of all models have in common: the network and how to solve."""

    net_dim: tuple[int, ...] = (-2, -1)
    """Axes that the network convolves."""
    features: Features = 'real_imaginary'
    """What of the image the network sees."""
    noise_level: bool = False
    """Whether the network uses the noise level."""
    n_features: Annotated[int, Range(1, 2048)] = 16
    """Features of the U-Net at the highest resolution."""
    n_resolutions: Annotated[int, Range(1, 12)] = 3
    """Resolutions of the U-Net."""
    n_convs: Annotated[int, Range(1, 16)] = 2
    """Convolutions at each resolution."""
    padding: Annotated[int, Range(0, 1024)] = 8
    """Continuation of the image at each side, in pixels."""
    initial_scale: Annotated[float, Range(1e-6, 1e6)] = 1.0
    """Initial scale of the map."""
    n_iterations: Annotated[int, Range(1, 10**6)] = 128
    """Iterations in training."""
    gradient_iterations: Annotated[int, Range(1, 10**6)] | None = None
    """How many of them, at the end, the gradient of the training passes through; all if `None`."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap to solve to in use, relative to the objective."""
    max_iterations: Annotated[int, Range(1, 10**9)] = 2000
    """Largest number of iterations in use."""
    penalty_factor: Annotated[float, Range(1e-6, 1e6)] = 1.0
    """Penalty of ADMM in training, see `~mrpro_lambda.solvers.ADMM`; in use as well for total variation."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)

    def _unet(self, n_channels_in: int, n_channels_out: int, seed: int) -> UNet:
        """Build the backbone."""
        check_number('seed', seed, 0, 2**63, integer=True)
        return UNet(
            len(self.net_dim),
            n_channels_in,
            n_channels_out,
            self.n_features,
            n_resolutions=self.n_resolutions,
            n_convs=self.n_convs,
            generator=torch.Generator().manual_seed(seed),
        )

    def _solver(self, name: str, regularizer: Regularizer, *, inference: bool) -> Solver:
        """Build the solver."""
        options: dict[str, Any] = {'n_iterations': self.n_iterations}
        if inference:
            options = {'max_iterations': self.max_iterations, 'tolerance': self.tolerance}
        elif self.gradient_iterations is not None:
            options['backward'] = TruncatedBackward(self.gradient_iterations)
        if name == 'ADMM':
            to_certify = inference and regularizer.synthesis_op is not None
            penalty_factor = CERTIFYING_PENALTY_FACTOR if to_certify else self.penalty_factor
            return ADMM(regularizer, penalty_factor=penalty_factor, **options)
        if self.penalty_factor != 1.0:
            raise ValueError(f'penalty_factor is a setting of ADMM, got {self.penalty_factor} for {name}.')
        return PDHG(regularizer, **options) if name == 'PDHG' else FISTA(regularizer, **options)


@dataclass(frozen=True)
class ModelConfig(NetworkConfig):
    """Everything that is needed to build a TV-Lambda model with a U-Net, apart from its weights."""

    dim: tuple[int, ...] = (-2, -1)
    """Axes of the total variation."""
    boundary: Boundary = 'circular'
    """Boundary of the gradient."""
    band_limit: bool = True
    """Limit the image to the measured band."""
    solver: Literal['ADMM', 'PDHG'] = 'ADMM'
    """Algorithm."""

    def build(self, seed: int = 0, *, inference: bool = False, net: LambdaNet | None = None) -> LambdaMapModel:
        """Build the model.

        Parameters
        ----------
        seed
            Seed of the initial weights.
        inference
            Solve to the tolerance instead of taking the number of iterations of the training.
        net
            Network in place of a new one.
        """
        solver = self._solver(self.solver, self._regularizer(), inference=inference)
        return LambdaMapModel(net or self.network(seed), solver, band_limit=self.band_limit)

    def network(self, seed: int = 0) -> LambdaNet:
        """Build the network, see `build`."""
        channels = LambdaNet.channel_names(self.features, noise_level=self.noise_level)
        return LambdaNet(
            self._unet(len(channels), self._regularizer().n_maps, seed),
            dim=self.net_dim,
            noise_level=self.noise_level,
            features=self.features,
            padding=self.padding,
            initial_scale=self.initial_scale,
        )

    def _regularizer(self) -> TotalVariation:
        """Build the regularizer."""
        return TotalVariation(self.dim, boundary=self.boundary)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Create from a mapping, as read from a file; unknown keys are an error."""
        return dataclass_from_dict(cls, values, 'model')


@dataclass(frozen=True)
class DictionaryModelConfig(NetworkConfig):
    """Everything that is needed to build a CDL-Lambda model, apart from its weights and its filters."""

    method: Literal['cdl'] = 'cdl'
    """Tells this description from that of another model."""
    responses: Responses = 'each'
    """Network: `none` (V1), `joint` (V2) or `each` (V3), see `~mrpro_lambda.nets.LambdaNet`."""
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

    def build(
        self, filters: torch.Tensor, seed: int = 0, *, inference: bool = False, net: LambdaNet | None = None
    ) -> LambdaMapModel:
        """Build the model.

        Parameters
        ----------
        filters
            Filters of unit norm, see `~mrpro_lambda.regularizers.DictionarySparsity`.
        seed
            Seed of the initial weights.
        inference
            Solve to the tolerance instead of taking the number of iterations of the training.
        net
            Network in place of a new one.
        """
        regularizer = DictionarySparsity(filters, boundary=self.boundary, beta=self.beta)
        solver = self._solver(self.solver, regularizer, inference=inference)
        # the band limit is a remedy for the staircases of total variation: a dictionary extrapolates beyond the band
        return LambdaMapModel(net or self.network(len(filters), seed), solver, band_limit=False)

    def network(self, n_filters: int, seed: int = 0) -> LambdaNet:
        """Build the network for a number of filters, see `build`."""
        channels = LambdaNet.channel_names(
            self.features,
            noise_level=self.noise_level,
            responses=self.responses,
            n_filters=n_filters,
            high_pass=self.high_pass,
            image_channel=self.image_channel,
            response_mean=self.response_mean,
        )
        return LambdaNet(
            self._unet(len(channels), 1 if self.responses == 'each' else n_filters, seed),
            dim=self.net_dim,
            noise_level=self.noise_level,
            features=self.features,
            responses=self.responses,
            high_pass=self.high_pass,
            image_channel=self.image_channel,
            response_mean=self.response_mean,
            inverse_response=self.inverse_response,
            coarsening=self.coarsening,
            filters_at_once=self.filters_at_once,
            padding=self.padding,
            initial_scale=self.initial_scale,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Create from a mapping, as read from a file; unknown keys are an error."""
        return dataclass_from_dict(cls, values, 'model')


def model_config(values: Mapping[str, Any]) -> ModelConfig | DictionaryModelConfig:
    """Create the description of a model from a mapping; `method` tells which, `tv` if it is missing.

    Raises
    ------
    ValueError
        If a key or the method is unknown, or a value is not valid.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'Section [model] must be a table, got {values!r:.200}.')
    method = values.get('method', 'tv')
    if method == 'cdl':
        return DictionaryModelConfig.from_dict(values)
    if method != 'tv':
        raise ValueError(f"method in section [model] must be 'tv' or 'cdl', got {method!r}.")
    return ModelConfig.from_dict({key: value for key, value in values.items() if key != 'method'})
