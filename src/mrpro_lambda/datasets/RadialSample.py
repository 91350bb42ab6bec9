"""Sample of a radial acquisition."""

from typing import NamedTuple

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.datasets.radial_acquisition_op import radial_acquisition_op


class RadialSample(NamedTuple):
    """Radial acquisition of an image, and a batch of them.

    The shapes are those of one sample. `torch.utils.data.default_collate` stacks samples along a new first axis, which
    gives mrpro's shapes `(batch, coils, z, y, x)` and `(batch, coils, k2, k1, k0)`.
    """

    img: torch.Tensor
    """Image with a maximum magnitude of 1, the target. Complex64, shape `(coils=1, z=1, y, x)`."""

    data: torch.Tensor
    """Noisy k-space. Complex64, shape `(coils, k2=1, k1=spokes, k0=samples)`."""

    traj: torch.Tensor
    """Trajectory `(kz, ky, kx)`, see `Radial`. Float32, shape `(3, coils=1, k2=1, k1=spokes, k0=samples)`."""

    csm: torch.Tensor
    """Coil sensitivities, with a sum of squared magnitudes of 1. Complex64, shape `(coils, z=1, y, x)`."""

    initial_image: torch.Tensor
    """Adjoint of the acquisition applied to the data with density compensation, as in reconstructions of measured data,
    see `Radial.density_compensation`. Complex64, shape `(coils=1, z=1, y, x)`."""

    noise_std: torch.Tensor
    """Standard deviation of the complex noise in units of the data. Float32, shape `(1, 1, 1, 1)`."""

    def acquisition_op(self) -> LinearOperator:
        """Operator that maps the image of a sample, or of a collated batch of samples, to its noise-free k-space."""
        return radial_acquisition_op(self.traj, self.csm)
