"""Tests of the sampling families."""

import math

import pytest
import torch
from mrpro.data.traj_calculators import KTrajectoryRadial2D
from mrpro_lambda.datasets import (
    CartesianLines,
    CartesianSampling,
    CentralBox,
    GriddedSpokes,
    Mixture,
    Radial,
    VariableDensityRandom,
)
from mrpro_lambda.datasets.draw import draw_points

SHAPES = [(32, 32), (33, 24), (31, 47)]
CARTESIAN = [
    CentralBox(0.5),
    CentralBox((0.3, 0.8)),
    VariableDensityRandom(4.0),
    VariableDensityRandom((2.0, 5.0), center_fraction=0.2),
    GriddedSpokes(4.0),
    GriddedSpokes((2.0, 8.0)),
    CartesianLines(3.0, n_center_lines=4),
    CartesianLines((2.0, 4.0), n_center_lines=5),
    Mixture((VariableDensityRandom(4.0), CartesianLines(3.0, n_center_lines=4))),
]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('sampling', CARTESIAN, ids=str)
def test_mask_is_binary_and_holds_dc(sampling: CartesianSampling, shape: tuple[int, int]) -> None:
    for seed in range(5):
        mask = sampling.mask(shape, rng(seed))
        assert mask.shape == shape
        assert mask.dtype == torch.float32
        assert ((mask == 0) | (mask == 1)).all()
        assert mask[shape[0] // 2, shape[1] // 2] == 1


@pytest.mark.parametrize('sampling', [*CARTESIAN[1:]], ids=str)
def test_mask_depends_on_the_generator_only(sampling: CartesianSampling) -> None:
    state = torch.get_rng_state()
    masks = [sampling.mask((40, 48), rng(seed)) for seed in (1, 1, 2, 3)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2]) or not torch.equal(masks[0], masks[3])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(('n', 'fraction', 'first', 'last'), [(16, 0.5, 4, 11), (16, 0.44, 5, 11), (15, 0.6, 3, 11)])
def test_central_box_indices(n: int, fraction: float, first: int, last: int) -> None:
    """The box is symmetric about n // 2, but for one more negative frequency if its size is even."""
    expected = torch.zeros(n)
    expected[first : last + 1] = 1
    mask = CentralBox(fraction).mask((n, n), rng())
    assert torch.equal(mask, expected[:, None] * expected)


