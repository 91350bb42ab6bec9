"""Coils around an object, and scans with them."""

from collections.abc import Sequence

import torch
from mrpro.data import AcqIdx, AcqInfo, IData, IHeader, KData, KHeader, KTrajectory, Rotation, SpatialDimension
from mrpro.operators import FastFourierOp, FourierOp
from mrpro.utils import RandomGenerator

N = 32


def grid(shape: Sequence[int]) -> list[torch.Tensor]:
    """Coordinates from -1 to 1 along each axis."""
    return list(torch.meshgrid(*((torch.arange(n) - n // 2) / max(n / 2, 1) for n in shape), indexing='ij'))


def true_maps(n_coils: int, shape: Sequence[int] = (1, N, N)) -> torch.Tensor:
    """Smooth maps of coils on a ring, sum of squares 1, shape `(coils, z, y, x)`."""
    z, y, x = grid(shape)
    angle = (torch.arange(n_coils) * 2 * torch.pi / n_coils).reshape(-1, 1, 1, 1)
    modulus = torch.exp(-0.7 * ((x - angle.cos()) ** 2 + (y - angle.sin()) ** 2 + (z - 0.5 * (angle * 2).sin()) ** 2))
    maps = torch.polar(modulus, 2 * angle + 0.6 * x - 0.4 * y)
    return maps / maps.norm(dim=0)


def head(shape: Sequence[int] = (1, N, N)) -> torch.Tensor:
    """Textured ellipsoid with a slow phase in air, shape `(1, z, y, x)`."""
    z, y, x = grid(shape)
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.8) ** 2 < 1
    texture = 1 + 0.3 * torch.sin(9 * x + 4 * z) * torch.cos(7 * y - 3 * x)
    return torch.polar(inside * texture, 0.5 * y - 0.3 * x)[None]


def coil_images(n_coils: int = 6, shape: Sequence[int] = (1, N, N), noise: float = 1e-3, seed: int = 0) -> torch.Tensor:
    """Noisy coil images, shape `(1, coils, z, y, x)`."""
    images = (true_maps(n_coils, shape) * head(shape))[None]
    return images + noise * RandomGenerator(seed).randn_tensor(images.shape, images.dtype)


def scan(
    images: torch.Tensor,
    lines: Sequence[int] | None = None,
    *,
    mask: torch.Tensor | None = None,
    width: int = 0,
    positions: Sequence[float] | None = None,
    orientation: Rotation | None = None,
    fov: float = 0.2,
    oversampling: int = 1,
) -> KData:
    """Acquire coil images, shape `(*other, coils, 1, y, x)`, without noise.

    Parameters
    ----------
    images
        coil images
    lines
        lines along ky, 0 is the center; all if `None`
    mask
        points of k-space in place of lines
    width
        size of the matrix, all lines of which are sampled; that of the images if 0
    positions
        position of each slice along z in m
    orientation
        orientation of all slices
    fov
        field of view in m
    oversampling
        of the readout
    """
    n_y, n_x = images.shape[-2:]
    matrix, n_k0 = SpatialDimension(1, n_y, n_x), n_x * oversampling
    encoding = SpatialDimension(1, n_y, n_k0)
    if mask is not None:
        ky, kx = (mask.nonzero() - torch.tensor(mask.shape) // 2).float().T.reshape(2, 1, 1, 1, -1, 1)
    else:
        lines = range(-n_y // 2, n_y // 2) if lines is None else lines
        columns = range(-n_k0 // 2, n_k0 // 2)
        if width:
            lines = range(-width // 2, width // 2)
            columns = range(-width * oversampling // 2, width * oversampling // 2)
        ky = torch.tensor([*lines]).float().reshape(1, 1, 1, -1, 1)
        kx = torch.tensor([*columns]).float().reshape(1, 1, 1, 1, -1)
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    (data,) = FourierOp(matrix, encoding, traj)(images)
    if width:
        matrix, encoding = SpatialDimension(1, width, width), SpatialDimension(1, width, width * oversampling)
    return with_header(data, traj, matrix, encoding, positions, orientation, fov)


def with_header(
    data: torch.Tensor,
    traj: KTrajectory,
    matrix: SpatialDimension[int],
    encoding: SpatialDimension[int],
    positions: Sequence[float] | None = None,
    orientation: Rotation | None = None,
    fov: float = 0.2,
) -> KData:
    """Add a header to samples of slices at some positions along z."""
    n_other, n_k1 = data.shape[0], data.shape[-2]
    acq_info = AcqInfo(
        idx=AcqIdx(
            k1=torch.arange(n_k1).reshape(1, 1, 1, n_k1, 1), slice=torch.arange(n_other).reshape(n_other, 1, 1, 1, 1)
        )
    )
    positions = [0.01 * i for i in range(n_other)] if positions is None else positions
    zero = torch.zeros(n_other, 1, 1, 1, 1)
    acq_info.position = SpatialDimension(torch.tensor(positions).reshape(n_other, 1, 1, 1, 1), zero, zero)
    if orientation is not None:
        acq_info.orientation = orientation
    field = SpatialDimension(0.005, fov, fov)
    encoding_field = SpatialDimension(0.005, fov * encoding.y / matrix.y, fov * encoding.x / matrix.x)
    return KData(KHeader(matrix, encoding, field, encoding_field, acq_info, vendor='Siemens'), data, traj)


def radial_scan(images: torch.Tensor, n_spokes: int) -> KData:
    """Acquire spokes over pi with two-fold oversampling."""
    n = images.shape[-1]
    radius = torch.arange(2 * n).float() - n
    angle = (torch.arange(n_spokes) * torch.pi / n_spokes)[:, None]
    kx, ky = (radius * angle.cos())[None, None, None], (radius * angle.sin())[None, None, None]
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    matrix, encoding = SpatialDimension(1, n, n), SpatialDimension(1, 2 * n, 2 * n)
    (data,) = FourierOp(matrix, encoding, traj)(images)
    return with_header(data, traj, matrix, encoding)


def idata(images: torch.Tensor) -> IData:
    """Image data."""
    return IData(images, IHeader(SpatialDimension(1.0, 1.0, 1.0)))


def kspace(images: torch.Tensor) -> torch.Tensor:
    """k-space of images on its grid."""
    return FastFourierOp(dim=(-2, -1))(images)[0]


def misalignment(csm: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return 1 minus the modulus of the inner product of the unit vectors of two maps, for each voxel."""
    return 1 - (csm.conj() * truth).sum(-4).abs()
