"""Sample that methods are compared on."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from mrpro.operators import LinearOperator
from torch.utils.data import default_collate

from mrpro_lambda.datasets import SimulatedData


class EvaluationSample(NamedTuple):
    """One acquisition with its true image, a batch of one."""

    name: str
    """Name within its test."""
    image: int
    """Number of the image in its test, the same for all noise levels."""
    noise: float | None
    """Noise level relative to the root mean square of the image; `None` for measured data."""
    target: torch.Tensor
    """True image, shape `(1, 1, z, y, x)`. Of a real one, magnitudes are compared, up to a factor."""
    data: torch.Tensor
    """k-space data, shape `(1, coils, k2, k1, k0)`."""
    acquisition_op: LinearOperator
    """Acquisition operator."""
    initial_image: torch.Tensor
    """Zero-filled image, shape `(1, 1, z, y, x)`."""
    noise_std: torch.Tensor
    """Standard deviation of the complex noise of a k-space sample, shape `(1, 1, 1, 1, 1)`."""

    @classmethod
    def simulated(cls, data: SimulatedData, index: int, name: str, noise: float) -> Self:
        """Return one of simulated acquisitions.

        Parameters
        ----------
        data
            Acquisitions.
        index
            Number of the image.
        name, noise
            Name and noise level of the sample.
        """
        sample = default_collate([data[index]])
        return cls(
            name,
            index,
            noise,
            sample.img,
            sample.data,
            sample.acquisition_op(),
            sample.initial_image,
            sample.noise_std,
        )

    def to(self, device: str) -> Self:
        """Return the sample on a device.

        Parameters
        ----------
        device
            Device.
        """
        moved = {
            name: getattr(self, name).to(device)
            for name in ('target', 'data', 'acquisition_op', 'initial_image', 'noise_std')
        }
        return self._replace(**moved)
