"""Base class of the descriptions of models with a Lambda map."""

# annotations are evaluated here, as subclasses in other files inherit the fields with them
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.Model import Model
from mrpro_lambda.nets.inputs import Features, ImageInput, NetworkInput, NoiseLevelInput
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.recipes.Recipe import Recipe
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.backward import TruncatedBackward
from mrpro_lambda.solvers.FISTA import FISTA
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.PreconditionedPDHG import PreconditionedPDHG
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.CGImageWeight import CGImageWeight
from mrpro_lambda.weighting.LearnedNumbers import LearnedNumbers
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.NumberNet import NumberNet
from mrpro_lambda.weighting.Weight import Weight


@dataclass(frozen=True)
class LambdaRecipe(Recipe):
    """What the descriptions of all models with a Lambda map have in common: the weight, and how to solve."""

    weight: Literal['network', 'numbers', 'number_net'] = 'network'
    """What is trained: a network that chooses maps, one number for each map, or a network that chooses such numbers."""
    net_dim: tuple[int, ...] = (-2, -1)
    """Axes that the network convolves."""
    features: Features = 'real_imaginary'
    """What of the image the network sees."""
    noise_level: bool = False
    """Whether the weight uses the noise level."""
    n_features: Annotated[int, Range(1, 2048)] = 16
    """Features of the network at the highest resolution."""
    n_resolutions: Annotated[int, Range(1, 12)] = 3
    """Resolutions of the U-Net."""
    n_convs: Annotated[int, Range(1, 16)] = 2
    """Convolutions at each resolution."""
    padding: Annotated[int, Range(0, 1024)] | tuple[Annotated[int, Range(0, 1024)], ...] = 8
    """Continuation of the image at each side, in pixels; one number, or one for each axis of `net_dim`."""
    net_circular_dim: tuple[int, ...] = ()
    """Axes of them that are continued periodically, such as the time of a cardiac cycle."""
    cg_iterations: Annotated[int, Range(0, 1000)] = 0
    """Steps of conjugate gradients to the image that the weight sees, see `~mrpro_lambda.weighting.CGImageWeight`."""
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

    @abstractmethod
    def regularizer(
        self, filters: torch.Tensor | None = None, strength: float | torch.Tensor | None = None
    ) -> Regularizer:
        """Build the regularizer, for a dictionary with its filters and the strength of its low-pass filter."""

    def inputs(self, n_maps: int) -> list[NetworkInput]:  # noqa: ARG002
        """Return what the network sees, for a number of maps: the image, and the noise level if it is not in it."""
        image = ImageInput(self.features)
        if image.uses_noise_level and not self.noise_level:
            raise ValueError(f'features={self.features!r} needs noise_level=True.')
        return [image, *([NoiseLevelInput()] if self.noise_level and not image.uses_noise_level else [])]

    @abstractmethod
    def n_maps(self, filters: torch.Tensor | None) -> int:
        """Return the number of maps."""

    @property
    @abstractmethod
    def algorithm(self) -> type[Solver]:
        """Class of the solver."""

    @property
    def limits_band(self) -> bool:
        """Whether the image is limited to the measured band."""
        return False

    @property
    def penalty_in_use(self) -> float:
        """Penalty of ADMM in use."""
        return self.penalty_factor

    def build(
        self,
        seed: int = 0,
        *,
        filters: torch.Tensor | None = None,
        inference: bool = False,
        trained: torch.nn.Module | None = None,
    ) -> LambdaMapModel:
        """Build the model, see `Recipe.build`."""
        weight = self.trainable(seed, filters=filters) if trained is None else trained
        if not isinstance(weight, Weight):
            raise TypeError(f'trained must be a Weight, got {type(weight).__name__}.')
        solver = self.solver_for(self.regularizer(filters), inference=inference)
        return LambdaMapModel(weight, solver, band_limit=self.limits_band)

    def trainable(self, seed: int = 0, *, filters: torch.Tensor | None = None) -> Weight:
        """Build the weight, see `Recipe.trainable`."""
        check_number('seed', seed, 0, 2**63, integer=True)
        weight = self._weight(seed, self.n_maps(filters))
        return CGImageWeight(weight, self.cg_iterations) if self.cg_iterations else weight

    def _weight(self, seed: int, n_maps: int) -> Weight:
        """Build the weight for a number of maps, of the image that it sees."""
        if self.weight == 'numbers':
            return LearnedNumbers(n_maps, self.initial_scale, noise_level=self.noise_level)
        if self.weight == 'number_net':
            return NumberNet(
                n_maps,
                self.n_features,
                dim=self.net_dim,
                noise_level=self.noise_level,
                initial_scale=self.initial_scale,
                generator=torch.Generator().manual_seed(seed),
            )
        return NetworkWeight(self.network(seed, n_maps))

    def network(self, seed: int, n_maps: int) -> LambdaNet:
        """Build the network for a number of maps."""
        inputs = self.inputs(n_maps)
        backbone = UNet(
            len(self.net_dim),
            sum(len(item.channel_names) for item in inputs),
            1 if any(item.each for item in inputs) else n_maps,
            self.n_features,
            n_resolutions=self.n_resolutions,
            n_convs=self.n_convs,
            generator=torch.Generator().manual_seed(seed),
        )
        options: dict[str, Any] = {
            'dim': self.net_dim,
            'padding': self.padding,
            'circular_dim': self.net_circular_dim,
            'initial_scale': self.initial_scale,
        }
        return LambdaNet(backbone, inputs, **options | self.network_options())

    def network_options(self) -> dict[str, Any]:
        """Return the options of the network that a method adds."""
        return {}

    def trainable_of(self, model: Model) -> Weight:
        """Return the weight of a model."""
        check_type('model', model, LambdaMapModel)
        if not isinstance(model, LambdaMapModel) or model.weight is None:
            raise ValueError('A model without a weight has nothing to store.')
        return model.weight

    def solver_for(self, regularizer: Regularizer, *, inference: bool) -> Solver:
        """Build the solver of a regularizer, for training or for use."""
        options: dict[str, Any] = {'n_iterations': self.n_iterations}
        if inference:
            options = {'max_iterations': self.max_iterations, 'tolerance': self.tolerance}
        elif self.gradient_iterations is not None:
            options['backward'] = TruncatedBackward(self.gradient_iterations)
        if self.algorithm is ADMM:
            penalty_factor = self.penalty_in_use if inference else self.penalty_factor
            return ADMM(regularizer, penalty_factor=penalty_factor, **options)
        if self.penalty_factor != 1.0:
            name = self.algorithm.__name__
            raise ValueError(f'penalty_factor is a setting of ADMM, got {self.penalty_factor} for {name}.')
        algorithms = {FISTA: FISTA, PDHG: PDHG, PreconditionedPDHG: PreconditionedPDHG}
        return algorithms[self.algorithm](regularizer, **options)
