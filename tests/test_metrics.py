"""Metrics by their definitions."""

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.metrics import blur, foreground_mask, mse, nrmse, psnr, relative_mse, ssim

SHAPE = (3, 1, 1, 16, 20)


def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, target and mask."""
    rng = RandomGenerator(0)
    target = rng.randn_tensor(SHAPE, torch.complex128)
    mask = rng.float64_tensor(SHAPE) < 0.4
    mask[..., 2:12, 3:15] = True  # windows of the structural similarity lie in it
    return target + 0.3 * rng.randn_tensor(SHAPE, torch.complex128), target, mask


def by_definition(name: str, img: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> float:
    """Metric of one image, from the list of the points that count."""
    inside = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    error, reference = (img - target)[inside].abs().tolist(), target[inside].abs().tolist()
    mean_squared = sum(e**2 for e in error) / len(error)
    return {
        'mse': mean_squared,
        'psnr': 10 * math.log10(float(target.abs().max()) ** 2 / mean_squared),
        'nrmse': math.sqrt(mean_squared / (sum(r**2 for r in reference) / len(reference))),
    }[name]


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('metric', [mse, psnr, nrmse])
def test_definition(metric: Callable[..., torch.Tensor], masked: bool) -> None:
    """With a mask the mean is over its points, not over all."""
    img, target, mask = images()
    used = mask if masked else None
    values = metric(img, target, used)
    assert values.shape == (3,)
    for i, value in enumerate(values):
        expected = by_definition(metric.__name__, img[i], target[i], mask[i] if masked else None)
        assert value.item() == pytest.approx(expected, rel=1e-12)


def test_weights_are_masks_with_any_values() -> None:
    img, target, _ = images()
    weight = RandomGenerator(1).float64_tensor(SHAPE, 0.1, 2)
    axes = (-4, -3, -2, -1)
    expected = (weight * (img - target).abs() ** 2).sum(axes) / weight.sum(axes)
    torch.testing.assert_close(mse(img, target, weight), expected)
    torch.testing.assert_close(mse(img, target, 7 * weight), expected)


@pytest.mark.parametrize('masked', [False, True])
def test_structural_similarity_by_definition(masked: bool) -> None:
    """Uniform windows of 7 x 7 pixels of the magnitude; with a mask, those that lie in it."""
    img, target, mask = images()
    values = ssim(img, target, mask if masked else None)
    assert values.shape == (3,)
    for i, value in enumerate(values):
        x, y = target[i, 0, 0].abs(), img[i, 0, 0].abs()
        c1, c2 = (0.01 * x.max()) ** 2, (0.03 * x.max()) ** 2
        similarity = []
        for row in range(SHAPE[-2] - 6):
            for column in range(SHAPE[-1] - 6):
                window = (slice(row, row + 7), slice(column, column + 7))
                if masked and not bool(mask[i, 0, 0][window].all()):
                    continue
                a, b = x[window], y[window]
                covariance = ((a - a.mean()) * (b - b.mean())).sum() / 48
                luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
                similarity.append(luminance * (2 * covariance + c2) / (a.var() + b.var() + c2))
        assert len(similarity) == (24 if masked else 140)
        assert value.item() == pytest.approx(float(torch.stack(similarity).mean()), rel=1e-6)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize(('metric', 'perfect'), [(mse, 0), (nrmse, 0), (psnr, math.inf), (ssim, 1)])
def test_perfect_image(metric: Callable[..., torch.Tensor], perfect: float, masked: bool) -> None:
    _, target, mask = images()
    values = metric(target, target, mask if masked else None)
    torch.testing.assert_close(values.double(), torch.full((3,), perfect, dtype=torch.float64))


@pytest.mark.parametrize('metric', [mse, psnr, nrmse, ssim])
def test_errors_beyond_the_mask_do_not_count(metric: Callable[..., torch.Tensor]) -> None:
    img, target, mask = images()
    other = torch.where(mask, img, img + 5)
    torch.testing.assert_close(metric(other, target, mask), metric(img, target, mask))
    assert not torch.allclose(metric(other, target), metric(img, target))


@pytest.mark.parametrize('metric', [psnr, nrmse, ssim])
def test_units_do_not_matter(metric: Callable[..., torch.Tensor]) -> None:
    img, target, mask = images()
    torch.testing.assert_close(metric(1e-3 * img, 1e-3 * target, mask), metric(img, target, mask))


@pytest.mark.parametrize('metric', [mse, psnr, nrmse, ssim])
@pytest.mark.parametrize('other', [(), (2, 3)])
def test_images_of_a_batch_are_independent(metric: Callable[..., torch.Tensor], other: tuple[int, ...]) -> None:
    rng = RandomGenerator(0)
    shape = (*other, 2, 1, 9, 8)
    img, target = rng.randn_tensor(shape, torch.complex128), rng.randn_tensor(shape, torch.complex128)
    values = metric(img, target)
    assert values.shape == other
    if other:
        alone = torch.stack([metric(x, y) for x, y in zip(img.flatten(0, 1), target.flatten(0, 1), strict=True)])
        torch.testing.assert_close(values.flatten(), alone)


@pytest.mark.parametrize('metric', [mse, psnr, nrmse])
def test_invalid_inputs(metric: Callable[..., torch.Tensor]) -> None:
    img, target, mask = images()
    for inputs in [(img[:1], target), (img, target, mask[..., :1]), (img[..., :1], target, mask)]:
        with pytest.raises(ValueError, match='must have the same shape, got'):
            metric(*inputs)
    mask[1] = False
    with pytest.raises(ValueError, match='Each mask must have a point'):
        metric(img, target, mask)


@pytest.mark.parametrize('scale', [1e-25, 1e25])
@pytest.mark.parametrize('metric', [psnr, nrmse, ssim, relative_mse])
def test_scale_equivariance_of_any_unit(metric: Callable[..., torch.Tensor], scale: float) -> None:
    """Also where squares leave the range of single precision."""
    img, target, third = (x.to(torch.complex64) for x in images())
    given = (img, target, third + 1) if metric is relative_mse else (img, target)
    scaled = metric(*(scale * x for x in given))
    assert bool(scaled.isfinite().all())
    torch.testing.assert_close(scaled, metric(*given), rtol=1e-4, atol=0)


@pytest.mark.parametrize('metric', [psnr, nrmse, ssim])
def test_zero_target(metric: Callable[..., torch.Tensor]) -> None:
    img, target, _ = images()
    with pytest.raises(ValueError, match=r'target must not be zero.* got shape \(3, 1, 1, 16, 20\)'):
        metric(img, 0 * target)


@pytest.mark.parametrize('value', [-1.0, math.nan, math.inf])
def test_invalid_weights(value: float) -> None:
    img, target, mask = images()
    weight = mask.double()
    weight[0, 0, 0, 3, 4] = value
    with pytest.raises(ValueError, match='mask must be real, finite and not negative'):
        mse(img, target, weight)


def test_error_beyond_the_range() -> None:
    img, target, _ = (x.to(torch.complex64) for x in images())
    with pytest.raises(ValueError, match=r'squared error must be a number of torch.float32, got inf: scale the images'):
        mse(1e25 * img, target)


def test_foreground_mask() -> None:
    """The magnitude above a tenth of the maximum of each slice, with holes filled."""
    target = torch.zeros(2, 1, 2, 8, 8, dtype=torch.complex64)
    expected = torch.zeros(2, 1, 2, 8, 8, dtype=torch.bool)
    for i in range(2):
        for z in range(2):
            target[i, 0, z, 1 + i : 6 + i, 1 + z : 6 + z] = 0.2 * (1 + i + z)
            target[i, 0, z, 3 + i, 3 + z] = 0  # a hole
            target[i, 0, z, 0, 0] = 0.01  # noise in air
            target[i, 0, z, 5 + i, 5 + z] = 1.5 * (1 + i + z)
            expected[i, 0, z, 1 + i : 6 + i, 1 + z : 6 + z] = True
    assert torch.equal(foreground_mask(target), expected)
    assert foreground_mask(target, threshold=0.5).sum() == 4
    assert torch.equal(foreground_mask(1e-6 * target), expected)


def test_relative_mse() -> None:
    """1 for the initial image, 0 for the target, and less weight for the background."""
    rng = RandomGenerator(0)
    target = torch.zeros(2, 1, 1, 12, 12, dtype=torch.complex64)
    target[..., 3:9, 3:9] = 2 + rng.randn_tensor((2, 1, 1, 6, 6), torch.complex64) * 0.1
    initial = target + 0.3 * rng.randn_tensor(target.shape, torch.complex64)
    assert relative_mse(initial, target, initial).item() == pytest.approx(1)
    assert relative_mse(target, target, initial).item() == 0
    mask = foreground_mask(target)
    outside, inside = (torch.where(m, initial, target) for m in (~mask, mask))
    for background_weight in (0.0, 0.2, 1.0):
        parts = [relative_mse(img, target, initial, background_weight).item() for img in (inside, outside)]
        assert sum(parts) == pytest.approx(1, rel=1e-5)
        squared = [(img - target).abs().square().sum((1, 2, 3, 4)) for img in (inside, outside)]
        expected = squared[0] / (squared[0] + background_weight * squared[1])
        assert parts[0] == pytest.approx(expected.mean().item(), rel=1e-5)


def test_logarithm_of_the_relative_error_is_the_gain_in_psnr() -> None:
    rng = RandomGenerator(0)
    target, noise = (rng.randn_tensor((3, 1, 1, 12, 12), torch.complex64) for _ in range(2))
    initial, img = target + noise, target + torch.tensor([0.5, 0.1, 0.01]).reshape(3, 1, 1, 1, 1) * noise
    found = relative_mse(img, target, initial, 1.0, logarithm=True)
    gain = psnr(img, target) - psnr(initial, target)
    assert found.item() == pytest.approx(-gain.mean().item() * math.log(10) / 10, rel=1e-5)


def test_relative_mse_with_a_mask_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number, without another search for the foreground."""
    img, target, _ = images()
    target[..., 4:8, 5:9] = 30
    target[..., 5, 6] = 0
    expected, mask = relative_mse(img, target, img + 1), foreground_mask(target)
    monkeypatch.setattr('mrpro_lambda.metrics.foreground_mask', None)
    assert torch.equal(relative_mse(img, target, img + 1, mask=mask), expected)


