"""Tests of the simulated phases, coils and noise."""

import math

import pytest
import torch
from mrpro_lambda.datasets import complex_noise, k1_noise_weight, simulate_coil_maps, smooth_phase


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('shape', [(64, 64), (50, 33)])
def test_phase_is_smooth(shape: tuple[int, int]) -> None:
    phase = smooth_phase(shape, rng())
    assert phase.shape == shape
    assert phase.dtype == torch.float32
    for dim in (0, 1):
        assert phase.diff(dim=dim).abs().max() < 20 / shape[dim]  # white noise would have jumps of about 3
        assert phase.diff(dim=dim, n=2).abs().max() < 200 / shape[dim] ** 2
    assert phase.std() > 0.1


def test_phase_is_random() -> None:
    constants = torch.stack([smooth_phase((9, 9), rng(seed))[4, 4] for seed in range(50)])
    assert constants.max() > 2
    assert constants.min() < -2
    assert torch.equal(smooth_phase((9, 9), rng(3)), smooth_phase((9, 9), rng(3)))


@pytest.mark.parametrize('n_coils', [2, 3, 8])
def test_coil_maps_are_normalized_and_smooth(n_coils: int) -> None:
    csm = simulate_coil_maps(n_coils, (40, 30), rng())
    assert csm.shape == (n_coils, 1, 40, 30)
    assert csm.dtype == torch.complex64
    torch.testing.assert_close(csm.abs().square().sum(0), torch.ones(1, 40, 30), rtol=0, atol=1e-6)
    assert csm.diff(dim=-1).abs().max() < 0.15
    assert csm.diff(dim=-2).abs().max() < 0.15
    # the coils differ: each is the strongest somewhere
    assert len(csm.abs().argmax(0).unique()) == n_coils


def test_single_coil_is_one() -> None:
    assert torch.equal(simulate_coil_maps(1, (5, 6), rng()), torch.ones(1, 1, 5, 6, dtype=torch.complex64))


def test_noise_variance() -> None:
    """E|n|^2 = sigma^2, half in the real and half in the imaginary part, which are independent."""
    noise = complex_noise((200_000,), 0.3, rng())
    assert noise.dtype == torch.complex64
    torch.testing.assert_close(noise.abs().square().mean(), torch.tensor(0.09), rtol=0.01, atol=0)
    torch.testing.assert_close(noise.real.square().mean(), torch.tensor(0.045), rtol=0.015, atol=0)
    torch.testing.assert_close(noise.imag.square().mean(), torch.tensor(0.045), rtol=0.015, atol=0)
    assert (noise.real * noise.imag).mean().abs() < 0.001
    assert noise.mean().abs() < 0.003


@pytest.mark.parametrize('edge_factors', [(0.25, 0.5), (1.0, 1.0), (0.9, 0.2), (2.0, 0.5)])
def test_noise_weight(edge_factors: tuple[float, float]) -> None:
    """The ratios at the edges of the sampled lines are the factors, and the mean variance of samples is kept."""
    mask = torch.zeros(64, 20)
    mask[16:50, 3:8] = 1
    mask[30:34] = 1
    weight = k1_noise_weight(mask, edge_factors)
    assert weight.shape == (64, 1)
    assert weight.dtype == torch.float32
    torch.testing.assert_close(((mask * weight).square().sum() / mask.sum()), torch.tensor(1.0))
    torch.testing.assert_close(weight[[16, 49], 0] / weight[32, 0], torch.tensor(edge_factors))
    assert weight.diff(dim=0).abs().max() < 0.2


def test_noise_weight_of_one_line() -> None:
    mask = torch.zeros(8, 8)
    mask[4] = 1
    weight = k1_noise_weight(mask, (0.2, 0.2))
    assert weight[4] == 1
    assert weight.isfinite().all()


def test_bad_values() -> None:
    with pytest.raises(ValueError, match='n_coils must be at least 1, got 0'):
        simulate_coil_maps(0, (4, 4), rng())
    with pytest.raises(ValueError, match=r'at least one sampled point.*\(4, 5\)'):
        k1_noise_weight(torch.zeros(4, 5), (0.5, 0.5))


def test_colored_noise_has_the_mean_variance() -> None:
    mask = torch.zeros(64, 400)
    mask[10:60] = 1
    noise = complex_noise((64, 400), 0.5 * k1_noise_weight(mask, (0.2, 0.6)), rng())[10:60]
    assert math.isclose(noise.abs().square().mean().sqrt(), 0.5, rel_tol=0.02)
    assert noise[0].std() < 0.3 * noise[22].std()
