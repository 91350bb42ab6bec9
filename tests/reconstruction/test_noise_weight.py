"""Whitening of noise that differs between coils or phase encodings."""

from typing import Any

import pytest
import torch
from mrpro.algorithms.prewhiten_kspace import prewhiten_kspace
from mrpro.data import KData, KNoise, KTrajectory
from mrpro.operators import FourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruction import LearnedReconstruction, estimate_noise_std, estimate_noise_weight, prewhiten

from tests.reconstruction.cases import (
    RECONSTRUCTIONS,
    cartesian_kdata,
    csm_data,
    learned_model,
    noise_measurement,
    options,
    radial_kdata,
)

SIZE = (128, 96)
LINES = list(range(-64, 64))
UNDERSAMPLED = [*range(-64, -12, 3), *range(-12, 12), *range(12, 64, 3)]
STD = 0.3


def profile(lines: list[int]) -> torch.Tensor:
    """Relative standard deviation of the noise of some lines, as at 0.055 T: largest before the center, uneven ends."""
    ky = torch.tensor(lines, dtype=torch.float64)
    relative = 0.15 + 0.85 * torch.cos(torch.pi / 2 * (ky + 10) / 76)
    return relative / relative.square().mean().sqrt()


def colored_kdata(lines: list[int] = LINES, *, n_coils: int = 1, n_other: int = 4, seed: int = 0) -> KData:
    """Simulate data whose noise has the profile above."""
    kdata = cartesian_kdata(n_other=n_other, n_coils=n_coils, lines=lines, noise=0.0, size=SIZE).double()
    noise = STD * RandomGenerator(seed).randn_tensor(kdata.data.shape, torch.complex128)
    kdata.data = kdata.data + profile(lines)[:, None] * noise
    return kdata


def relative_error(weight: torch.Tensor, lines: list[int]) -> torch.Tensor:
    """Root mean square of the relative error of the standard deviation after whitening."""
    return (weight.flatten() * profile(lines) - 1).square().mean().sqrt()


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('n_coils', [1, 3])
@pytest.mark.parametrize('lines', [LINES, UNDERSAMPLED], ids=['full', 'undersampled'])
def test_profile_is_found(lines: list[int], n_coils: int, seed: int) -> None:
    kdata = colored_kdata(lines, n_coils=n_coils, seed=seed)
    weight = estimate_noise_weight(kdata)
    assert weight.dtype == torch.float64
    assert weight.shape == (1, 1, 1, len(lines), 1)
    assert relative_error(weight, lines) < 0.06
    assert relative_error(torch.ones(1), lines) > 0.25


def test_noise_is_white_with_the_mean_level() -> None:
    """The level is that of the estimate of the data as measured; the residual of each band of lines has it."""
    kdata = colored_kdata(n_coils=2)
    weight = estimate_noise_weight(kdata)
    clean = cartesian_kdata(n_other=4, n_coils=2, lines=LINES, noise=0.0, size=SIZE).data
    bands = (weight * (kdata.data - clean)).tensor_split(8, dim=-2)
    std = torch.stack([band.abs().square().mean().sqrt() for band in bands])
    torch.testing.assert_close(std, torch.full((8,), STD, dtype=torch.float64), rtol=0.05, atol=0)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata).double()) == pytest.approx(STD, rel=0.1)
    assert weight.square().reciprocal().mean() == pytest.approx(1)


def test_weights_of_white_noise_are_one() -> None:
    kdata = cartesian_kdata(n_other=4, n_coils=2, lines=LINES, noise=STD, size=SIZE)
    torch.testing.assert_close(estimate_noise_weight(kdata), torch.ones(1, 1, 1, 128, 1), rtol=0.1, atol=0)


def test_scale_and_order_do_not_matter() -> None:
    """Neither do the order of the lines and the grid of the image; the weights follow the lines."""
    kdata = colored_kdata()
    expected = estimate_noise_weight(kdata)
    other = kdata.clone()
    order = RandomGenerator(0).randperm(len(LINES))
    other.data = 1e-9 * kdata.data[..., order, :]
    other.traj = KTrajectory(kdata.traj.kz, kdata.traj.ky[..., order, :], kdata.traj.kx)
    other.header.encoding_matrix.y *= 2
    torch.testing.assert_close(estimate_noise_weight(other), expected[..., order, :])


def test_signal_in_the_center_is_not_noise() -> None:
    """A few lines with signal at the end of the readout change little."""
    kdata = colored_kdata()
    expected = estimate_noise_weight(kdata)
    kdata.data[..., 63:66, 48] += 200  # a point of k0 is signal at all positions
    assert relative_error(estimate_noise_weight(kdata), LINES) < 0.06
    torch.testing.assert_close(estimate_noise_weight(kdata), expected, rtol=0.2, atol=0)


def test_lines_without_data_have_no_weight() -> None:
    """The mean square over all samples counts them with their noise, which is 0."""
    kdata = colored_kdata()
    expected = estimate_noise_weight(kdata)
    kdata.data[..., 100:, :] *= 1e-15
    weight = estimate_noise_weight(kdata)
    assert bool((weight[..., 100:, :] == 0).all())
    ratio = weight[..., :96, :] / expected[..., :96, :]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=0.1, atol=0)
    assert weight[..., :100, :].square().reciprocal().sum() == pytest.approx(128)


