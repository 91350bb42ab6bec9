"""Sample of a Cartesian acquisition."""

from typing import NamedTuple

import torch

from mrpro_lambda.operators import CartesianAcquisitionOp


class AcquisitionSample(NamedTuple):
    """Cartesian acquisition of an image, and a batch of them.

    The shapes are those of one sample. `torch.utils.data.default_collate` stacks samples along a new first axis, which
    gives mrpro's shapes `(batch, coils, z, y, x)` and `(batch, coils, k2, k1, k0)`. A sample of a series has an axis of
    frames before those of the coils, of size 1 where nothing changes with time.
    """

    img: torch.Tensor
    """Image with a maximum magnitude of 1, the target. Complex64, shape `(coils=1, z=1, y, x)`."""

    data: torch.Tensor
    """Noisy k-space, zero where it is not sampled. Complex64, shape `(coils, k2=1, k1, k0)`."""

    mask: torch.Tensor
    """Weight of the sampled points of k-space, 0 elsewhere: 1 for white noise, otherwise one over the relative standard
    deviation of the noise. Float32, shape `(coils=1, k2=1, k1, k0)`."""

    csm: torch.Tensor
    """Coil sensitivities, with a sum of squared magnitudes of 1. Complex64, shape `(coils, z=1, y, x)`."""

    initial_image: torch.Tensor
    """Adjoint of the acquisition, without weights, applied to the data. Complex64, shape `(coils=1, z=1, y, x)`."""

    noise_std: torch.Tensor
    """Standard deviation of the complex noise of a sample, in units of the (whitened) data. Float32, shape
    `(1, 1, 1, 1)`."""

    def acquisition_op(self) -> CartesianAcquisitionOp:
        """Operator that maps the image of a sample, or of a collated batch of samples, to its noise-free k-space."""
        return CartesianAcquisitionOp(self.mask, self.csm)
