"""Tests of the figures."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import ConvolutionalDictionaryOp
from mrpro_lambda.plotting import (
    gray_picture,
    plot_comparison,
    plot_filter_maps,
    plot_filters,
    plot_lambda_map,
    plot_residual,
    plot_sweep,
)


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


def test_white_is_the_998th_of_1000_magnitudes() -> None:
    """That of the last image, or of the target, in all panels."""
    values = torch.arange(1.0, 1001.0)[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    last, other = values.reshape(1, 1, 1, 20, 50), torch.full((1, 1, 1, 20, 50), 5000.0)
    for figure in (plot_comparison({'other': other, 'last': last}), plot_comparison({'other': other}, last)):
        windows = [ax.get_images()[0].get_clim() for ax in figure.axes[:2]]
        assert windows == [(0, 998), (0, 998)]
    assert plot_comparison({'last': last}, window=7.0).axes[0].get_images()[0].get_clim() == (0, 7)
    assert plot_lambda_map(last, last).axes[0].get_images()[0].get_clim() == (0, 998)


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


@pytest.fixture
def synthesis() -> dict[str, Any]:
    """Arguments of `plot_filter_maps`: three filters and their coefficients in an image of several phases."""
    rng = RandomGenerator(seed=1)
    shape = (1, 1, 1, 20, 16)
    return {
        'img': rng.complex64_tensor(shape),
        'filters': rng.randn_tensor((3, 3, 5), torch.float32),
        'coefficients': rng.complex64_tensor((3, *shape)),
        'lambda_map': rng.float32_tensor((3, *shape)) + torch.tensor([0.1, 1.0, 10.0]).reshape(3, 1, 1, 1, 1, 1),
    }


def test_filters_are_shown_in_symmetric_windows_of_their_own(synthesis: dict[str, Any]) -> None:
    filters = synthesis['filters']
    figure = plot_filters(filters, n_columns=2)
    assert [ax.get_title() for ax in figure.axes] == ['0', '1', '2', '']
    for ax, kernel in zip(figure.axes, filters, strict=False):
        np.testing.assert_array_equal(shown(ax)[0], kernel)
        assert ax.get_images()[0].get_clim() == pytest.approx((-kernel.abs().max().item(), kernel.abs().max().item()))
    assert not shown(figure.axes[-1])


@pytest.mark.parametrize('n_columns', [1, 2, 8])
def test_filters_are_shown_in_the_order_that_is_asked_for(synthesis: dict[str, Any], n_columns: int) -> None:
    filters = synthesis['filters'][:, None].to(torch.complex64)
    figure = plot_filters(filters, n_columns, indices=[2, 0])
    assert [ax.get_title() for ax in figure.axes] == ['2', '0']
    for ax, k in zip(figure.axes, (2, 0), strict=True):
        np.testing.assert_array_equal(shown(ax)[0], filters[k, 0].real)


@pytest.mark.parametrize('boundary', ['circular', 'zero'])
@pytest.mark.parametrize('noise_std', [None, 0.1])
def test_filter_maps_show_what_each_filter_does(
    synthesis: dict[str, Any], boundary: Any, noise_std: float | None
) -> None:
    """A row for each: filter, modulus of the coefficients, contribution in phase with the image, and map."""
    indices = [2, 0]
    figure = plot_filter_maps(**synthesis, indices=indices, noise_std=noise_std, boundary=boundary)
    assert len(figure.axes) == 4 * len(indices)
    rows = [figure.axes[:4], figure.axes[4:]]
    map_title = 'Λ map' if noise_std is None else 'Λ map / noise level'
    assert [ax.get_title() for ax in rows[0]] == ['Filter 2', 'Coefficients', 'Contribution', map_title]
    assert [ax.get_title() for ax in rows[1]] == ['Filter 0', '', '', '']
    img = synthesis['img'][0, 0, 0]
    for row, k in zip(rows, indices, strict=True):
        kernel, code = synthesis['filters'][k], synthesis['coefficients'][k, 0, 0, 0]
        (contribution,) = ConvolutionalDictionaryOp(kernel[None], boundary)(code[None])
        in_phase = (contribution * img.conj()).real / img.abs()
        for ax, expected in zip(row[:3], (kernel, code.abs(), in_phase), strict=True):
            np.testing.assert_allclose(shown(ax)[0], expected, atol=1e-5)
        gray, overlay = shown(row[3])
        np.testing.assert_allclose(gray, img.abs(), atol=1e-6)
        scale = 1 if noise_std is None else 1 / noise_std
        np.testing.assert_allclose(overlay.max(), scale * synthesis['lambda_map'][k].max(), rtol=1e-5)
    for column in (1, 2, 3):
        windows = [row[column].get_images()[-1].get_clim() for row in rows]
        assert windows[0] == windows[1]
    low, high = rows[0][2].get_images()[0].get_clim()
    assert low == -high < 0


def test_contribution_changes_the_magnitude_to_first_order(synthesis: dict[str, Any]) -> None:
    """What is shown is the derivative of the magnitude along the contribution."""
    synthesis = {name: x.to(torch.promote_types(x.dtype, torch.float64)) for name, x in synthesis.items()}
    figure = plot_filter_maps(**synthesis, indices=[1])
    img, code = synthesis['img'][0, 0, 0], synthesis['coefficients'][1, 0, 0, 0]
    (contribution,) = ConvolutionalDictionaryOp(synthesis['filters'][1:2])(code[None])
    step = 1e-6
    derivative = ((img + step * contribution).abs() - (img - step * contribution).abs()) / (2 * step)
    np.testing.assert_allclose(shown(figure.axes[2])[0], derivative, rtol=1e-4, atol=1e-4)


def test_region_of_filter_maps(synthesis: dict[str, Any], tmp_path) -> None:
    region = (slice(2, 9), slice(3, 8))
    full = plot_filter_maps(**synthesis, indices=[1, 2])
    part = plot_filter_maps(**synthesis, indices=[1, 2], region=region)
    for i, (ax, ax_full) in enumerate(zip(part.axes, full.axes, strict=True)):
        for image, image_full in zip(shown(ax), shown(ax_full), strict=True):
            np.testing.assert_array_equal(image, image_full[region] if i % 4 else image_full)
    part.savefig(tmp_path / 'figure.png')
    assert (tmp_path / 'figure.png').read_bytes().startswith(b'\x89PNG')


def test_coefficients_that_are_all_zero_can_be_shown(synthesis: dict[str, Any], tmp_path) -> None:
    synthesis['coefficients'] = torch.zeros_like(synthesis['coefficients']).real
    plot_filter_maps(**synthesis, indices=[0]).savefig(tmp_path / 'figure.png')
    assert (tmp_path / 'figure.png').stat().st_size


def test_pyplot_is_not_used(images: dict[str, torch.Tensor], synthesis: dict[str, Any]) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot_comparison(images)
    plot_filters(synthesis['filters'])
    plot_filter_maps(**synthesis, indices=[0])
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


@pytest.mark.parametrize('indices', [[], [3], [-1]], ids=str)
def test_filters_that_do_not_exist(synthesis: dict[str, Any], indices: list[int]) -> None:
    with pytest.raises(ValueError, match='indices must be from 0 to 2, at least one'):
        plot_filters(synthesis['filters'], indices=indices)
    with pytest.raises(ValueError, match='indices must be from 0 to 2, at least one'):
        plot_filter_maps(**synthesis, indices=indices)


def test_invalid_filters_and_maps(synthesis: dict[str, Any]) -> None:
    for filters in (torch.ones(3, 3), torch.ones(0, 3, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match='filters must have shape'):
            plot_filters(filters)
    with pytest.raises(ValueError, match='Each of the filters must be one slice'):
        plot_filters(torch.ones(2, 3, 3, 3))
    with pytest.raises(ValueError, match='n_columns must be positive, got 0'):
        plot_filters(synthesis['filters'], 0)
    for name in ('coefficients', 'lambda_map'):
        for wrong in (synthesis[name][:2], torch.tensor(1.0)):
            with pytest.raises(ValueError, match=rf'{name} must have shape \(n_filters, y, x\) with n_filters=3'):
                plot_filter_maps(**(synthesis | {name: wrong}), indices=[0])
    with pytest.raises(ValueError, match='coefficients must have the shape of the image'):
        plot_filter_maps(**(synthesis | {'img': torch.ones(8, 8)}), indices=[0])
    with pytest.raises(ValueError, match='map must have the shape of the image'):
        plot_filter_maps(**(synthesis | {'lambda_map': torch.ones(3, 8, 8)}), indices=[0])


@pytest.mark.parametrize('rule', ['sure', 'discrepancy', 'l-curve'])
@pytest.mark.parametrize('n_images', [1, 2])
def test_sweep(rule: str, n_images: int) -> None:
    """A curve for each image, and where it was chosen."""
    names = ('factor', 'criterion', 'residual', 'regularization')
    sweep: dict[str, Any] = {name: [1.0, 2.0, 4.0] for name in names}
    sweep['criterion'] = [math.inf, 0.5, None if rule == 'l-curve' else math.inf]  # as JSON knows no Inf
    factor: Any = 2.1
    if n_images > 1:
        sweep, factor = {name: [values] * n_images for name, values in sweep.items()}, [2.1, 3.9]
    figure = plot_sweep({'rule': rule, 'factor': factor, 'sweep': sweep})
    left, right = figure.axes
    assert [np.size(line.get_xdata()) for line in left.lines[: 2 * n_images : 2]] == [3] * n_images
    assert [np.ravel(line.get_xdata())[0] for line in right.lines[1::2]] == [2.0, 4.0][:n_images]
    assert left.get_title().startswith(rule)
    figure.canvas.draw()


@pytest.mark.parametrize(('largest', 'white'), [(1.0, 4.0), (30.0, 30.0)])
def test_residual_is_shown_in_a_window_that_noise_does_not_fill(largest: float, white: float) -> None:
    residual = torch.zeros(10, 10)
    residual[3] = -largest
    (ax,) = plot_residual(residual[None, None]).axes
    assert ax.images[0].get_clim() == (0, white)
    np.testing.assert_array_equal(ax.images[0].get_array(), residual.abs())
    assert ax.get_title() == f'Residual / noise, 0 to {white:g}'


def test_pixels_have_their_shape_in_figures(images: dict[str, torch.Tensor]) -> None:
    img = images['good']
    figures = [
        plot_comparison({'a': img}, img, aspect=1.5),
        plot_lambda_map(img, img.abs() + 1, aspect=1.5),
        plot_residual(img, aspect=1.5),
    ]
    assert {ax.get_aspect() for figure in figures for ax in figure.axes if ax.images} == {1.5}


def test_picture_without_matplotlib() -> None:
    """Rows along y, gray from 0 to white, pixels repeated."""
    img = torch.tensor([[0.0, 1.0, 2.0], [0.5, -2.0, 8.0]])
    picture = np.asarray(gray_picture(img, window=2.0))
    assert picture.shape == (256, 384)
    np.testing.assert_array_equal(picture[64::128, 64::128], [[0, 128, 255], [64, 255, 255]])
    assert np.asarray(gray_picture(img, aspect=0.5)).shape == (128, 384)
