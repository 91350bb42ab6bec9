"""Tests for the projection to the measured band of k-space."""

from collections.abc import Sequence

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FourierOp, IdentityOp, LinearOperator
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import BandLimitOp, CartesianAcquisitionOp, gram_operator

from tests.helper import dotproduct_adjointness_test


def line_mask(n: int, *frames: Sequence[int]) -> torch.Tensor:
    """Mask of phase-encoding lines, given by their frequencies for each frame, shape `(frames, 1, 1, n, 1)`."""
    mask = torch.zeros(len(frames), 1, 1, n, 1)
    for frame, frequencies in zip(mask, frames, strict=True):
        frame[..., torch.tensor(frequencies) + n // 2, :] = 1
    return mask


def band_of(mask: torch.Tensor, joint_dim: Sequence[int] = (), csm: torch.Tensor | None = None) -> BandLimitOp:
    projection = BandLimitOp.from_gram(CartesianAcquisitionOp(mask, csm).gram, joint_dim)
    assert projection is not None
    return projection


def kept(band: torch.Tensor, n: int) -> set[int]:
    """Frequencies along the last but one axis that a band keeps."""
    frequency = torch.fft.fftfreq(n, 1 / n).round().int()
    return set(frequency[band.flatten() == 1].tolist())


RANDOM_MASKS = {
    'odd': (torch.ones(3, 5), (9, 9)),
    'even': (torch.ones(4, 4), (9, 10)),
    'gaps': (torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), (8, 7)),
}


