"""Small acquisitions of each kind, which models take or refuse."""

from typing import NamedTuple

import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, LinearOperator, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp


class Acquired(NamedTuple):
    """A batch of two images with their data."""

    data: torch.Tensor
    acquisition_op: LinearOperator
    initial_image: torch.Tensor
    noise_std: torch.Tensor
    img: torch.Tensor

    def scaled(self, factor: float) -> 'Acquired':
        op = self.acquisition_op
        return Acquired(factor * self.data, op, factor * self.initial_image, factor * self.noise_std, factor * self.img)


SHAPE = (16, 16)
NAMES = ('points', 'lines, 3 coils', 'box', 'full', 'radial, 2 coils')


def coil_maps(n_coils: int, rng: RandomGenerator, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    """Smooth sensitivities with a sum of squares of 1."""
    coarse = rng.randn_tensor((2, n_coils, 1, 3, 3), torch.complex128)
    parts = [
        torch.nn.functional.interpolate(part[:, :, 0], SHAPE, mode='bicubic', align_corners=True)
        for part in (coarse.real, coarse.imag)
    ]
    maps = torch.complex(*parts)[:, :, None]
    return (maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)).to(dtype)


def acquire(name: str, *, double: bool = False, seed: int = 0) -> Acquired:
    """Simulate a batch."""
    rng = RandomGenerator(seed)
    dtype = torch.complex128 if double else torch.complex64
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE), indexing='ij')
    disk = (y.square() + x.square() < 0.7).double()
    phase = rng.rand_tensor((2, 1, 1, 1, 1), torch.float64) + y + 0.5 * x
    detail = 1 + 0.2 * rng.randn_tensor((2, 1, 1, *SHAPE), torch.float64)
    img = (torch.polar(disk * detail, phase)).to(dtype)
    op: LinearOperator
    if name.startswith('radial'):
        angle = torch.arange(12)[:, None] * (torch.pi / 12)
        radius = torch.arange(-8, 8)
        ky, kx = radius * angle.sin(), radius * angle.cos()
        traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky[None, None, None], kx[None, None, None])
        size = SpatialDimension(1, *SHAPE)
        fourier_op = FourierOp(recon_matrix=size, encoding_matrix=size, traj=traj)
        op = fourier_op @ SensitivityOp(coil_maps(2, rng, dtype))
        if double:
            op = op.double()
    else:
        mask = torch.zeros(2, 1, 1, *SHAPE, dtype=torch.float64)
        if name == 'box':
            mask[..., 4:12, 4:12] = 1
        elif name == 'full':
            mask.fill_(1)
        elif name == 'points':
            mask = (rng.rand_tensor((2, 1, 1, *SHAPE), torch.float64) < 0.5).double()
            mask[..., 5:11, 5:11] = 1
        else:
            mask[..., ::2, :] = 1
            mask[..., 4:12, :] = 1
        csm = coil_maps(3, rng, dtype) if 'coils' in name else None
        op = CartesianAcquisitionOp(mask.to(dtype.to_real()), csm)
    (data,) = op(img)
    sampled = data != 0
    noise_std = 0.05
    data = data + sampled * noise_std * rng.randn_tensor(data.shape, dtype)
    (start,) = op.adjoint(data)
    if name.startswith('radial'):
        start = start / start.abs().amax()
    return Acquired(data, op, start, torch.full((2, 1, 1, 1, 1), noise_std, dtype=dtype.to_real()), img)
