"""Losses without a target: their expectation is an error at the samples, up to a constant."""

from collections.abc import Callable

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, LinearOperator, SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda import losses
from mrpro_lambda.losses import HeldOut, Measured, Recorrupted, ScanLoss, UnbiasedRisk, default_loss
from mrpro_lambda.operators import CartesianAcquisitionOp

from tests.regularizers.cases import concrete_subclasses

SHAPE = (2, 1, 1, 6, 7)
NOISE = torch.tensor([0.3, 0.6], dtype=torch.float64).reshape(2, 1, 1, 1, 1)
N_REPLICAS = 60
LOSSES = {name: loss for cls in concrete_subclasses(ScanLoss, losses) for name, loss in cls.examples().items()}


def image(n_images: int = 2) -> torch.Tensor:
    img = RandomGenerator(1).randn_tensor(SHAPE, torch.complex128)[:n_images]
    return img * (torch.arange(7) < 3)


def cartesian() -> LinearOperator:
    """Two frames with masks of their own, and two coils."""
    rng = RandomGenerator(2)
    mask = (rng.rand_tensor((2, 1, 1, 6, 7), torch.float64) < 0.7).double()
    return CartesianAcquisitionOp(mask, rng.randn_tensor((1, 2, 1, 6, 7), torch.complex128) / 1.5)


def radial() -> LinearOperator:
    angle = torch.arange(5, dtype=torch.float64)[:, None] * torch.pi / 5
    radius = torch.linspace(-4, 3, 8, dtype=torch.float64)
    ky, kx = ((radius * f(angle))[None, None, None] for f in (torch.sin, torch.cos))
    matrix = SpatialDimension(1, 6, 7)
    fourier_op = FourierOp(matrix, matrix, KTrajectory(torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64), ky, kx))
    return fourier_op @ SensitivityOp(RandomGenerator(3).randn_tensor((1, 3, 1, 6, 7), torch.complex128))


def measured(operator: LinearOperator, img: torch.Tensor, generator: torch.Generator) -> Measured:
    (exact,) = operator(img)
    empty = Measured.create(torch.zeros_like(exact), operator, NOISE[: len(img)], img)
    return empty._replace(data=exact + empty.noise(generator))


def shrink(data: torch.Tensor, operator: LinearOperator, noise_std: torch.Tensor) -> torch.Tensor:
    """A reconstruction that is not linear, and treats each image by itself."""
    (img,) = operator.adjoint(data)
    size = img.abs()
    return img / (size + 1e-9) * (size - 0.7 * noise_std).clamp_min(0)


@pytest.mark.parametrize('create', [cartesian, radial])
@pytest.mark.parametrize('name', LOSSES)
def test_expectation_is_the_error_at_samples(name: str, create: Callable[[], LinearOperator]) -> None:
    """Over replicas of the noise, the mean difference to the true error is the constant that the class states."""
    loss, operator, img = LOSSES[name], create(), image()
    (exact,) = operator(img)
    generator = torch.Generator().manual_seed(4)
    differences = []
    for _ in range(N_REPLICAS):
        scan, seen = measured(operator, img, generator), []

        def reconstruct(data: torch.Tensor, op: LinearOperator, noise_std: torch.Tensor) -> torch.Tensor:
            found = shrink(data, op, noise_std)
            seen.append((data, found))  # noqa: B023
            return found

        value = loss(reconstruct, scan, generator)
        data, found = seen[0]
        error = ((operator(found)[0] - exact) / scan.noise_std).abs().square()
        if isinstance(loss, HeldOut):  # each sample that was seen has kept its value
            weight = scan.sampled * (data != scan.data)
            constant, true = 1.0, (weight * error).sum() / weight.sum()
        else:
            constant = 1 + 1 / loss.strength**2 if isinstance(loss, Recorrupted) else 0.0
            true = scan.mean(error)
        differences.append(value - constant - true)
    values = torch.stack(differences)
    standard_error = values.std() / N_REPLICAS**0.5
    assert standard_error < 0.2
    assert values.mean().abs() < 4 * standard_error


