"""Line integrals against closed forms and independent projectors, and their inversion."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import FanBeam, ParallelBeam, RayTransformOp, ScanGeometry, filtered_back_projection

SHAPE = (64, 64)
CENTER, RADIUS = (6.0, -4.0), 18.0


def parallel(n_angles: int = 90) -> ParallelBeam:
    return ParallelBeam.half_turn(n_angles, 93, 1.0)


def fan(n_angles: int = 180, distance: float = 150.0) -> FanBeam:
    angles = torch.arange(n_angles) * (2 * math.pi / n_angles)
    return FanBeam(angles, 141, 1.0 + 50.0 / distance, distance, 50.0)


geometries = pytest.mark.parametrize('geometry', [parallel(), fan()], ids=['parallel', 'fan'])


def disc(shape: tuple[int, int], center: tuple[float, float], radius: float) -> torch.Tensor:
    """A disc, the pixels at its edge by the part that is covered."""
    n = 8
    y, x = (((torch.arange(n * m) + 0.5) / n - m / 2).double() for m in shape)
    inside = (y[:, None] - center[0]).square() + (x - center[1]).square() < radius**2
    return inside.double().unflatten(1, (-1, n)).unflatten(0, (-1, n)).mean((1, 3)).float()


def chords(geometry: ScanGeometry) -> torch.Tensor:
    """Lengths of the rays in the disc."""
    lengths = []
    for index in range(len(geometry.angles)):
        point, direction = geometry.rays(index)
        offset = torch.tensor(CENTER, dtype=torch.float64) - point
        distance = offset[:, 0] * direction[:, 1] - offset[:, 1] * direction[:, 0]
        lengths.append(2 * (RADIUS**2 - distance.square()).clamp_min(0).sqrt())
    return torch.stack(lengths).float()


@geometries
@pytest.mark.parametrize('shape', [(), (3,), (2, 1, 1)])
def test_adjointness(geometry: ScanGeometry, shape: tuple[int, ...]) -> None:
    rng = RandomGenerator(0)
    op = RayTransformOp(geometry, (40, 33), 1.5).double()
    x, y = rng.float64_tensor((*shape, 40, 33)), rng.float64_tensor((*shape, *geometry.data_shape))
    (forward,), (backward,) = op(x), op.adjoint(y)
    assert forward.shape == y.shape
    assert backward.shape == x.shape
    torch.testing.assert_close((forward * y).sum(), (x * backward).sum(), rtol=1e-12, atol=0)
    if shape:
        torch.testing.assert_close(forward[-1], op(x[-1])[0], rtol=1e-12, atol=1e-12)


@geometries
def test_integrals_of_a_disc(geometry: ScanGeometry) -> None:
    op = RayTransformOp(geometry, SHAPE)
    expected = chords(geometry)
    (found,) = op(disc(SHAPE, CENTER, RADIUS))
    assert (found - expected).square().mean().sqrt() < 0.015 * expected.max()
    torch.testing.assert_close(found.sum(), expected.sum(), rtol=2e-3, atol=0)


def test_unit_of_length() -> None:
    """Twice as large in all lengths, the integrals are twice as large."""
    img = RandomGenerator(0).float32_tensor(SHAPE)
    (expected,) = RayTransformOp(parallel(), SHAPE)(img)
    scaled = ParallelBeam.half_turn(90, 93, 2.0)
    torch.testing.assert_close(RayTransformOp(scaled, SHAPE, 2.0)(img)[0], 2 * expected, rtol=1e-5, atol=1e-4)


def test_radon_transform_of_scikit_image() -> None:
    """Its angles are those from the last axis on, the other way around."""
    transform = pytest.importorskip('skimage.transform')
    img = disc(SHAPE, CENTER, 12.0) + 0.5 * disc(SHAPE, (-8.0, 5.0), 6.0)
    degrees = np.linspace(0, 180, 30, endpoint=False)
    expected = torch.as_tensor(transform.radon(img.numpy(), degrees, circle=True)).T.float()
    angles = torch.as_tensor(np.deg2rad(90 + degrees))
    geometry = ParallelBeam(angles, 64, 1.0)
    (found,) = RayTransformOp(geometry, SHAPE)(img)
    # it rotates the image about the pixel right of the center, so that sinograms are off by half a bin
    candidates = [torch.lerp(found, found.roll(shift, -1), 0.5) for shift in (1, -1)] + [found]
    error = min((c - expected).square().mean().sqrt().item() for c in candidates)
    assert error < 0.03 * expected.max().item()


def test_tomography_of_deepinv() -> None:
    physics = pytest.importorskip('deepinv.physics')
    degrees = torch.linspace(0, 180, 13)[:-1]
    img = disc(SHAPE, CENTER, 12.0)
    tomography = physics.Tomography(degrees, img_width=64, circle=True, normalize=False)
    expected = tomography(img[None, None])[0, 0].T
    found = [
        RayTransformOp(ParallelBeam(sign * torch.deg2rad(degrees) + start, 64, 1.0), SHAPE)(img)[0]
        for sign in (1, -1)
        for start in (0.0, math.pi / 2, -math.pi / 2, math.pi)
    ]
    assert min((f - expected).square().mean().sqrt().item() for f in found) < 0.03 * expected.max().item()


def test_distant_source_is_a_parallel_beam() -> None:
    img = RandomGenerator(0).float32_tensor(SHAPE)
    angles = parallel().angles
    (expected,) = RayTransformOp(parallel(), SHAPE)(img)
    (found,) = RayTransformOp(FanBeam(angles, 93, 1.0, 1e6, 0.0), SHAPE)(img)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


@geometries
def test_bound_of_the_norm(geometry: ScanGeometry) -> None:
    op = RayTransformOp(geometry, (40, 33), 1.5)
    v = torch.ones(40, 33)
    for _ in range(60):
        v = op.adjoint(*op(v / v.norm()))[0]
    assert v.norm() <= op.norm_squared_bound < 1.02 * v.norm()


@geometries
@pytest.mark.parametrize(('cutoff', 'tolerance'), [(1.0, 0.1), (0.641, 0.15)])
def test_filtered_back_projection_inverts(geometry: ScanGeometry, cutoff: float, tolerance: float) -> None:
    img, op = disc(SHAPE, CENTER, RADIUS), RayTransformOp(geometry, SHAPE)
    found = filtered_back_projection(chords(geometry)[None], op, cutoff=cutoff)[0]
    assert (found - img).square().mean().sqrt() < tolerance * img.square().mean().sqrt()
    assert found[disc(SHAPE, CENTER, RADIUS - 4) == 1].mean().item() == pytest.approx(1, abs=2e-3)
    assert found[disc(SHAPE, CENTER, RADIUS + 4) == 0].mean().item() == pytest.approx(0, abs=2e-3)


def test_filtered_back_projection_of_uneven_angles() -> None:
    """An angle that was measured twice counts half as much each time; their order does not matter."""
    geometry = parallel(60)
    order = torch.randperm(61, generator=torch.Generator().manual_seed(0))
    angles = torch.cat((geometry.angles, geometry.angles[7:8]))[order]
    again = ParallelBeam(angles + math.pi * (order % 2 == 0), 93, 1.0)
    images = [filtered_back_projection(chords(g), RayTransformOp(g, SHAPE)) for g in (geometry, again)]
    torch.testing.assert_close(*images, rtol=0, atol=2e-3)


def test_gradient_and_copies() -> None:
    op = RayTransformOp(parallel(5), (6, 5)).double()
    x = RandomGenerator(0).float64_tensor((2, 6, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: op(x)[0], x)
    assert torch.autograd.gradgradcheck(lambda x: op(x)[0].square(), x)
    again = copy.deepcopy(op)
    assert torch.equal(again(x)[0], op(x)[0])
    assert not op.state_dict()


_GOOD: dict[str, Any] = {'angles': torch.zeros(3), 'n_bins': 4, 'bin_width': 1.0}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'angles': torch.zeros(2, 3)},
            r'angles must be real, of shape \(n_angles,\), got torch.float32, shape \(2, 3',
        ),
        ({'angles': torch.tensor([0.0, float('inf')])}, 'angles must be finite'),
        ({'n_bins': 0}, 'n_bins must be an integer from 1 on, got 0'),
        ({'bin_width': -1.0}, 'bin_width must be positive and finite'),
    ],
)
def test_geometries_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParallelBeam(**_GOOD | change)


def test_errors() -> None:
    geometry = ParallelBeam(**_GOOD)
    with pytest.raises(ValueError, match=r'image_shape must be \(y, x\)'):
        RayTransformOp(geometry, (3, 3, 3))
    with pytest.raises(ValueError, match='A ray must hit the image, but none of 3 angles and 4 bins of 100 does'):
        RayTransformOp(ParallelBeam(torch.zeros(3), 4, 100.0), (3, 3))
    op = RayTransformOp(geometry, (4, 4))
    with pytest.raises(ValueError, match=r'An image must end with the axes \(y, x\) = \(4, 4\), got shape \(4, 5\)'):
        op(torch.zeros(4, 5))
    for function in (op.adjoint, lambda y: filtered_back_projection(y, op)):
        with pytest.raises(ValueError, match=r'must end with the axes \(angles, bins\) = \(3, 4\), got shape \(2, 4\)'):
            function(torch.zeros(2, 4))
    with pytest.raises(ValueError, match='cutoff must be'):
        filtered_back_projection(torch.zeros(3, 4), op, cutoff=1.5)
