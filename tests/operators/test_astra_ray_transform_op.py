"""Line integrals by the ASTRA toolbox against the sparse matrix. Without the toolbox, only what is said then."""

import copy
import importlib.util
import math

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.operators import AstraRayTransformOp, FanBeam, ParallelBeam, RayTransformOp, filtered_back_projection
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import PreconditionedPDHG

SHAPE, PIXEL = (14, 11), 0.02
PARALLEL = ParallelBeam(torch.arange(9) * 0.7, 25, 0.017)
FAN = FanBeam(torch.arange(40) * (2 * math.pi / 40), 41, 0.02, 0.5, 0.2)
geometries = pytest.mark.parametrize('geometry', [PARALLEL, FAN], ids=['parallel', 'fan'])


@geometries
def test_adjointness(geometry: ParallelBeam | FanBeam) -> None:
    pytest.importorskip('astra')
    op, rng = AstraRayTransformOp(geometry, SHAPE, PIXEL), RandomGenerator(0)
    x, y = rng.float32_tensor((2, 3, *SHAPE)), rng.float32_tensor((2, 3, *geometry.data_shape))
    (forward,), (backward,) = op(x), op.adjoint(y)
    assert forward.shape == y.shape
    torch.testing.assert_close((forward * y).sum(), (x * backward).sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(forward[1, 2], op(x[1, 2])[0], rtol=1e-6, atol=0)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((op(x)[0] * y).sum(), x)
    torch.testing.assert_close(gradient, backward, rtol=1e-6, atol=0)


@geometries
def test_integrals_are_those_of_the_matrix(geometry: ParallelBeam | FanBeam) -> None:
    """Of parallel rays the same numbers, of a fan for a smooth image, whose orientation matters."""
    pytest.importorskip('astra')
    shape, pixel_size = ((56, 44), 0.005) if geometry is FAN else (SHAPE, PIXEL)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing='ij')
    img = torch.exp(-6 * ((y - 0.2).square() + 2 * (x + 0.1).square())) * (1 + 0.3 * x)
    (expected,), (found,) = (cls(geometry, shape, pixel_size)(img) for cls in (RayTransformOp, AstraRayTransformOp))
    tolerance = 2e-6 if geometry is PARALLEL else 0.015
    assert (found - expected).norm() < tolerance * expected.norm()


def test_it_takes_the_place_of_the_matrix() -> None:
    """In bounds, filtered back projection, a solve with its certificate, and copies of any precision."""
    pytest.importorskip('astra')
    results = []
    for cls in (RayTransformOp, AstraRayTransformOp):
        op = cls(PARALLEL, SHAPE, PIXEL)
        term = PoissonCounts(op, n_photons=500, attenuation=10.0)
        img = torch.zeros(1, 1, 1, *SHAPE)
        img[..., 3:9, 4:8] = 0.5
        data = term.from_counts(term.draw(img, torch.Generator().manual_seed(0)))
        start = filtered_back_projection(data, op).clamp_min(0)
        solution = PreconditionedPDHG(TotalVariation((-2, -1)), n_iterations=300).solve(data, term, start, 3.0)
        double = copy.deepcopy(op).double()
        torch.testing.assert_close(double(img.double())[0], op(img)[0].double(), rtol=1e-5, atol=1e-6)
        results.append((solution, op.norm_squared_bound))
    (solution, bound), (other, other_bound) = results
    assert other_bound == pytest.approx(bound, rel=1e-4)
    torch.testing.assert_close(other.img, solution.img, rtol=1e-3, atol=1e-3)
    assert other.relative_gap < 1e-2


def test_missing_package() -> None:
    if importlib.util.find_spec('astra') is not None:
        pytest.skip('it is there')
    with pytest.raises(ModuleNotFoundError, match='needs the ASTRA toolbox: pip install astra-toolbox'):
        AstraRayTransformOp(PARALLEL, SHAPE)