@pytest.mark.parametrize('background_weight', [-0.1, math.nan, math.inf])
def test_invalid_background_weight(background_weight: float) -> None:
    img, target, _ = images()
    with pytest.raises(ValueError, match='background_weight must be a finite, non-negative number'):
        relative_mse(img, target, img + 1, background_weight)


def test_relative_mse_is_differentiable() -> None:
    img, target, _ = images()

    def loss(x: torch.Tensor) -> torch.Tensor:
        return relative_mse(x, target[:1, ..., :3, :3], target[:1, ..., :3, :3] + 1)

    assert torch.autograd.gradcheck(loss, img[:1, ..., :3, :3].clone().requires_grad_())


def test_blur_grows_with_smoothing() -> None:
    sharp = RandomGenerator(0).float32_tensor((2, 1, 3, 32, 32))
    smooth = torch.nn.functional.avg_pool2d(sharp.flatten(0, 2)[:, None], 5, 1, 2).reshape(sharp.shape)
    values = blur(sharp), blur(smooth)
    assert values[0].shape == (2,)
    assert bool(((values[0] > 0) & (values[0] < values[1]) & (values[1] < 1)).all())
    torch.testing.assert_close(blur(sharp[:1]), values[0][:1])


@pytest.mark.cuda
@pytest.mark.parametrize('metric', [mse, psnr, nrmse, ssim])
def test_cuda(metric: Any) -> None:
    img, target, mask = images()
    values = metric(img.cuda(), target.cuda(), mask.cuda())
    assert values.is_cuda
    torch.testing.assert_close(values.cpu(), metric(img, target, mask))
    assert foreground_mask(target.cuda()).is_cuda


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'skimage.measure', None)
    with pytest.raises(ValueError, match=r"needs the extra 'train', pip install 'mrpro-lambda\[train\]'"):
        blur(images()[1])
