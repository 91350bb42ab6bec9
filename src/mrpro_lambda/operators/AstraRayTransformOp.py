"""Line integrals of images by the ASTRA toolbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_type
from mrpro_lambda.operators.FanBeam import FanBeam
from mrpro_lambda.operators.ParallelBeam import ParallelBeam
from mrpro_lambda.operators.RayTransformOp import RayTransformOp, check_image_shape


class AstraRayTransformOp(RayTransformOp, adjoint_as_backward=True):
    """Line integrals as those of `RayTransformOp`, computed anew in each call by the ASTRA toolbox [AAR2016]_.

    It takes no memory for a matrix, which is what counts with many angles, but several times the time. Parallel rays
    have the same numbers as those of `RayTransformOp`; those of a fan are the lengths of the rays within the pixels. It
    runs on the processor, in single precision whatever the precision of the tensors is. The adjoint is exact. The
    package ``astra-toolbox`` has to be installed, for example by ``pip install mrpro-lambda[ct]``.

    References
    ----------
    .. [AAR2016] van Aarle W, Palenstijn WJ, Cant J, et al. (2016) Fast and flexible X-ray tomography using the ASTRA
       toolbox. Opt Express 24(22) https://doi.org/10.1364/OE.24.025129
    """

    def __init__(self, geometry: ParallelBeam | FanBeam, image_shape: Sequence[int], pixel_size: float = 1.0) -> None:
        """Set up the projector.

        Parameters
        ----------
        geometry, image_shape, pixel_size
            As in `RayTransformOp`.

        Raises
        ------
        ValueError
            If the shape is not that of an image.
        ModuleNotFoundError
            If the ASTRA toolbox is not installed.
        """
        LinearOperator.__init__(self)
        check_type('geometry', geometry, (ParallelBeam, FanBeam))
        check_image_shape(image_shape, pixel_size)
        self.geometry = geometry
        self.image_shape = (image_shape[0], image_shape[1])
        self.pixel_size = float(pixel_size)
        self.register_buffer('_matrix_values', torch.empty(0), persistent=False)  # the precision of the tensors
        self._projector = _Projector(geometry, self.image_shape, self.pixel_size)

    @property
    def n_entries(self) -> int:
        """Number of entries of a matrix that is kept: none."""
        return 0

    def _multiply(self, name: str, x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Project each image forward or back."""
        project = self._projector.forward if name == '_matrix' else self._projector.adjoint
        images = x.detach().to('cpu', torch.float32).reshape(-1, *x.shape[-2:])
        projected = [torch.from_numpy(project(img.contiguous().numpy())) for img in images]
        return torch.stack(projected).to(x).reshape(*x.shape[:-2], *shape)


class _Projector:
    """A projector in the memory of the toolbox, which copies of the operator share."""

    def __init__(self, geometry: ParallelBeam | FanBeam, shape: tuple[int, int], pixel_size: float) -> None:
        """Describe the rays in coordinates (x, -y), as the toolbox has them."""
        try:
            import astra
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'AstraRayTransformOp needs the ASTRA toolbox: pip install astra-toolbox, or use RayTransformOp.'
            ) from error
        self._astra = astra
        detector, ray = geometry.axes
        if isinstance(geometry, FanBeam):
            kind, name = 'line_fanflat', 'fanflat_vec'
            parts = [-geometry.source_distance * ray, geometry.detector_distance * ray]
        else:
            kind, name = 'linear', 'parallel_vec'
            parts = [ray, torch.zeros_like(ray)]
        vectors = torch.stack([*parts, geometry.bin_width * detector], 1).flip(-1) * torch.tensor([1.0, -1.0])
        half = [n * pixel_size / 2 for n in shape]
        rays = astra.create_proj_geom(name, geometry.n_bins, vectors.flatten(1).numpy())
        pixels = astra.create_vol_geom(*shape, -half[1], half[1], -half[0], half[0])
        self._identifier = astra.create_projector(kind, rays, pixels)
        operator = astra.OpTomo(self._identifier)
        self.forward, self.adjoint = operator.FP, operator.BP

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself, as it never changes."""
        return self

    def __del__(self) -> None:
        """Free the memory of the toolbox."""
        if hasattr(self, '_identifier'):
            self._astra.projector.delete(self._identifier)