@pytest.mark.parametrize('name', LOSSES)
def test_losses_tell_a_worse_reconstruction(name: str) -> None:
    """From one with the true image, by means over the same draws."""
    img, operator = image(), cartesian()

    def mean(scale: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(5)
        scan = measured(operator, img, generator)
        return torch.stack([LOSSES[name](lambda *_: scale * img, scan, generator) for _ in range(20)]).mean()

    assert mean(1.0) + 0.1 < mean(0.5)


@pytest.mark.parametrize('name', LOSSES)
def test_same_seed_same_loss(name: str) -> None:
    scan = measured(cartesian(), image(), torch.Generator().manual_seed(6))
    first, again, other = (LOSSES[name](shrink, scan, torch.Generator().manual_seed(i)) for i in (7, 7, 8))
    assert torch.equal(first, again)
    assert first != other


def test_sums() -> None:
    a, b = Recorrupted(), UnbiasedRisk()
    scan = measured(cartesian(), image(), torch.Generator().manual_seed(6))
    expected = 2 * a(shrink, scan, generator := torch.Generator().manual_seed(7)) + 0.5 * b(shrink, scan, generator)
    found = (2 * (a + 0.25 * b))(shrink, scan, torch.Generator().manual_seed(7))
    torch.testing.assert_close(found, expected)


def test_density() -> None:
    """That of random samples, of lines, and of a full center, next to which there is nothing."""
    mask = torch.zeros(1, 1, 1, 64, 64, dtype=torch.float64)
    rng = RandomGenerator(3)
    mask[..., :32] = (rng.rand_tensor((64, 32), torch.float64) < 0.4).double()
    mask[..., 16:48, 44:60] = 1
    operator = CartesianAcquisitionOp(mask)
    found = measured(operator, torch.ones(1, 1, 1, 64, 64, dtype=torch.complex128), torch.Generator()).density[0, 0, 0]
    half = found[:, 8:24][mask[0, 0, 0, :, 8:24] > 0]
    assert abs(half.mean() - 0.4) < 0.05
    assert found[26:38, 51:53].min() > 0.95
    lines = torch.zeros(1, 1, 1, 64, 64, dtype=torch.float64)
    lines[..., ::4, :] = 1
    img = torch.ones(1, 1, 1, 64, 64, dtype=torch.complex128)
    density = measured(CartesianAcquisitionOp(lines), img, torch.Generator()).density
    assert ((density[..., ::4, :] - 0.25).abs() < 0.01).all()


def test_frequencies_count_as_often_as_they_are_missing() -> None:
    """Over masks and choices, the probability of a frequency to be held out follows that to be missing."""
    probability = torch.linspace(0.3, 0.8, 48, dtype=torch.float64).expand(1, 1, 1, 48, 48)
    generator, total = torch.Generator().manual_seed(8), torch.zeros(48, dtype=torch.float64)
    for _ in range(30):
        mask = (torch.rand(probability.shape, generator=generator, dtype=torch.float64) < probability).double()
        data, no_center = torch.zeros_like(mask) + 0j, torch.zeros_like(mask, dtype=torch.bool)
        scan = Measured(data, CartesianAcquisitionOp(mask), NOISE[:1], mask, no_center)
        total += (mask * (1 - HeldOut(0.1).kept(scan, generator))).sum((0, 1, 2, 3))
    found = total.reshape(6, 8).mean(1)[1:-1]
    expected = (1 - probability[0, 0, 0, 0]).reshape(6, 8).mean(1)[1:-1]
    torch.testing.assert_close(found / found.mean(), expected / expected.mean(), rtol=0.15, atol=0)


def test_center_is_kept() -> None:
    """Also with coils."""
    for operator, n in ((CartesianAcquisitionOp(torch.ones(1, 1, 1, 6, 7)), 1), (cartesian(), 2)):
        img = image()
        scan = measured(operator, img, torch.Generator().manual_seed(1))
        assert scan.center.shape == (*scan.data.shape[:-4], 1, *scan.data.shape[-3:])
        assert n <= int(scan.center.sum()) <= 2 * n

        def kept(data: torch.Tensor, *_: object, scan: Measured = scan, img: torch.Tensor = img) -> torch.Tensor:
            assert bool((data == scan.data)[scan.center.expand(scan.data.shape)].all())
            return img

        HeldOut(0.9)(kept, scan, torch.Generator().manual_seed(2))


def test_complete_readouts_are_held_out() -> None:
    """Lines without the one at the center; all spokes are at the center."""
    lines = torch.zeros(1, 1, 1, 6, 7)
    lines[..., [0, 1, 3, 4, 5], :] = 1
    for operator, center in ((CartesianAcquisitionOp(lines), 3), (radial(), None)):
        scan = measured(operator, image(1), torch.Generator().manual_seed(1))
        counts = torch.zeros(scan.data.shape[-2])
        for seed in range(30):
            kept = HeldOut(0.4).kept(scan, torch.Generator().manual_seed(seed))
            assert bool((kept == kept[..., :1]).all())
            held = (kept[..., 0] == 0).flatten()
            assert int(held.sum()) == 2
            counts += held
        sampled = (scan.sampled[0, 0, 0, :, 0] > 0) & (torch.arange(len(counts)) != center)
        assert bool(((counts > 0) == sampled).all())


def test_default_loss() -> None:
    """For several coils with gaps, for one, where nothing is missing, and for lines."""
    full = torch.ones(1, 1, 1, 6, 7)
    coils = RandomGenerator(2).randn_tensor((1, 2, 1, 6, 7), torch.complex64)
    gaps = (torch.rand(full.shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    lines = full * (torch.arange(6) != 1)[:, None]
    for mask, csm, expected in (
        (gaps, coils, HeldOut),
        (gaps, None, Recorrupted),
        (full, coils, Recorrupted),
        (lines, coils, Recorrupted),
    ):
        scan = measured(CartesianAcquisitionOp(mask, csm), image(1), torch.Generator())
        assert isinstance(default_loss(scan), expected)


def test_errors() -> None:
    with pytest.raises(ValueError, match='strength must be positive and finite, got 0'):
        Recorrupted(0)
    with pytest.raises(ValueError, match='fraction must be between 0 and 1, got 1'):
        HeldOut(1)
    with pytest.raises(ValueError, match='factor of a loss must be positive'):
        -1.0 * Recorrupted()
    for mask, message in (
        (torch.ones(1, 1, 1, 6, 7), 'all of the measured band was sampled, in data of shape'),
        (
            torch.eye(6, 7)[None, None, None] * (torch.arange(7) > 2),
            'at least 3 samples .* to hold some out, got 2 in data of',
        ),
    ):
        scan = measured(CartesianAcquisitionOp(mask), image(1), torch.Generator())
        with pytest.raises(ValueError, match=message):
            HeldOut().check(scan)
