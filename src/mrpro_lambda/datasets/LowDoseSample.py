"""Sample of a low-dose computed tomography."""

from typing import NamedTuple

import torch

from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.datasets.LowDoseParallelBeam import scan_op


class LowDoseSample(NamedTuple):
    """Scan of an image with parallel rays, and a batch of them.

    The shapes are those of one sample. `torch.utils.data.default_collate` stacks samples along a new first axis.
    """

    img: torch.Tensor
    """Image, the target. Float32, shape `(coils=1, z=1, y, x)`."""

    data: torch.Tensor
    """Noisy post-log data. Float32, shape `(coils=1, z=1, angles, bins)`."""

    initial_image: torch.Tensor
    """Filtered back projection without its negative values. Float32, shape `(coils=1, z=1, y, x)`."""

    noise_std: torch.Tensor
    """Noise level, see `~mrpro_lambda.data_terms.PoissonCounts.noise_std`. Float32, shape `(1, 1, 1, 1)`."""

    n_photons: torch.Tensor
    """Number of photons of a ray before the object. Float32, shape `(1, 1, 1, 1)`."""

    field_of_view: torch.Tensor
    """Length of the longer edge of the image. Float64, no axes."""

    attenuation: torch.Tensor
    """Attenuation that an image value of 1 stands for. Float64, no axes."""

    def acquisition_op(self) -> PoissonCounts:
        """Return the data term of a sample, or of a collated batch of samples of one family."""
        n_angles, n_bins = self.data.shape[-2:]
        shape = (self.img.shape[-2], self.img.shape[-1])
        field_of_view, attenuation = (x.flatten()[0].item() for x in (self.field_of_view, self.attenuation))
        operator = scan_op(n_angles, n_bins, shape, field_of_view, str(self.img.device))
        return PoissonCounts(operator, n_photons=self.n_photons, attenuation=attenuation)
