"""Description of a model that is stored with its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import torch

from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.LambdaNet import Features, LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.operators.GradientOp import Boundary
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.Solver import Solver

T = TypeVar('T')


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a TV-Lambda model with a U-Net, apart from its weights."""

    dim: tuple[int, ...] = (-2, -1)
    """Axes of the total variation."""
    net_dim: tuple[int, ...] = (-2, -1)
    """Axes that the network convolves."""
    boundary: Boundary = 'circular'
    """Boundary of the gradient."""
    band_limit: bool = True
    """Limit the image to the measured band."""
    features: Features = 'real_imaginary'
    """What of the image the network sees."""
    noise_level: bool = False
    """Whether the network uses the noise level."""
    n_features: int = 16
    """Features of the U-Net at the highest resolution."""
    n_resolutions: int = 3
    """Resolutions of the U-Net."""
    n_convs: int = 2
    """Convolutions at each resolution."""
    padding: int = 8
    """Continuation of the image at each side, in pixels."""
    initial_scale: float = 1.0
    """Initial scale of the map."""
    solver: Literal['ADMM', 'PDHG'] = 'ADMM'
    """Algorithm."""
    n_iterations: int = 128
    """Iterations in training."""
    tolerance: float = 1e-2
    """Certified gap to solve to in use, relative to the objective."""
    max_iterations: int = 2000
    """Largest number of iterations in use."""
    penalty_factor: float = 1.0
    """Penalty of ADMM, see `~mrpro_lambda.solvers.ADMM`."""

    def build(self, seed: int = 0, *, inference: bool = False) -> LambdaMapModel:
        """Build the model.

        Parameters
        ----------
        seed
            Seed of the initial weights.
        inference
            Solve to the tolerance instead of taking the number of iterations of the training.
        """
        regularizer = TotalVariation(self.dim, boundary=self.boundary)
        n_channels_in = (1 if self.features == 'magnitude' else 2) + self.noise_level
        backbone = UNet(
            len(self.net_dim),
            n_channels_in,
            regularizer.n_maps,
            self.n_features,
            n_resolutions=self.n_resolutions,
            n_convs=self.n_convs,
            generator=torch.Generator().manual_seed(seed),
        )
        net = LambdaNet(
            backbone,
            dim=self.net_dim,
            noise_level=self.noise_level,
            features=self.features,
            padding=self.padding,
            initial_scale=self.initial_scale,
        )
        options: dict[str, Any] = {'n_iterations': self.n_iterations}
        if inference:
            options = {'max_iterations': self.max_iterations, 'tolerance': self.tolerance}
        solver: Solver
        if self.solver == 'ADMM':
            solver = ADMM(regularizer, penalty_factor=self.penalty_factor, **options)
        elif self.solver == 'PDHG':
            if self.penalty_factor != 1.0:
                raise ValueError(f'penalty_factor is a setting of ADMM, got {self.penalty_factor} for PDHG.')
            solver = PDHG(regularizer, **options)
        else:
            raise ValueError(f"solver must be 'ADMM' or 'PDHG', got {self.solver!r}.")
        return LambdaMapModel(net, solver, band_limit=self.band_limit)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Create from a mapping, as read from a file; unknown keys are an error."""
        return dataclass_from_dict(cls, values, 'model')


def dataclass_from_dict(cls: type[T], values: Mapping[str, Any], section: str) -> T:
    """Create a dataclass from a mapping.

    Lists become tuples.

    Raises
    ------
    ValueError
        If a key is unknown or missing.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f'Unknown key(s) {unknown} in section [{section}]; known are {sorted(fields)}.')
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f'Missing key(s) {missing} in section [{section}].')
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
