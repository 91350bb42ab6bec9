"""Line integrals of images as a sparse matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_tensor, check_type
from mrpro_lambda.operators.ScanGeometry import ScanGeometry


class RayTransformOp(LinearOperator, adjoint_as_backward=True):
    r"""Line integrals :math:`(A x)_i = \int_{ray\ i} x` of images, as in computed tomography.

    The image is interpolated linearly along one axis where a ray crosses the lines of pixels of the other one, the one
    along which it makes more way [JOS1982]_. The numbers are in a sparse matrix, and in its transpose for speed, so
    that the adjoint is exact. Each number takes 8 bytes in each of them in single precision, and a ray has at most two
    for each line of pixels: 0.2 GB in all for 362 x 362 pixels, 60 angles and 513 bins.

    References
    ----------
    .. [JOS1982] Joseph PM (1982) An improved algorithm for reprojecting rays through pixel images. IEEE Trans Med
       Imaging 1(3) https://doi.org/10.1109/TMI.1982.4307572
    """

    def __init__(self, geometry: ScanGeometry, image_shape: Sequence[int], pixel_size: float = 1.0) -> None:
        """Set up the matrix.

        Parameters
        ----------
        geometry
            Rays.
        image_shape
            Number of pixels `(y, x)`. The center of the image is that of the rotation.
        pixel_size
            Length of the edges of a pixel, in the unit of the geometry.

        Raises
        ------
        ValueError
            If the shape is not that of an image, or if no ray hits it.
        """
        super().__init__()
        check_type('geometry', geometry, ScanGeometry)
        check_image_shape(image_shape, pixel_size)
        self.geometry = geometry
        self.image_shape = (image_shape[0], image_shape[1])
        self.pixel_size = float(pixel_size)
        row_starts, columns, values = _joseph_matrix(geometry, self.image_shape, self.pixel_size)
        if not len(values):
            raise ValueError(
                f'A ray must hit the image, but none of {len(geometry.angles)} angles and {geometry.n_bins} bins of '
                f'{geometry.bin_width:g} does, got image_shape={self.image_shape} and {pixel_size=}.'
            )
        transposed = _csr(row_starts, columns, values, self.image_shape[0] * self.image_shape[1]).to_sparse_csc()
        parts = {
            '_matrix': (row_starts, columns, values),
            '_transposed': (transposed.ccol_indices(), transposed.row_indices(), transposed.values()),
        }
        for name, tensors in parts.items():
            for attribute, tensor in zip(('starts', 'columns', 'values'), tensors, strict=True):
                self.register_buffer(f'{name}_{attribute}', tensor, persistent=False)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Integrate an image.

        Parameters
        ----------
        x
            Real image, shape `(*other, y, x)`.

        Returns
        -------
            Line integrals, shape `(*other, angles, bins)`.

        Raises
        ------
        ValueError
            If the image has not the shape or the precision of the operator.
        """
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Integrate an image. Prefer calling the instance."""
        self._check('An image', x, self.image_shape)
        return (self._multiply('_matrix', x, self.geometry.data_shape),)

    def adjoint(self, y: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the adjoint, a back projection without weights.

        Parameters
        ----------
        y
            Sinogram, shape `(*other, angles, bins)`.

        Returns
        -------
            Image, shape `(*other, y, x)`.

        Raises
        ------
        ValueError
            If the sinogram has not the shape or the precision of the operator.
        """
        self._check('A sinogram', y, self.geometry.data_shape)
        return (self._multiply('_transposed', y, self.image_shape),)

    def _check(self, name: str, x: torch.Tensor, shape: tuple[int, int]) -> None:
        """Raise an error unless a tensor can be multiplied with the matrix."""
        check_tensor(name, x, finite=False)
        axes = '(angles, bins)' if name == 'A sinogram' else '(y, x)'
        if tuple(x.shape[-2:]) != shape:
            raise ValueError(f'{name} must end with the axes {axes} = {shape}, got shape {tuple(x.shape)}.')
        dtype = self._values.dtype
        if x.dtype != dtype:
            raise ValueError(
                f'{name} must be of {dtype} as the operator, got {x.dtype}, shape {tuple(x.shape)}: convert one of '
                'them, for example the operator by its method double().'
            )

    def _multiply(self, name: str, x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Multiply with a matrix."""
        n_columns = x.shape[-2:].numel()
        starts, columns, values = (getattr(self, f'{name}_{part}') for part in ('starts', 'columns', 'values'))
        matrix = _csr(starts, columns, values, n_columns)
        images = x.reshape(-1, n_columns)
        if len(images) == 1:
            return torch.mv(matrix, images[0]).reshape(*x.shape[:-2], *shape)
        # products with four columns take as long as those with one, and half as long as those with two
        columns = torch.nn.functional.pad(images, (0, 0, 0, -len(images) % 4)).mT.contiguous()
        return (matrix @ columns)[:, : len(images)].mT.reshape(*x.shape[:-2], *shape)

    @property
    def n_entries(self) -> int:
        """Number of entries of the matrix."""
        return self._values.numel()

    @property
    def _values(self) -> torch.Tensor:
        """Entries of the matrix."""
        values: torch.Tensor = self.get_buffer('_matrix_values')
        return values

    @cached_property
    def norm_squared_bound(self) -> float:
        r"""Upper bound of :math:`\|A\|^2`, which is proven.

        The entries are not negative, so that :math:`\max_j (A^T A v)_j / v_j` is one for each positive :math:`v`
        [COL1942]_. A few steps of power iteration make it tight to about a percent.

        References
        ----------
        .. [COL1942] Collatz L (1942) Einschließungssatz für die charakteristischen Zahlen von Matrizen. Math Z 48
           https://doi.org/10.1007/BF01180013
        """
        v = torch.ones(self.image_shape, dtype=self._values.dtype, device=self._values.device)
        bound = float('inf')
        for _ in range(40):
            (following,) = self.adjoint(*self(v))
            bound = min(bound, (following / v).amax().item())
            largest = following.amax()
            v = (following / largest).clamp_min(1e-4)
        return bound * (1 + 16 * torch.finfo(v.dtype).eps * max(self.geometry.data_shape))


def check_image_shape(image_shape: Sequence[int], pixel_size: float) -> None:
    """Raise an error unless they are those of an image."""
    if len(image_shape) != 2:
        raise ValueError(f'image_shape must be (y, x), got {tuple(image_shape)}.')
    for n in image_shape:
        check_number('Each size of image_shape', n, 1, integer=True)
    check_number('pixel_size', pixel_size, positive=True)


def _csr(starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n_columns: int) -> torch.Tensor:
    """Return a matrix in the format of compressed rows, whose parts are not copied.

    It has no storage of its own, so that modules that hold one could not be copied.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in beta')
        return torch.sparse_csr_tensor(
            starts, columns, values, size=(len(starts) - 1, n_columns), check_invariants=False
        )


def _joseph_matrix(
    geometry: ScanGeometry, shape: tuple[int, int], pixel_size: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return starts of the rows, columns and values of the matrix of interpolated integrals, a row for each ray."""
    n_x = shape[1]
    lines = torch.arange(max(shape))
    n_lines = torch.tensor(shape)
    center = (n_lines.double() - 1) / 2
    n_entries = [torch.zeros(1, dtype=torch.int64)]
    # memory that is not written to is not taken
    capacity = len(geometry.angles) * geometry.n_bins * 2 * max(shape)
    columns, values = torch.empty(capacity, dtype=torch.int32), torch.empty(capacity, dtype=torch.float32)
    done = 0
    for index in range(len(geometry.angles)):
        point, direction = geometry.rays(index)
        point = point / pixel_size
        # the main axis of a ray is the one along which it makes more way
        along_y = direction[:, 0].abs() >= direction[:, 1].abs()
        main = torch.where(along_y, 0, 1)
        side = 1 - main
        (main_point, side_point), (main_way, side_way) = (
            [part.gather(1, axis[:, None]) for axis in (main, side)] for part in (point, direction)
        )
        # where the ray crosses the lines of pixels of its main axis, in pixels along the other one
        length = (lines - center[main][:, None] - main_point) / main_way
        crossing = side_point + length * side_way + center[side][:, None]
        first = crossing.floor()
        fraction = crossing - first
        position = torch.stack((first, first + 1), -1).long()
        weight = torch.stack((1 - fraction, fraction), -1) * (pixel_size / main_way.abs())[..., None]
        inside = (position >= 0) & (position < n_lines[side][:, None, None]) & (weight > 0)
        inside &= (lines < n_lines[main][:, None])[..., None]
        line = lines[:, None].expand(position.shape)
        column = torch.where(along_y[:, None, None], line * n_x + position, position * n_x + line)
        n_entries.append(inside.sum((1, 2)))
        chosen = slice(done, done := done + int(n_entries[-1].sum()))
        columns[chosen] = column[inside]
        values[chosen] = weight[inside]
    starts = torch.cat(n_entries).cumsum(0)
    index_type = torch.int32 if done < 2**31 else torch.int64
    return starts.to(index_type), columns[:done].to(index_type, copy=True), values[:done].clone()
