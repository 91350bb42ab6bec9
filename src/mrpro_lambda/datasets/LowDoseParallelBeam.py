"""Low-dose computed tomography with parallel rays."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from typing import Annotated

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily
from mrpro_lambda.datasets.CartesianSampling import check_shape
from mrpro_lambda.models.fields import Range, check_fields
from mrpro_lambda.operators import ParallelBeam, RayTransformOp


@dataclass(frozen=True)
class LowDoseParallelBeam(AcquisitionFamily):
    """Scans of half a turn with parallel rays and Poisson noise, as in LoDoPaB-CT [LEU2021]_.

    The noise level of a data set is that of a ray before the object relative to its counts, one over the root of the
    number of photons: 1/64 for 4096 of them.

    References
    ----------
    .. [LEU2021] Leuschner J, Schmidt M, Baguer DO, Maass P (2021) LoDoPaB-CT, a benchmark dataset for low-dose computed
       tomography reconstruction. Sci Data 8 https://doi.org/10.1038/s41597-021-00893-z
    """

    n_angles: Annotated[int, Range(1, 100_000)] = 60
    """Number of angles, evenly spaced."""
    field_of_view: Annotated[float, Range(0, above=True)] = 0.26
    """Length of the longer edge of the image, in the unit of length of the attenuation."""
    attenuation: Annotated[float, Range(0, above=True)] = 81.35858
    """Attenuation per unit of length that an image value of 1 stands for."""
    largest: tuple[Annotated[float, Range(0, 1, above=True)], Annotated[float, Range(0, 1)]] = (0.4, 0.6)
    """Range of the largest value of an image, from which it is drawn: bone has about 0.5."""
    cutoff: Annotated[float, Range(0, 1, above=True)] = 0.641
    """Cut-off of the filtered back projection, which is the initial image, see
    `~mrpro_lambda.operators.filtered_back_projection`."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        if self.largest[0] > self.largest[1]:
            raise ValueError(f'largest must be a range (low, high), got {self.largest}.')

    def ray_transform_op(self, shape: tuple[int, int]) -> RayTransformOp:
        """Return the operator for images of a size `(y, x)`, whose bins cover the diagonal of the image."""
        check_shape(shape)
        return scan_op(self.n_angles, ceil(sqrt(2) * max(shape)) + 1, shape, self.field_of_view)


@lru_cache(4)
def scan_op(
    n_angles: int, n_bins: int, shape: tuple[int, int], field_of_view: float, device: str = 'cpu'
) -> RayTransformOp:
    """Set the operator up once. It must not be changed."""
    pixel_size = field_of_view / max(shape)
    return RayTransformOp(ParallelBeam.half_turn(n_angles, n_bins, pixel_size), shape, pixel_size).to(device)
