"""Tests of the command line: files in, files out, and one line for each error."""

import dataclasses
import hashlib
import json
import re
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import mrpro_lambda.pretrained
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian
from mrpro.utils import RandomGenerator
from mrpro_lambda.cli import main
from mrpro_lambda.dictionary import list_dictionaries, load_dictionary
from mrpro_lambda.pretrained import load_weights, save_weights
from mrpro_lambda.recipes import DictionaryRecipe, Recipe, TotalVariationRecipe
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
)

from tests.raw_file import LINES, N_X, N_Y, WriteRaw, simulate_kspace, write_raw

NAMES = ('tv-low-field', 'tv-variable-density', 'cdl-v3', 'cdl-v3-low-field')


@pytest.fixture(autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small random networks in the place of the pretrained ones."""
    folder = tmp_path_factory.mktemp('weights')
    small: dict[str, Any] = {'features': 'magnitude', 'n_features': 2, 'n_resolutions': 2, 'padding': 2}
    config: Recipe = TotalVariationRecipe(noise_level=True, **small)
    dictionary_config: Recipe = DictionaryRecipe(responses='each', noise_level=True, **small)
    filters = load_dictionary('k16-9x9-low').filters
    checksums = {}
    for name in NAMES:
        path, card = folder / f'{name}.safetensors', {'purpose': f'test of {name}'}
        low_field = name.endswith('low-field')
        domain: dict[str, Any] = {
            'noise_range': (0.01, 10.0),
            'valid_sampling': ('box',) if low_field else ('lines', 'points'),
            'refinement': 2.0 if low_field else 1.0,
        }
        recipe = dataclasses.replace(config if name.startswith('tv') else dictionary_config, **domain)
        save_weights(recipe.build(len(name), filters=None if name.startswith('tv') else filters), recipe, card, path)
        checksums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(mrpro_lambda.pretrained, '_FOLDER', folder)
    monkeypatch.setattr(mrpro_lambda.pretrained, '_SHA256', checksums)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> WriteRaw:
    return partial(write_raw, tmp_path / 'scan.h5')


def read(path: Path) -> KData:
    with pytest.warns(UserWarning, match='No vendor'):
        return KData.from_file(path, KTrajectoryCartesian())


def image(folder: Path) -> np.ndarray:
    """Image in mrpro's order of axes, slices first."""
    return np.asarray(nibabel.Nifti1Image.from_filename(folder / 'image.nii.gz').dataobj).T


def reconstruct(file: Path, output: Path, *options: str, code: int = 0) -> dict[str, Any]:
    assert main(['reconstruct', str(file), '--output', str(output), *options]) == code
    return json.loads((output / 'report.json').read_text('utf-8'))


def test_fully_sampled_file(raw: WriteRaw, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is that of the Python classes on the finer grid, in all files."""
    file, output = raw(), tmp_path / 'new' / 'out'
    report = reconstruct(file, output)
    assert report['model'] == 'tv-low-field'
    assert report['sampled_fraction'] == 1
    assert report['settings']['upsample'] == 2
    assert report['image_shape'] == [2, 1, 1, 2 * N_Y, 2 * N_X]
    assert report['certificate']['reason'] == 'tolerance reached'
    assert 0 < report['certificate']['relative_gap'] <= 0.01
    ratios = np.divide(report['certificate']['gap'], report['certificate']['objective'])
    assert ratios.shape == (2,)  # one for each image
    assert ratios.max() == pytest.approx(report['certificate']['relative_gap'])
    assert report['notes'] == []
    assert sorted(report['files']) == sorted(p.name + '/' * p.is_dir() for p in output.iterdir())
    assert {'image.png', 'lambda_map.png', 'lambda_map.nii.gz', 'dicom/'} <= set(report['files'])

    kdata = read(file)
    for matrix in (kdata.header.encoding_matrix, kdata.header.recon_matrix):
        matrix.y, matrix.x = 2 * N_Y, 2 * N_X
    model, _ = load_weights(weights / 'tv-low-field.safetensors')
    model.solver = model.solver.replace(max_iterations=1000, tolerance=1e-2)
    expected = LearnedReconstruction(kdata, csm=None, model=model.phase_aware(), whiten_background=True).solve(kdata)
    assert report['whitening'] == 'background'
    assert report['noise_std'] == pytest.approx(expected.noise_std)
    np.testing.assert_allclose(image(output), expected.idata.data.abs()[:, 0, 0], rtol=1e-4, atol=1e-5)
    lambda_map = nibabel.Nifti1Image.from_filename(output / 'lambda_map.nii.gz')
    np.testing.assert_allclose(lambda_map.get_fdata().T, expected.lambda_map[0, :, 0, 0], rtol=1e-4)

    dicom = [pydicom.dcmread(path) for path in sorted((output / 'dicom' / 'image').iterdir())]
    slope = dicom[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
    np.testing.assert_allclose(np.stack([f.pixel_array for f in dicom]) * slope, image(output), atol=0.51 * slope)
    assert dicom[0].ImagingFrequency == pytest.approx(2.34155)

    text = capsys.readouterr().out
    parts = (str(file), '2 x 1 x 1 x 40 x 48', 'tv-low-field', 'tolerance reached', 'report.json', str(output))
    assert all(part in text for part in parts)
    assert 'NOT REACHED' not in text


def test_undersampled_file_and_one_weight(raw: WriteRaw, tmp_path: Path) -> None:
    file = raw(lines=LINES)
    report = reconstruct(file, tmp_path / 'learned')
    assert report['model'] == 'tv-variable-density'
    assert report['card'] == {'purpose': 'test of tv-variable-density'}
    assert report['sampled_fraction'] == pytest.approx(12 / 20)
    assert report['settings']['upsample'] == 1

    options = ['--weight', '0.5', '--noise-std', '0.1', '--tolerance', '1e-4', '--max-iterations', '500', '--complex']
    options += ['--phase', 'off']
    report = reconstruct(file, tmp_path / 'scalar', *options)
    assert report['noise_std'] == 0.1
    assert report['card'] == {}
    assert not list((tmp_path / 'scalar').glob('lambda_map*'))
    kdata = read(file)
    expected = AdaptiveTotalVariationReconstruction(
        kdata, csm=None, regularization_dim=(-2, -1), regularization_weight=0.05, tolerance=1e-4, max_iterations=500
    )(kdata).data[:, 0, 0]
    np.testing.assert_allclose(image(tmp_path / 'scalar'), expected.abs(), rtol=1e-4, atol=1e-5)
    complex_image = nibabel.Nifti1Image.from_filename(tmp_path / 'scalar' / 'image_complex.nii.gz')
    np.testing.assert_allclose(np.asarray(complex_image.dataobj).T, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dictionary', [None, 'k32-9x9-high'])
def test_dictionary_network(dictionary: str | None, raw: WriteRaw, weights: Path, tmp_path: Path) -> None:
    """With its own filters and with others."""
    file = raw(lines=LINES)
    options = [] if dictionary is None else ['--dictionary', dictionary]
    report = reconstruct(file, tmp_path / 'out', '--method', 'cdl', '--max-iterations', '30', *options, code=3)
    assert report['model'] == 'cdl-v3'
    assert report['method'] == 'cdl'
    assert report['dictionary'] == dictionary
    n_filters = 16 if dictionary is None else 32
    maps = sorted(path.name for path in (tmp_path / 'out' / 'lambda_maps').iterdir())
    assert maps == [f'filter_{i:03}.nii.gz' for i in range(n_filters)]
    assert {'filters.png', 'image.png', 'lambda_maps/'} <= set(report['files'])
    filters = None if dictionary is None else load_dictionary(dictionary).filters
    model, _ = load_weights(weights / 'cdl-v3.safetensors', filters)
    model.solver = model.solver.replace(max_iterations=30, tolerance=1e-2)
    with pytest.warns(UserWarning, match='not reached its tolerance'):
        expected = LearnedReconstruction(read(file), csm=None, model=model.phase_aware()).solve(read(file))
    assert report['noise_std'] == pytest.approx(expected.noise_std)
    np.testing.assert_allclose(image(tmp_path / 'out'), expected.idata.data.abs()[:, 0, 0], rtol=1e-3, atol=1e-4)


def test_dictionary_network_for_low_resolution(raw: WriteRaw, weights: Path, tmp_path: Path) -> None:
    """The scan decides about weights and grid as it does for total variation; the grid belongs to the weights."""
    report = reconstruct(raw(), tmp_path / 'out', '--method', 'cdl', '--max-iterations', '10', code=3)
    assert report['model'] == 'cdl-v3-low-field'
    assert report['settings']['upsample'] == 2
    for model, refinement in (('cdl-v3', 1), (str(weights / 'cdl-v3-low-field.safetensors'), 2)):
        report = reconstruct(raw(), tmp_path / str(refinement), '--model', model, '--max-iterations', '10', code=3)
        assert report['settings']['upsample'] == refinement


def test_dictionary_and_one_weight(raw: WriteRaw, tmp_path: Path) -> None:
    file = raw(lines=LINES)
    options = ['--method', 'cdl', '--weight', '0.5', '--noise-std', '0.1', '--phase', 'off']
    report = reconstruct(file, tmp_path / 'out', *options, '--dictionary', 'k16-11x11-medium')
    assert report['method'] == 'cdl'
    assert report['dictionary'] == 'k16-11x11-medium'
    kdata = read(file)
    expected = AdaptiveDictionaryReconstruction(
        kdata,
        csm=None,
        filters=load_dictionary('k16-11x11-medium').filters,
        regularization_weight=0.05,
        tolerance=1e-2,
        max_iterations=1000,
    )(kdata)
    np.testing.assert_allclose(image(tmp_path / 'out'), expected.data.abs()[:, 0, 0], rtol=1e-4, atol=1e-5)


def test_missed_tolerance_is_stated(raw: WriteRaw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the report, on both streams, and by the exit code."""
    options = ('--tolerance', '1e-9', '--max-iterations', '10', '--upsample', '1')
    report = reconstruct(raw(), tmp_path / 'out', *options, code=3)
    assert not report['certificate']['tolerance_reached']
    assert any(note.startswith('The solver has not reached its tolerance') for note in report['notes'])
    assert sorted(report['files']) == sorted(p.name + '/' * p.is_dir() for p in (tmp_path / 'out').iterdir())
    found = capsys.readouterr()
    assert 'maximum number of iterations: THE TOLERANCE 1e-09 WAS NOT REACHED' in found.out
    assert found.err == 'mrpro-lambda: warning: the tolerance was not reached\n'


def test_small_units(raw: WriteRaw, tmp_path: Path) -> None:
    """Data of any unit give the same image, up to a stated factor."""
    reconstruct(raw(), tmp_path / 'one', '--weight', '0.5', '--noise-std', '0.1')
    (tmp_path / 'scan.h5').unlink()
    report = reconstruct(raw(1e-5 * simulate_kspace()), tmp_path / 'small', '--weight', '0.5', '--noise-std', '1e-6')
    assert report['noise_std'] == pytest.approx(0.01)
    assert any('multiplied by 10000' in note for note in report['notes'])
    np.testing.assert_allclose(10 * image(tmp_path / 'small'), image(tmp_path / 'one'), rtol=1e-3, atol=1e-4)


def test_noise_measurement_of_coils(raw: WriteRaw, tmp_path: Path) -> None:
    """Several acquisitions of noise whiten together; without them the noise level is estimated."""
    noise = 0.05 * RandomGenerator(seed=2).complex64_tensor((5, 3, 40))
    file = raw(simulate_kspace(n_coils=3), noise=noise)
    report = reconstruct(file, tmp_path / 'white', '--weight', '1')
    assert (report['whitening'], report['noise_std']) == ('noise measurement', 1)
    assert (report['coil_maps']['source'], report['coil_maps']['method']) == ('center', 'espirit')
    assert report['image_shape'][1] == 1
    assert image(tmp_path / 'white').shape == (2, N_Y, N_X)
    report = reconstruct(file, tmp_path / 'raw', '--weight', '1', '--noise-file', 'none', '--csm', 'none')
    assert (report['coil_maps'], report['image_shape'][1]) == (None, 3)
    assert 'noise measurement' not in report['whitening']
    assert image(tmp_path / 'raw').shape == (2, N_Y, N_X)
    assert report['noise_std'] < 0.2
    file.rename(tmp_path / 'noise.h5')
    report = reconstruct(
        raw(simulate_kspace(n_coils=3)), tmp_path / 'c', '--weight', '1', '--noise-file', f'{tmp_path}/noise.h5'
    )
    assert report['whitening'] == 'noise measurement'
    np.testing.assert_allclose(image(tmp_path / 'c'), image(tmp_path / 'white'), rtol=1e-4)


def test_whitening(raw: WriteRaw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the background by default where it can be found there, and as requested otherwise."""
    images = {}
    kspace = simulate_kspace()
    noise = torch.linspace(0.02, 0.5, N_Y)[:, None] * RandomGenerator(seed=4).randn_tensor(kspace.shape, kspace.dtype)
    file = raw(kspace + noise)
    for whitening in ('auto', 'none'):
        arguments = ['--weight', '1', '--whitening', whitening]
        report = reconstruct(file, tmp_path / whitening, *arguments)
        assert report['whitening'] == ('none' if whitening == 'none' else 'background')
        assert re.search(rf'^whitening +{report["whitening"]}$', capsys.readouterr().out, re.MULTILINE)
        images[whitening] = image(tmp_path / whitening)
    assert np.abs(images['none'] - images['auto']).max() > 1e-2 * images['none'].max()

    file.unlink()
    kspace[:, :, :, N_X // 2] += 20  # signal at all positions along the readout
    assert reconstruct(raw(kspace), tmp_path / 'signal', '--weight', '1')['whitening'] == 'none'
    assert 'signal at both ends' in fails(
        capsys, 'reconstruct', file, '--output', tmp_path / 'x', *arguments[:2], '--whitening', 'background'
    )
    file.unlink()
    options = ['--weight', '1']
    assert reconstruct(raw(lines=LINES), tmp_path / 'undersampled', *options)['whitening'] == 'none'
    file.unlink()
    file = raw(noise=0.05 * RandomGenerator(seed=2).complex64_tensor((5, 1, 40)))
    assert reconstruct(file, tmp_path / 'noise', *options)['whitening'] == 'noise measurement'
    report = reconstruct(file, tmp_path / 'both', *options, '--whitening', 'background')
    assert report['whitening'] == 'noise measurement and background'


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail with one line and without a computation, and return the line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(LearnedReconstruction, 'solve')  # a computation would be an AttributeError
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('mrpro-lambda: error: ')
    assert err.endswith('\n')
    assert err.count('\n') == 1
    return err


def nothing_is_left(folder: Path, *others: str) -> bool:
    return {p.name for p in folder.iterdir()} <= {'scan.h5', *others}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--trajectory', 'ismrmrd'], 'No trajectory'),
        (['--model', 'nonsense'], "no weights 'nonsense'; there are .'cdl-v3', 'cdl-v3-low-field', 'tv"),
        (['--model', 'missing.safetensors'], 'No such file.*missing.safetensors'),
        (['--noise-file', 'missing.h5'], 'There is no file missing.h5'),
        (['--noise-std', '0'], 'noise_std must be a finite number above 0, got 0'),
        (['--noise-std', 'nan'], 'noise_std must be a finite number'),
        (['--weight', '-1'], 'weight must be a finite number of at least 0 or one of .*, got -1'),
        (['--weight', 'inf'], 'weight must be a finite number'),
        (['--tolerance', 'abc'], "tolerance: invalid float value: 'abc'"),
        (['--max-iterations', '0'], 'max_iterations must be an integer of at least 1, got 0'),
        (['--max-iterations', '1.5'], "max-iterations: invalid int value: '1.5'"),
        (['--upsample', '1e6'], 'matrix must have 1 to 256 points .* finer by 1e[+]06'),
        (['--upsample', '0.5'], 'upsample must be a finite number of at least 1, got 0.5'),
        (['--weight', '1', '--model', 'tv-low-field'], 'not allowed with argument'),
        (['--device', 'cuda'], 'no CUDA device'),
        (['--method', 'cdl', '--model', 'tv-low-field'], 'needs the weights of a model with a dictionary, got tv-low'),
        (['--method', 'tv', '--model', 'cdl-v3'], 'needs the weights of total variation, got cdl-v3'),
        (['--dictionary', 'k16-9x9-low'], "A dictionary needs the method 'cdl', got None and 'k16-9x9-low'"),
        (['--csm', 'pruessmann'], "invalid choice: 'pruessmann'"),
        (['--whitening', 'yes'], "invalid choice: 'yes'"),
    ],
)
def test_invalid_options(
    options: list[str], message: str, raw: WriteRaw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = fails(capsys, 'reconstruct', raw(), '--output', tmp_path / 'a' / 'out', *options)
    assert re.search(message, error), error
    assert nothing_is_left(tmp_path)


def test_weights_of_another_architecture(raw: WriteRaw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'other.safetensors'
    save_weights(TotalVariationRecipe(n_features=2).build(), TotalVariationRecipe(n_features=4), {}, path)
    error = fails(capsys, 'reconstruct', raw(), '--output', tmp_path / 'out', '--model', path)
    assert 'another architecture' in error


def test_output_folder_must_be_empty(raw: WriteRaw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = raw(), tmp_path / 'out'
    output.mkdir()
    reconstruct(file, output, '--weight', '1')
    before = sorted(output.iterdir())
    assert 'not empty' in fails(capsys, 'reconstruct', file, '--output', output)
    assert sorted(output.iterdir()) == before
    assert 'is a file' in fails(capsys, 'reconstruct', file, '--output', file)
    assert nothing_is_left(tmp_path, 'out')


def test_interrupt_leaves_nothing(
    raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('mrpro_lambda.cli.reconstruct.write_report', interrupt)
    assert main(['reconstruct', str(raw()), '--output', str(tmp_path / 'a' / 'b' / 'out')]) == 130
    assert capsys.readouterr().err == 'mrpro-lambda: interrupted\n'
    assert nothing_is_left(tmp_path)


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['reconstruct', 'absent.h5', '--output', str(tmp_path / 'out'), '--debug']) == 2
    error = capsys.readouterr().err
    assert error.startswith('Traceback')
    assert error.splitlines()[-1] == 'mrpro-lambda: error: There is no file absent.h5.'


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for argument in ('--version', '--help'):
        assert main([argument]) == 0
    assert capsys.readouterr().out.startswith(f'mrpro-lambda {mrpro_lambda.__version__}\n')
    assert 'COMMAND' in fails(capsys)
    assert 'invalid choice' in fails(capsys, 'reconstrct')


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each, and the whole card of one of them."""
    assert main(['list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(NAMES) + len(list_dictionaries()) + 2
    for name in NAMES:
        assert any(re.fullmatch(rf'{name} +{name.split("-")[0]} +test of {name}', line) for line in lines)
    for name, card in list_dictionaries().items():
        assert any(re.fullmatch(rf'{name} +dictionary +{re.escape(card["data"])}', line) for line in lines)
    assert main(['list', 'cdl-v3']) == 0
    good_for = 'sampling of lines or single points, noise relative to the image of 0.01 to 10'
    assert re.fullmatch(rf'cdl-v3\n  purpose: +test of cdl-v3\n  good for: +{good_for}\n', capsys.readouterr().out)
    assert main(['list', 'k16-9x9-low']) == 0
    assert all(value in capsys.readouterr().out for value in [list_dictionaries()['k16-9x9-low']['license']])
    assert "no weights and no dictionary 'tv'" in fails(capsys, 'list', 'tv')

    assert main(['list', '--json']) == 0
    cards = json.loads(capsys.readouterr().out)
    weights = {name: card for name, card in cards.items() if not name.startswith('dictionary ')}
    assert {name: card['purpose'] for name, card in weights.items()} == {name: f'test of {name}' for name in NAMES}
    assert weights['cdl-v3']['good_for'] == good_for
    for name in list_dictionaries():
        assert cards[f'dictionary {name}']['license']
    assert main(['list', 'cdl-v3', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {'cdl-v3': cards['cdl-v3']}


def test_learn_dictionary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration reaches the learning, whose errors come in one line."""
    np.save(tmp_path / 'a.npy', np.random.default_rng(0).random((2, 24, 24)))
    config = tmp_path / 'dictionary.toml'
    config.write_text(
        'n_filters = 3\nfilter_size = 5\nsparsity = 0.05\nbeta = 4.0\nn_steps = 2\ncrop = 16\n'
        "[[images]]\npath = 'a.npy'\n"
    )
    command = ['learn-dictionary', '--config', str(config), '--output', str(tmp_path / 'out'), '--no-progress']
    assert main(command) == 0
    (path,) = (tmp_path / 'out').glob('*.safetensors')
    assert str(path) in capsys.readouterr().out
    assert load_dictionary(path).filters.shape == (3, 5, 5)
    config.write_text(config.read_text().replace('filter_size = 5', 'filter_size = 4'))
    assert 'filter' in fails(capsys, *command[:4], str(tmp_path / 'even'))


def test_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Configuration and options reach the training; its errors are found before it."""
    calls: list[Any] = []

    def train(*args: object, **options: object) -> str:
        calls.append((args, options))
        return 'weights.safetensors'

    module = types.ModuleType('train')
    monkeypatch.setattr(module, 'train', train, raising=False)
    monkeypatch.setitem(sys.modules, 'mrpro_lambda.training.train', module)
    config = tmp_path / 'config.toml'
    text = "noise = [0.1, 0.2]\nvalidation_noise = [0.1]\nseed = 3\nimages = [{ path = 'a.npy' }]\n"
    text += "validation_images = [{ path = 'a.npy' }]\n[model]\n"
    sampling = "[sampling]\nname = 'CentralBox'\n[validation_sampling]\nname = 'CentralBox'\n"
    config.write_text(text + sampling)
    arguments = ['train', '--config', str(config), '--output', str(tmp_path / 'out')]
    assert main([*arguments, '--resume', '--no-progress']) == 0
    ((loaded, output), options) = calls[0]
    assert (loaded.seed, output, options) == (3, tmp_path / 'out', {'resume': True, 'progress': False})
    assert 'weights.safetensors' in capsys.readouterr().out

    for content, message in (
        (text + 'learning_rat = 1\n' + sampling, r'Unknown key.*learning_rat.*\[model\]'),
        (text, 'Missing key.*sampling'),
        (text + sampling.replace('CentralBox', 'Box'), "'Box'"),
        ('noise = ', 'Invalid value'),
    ):
        config.write_text(content)
        assert re.search(message, fails(capsys, *arguments))
    config.unlink()
    assert 'No such file' in fails(capsys, *arguments)
    assert len(calls) == 1


def test_train_without_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr('mrpro_lambda.cli.train.TrainingConfig.from_toml', lambda *_: None)
    monkeypatch.delitem(sys.modules, 'mrpro_lambda.training.train', raising=False)
    monkeypatch.setitem(sys.modules, 'lightning', None)
    assert "install 'mrpro-lambda[train]'" in fails(capsys, 'train', '--config', 'a.toml', '--output', tmp_path / 'out')
