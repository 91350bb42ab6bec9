"""Tests of the figures."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm
from mrpro.utils import RandomGenerator
from mrpro_lambda.plotting import plot_comparison, plot_lambda_map


@pytest.fixture
def images() -> dict[str, torch.Tensor]:
    rng = RandomGenerator(seed=0)
    target = rng.complex64_tensor((1, 1, 1, 20, 16))
    noise = rng.complex64_tensor(target.shape)
    return {'target': target, 'bad': target + 0.2 * noise, 'good': target + 0.05 * noise}


def shown(ax) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in ax.get_images()]


def test_comparison_shows_images_and_errors_in_common_windows(images: dict[str, torch.Tensor]) -> None:
    target = images.pop('target')
    figure = plot_comparison(images, target, error_factor=4)
    axes = figure.axes
    assert len(axes) == 6
    titles = [ax.get_title() for ax in axes]
    psnr = [-10 * math.log10((x - target).abs().square().mean() / target.abs().max() ** 2) for x in images.values()]
    assert titles[:3] == ['Ground truth', f'bad\n{psnr[0]:.2f} dB', f'good\n{psnr[1]:.2f} dB']
    assert titles[4:] == ['Error × 4'] * 2  # noqa: RUF001
    expected = [target.abs(), images['bad'].abs(), images['good'].abs()]
    expected += [(x - target).abs() for x in images.values()]
    for ax, img in zip([*axes[:3], *axes[4:]], expected, strict=True):
        np.testing.assert_allclose(shown(ax)[0], img[0, 0, 0], atol=1e-6)
    windows = [ax.get_images()[0].get_clim() for ax in [*axes[:3], *axes[4:]]]
    assert len(set(windows[:3])) == len(set(windows[3:])) == 1
    assert windows[0][0] == windows[3][0] == 0
    assert windows[0][1] == pytest.approx(4 * windows[3][1])


def test_region_is_shown_but_does_not_change_the_error(images: dict[str, torch.Tensor]) -> None:
    target = images.pop('target')
    lambda_map = images['bad'].abs()
    full = plot_comparison(images, target, lambda_map=lambda_map)
    part = plot_comparison(images, target, lambda_map=lambda_map, region=(slice(2, 9), slice(3, 8)))
    assert [ax.get_title() for ax in part.axes] == [ax.get_title() for ax in full.axes]
    for ax, ax_full in zip(part.axes, full.axes, strict=True):
        for image, image_full in zip(shown(ax), shown(ax_full), strict=True):
            np.testing.assert_array_equal(image, image_full[2:9, 3:8])


def test_automatic_error_factor_shows_the_best_image(images: dict[str, torch.Tensor]) -> None:
    target = images.pop('target')
    factor = float(plot_comparison(images, target).axes[-1].get_title().split()[-1])
    error = (images['good'] - target).abs().flatten().quantile(0.998) / target.abs().flatten().quantile(0.998)
    assert factor in (1, 2, 5, 10, 20, 50)
    assert 0.3 < factor * error < 1.1


@pytest.mark.parametrize('noise_std', [None, 0.1])
def test_map_is_over_the_image_on_a_logarithmic_scale(images: dict[str, torch.Tensor], noise_std: float | None) -> None:
    values = torch.logspace(-2, 0, 320).reshape(1, 20, 16)
    figure = plot_lambda_map(images['good'], values, noise_std=noise_std)
    gray, overlay = figure.axes[0].get_images()
    np.testing.assert_allclose(np.asarray(gray.get_array()), images['good'][0, 0, 0].abs(), atol=1e-6)
    scale = 1 if noise_std is None else 1 / noise_std
    inside = slice(10, -10)  # both ends are clipped
    np.testing.assert_allclose(
        np.asarray(overlay.get_array()).flatten()[inside], scale * values.flatten()[inside], 1e-5
    )
    assert isinstance(overlay.norm, LogNorm)
    low, high = overlay.get_clim()
    assert 0.01 * scale <= low < 0.02 * scale < 0.9 * scale < high <= scale
    alpha = overlay.get_alpha()
    assert alpha is not None
    assert 0 < alpha < 1
    (bar,) = figure.axes[0].child_axes
    labels = [float(label.get_text()) for label in bar.get_xticklabels()]
    np.testing.assert_allclose(labels, bar.get_xticks())
    assert len(labels) >= 2


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_constant_map_can_be_shown(images: dict[str, torch.Tensor], value: float, tmp_path) -> None:
    plot_lambda_map(images['good'], torch.full((20, 16), value)).savefig(tmp_path / 'map.png')
    assert (tmp_path / 'map.png').stat().st_size


def test_images_without_target_and_with_map(images: dict[str, torch.Tensor], tmp_path) -> None:
    figure = plot_comparison(images, lambda_map=torch.rand(20, 16, generator=torch.Generator().manual_seed(0)))
    assert [ax.get_title() for ax in figure.axes[:4]] == [*images, 'Λ map']
    figure.savefig(tmp_path / 'figure.png')
    assert (tmp_path / 'figure.png').read_bytes().startswith(b'\x89PNG')


def test_magnitudes_and_exact_images_can_be_compared(images: dict[str, torch.Tensor]) -> None:
    target = images['target'].abs()
    figure = plot_comparison({'exact': target, 'complex': images['target']}, target)
    assert [ax.get_title() for ax in figure.axes[1:3]] == ['exact\nexact', 'complex\nexact']


def test_pyplot_is_not_used(images: dict[str, torch.Tensor]) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot_comparison(images)
    assert pyplot.get_fignums() == before


def test_invalid_shapes_are_errors(images: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match='at least one image'):
        plot_comparison({})
    with pytest.raises(ValueError, match=r'one slice of shape \(y, x\), got shape \(2, 8, 8\)'):
        plot_comparison({'volume': torch.zeros(2, 8, 8)})
    with pytest.raises(ValueError, match="same shape, got \\(8, 8\\) for 'small'"):
        plot_comparison({'small': torch.zeros(8, 8)}, images['target'])
    with pytest.raises(ValueError, match='shape of the image'):
        plot_lambda_map(images['target'], torch.ones(8, 8))
