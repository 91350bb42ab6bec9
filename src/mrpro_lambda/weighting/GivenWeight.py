"""A weight that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class GivenWeight(Weight):
    """A number, one number for each map, or a map, in the units of the image."""

    value: torch.Tensor
    """Number, vector or map."""

    def __init__(self, value: float | Sequence[float] | torch.Tensor) -> None:
        """Initialize the weight.

        Parameters
        ----------
        value
            A number, one number for each map of the regularizer, or a map of shape `(n_maps, *other, 1, z, y, x)`.

        Raises
        ------
        TypeError
            If it is no number, sequence of numbers or tensor.
        ValueError
            If it is complex, empty, negative or not finite.
        """
        super().__init__()
        self.register_buffer('value', as_numbers('The weight', value))

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return a number and one for each map."""
        return {'given': cls(0.3), 'given, each map': cls([0.3 + i for i in range(n_maps)])}

    @property
    def relative(self) -> bool:
        """Whether the map scales with the scan, which it does not."""
        return False

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the map in the shape that the regularizer asks for."""
        return WeightChoice(scan.solver.regularizer.lambda_map(self.value, scan.initial_image))


def as_numbers(name: str, value: float | Sequence[float] | torch.Tensor) -> torch.Tensor:
    """Check real, finite, non-negative numbers and return them as a tensor, in double precision if they are none yet.

    Raises
    ------
    TypeError, ValueError
        If they are not.
    """
    try:
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=torch.float64, device='cpu')
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f'{name} must be a number, a sequence of numbers or a tensor, got {type(value).__name__}: {error}.'
        ) from error
    what = f'got {tensor.dtype}, shape {tuple(tensor.shape)}'
    if tensor.is_complex() or tensor.is_meta or not tensor.numel():
        raise ValueError(f'{name} must hold real numbers, {what} on {tensor.device}.')
    if not bool((tensor.detach().isfinite() & (tensor.detach() >= 0)).all()):
        raise ValueError(f'{name} must be finite and not negative, {what}, smallest value {tensor.min().item()}.')
    return tensor