def partial_echo() -> KData:
    kdata = colored_kdata()
    kdata.data = kdata.data[..., 30:]
    kdata.traj = KTrajectory(kdata.traj.kz, kdata.traj.ky, kdata.traj.kx[..., 30:])
    return kdata


def points() -> KData:
    """Both axes phase encoded: each sample is a line."""
    kdata = colored_kdata(n_other=1)
    ky, kx = (k.expand(1, 1, 1, *SIZE).reshape(1, 1, 1, -1, 1) for k in (kdata.traj.ky, kdata.traj.kx))
    kdata.data, kdata.traj = kdata.data.reshape(1, 1, 1, -1, 1), KTrajectory(kdata.traj.kz, ky, kx)
    return kdata


@pytest.mark.parametrize(
    'create',
    [radial_kdata, partial_echo, points, lambda: cartesian_kdata(lines=range(-4, 4))],
    ids=['radial', 'partial echo', 'two phase-encoded axes', 'few lines'],
)
def test_acquisitions_without_complete_readouts(create: Any) -> None:
    with pytest.raises(ValueError, match=r'Cartesian acquisition with complete readouts along k0.*got kx of shape'):
        estimate_noise_weight(create())


@pytest.mark.parametrize('n_coils', [1, 3])
def test_signal_at_both_ends_of_the_readout(n_coils: int) -> None:
    """An object that is larger than the field of view, after a cut of the readout to its center."""
    kdata = colored_kdata(n_coils=n_coils)
    kdata.data = 4 * kdata.data[..., ::2]
    kdata.traj = KTrajectory(kdata.traj.kz, kdata.traj.ky, kdata.traj.kx[..., ::2] / 2)
    with pytest.raises(ValueError, match='signal at both ends of the readout'):
        estimate_noise_weight(kdata)


def test_all_noise_gives_one_covariance() -> None:
    """Acquisitions of noise in several axes together; one acquisition is as in mrpro."""
    kdata = cartesian_kdata(n_other=3)
    noise = noise_measurement()
    torch.testing.assert_close(prewhiten(kdata, noise).data, prewhiten_kspace(kdata, noise).data)
    parts = KNoise(noise.data.reshape(3, 5, 4, 100).transpose(0, 1).reshape(5, 3, 2, 2, 100))
    torch.testing.assert_close(prewhiten(kdata, parts).data, prewhiten(kdata, noise).data)
    csm = csm_data(kdata)
    images = [LearnedReconstruction(kdata, csm=csm, noise=n, model=learned_model())(kdata).data for n in (noise, parts)]
    torch.testing.assert_close(images[0], images[1])


@pytest.mark.parametrize('cls', RECONSTRUCTIONS)
@pytest.mark.parametrize('n_coils', [1, 3])
def test_reconstruction_solves_the_weighted_problem(cls: Any, n_coils: int) -> None:
    """It is the solver with W A and W y. Initial image, noise level and map are those of the data as measured."""
    kdata = cartesian_kdata(n_coils=n_coils, lines=range(-16, 16), size=(32, 48), noise=0.0)
    kdata.data += 0.1 * profile(LINES[::4])[:, None].float() * RandomGenerator(3).complex64_tensor(kdata.data.shape)
    csm = csm_data(kdata)
    plain = cls(kdata, csm=csm, **options(cls)).solve(kdata)
    reconstruction = cls(kdata, csm=csm, whiten_background=True, **options(cls))
    result = reconstruction.solve(kdata)
    torch.testing.assert_close(result.initial_idata.data, plain.initial_idata.data)
    torch.testing.assert_close(result.lambda_map, plain.lambda_map)
    assert plain.noise_weight is None
    weight = estimate_noise_weight(kdata)
    torch.testing.assert_close(result.noise_weight, weight)
    assert reconstruction.csm_op is not None
    weighted_op = weight * (reconstruction.fourier_op @ reconstruction.csm_op)
    expected = reconstruction.model.solve(
        weight * kdata.data, weighted_op, result.initial_idata.data, lambda_map=result.lambda_map
    ).solution
    assert expected is not None
    torch.testing.assert_close(result.idata.data, expected.img)
    assert result.solution.objective == pytest.approx(expected.objective)
    assert torch.linalg.vector_norm(result.idata.data - plain.idata.data) > 1e-2 * torch.linalg.vector_norm(
        expected.img
    )


def test_reconstruction_without_background() -> None:
    kdata = radial_kdata()
    with pytest.raises(ValueError, match='can not be estimated from the background'):
        LearnedReconstruction(kdata, model=learned_model(), whiten_background=True)(kdata)


def test_repeated_lines_count_once() -> None:
    """White noise has the weight 1 also where lines were acquired several times; all of their repeats are averaged."""
    lines = sorted([*LINES, *range(-16, 16), *range(-16, 16)])
    kdata = cartesian_kdata(n_other=4, n_coils=2, lines=lines, noise=STD, size=SIZE)
    weight = estimate_noise_weight(kdata)
    torch.testing.assert_close(weight, torch.ones(1, 1, 1, len(lines), 1), rtol=0.12, atol=0)
    assert estimate_noise_std(kdata, FourierOp.from_kdata(kdata)) == pytest.approx(STD, rel=0.05)
