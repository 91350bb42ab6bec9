"""Series of images: k-t lines and golden-angle spokes of several coils, with one map for space and one for time."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mrpro.data import KData, KTrajectory, SpatialDimension
from mrpro.data.AcqInfo import AcqIdx, AcqInfo
from mrpro.data.KHeader import KHeader
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction, LearnedReconstruction
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import CGImageWeight, NetworkWeight

from tests.helper import relative_image_difference
from tests.reconstruction.cases import coil_maps, csm_data

N, N_FRAMES, N_COILS = 20, 6, 3


def beating(n_frames: int = N_FRAMES) -> torch.Tensor:
    """Series of a disk that grows and shrinks in a body whose texture rests, shape (n_frames, 1, 1, y, x)."""
    y, x = torch.linspace(-1, 1, N)[:, None], torch.linspace(-1, 1, N)[None]
    body = ((x / 0.8) ** 2 + (y / 0.9) ** 2 < 1) * (0.5 + 0.2j) * RandomGenerator(9).float32_tensor((N, N), 0.5, 1.5)
    radius = [0.3 + 0.1 * math.cos(2 * math.pi * i / n_frames) for i in range(n_frames)]
    return torch.stack([body + 1.0 * (x**2 + y**2 < r**2) for r in radius])[:, None, None].to(torch.complex64)


def kdata_of(img: torch.Tensor, kind: str, *, seed: int = 0, noise: float = 0.02) -> KData:
    """Simulate an acquisition of half of the lines, or of 5 spokes, others in each frame. Leading axes are frames."""
    rng = RandomGenerator(seed)
    other, n_frames = img.shape[:-4], math.prod(img.shape[:-4])
    if kind == 'lines':
        center = list(range(-3, 3))
        rest = torch.tensor([k for k in range(-N // 2, N // 2) if k not in center])
        orders = [rng.float32_tensor((len(rest),)).argsort()[:4] for _ in range(n_frames)]
        ky = torch.stack([torch.cat((torch.tensor(center), rest[o])).float() for o in orders])
        ky, kx = ky[..., None], (torch.arange(N) - N // 2).float().expand(n_frames, 1, N)
        encoding = SpatialDimension(1, N, N)
    else:
        angle = torch.arange(5 * n_frames).reshape(n_frames, 5, 1) * (math.pi * (math.sqrt(5) - 1) / 2)
        k = torch.arange(-N, N).float()
        ky, kx = k * angle.sin(), k * angle.cos()
        encoding = SpatialDimension(1, 2 * N, 2 * N)
    ky, kx = (k.reshape(*other, 1, 1, *k.shape[-2:]) for k in (ky, kx))
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    matrix, fov = SpatialDimension(1, N, N), SpatialDimension(0.005, 0.2, 0.2)
    n_k1 = ky.shape[-2]
    info = AcqInfo(idx=AcqIdx(k1=torch.arange(n_k1).reshape(1, 1, 1, n_k1, 1)))
    encoding_fov = SpatialDimension(0.005, 0.2 * encoding.y / N, 0.2 * encoding.x / N)
    header = KHeader(matrix, encoding, fov, encoding_fov, info)
    (data,) = FourierOp(matrix, encoding, traj)(coil_maps(N_COILS, N, N) * img)
    return KData(header, data + noise * rng.randn_tensor(data.shape, data.dtype), traj)


def select(kdata: KData, part: Callable[[torch.Tensor], torch.Tensor]) -> KData:
    """Select or sort along the leading axes."""
    other = kdata.data.shape[:-4]
    ky, kx = (part(k.expand(*other, *k.shape[-4:])) for k in (kdata.traj.ky, kdata.traj.kx))
    return KData(kdata.header, part(kdata.data), KTrajectory(kdata.traj.kz.new_zeros(1, 1, 1, 1, 1), ky, kx))


def reconstruct(kdata: KData, **changes: Any) -> torch.Tensor:
    options: dict[str, Any] = {
        'regularization_dim': (-5, -2, -1),
        'regularization_weight': [0.001, 0.02],
        'tolerance': 3e-3,
    }
    reconstruction = AdaptiveTotalVariationReconstruction(kdata, csm=csm_data(kdata), **options | changes)
    return reconstruction(kdata).data


@pytest.mark.parametrize('kind', ['lines', 'spokes'])
@pytest.mark.parametrize('boundary', ['circular', ('neumann', 'circular', 'circular')])
def test_time_helps(kind: str, boundary: Any) -> None:
    """A series that is reconstructed together is nearer to the truth than its frames, each with its best weight."""
    img = beating()
    kdata = kdata_of(img, kind)
    series = reconstruct(kdata, boundary=boundary)
    alone = min(
        (relative_image_difference(reconstruct(kdata, regularization_dim=(-2, -1), regularization_weight=w), img), w)
        for w in (0.002, 0.006, 0.02)
    )[0]
    assert relative_image_difference(series, img) < 0.8 * alone


def test_cycle_may_begin_anywhere_and_a_series_may_run_backwards() -> None:
    img = beating()
    kdata = kdata_of(img, 'lines')

    rolled, backwards = [2, 3, 4, 5, 0, 1], [5, 4, 3, 2, 1, 0]
    options = {'tolerance': 1e-4, 'regularization_weight': [0.005, 0.1]}
    cycle, real_time = (
        reconstruct(kdata, boundary=(b, 'circular', 'circular'), **options) for b in ('circular', 'neumann')
    )
    found = reconstruct(select(kdata, lambda x: x[rolled]), **options)
    assert relative_image_difference(found, cycle[rolled]) < 0.01
    found = reconstruct(select(kdata, lambda x: x[backwards]), boundary=('neumann', 'circular', 'circular'), **options)
    assert relative_image_difference(found, real_time[backwards]) < 0.01
    assert relative_image_difference(cycle, real_time) > 0.02


def network(time_dim: int) -> LambdaNet:
    backbone = UNet(3, 1, 2, n_features=2, n_resolutions=2)
    inputs = [ImageInput('magnitude')]
    return LambdaNet(
        backbone, inputs, dim=(time_dim, -2, -1), padding=(4, 2, 2), circular_dim=(time_dim,), initial_scale=0.01
    )


@pytest.mark.parametrize('cg', [False, True])
def test_time_wherever_it_lies(cg: bool) -> None:
    """Two series along another axis before or after time are the two by themselves."""
    series = torch.stack((beating(), 0.7 * beating().flip(0)))
    joint = kdata_of(series, 'lines')
    swapped = select(joint, lambda x: x.swapaxes(0, 1))

    def learned(kdata: KData, time_dim: int) -> torch.Tensor:
        solver = ADMM(TotalVariation((time_dim, -2, -1)), max_iterations=500, tolerance=1e-3)
        weight = NetworkWeight(network(time_dim))
        model = LambdaMapModel(CGImageWeight(weight, 3) if cg else weight, solver)
        reconstruction = LearnedReconstruction(kdata, csm=csm_data(kdata), model=model)
        solution = reconstruction.solve(kdata)
        assert solution.lambda_map.shape[0] == 2
        assert solution.solution.objective.numel() == kdata.data.shape[0] * kdata.data.shape[1] // N_FRAMES
        return solution.idata.data

    together = learned(joint, -5)
    assert together.shape == (2, N_FRAMES, 1, 1, N, N)
    assert relative_image_difference(learned(swapped, -6).swapaxes(0, 1), together) < 5e-3
    for i in range(2):
        alone = learned(select(joint, lambda x, i=i: x[i : i + 1]), -5)  # type: ignore[misc]
        assert relative_image_difference(alone, together[i : i + 1]) < 5e-3


def test_a_single_frame_is_no_series() -> None:
    kdata = kdata_of(beating(1), 'lines')
    message = r'need at least two frames, but the axes \[-5\] of an image of shape .* have one'
    with pytest.raises(ValueError, match=message):
        reconstruct(kdata)
    model = LambdaMapModel(network(-5), ADMM(TotalVariation((-5, -2, -1)), n_iterations=2))
    with pytest.raises(ValueError, match=message):
        LearnedReconstruction(kdata, csm=csm_data(kdata), model=model)
    whole = kdata_of(beating(), 'lines')
    reconstruction = LearnedReconstruction(fourier_op=FourierOp.from_kdata(kdata), csm=csm_data(whole), model=model)
    with pytest.raises(ValueError, match=message):
        reconstruction(kdata)


def test_boundary_without_a_circulant_operator_is_left_to_another_solver() -> None:
    img = beating()
    kdata = kdata_of(img, 'lines')
    found = reconstruct(kdata, boundary=('neumann', 'zero', 'zero'), tolerance=1e-2)
    assert relative_image_difference(found, reconstruct(kdata)) < 0.1
    with pytest.raises(ValueError, match='one for each axis of dim'):
        reconstruct(kdata, boundary=('neumann', 'circular'))