def test_central_box_axes_are_independent() -> None:
    masks = [CentralBox((0.2, 0.9)).mask((100, 100), rng(seed)) for seed in range(20)]
    sizes = torch.tensor([[int(mask.any(1).sum()), int(mask.any(0).sum())] for mask in masks])
    assert sizes.min() >= 20
    assert sizes.max() <= 90
    assert (sizes[:, 0] != sizes[:, 1]).sum() > 15
    assert len(sizes[:, 0].unique()) > 10


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('acceleration', [1.0, 1.7, 4.0, 10.0])
def test_variable_density_count(shape: tuple[int, int], acceleration: float) -> None:
    mask = VariableDensityRandom(acceleration, center_fraction=0.12).mask(shape, rng())
    assert mask.sum() == round(math.prod(shape) / acceleration)
    size = [round(0.12 * n) for n in shape]
    start = [n // 2 - s // 2 for n, s in zip(shape, size, strict=True)]
    assert (mask[start[0] : start[0] + size[0], start[1] : start[1] + size[1]] == 1).all()


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('acceleration', [1.0, 3.0, 5.0])
def test_spokes_are_as_few_as_the_acceleration_permits(shape: tuple[int, int], acceleration: float) -> None:
    """The mask is symmetric about the center, which is where all spokes meet."""
    n_points, longest = math.prod(shape) / acceleration, math.hypot(*shape)
    for seed in range(5):
        mask = GriddedSpokes(acceleration).mask(shape, rng(seed))
        assert round(n_points) <= mask.sum() < n_points + 2.5 * longest
        inner = mask[1 - shape[0] % 2 :, 1 - shape[1] % 2 :]
        assert (inner != inner.flip(0, 1)).float().mean() < 0.01
        center = mask[shape[0] // 2 - 1 : shape[0] // 2 + 2, shape[1] // 2 - 1 : shape[1] // 2 + 2]
        assert center.all()


def test_variable_density_decays() -> None:
    """Outside the center, the frequency of sampling decreases with the distance; without decay it does not."""
    means = {}
    for decay in (0.0, 2.0):
        sampling = VariableDensityRandom(5.0, center_fraction=0.0, decay=decay)
        mean = torch.stack([sampling.mask((40, 40), rng(seed)) for seed in range(50)]).mean(0)
        rings = torch.hypot(torch.arange(-20.0, 20.0)[:, None], torch.arange(-20.0, 20.0))
        means[decay] = torch.stack([mean[(rings > r) & (rings <= r + 5)].mean() for r in (1, 6, 11, 16, 21)])
    torch.testing.assert_close(means[0.0], torch.full((5,), 0.2), rtol=0, atol=0.03)
    assert (means[2.0].diff() < -0.03).all()


@pytest.mark.parametrize('n_k1', [32, 33])
@pytest.mark.parametrize('n_center_lines', [0, 5, 6])
def test_cartesian_lines(n_k1: int, n_center_lines: int) -> None:
    mask = CartesianLines(3.0, n_center_lines).mask((n_k1, 20), rng())
    lines = mask[:, 0]
    assert torch.equal(mask, lines[:, None].expand_as(mask))
    assert lines.sum() == round(n_k1 / 3)
    start = n_k1 // 2 - n_center_lines // 2
    assert (lines[start : start + n_center_lines] == 1).all()


def test_draw_points_probabilities() -> None:
    """The first draw has the given probabilities, and points of infinite density are always drawn."""
    density = torch.tensor([1.0, 3.0, 6.0])
    generator = rng()
    frequency = torch.stack([draw_points(density, 1, generator) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(frequency, density / 10, rtol=0, atol=0.03)
    density = torch.tensor([1.0, torch.inf, 1e9, torch.inf])
    assert all(torch.equal(draw_points(density, 2, generator), torch.tensor([0.0, 1, 0, 1])) for _ in range(20))


def test_mixture_draws_each_family_equally_often() -> None:
    """The boxes tell which one was drawn, also within a mixture of mixtures."""
    fractions = (0.25, 0.5, 0.75, 1.0)
    boxes = [CentralBox(fraction) for fraction in fractions]
    found: list[list[float]] = [[], []]
    for frequencies, sampling in zip(
        found, (Mixture(tuple(boxes)), Mixture((boxes[0], Mixture(tuple(boxes[1:]))))), strict=True
    ):
        drawn = torch.tensor([sampling.mask((16, 16), rng(seed)).mean().sqrt().item() for seed in range(600)])
        frequencies += [(drawn == fraction).float().mean().item() for fraction in fractions]
    assert found[0] == pytest.approx([0.25, 0.25, 0.25, 0.25], abs=0.05)
    assert found[1] == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6], abs=0.05)


def test_mixture_of_one_family() -> None:
    """Masks are those of the member, which goes on with the generator."""
    member, generator = VariableDensityRandom((2.0, 5.0)), rng(3)
    torch.randint(1, (), generator=generator)
    assert torch.equal(Mixture((member,)).mask((24, 24), rng(3)), member.mask((24, 24), generator))


def test_radial_is_mrpros_trajectory() -> None:
    trajectory = Radial(7).trajectory((16, 12), rng())
    expected = KTrajectoryRadial2D()(n_k0=32, k0_center=16, k1_idx=torch.arange(7)[:, None])
    torch.testing.assert_close(trajectory.ky, expected.ky, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(trajectory.kx, expected.kx, rtol=1e-5, atol=1e-4)
    assert (trajectory.kz == 0).all()
    assert trajectory.kx.shape == (1, 1, 1, 7, 32)


def test_radial_random_start() -> None:
    sampling = Radial(7, random_start=True)
    first, same, other = (sampling.trajectory((16, 16), rng(seed)).as_tensor() for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    radius = first.square().sum(0).sqrt()
    torch.testing.assert_close(radius, torch.arange(-16.0, 16).abs().expand_as(radius))
    directions = torch.atan2(first[1, ..., -1], first[2, ..., -1]).flatten()
    increments = directions.diff().remainder(2 * math.pi)
    torch.testing.assert_close(increments, torch.full((6,), 0.618034 * math.pi), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (lambda: CentralBox(0.0), 'fraction'),
        (lambda: CentralBox(1.5), 'fraction'),
        (lambda: CentralBox((0.8, 0.3)), 'fraction'),
        (lambda: CentralBox((0.1, 0.2, 0.3)), 'fraction'),  # type: ignore[arg-type]
        (lambda: CentralBox('0.5'), 'fraction'),  # type: ignore[arg-type]
        (lambda: VariableDensityRandom(0.5), 'acceleration'),
        (lambda: VariableDensityRandom(math.nan), 'acceleration'),
        (lambda: VariableDensityRandom(4.0, center_fraction=1.2), 'center_fraction'),
        (lambda: VariableDensityRandom(4.0, decay=-1.0), 'decay'),
        (lambda: VariableDensityRandom(4.0, center_fraction=0.6).mask((20, 20), rng()), '144 points.*permits 100'),
        (lambda: CartesianLines(0.5), 'acceleration'),
        (lambda: CartesianLines(4.0, n_center_lines=-1), 'n_center_lines'),
        (lambda: CartesianLines(4.0, n_center_lines=9).mask((32, 32), rng()), 'permits 8 lines.*shape'),
        (lambda: CartesianLines(100.0, n_center_lines=0).mask((32, 32), rng()), 'permits 0 lines'),
        (lambda: CartesianLines(4.0).mask((32, 0), rng()), 'positive integers'),
        (lambda: CentralBox(0.5).mask((32, 32, 32), rng()), 'positive integers'),  # type: ignore[arg-type]
        (lambda: Radial(1), 'n_spokes'),
        (lambda: Mixture(()), 'members must not be empty'),
        (lambda: Mixture((CentralBox(0.5), Radial(9))), 'members must be'),  # type: ignore[arg-type]
    ],
)
def test_bad_values(function, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function()
