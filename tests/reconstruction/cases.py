"""All reconstructions of the package, and k-space data to reconstruct."""

from collections.abc import Sequence
from typing import Any

import mrpro_lambda.reconstruction
import torch
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import AcqIdx, AcqInfo, CsmData, KData, KHeader, KNoise, KTrajectory, SpatialDimension
from mrpro.data.traj_calculators import KTrajectoryRadial2D
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NoiseLevelInput
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    ModelReconstruction,
)
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM

from tests.regularizers.cases import concrete_subclasses

N_Y, N_X = 16, 14
RECONSTRUCTIONS: list[Any] = concrete_subclasses(DirectReconstruction, mrpro_lambda.reconstruction)


def network(*, noise_level: bool = False) -> LambdaNet:
    """Create a small network."""
    inputs = [ImageInput(), NoiseLevelInput()] if noise_level else [ImageInput()]
    return LambdaNet(UNet(2, 2 + noise_level, 1, n_features=2), inputs, padding=3, initial_scale=0.02)


def learned_model(*, noise_level: bool = False) -> LambdaMapModel:
    """Create a small model."""
    return LambdaMapModel(network(noise_level=noise_level), ADMM(TotalVariation((-2, -1)), n_iterations=10))


def cosine_filters(size: int = 3, n_filters: int | None = None, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the filters of a cosine transform without the constant one, orthonormal, lowest frequencies first."""
    k = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(torch.pi / size * k[:, None] * (k + 0.5))
    waves = waves / waves.norm(dim=1, keepdim=True)
    order = (k[:, None] + k).flatten().argsort(stable=True)[1:]
    return torch.einsum('ky,lx->klyx', waves, waves).flatten(0, 1)[order][:n_filters].to(dtype)


def options(cls: Any) -> dict[str, Any]:
    """Return the keyword arguments that a class needs."""
    of_class: dict[Any, dict[str, Any]] = {
        AdaptiveDictionaryReconstruction: {'filters': cosine_filters(), 'regularization_weight': 0.05, 'beta': 1.0},
        LearnedReconstruction: {'model': learned_model()},
        ModelReconstruction: {'model': learned_model()},
        AdaptiveTotalVariationReconstruction: {'regularization_dim': (-2, -1), 'regularization_weight': 0.02},
    }
    return of_class[cls]


def phantom(n_other: int = 1, n_y: int = N_Y, n_x: int = N_X) -> torch.Tensor:
    """Image of an ellipse in air with a smaller one inside, brighter in each entry. Shape `(n_other, 1, 1, y, x)`."""
    y = torch.linspace(-1, 1, n_y)[:, None]
    x = torch.linspace(-1, 1, n_x)[None]
    outer, inner = (x / 0.6) ** 2 + (y / 0.7) ** 2 < 1, (x / 0.3) ** 2 + ((y - 0.2) / 0.3) ** 2 < 1
    img = outer * (1 + 0.5j) + 1.0 * inner
    return (1 + torch.arange(n_other)).reshape(-1, 1, 1, 1, 1) * img


def coil_maps(n_coils: int, n_y: int = N_Y, n_x: int = N_X) -> torch.Tensor:
    """Smooth coil sensitivities with a sum of squares of 1, shape `(1, n_coils, 1, y, x)`."""
    if n_coils == 1:
        return torch.ones(1, 1, 1, n_y, n_x, dtype=torch.complex64)
    y, x = torch.linspace(-1, 1, n_y)[:, None], torch.linspace(-1, 1, n_x)[None]
    angle = torch.arange(n_coils).reshape(-1, 1, 1, 1) * 2 * torch.pi / n_coils
    modulus = torch.exp(-0.5 * ((x - angle.cos()) ** 2 + (y - angle.sin()) ** 2))
    csm = torch.polar(modulus, (angle + 0.5 * x).expand_as(modulus))
    return (csm / csm.abs().square().sum(0, keepdim=True).sqrt())[None]


def _simulate(
    traj: KTrajectory, encoding: tuple[int, int], image: torch.Tensor, n_coils: int, noise: float, seed: int
) -> KData:
    """Simulate noisy data; the noise has the given standard deviation."""
    n_y, n_x = image.shape[-2:]
    matrix, encoding_matrix = SpatialDimension(1, n_y, n_x), SpatialDimension(1, *encoding)
    fov = SpatialDimension(0.005, 0.2, 0.2)
    encoding_fov = SpatialDimension(0.005, 0.2 * encoding[0] / n_y, 0.2 * encoding[1] / n_x)
    n_k1 = traj.shape[-2]
    acq_info = AcqInfo(idx=AcqIdx(k1=torch.arange(n_k1).reshape(1, 1, 1, n_k1, 1)))
    header = KHeader(matrix, encoding_matrix, fov, encoding_fov, acq_info, vendor='Siemens')
    fourier_op = FourierOp(matrix, encoding_matrix, traj)
    (data,) = fourier_op(coil_maps(n_coils, n_y, n_x) * image)
    rng = RandomGenerator(seed)
    return KData(header, data + noise * rng.randn_tensor(data.shape, data.dtype), traj)


def cartesian_kdata(
    *,
    n_other: int = 1,
    n_coils: int = 3,
    lines: Sequence[int] | None = None,
    oversampling: int = 1,
    noise: float = 0.02,
    seed: int = 0,
    size: tuple[int, int] = (N_Y, N_X),
) -> KData:
    """Simulate a Cartesian acquisition with complete readouts at some lines, by default most of them."""
    n_y, n_x = size
    lines = [*range(-n_y // 4, n_y // 4), *range(-n_y // 2, -n_y // 4, 3)] if lines is None else lines
    n_k0 = n_x * oversampling
    kx = (torch.arange(n_k0) - n_k0 // 2).float().reshape(1, 1, 1, 1, -1)
    ky = torch.tensor(lines).float().reshape(1, 1, 1, -1, 1)
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    return _simulate(traj, (n_y, n_k0), phantom(n_other, n_y, n_x), n_coils, noise, seed)


def radial_kdata(*, n_other: int = 1, n_coils: int = 3, n_spokes: int = 11, noise: float = 0.02) -> KData:
    """Simulate a radial acquisition with two-fold oversampling."""
    spokes = torch.arange(n_spokes, dtype=torch.float32)[:, None]
    traj = KTrajectoryRadial2D()(n_k0=2 * N_Y, k0_center=N_Y, k1_idx=spokes)
    return _simulate(traj, (2 * N_Y, 2 * N_Y), phantom(n_other, N_Y, N_Y), n_coils, noise, 0)


def noise_measurement(n_coils: int = 3) -> KNoise:
    """Simulate a noise measurement of correlated coils with different noise levels."""
    rng = RandomGenerator(5)
    mixing = torch.eye(n_coils, dtype=torch.complex64) * torch.arange(1, n_coils + 1) + 0.3j
    white = rng.randn_tensor((n_coils, 2000), torch.complex64)
    return KNoise((0.1 * mixing @ white).reshape(1, n_coils, 1, 1, 2000))


def csm_data(kdata: KData) -> CsmData:
    """Return the true coil sensitivities."""
    n_y, n_x = kdata.header.recon_matrix.y, kdata.header.recon_matrix.x
    return CsmData(coil_maps(kdata.data.shape[-4], n_y, n_x), CsmData.from_kdata_walsh(kdata).header)
