"""Tests of the demonstration, with a small image and a random network in place of the real ones."""

import json
import sys
from pathlib import Path

import mrpro_lambda.demo
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from mrpro_lambda.cli import main
from mrpro_lambda.datasets import SimulatedAcquisitions, VariableDensityRandom
from mrpro_lambda.demo import run_demo
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.recipes import TotalVariationRecipe

METHODS = ['zero-filled', 'scalar TV (oracle)', 'TV-Lambda']


def small_image() -> torch.Tensor:
    image = torch.zeros(48, 48)
    image[8:40, 12:36] = 0.6
    image[14:30, 16:26] = 1
    image[20:36, 28:34] = 0.3
    return image


def small_model(name: str = 'tv-variable-density') -> LambdaMapModel:
    assert name == 'tv-variable-density'
    config = TotalVariationRecipe(features='magnitude', noise_level=True, n_features=2, n_resolutions=2, padding=2)
    return config.build(inference=True)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mrpro_lambda.demo, '_image', small_image)
    monkeypatch.setattr(mrpro_lambda.demo, 'load_pretrained', small_model)


@pytest.mark.usefixtures('small')
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / 'out'
    assert main(['demo', '--output', str(output), '--seed', '1']) == 0
    assert {p.name for p in output.iterdir()} == {'comparison.png', 'metrics.json', 'dicom', 'image.nii.gz'}
    metrics = json.loads((output / 'metrics.json').read_text('utf-8'))
    assert list(metrics) == METHODS
    zero_filled, scalar, learned = metrics.values()
    common = {'psnr', 'psnr_foreground', 'ssim', 'ssim_foreground', 'nrmse', 'seconds'}
    assert set(zero_filled) == common
    assert common < set(scalar)
    assert common < set(learned)
    assert scalar['psnr'] > zero_filled['psnr'] + 2
    assert scalar['nrmse'] < zero_filled['nrmse']
    assert 0 < scalar['relative_gap'] < 0.1

    table = capsys.readouterr().out
    for method, values in metrics.items():
        (row,) = (line for line in table.splitlines() if line.startswith(method))
        assert f'{values["psnr"]:.2f}' in row.split()
        assert row.split()[-1] == (f'{values["relative_gap"]:.1e}' if 'relative_gap' in values else '-')

    # the image in the files is that of the learned map
    sample = SimulatedAcquisitions([small_image()], VariableDensityRandom(4), noise=0.1, seed=1)[0]
    nifti = np.asarray(nibabel.Nifti1Image.from_filename(output / 'image.nii.gz').dataobj).T
    assert nifti.shape == (1, 48, 48)
    error = (torch.tensor(nifti[0]) - sample.img[0, 0].abs()).square().mean()
    assert -10 * error.log10() >= learned['psnr'] - 0.01  # the error of magnitudes is at most the complex one
    (file,) = (output / 'dicom').iterdir()
    assert pydicom.dcmread(file).pixel_array.shape == (48, 48)


@pytest.mark.usefixtures('small')
def test_oracle_is_the_best_weight(tmp_path: Path) -> None:
    metrics = run_demo(tmp_path / 'out', seed=2)['scalar TV (oracle)']
    sample = SimulatedAcquisitions([small_image()], VariableDensityRandom(4), noise=0.1, seed=2)[0]
    model = small_model()

    def quality(factor: float) -> float:
        weight = factor * metrics['weight_relative_to_noise'] * sample.noise_std.item()
        return psnr(
            model(sample.data, sample.acquisition_op(), sample.initial_image, lambda_map=weight), sample.img
        ).item()

    assert quality(1) == pytest.approx(metrics['psnr'], abs=0.02)
    for factor in (0.3, 0.7, 0.9, 1.1, 1.4, 3):
        assert quality(factor) < metrics['psnr'] + 0.01


@pytest.mark.usefixtures('small')
def test_seed_decides(tmp_path: Path) -> None:
    first, again, other = (
        run_demo(tmp_path / name, seed=seed)['TV-Lambda']['psnr'] for name, seed in (('a', 1), ('b', 1), ('c', 3))
    )
    assert first == again
    assert first != other


@pytest.mark.usefixtures('small')
def test_missed_tolerance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model()
    model.solver.max_iterations = 3
    monkeypatch.setattr(mrpro_lambda.demo, 'load_pretrained', lambda _: model)
    assert main(['demo', '--output', str(tmp_path / 'out')]) == 3
    assert capsys.readouterr().err == 'mrpro-lambda: warning: the tolerance was not reached\n'
    assert (tmp_path / 'out' / 'metrics.json').exists()


def test_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'dipy', None)
    assert main(['demo', '--output', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mrpro-lambda: error: The demo needs the extra 'demo', pip install 'mrpro-lambda[demo]'")
    assert error.count('\n') == 1
    assert not any(tmp_path.iterdir())


def test_output_folder_must_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['demo', '--output', str(tmp_path)]) == 2
    assert 'not empty' in capsys.readouterr().err
    assert main(['demo', '--seed', '-1']) == 2
    assert 'seed: must be at least 0, got -1' in capsys.readouterr().err


def test_image_of_dipy() -> None:
    pytest.importorskip('dipy', reason='the demo needs dipy')
    image = mrpro_lambda.demo._image()
    assert image.shape == (256, 256)
    assert 0 <= image.min() < image.max() <= 1