@pytest.fixture(params=RANDOM_MASKS)
def acquisition_op(request: pytest.FixtureRequest) -> CartesianAcquisitionOp:
    """Acquisition with two coils of a central part of k-space."""
    center, shape = RANDOM_MASKS[request.param]
    mask = torch.zeros(shape)
    top, left = (n // 2 - m // 2 for n, m in zip(shape, center.shape, strict=True))
    mask[top : top + center.shape[0], left : left + center.shape[1]] = center
    csm = RandomGenerator(3).complex128_tensor((2, 1, *shape))
    return CartesianAcquisitionOp(mask, csm)


@pytest.fixture
def img(acquisition_op: CartesianAcquisitionOp) -> torch.Tensor:
    shape = (2, 1, 1, *acquisition_op.mask.shape)
    return RandomGenerator(0).randn_tensor(shape, torch.complex128)


def test_is_an_orthogonal_projection(acquisition_op: CartesianAcquisitionOp, img: torch.Tensor) -> None:
    """Idempotent and self-adjoint, and neither zero nor the identity."""
    projection = BandLimitOp.from_gram(acquisition_op.gram)
    assert projection is not None
    (projected,) = projection(img)
    torch.testing.assert_close(projection(projected)[0], projected)
    torch.testing.assert_close(projection.adjoint(img)[0], projected)
    dotproduct_adjointness_test(projection, img, RandomGenerator(1).randn_like(img), 1e-6, 1e-6)
    norm = torch.linalg.vector_norm
    assert 0.1 * norm(img) < norm(projected) < 0.99 * norm(img)


def test_data_of_one_coil_do_not_change(acquisition_op: CartesianAcquisitionOp, img: torch.Tensor) -> None:
    """All samples are in the band."""
    single_coil = CartesianAcquisitionOp(acquisition_op.mask)
    projection = band_of(acquisition_op.mask)
    torch.testing.assert_close(single_coil(*projection(img)), single_coil(img))


def test_real_images_stay_real(acquisition_op: CartesianAcquisitionOp, img: torch.Tensor) -> None:
    """The band is symmetric, so nothing is lost in taking the real part."""
    projection = band_of(acquisition_op.mask)
    (projected,) = projection(img.real)
    assert not projected.is_complex()
    torch.testing.assert_close(projected + 0j, projection(img.real + 0j)[0])


def test_box() -> None:
    """The band of scattered samples is the smallest symmetric box around them."""
    mask = torch.zeros(16, 17)
    mask[8 + 2, 8] = mask[8, 8 - 3] = mask[8 - 1, 8 + 1] = 1  # frequencies (2, 0), (0, -3), (-1, 1)
    band = band_of(mask).band
    y, x = (torch.fft.fftfreq(n, 1 / n).abs().round() for n in (16, 17))
    torch.testing.assert_close(band, ((y[:, None] <= 2) & (x <= 3)).float())


def test_partial_fourier_keeps_both_sides() -> None:
    projection = band_of(line_mask(16, range(-2, 6)))
    assert projection.dim == (-2,)
    assert kept(projection.band, 16) == set(range(-5, 6))


def test_even_size_keeps_the_counterpart_of_the_lowest_line() -> None:
    """Lines -2, -1, 0, 1 are centered for an even number of lines; the line 2 belongs to the band as well."""
    assert kept(band_of(line_mask(8, range(-2, 2))).band, 8) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize('n', [6, 7], ids=['even', 'odd'])
def test_nothing_to_do_if_edge_is_sampled(n: int) -> None:
    for frequencies in (range(-(n // 2), n - n // 2), [0, -(n // 2)]):
        gram = CartesianAcquisitionOp(line_mask(n, frequencies)).gram
        assert BandLimitOp.from_gram(gram) is None


@pytest.mark.parametrize(
    'op', [IdentityOp(), CartesianAcquisitionOp(torch.ones(4, 5)), CartesianAcquisitionOp(line_mask(8, [0, 1])) + 1.0]
)
def test_nothing_to_do_without_band(op: LinearOperator) -> None:
    assert BandLimitOp.from_gram(gram_operator(op)) is None


def test_band_of_each_frame_or_of_all() -> None:
    mask = line_mask(9, [-1, 0, 1], range(4))
    separate = band_of(mask)
    assert [kept(band, 9) for band in separate.band] == [set(range(-1, 2)), set(range(-3, 4))]
    joint = band_of(mask, joint_dim=(-5,))
    assert joint.band.shape[0] == 1
    assert kept(joint.band, 9) == set(range(-3, 4))


def test_joint_axes_without_effect() -> None:
    """Axes that the mask lacks, and Fourier axes, are not joined."""
    mask = line_mask(9, [-1, 0, 1])
    torch.testing.assert_close(band_of(mask, joint_dim=(-6, -2)).band, band_of(mask).band)


def test_coils_share_a_band() -> None:
    mask = line_mask(9, [0, 1], range(4)).reshape(1, 2, 1, 9, 1)
    csm = RandomGenerator(0).complex64_tensor((1, 2, 1, 9, 4))
    projection = band_of(mask, csm=csm)
    assert kept(projection.band, 9) == set(range(-3, 4))
    img = RandomGenerator(1).complex64_tensor((1, 1, 1, 9, 4))
    assert projection(img)[0].shape == img.shape


@pytest.mark.parametrize(
    ('frequencies', 'expected'),
    [(range(-4, 5), range(-2, 3)), (range(-4, 6), range(-2, 3)), (range(7), range(-3, 4)), ([0, -8], None)],
)
def test_larger_encoded_field_of_view(frequencies: Sequence[int], expected: Sequence[int] | None) -> None:
    """With twice the field of view, frequencies are half as far apart."""
    trajectory = KTrajectory(
        kz=torch.zeros(1, 1, 1, 1, 1),
        ky=torch.tensor([frequencies], dtype=torch.float32).reshape(1, 1, 1, -1, 1),
        kx=(torch.arange(6) - 3.0).reshape(1, 1, 1, 1, -1),
    )
    op = FourierOp(SpatialDimension(1, 8, 3), SpatialDimension(1, 16, 6), trajectory)
    projection = BandLimitOp.from_gram(gram_operator(op))
    if expected is None:
        assert projection is None
        return
    assert projection is not None
    assert projection.dim == (-2,)
    assert kept(projection.band, 8) == set(expected)


@pytest.mark.parametrize('n', [8, 9])
def test_band_ends_at_the_last_line_but_one(n: int) -> None:
    """The edge of k-space is its last line, no earlier one: with the last but one, the band limits the image."""
    edge = n // 2
    projection = band_of(line_mask(n, range(edge)))
    assert kept(projection.band, n) == set(range(1 - edge, edge))
    assert BandLimitOp.from_gram(CartesianAcquisitionOp(line_mask(n, [0, -edge])).gram) is None


@pytest.mark.parametrize('n', [24, 25])
@pytest.mark.parametrize('step', [1, 2, 3, 4])
def test_regular_lines_reach_the_edges_wherever_they_start(n: int, step: int) -> None:
    """The lines beyond the last one are missing as those in between; a step further in, they limit the image."""
    for first in range(step):
        lines = [*range(first - n // 2, n - n // 2, step)]
        calibrated = sorted({*lines, *range(-3, 4)})
        assert BandLimitOp.from_gram(CartesianAcquisitionOp(line_mask(n, lines)).gram) is None
        assert BandLimitOp.from_gram(CartesianAcquisitionOp(line_mask(n, calibrated)).gram) is None
    inner = [k for k in range(-9, 10) if k % step == 0]
    assert kept(band_of(line_mask(n, inner)).band, n) == set(range(min(inner), max(inner) + 1))


@pytest.mark.parametrize('n', [5, 6])
def test_edge_of_an_image_with_a_smaller_field_of_view(n: int) -> None:
    """Samples at the edge of the encoded k-space leave no limit, although the frequencies of an odd grid end below."""
    k = (torch.arange(n) - n // 2).float()
    trajectory = KTrajectory(
        torch.zeros(1, 1, 1, 1, 1), k.reshape(1, 1, 1, -1, 1)[..., [0, 2], :], k.reshape(1, 1, 1, 1, -1)
    )
    op = FourierOp(SpatialDimension(1, 8, n), SpatialDimension(1, n, n), trajectory)
    assert BandLimitOp.from_gram(gram_operator(op)) is None
