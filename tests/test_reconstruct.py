"""Tests of the reconstruction that the command line and Python share."""

import dataclasses
import importlib
import json
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from mrpro.data import KData, KNoise
from mrpro.data.traj_calculators import KTrajectoryCartesian, KTrajectoryRadial2D
from mrpro.utils import RandomGenerator
from mrpro_lambda.cli import main
from mrpro_lambda.operators import CartesianAcquisitionOp, gram_operator
from mrpro_lambda.pretrained import pretrained_recipe, save_weights
from mrpro_lambda.raw_data import read_kdata
from mrpro_lambda.recipes import Recipe, ScanProperties
from mrpro_lambda.reconstruct import Settings, choose, reconstruct, reconstruct_file
from mrpro_lambda.reconstruct.choose import refinement_of, scan_properties
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction
from mrpro_lambda.weighting import Discrepancy, LCurve, Sure

from tests.raw_file import LINES, N_X, N_Y, WriteRaw, simulate_kspace, write_raw


@pytest.fixture(autouse=True)
def _ignore_warnings() -> Iterator[None]:
    """mrpro warns of headers without a vendor."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@pytest.fixture
def raw(tmp_path: Path) -> WriteRaw:
    return partial(write_raw, tmp_path / 'scan.h5')


def options_of(settings: Settings) -> list[str]:
    """The settings as options of the command line."""
    given = {k: v for k, v in dataclasses.asdict(settings).items() if v != getattr(Settings(), k)}
    return [text for key, value in given.items() for text in (f'--{key.replace("_", "-")}', str(value))]


NOISE = 0.05 * RandomGenerator(seed=2).complex64_tensor((5, 3, 40))
SCANS: dict[str, dict[str, Any]] = {
    'fully sampled': {},
    'undersampled': {'lines': LINES},
    'oversampled readout': {'kspace': simulate_kspace(n_x=2 * N_X), 'lines': LINES},
    'coils with noise': {'kspace': simulate_kspace(n_coils=3), 'noise': NOISE},
    'small values': {'kspace': 1e-4 * simulate_kspace(), 'lines': LINES},
}


SETTINGS = {
    'network': Settings(max_iterations=20),
    'weight': Settings(weight=0.5, whitening='none', upsample=1.5),
    'dictionary': Settings(method='cdl', weight=1.0, dictionary='k16-9x9-low', max_iterations=20, noise_std=0.1),
    'rule': Settings(weight='sure', max_iterations=50),
    'another rule': Settings(weight='discrepancy', max_iterations=50),
}


@pytest.mark.parametrize(
    ('name', 'scan'),
    [
        *((name, scan) for name in ('network', 'weight') for scan in SCANS),
        *(('dictionary', scan) for scan in ('coils with noise', 'small values')),
        ('rule', 'coils with noise'),
        ('another rule', 'small values'),
    ],
)
def test_same_image_from_the_command_line_and_from_python(name: str, scan: str, raw: WriteRaw, tmp_path: Path) -> None:
    """Bit by bit, from the file and from data that were read with mrpro."""
    file, settings = raw(**SCANS[scan]), SETTINGS[name]
    command = ['reconstruct', str(file), '--output', str(tmp_path / 'out'), '--complex', *options_of(settings)]
    assert main(command) in (0, 3)
    written = np.asarray(nibabel.Nifti1Image.from_filename(tmp_path / 'out' / 'image_complex.nii.gz').dataobj).T
    noise = KNoise.from_file(file) if 'noise' in SCANS[scan] else None
    from_file = reconstruct_file(file, settings)
    from_data = reconstruct(KData.from_file(file, KTrajectoryCartesian()), settings, noise=noise)
    for result in (from_file, from_data):
        np.testing.assert_array_equal(result.idata.data[:, 0, 0], written)
        torch.testing.assert_close(result.lambda_map, from_file.lambda_map, rtol=0, atol=0)

    report = json.loads((tmp_path / 'out' / 'report.json').read_text('utf-8'))
    assert {k: v for k, v in report.items() if k not in ('notes', 'seconds', 'files')} == from_file.report
    assert report['notes'] == from_file.notes
    del from_file.report['settings']['trajectory'], from_file.report['settings']['averages']
    assert from_data.report == from_file.report | {'file': None, 'found': {}}


PROPERTIES = {
    'noisy box': (ScanProperties('box', 1.0, 1, 0.35), 'low-field', 2.0),
    'clear box': (ScanProperties('box', 1.0, 1, 0.01), None, 1.0),
    'points': (ScanProperties('points', 4.0, 1, 0.1), '', 1.0),
    'very noisy points': (ScanProperties('points', 4.0, 1, 0.95), None, 1.0),
    'radial': (ScanProperties('other', None, 8, None), None, 1.0),
}


@pytest.mark.parametrize('method', ['tv', 'tgv', 'cdl'])
@pytest.mark.parametrize('kind', PROPERTIES)
def test_choice_of_weights_and_grid(method: Any, kind: str) -> None:
    """Weights are taken for scans that they are good for, and their grid with them; for others there is a rule."""
    properties, end, refinement = PROPERTIES[kind]
    choice = choose(method, properties)
    if end is None:
        assert (choice.model, choice.rule) == (None, 'sure')
        assert 'No weights of a network are made for this scan' in choice.note
        assert refinement_of(None, properties) == refinement
        return
    assert choice.model is not None
    assert (choice.rule, choice.note) == (None, '')
    assert choice.model.endswith(end)
    recipe = pretrained_recipe(choice.model)
    assert recipe.mismatches(properties) == []
    assert refinement_of(recipe, properties) == refinement
    # with several coils, or a better signal than they know, the grid stays that of the samples
    assert refinement_of(recipe, properties._replace(n_coils=8)) == 1
    assert refinement_of(recipe, properties._replace(noise=0.04)) == 1


def test_properties_of_scans() -> None:
    """Kinds of sampling, acceleration, and the noise relative to the image without its own."""
    mask = torch.zeros(1, 1, 1, 32, 30)
    box, lines, points = mask.clone(), mask.clone(), mask.clone()
    box[..., 8:24, 8:23] = 1
    lines[..., ::2, :] = 1
    points[RandomGenerator(1).rand_tensor(mask.shape, torch.float32) < 0.25] = 1
    points[..., 16, 15] = points[..., 0, 0] = points[..., -1, -1] = 1
    img = torch.zeros(1, 1, 1, 32, 30, dtype=torch.complex64)
    img[..., 10:20, 10:20] = 3.0
    for sampled, kind, acceleration in ((box, 'box', 1.0), (lines, 'lines', 2.0), (points, 'points', 4.0)):
        operator = CartesianAcquisitionOp(sampled)
        noise = 0.2 * sampled * RandomGenerator(2).randn_tensor(mask.shape, torch.complex64)
        start = operator.adjoint(operator(img)[0] + noise)[0]
        found = scan_properties(gram_operator(operator), 1, start, 0.2)
        assert (found.sampling, found.n_coils) == (kind, 1)
        assert found.acceleration == pytest.approx(acceleration, rel=0.1)
        exact = operator.adjoint(operator(img)[0])[0].abs().square().mean().sqrt().item()
        assert found.noise == pytest.approx(0.2 / exact, rel=0.05)


def test_weights_outside_of_their_range(raw: WriteRaw) -> None:
    """Those that are named are taken, with a note; by default one weight is found on the scan, with a note."""
    file = raw(lines=LINES)
    named = reconstruct_file(file, Settings(model='tv-low-field', max_iterations=10, noise_std=1.0))
    assert any('tv-low-field is not made for this scan: sampling of ' in note for note in named.notes)
    assert named.report['settings']['upsample'] == 1
    default = reconstruct_file(file, Settings(max_iterations=10, noise_std=1.0))
    assert default.report['weight']['rule'] == 'sure'
    assert any('No weights of a network are made for this scan' in note for note in default.notes)


def without_map(folder: Path, kind: str, **options: Any) -> Path:
    """Weights of a model that is a network, as a training writes them."""
    recipe = Recipe.methods()[kind](**options)
    save_weights(recipe.build(), recipe, {}, folder / f'{kind}.safetensors')
    return folder / f'{kind}.safetensors'


SMALL = {'n_iterations': 2, 'n_features': 4, 'n_layers': 2, 'consistency_steps': 3}


@pytest.mark.parametrize('n_coils', [1, 3])
def test_model_without_certificate(n_coils: int, raw: WriteRaw, tmp_path: Path, capsys: Any) -> None:
    """The exit code is 0, and the command, the report and the summary say that nothing is proven."""
    file, path = raw(simulate_kspace(n_coils=n_coils), lines=LINES), without_map(tmp_path, 'modl', **SMALL)
    options = ['--model', str(path), '--noise-std', '0.1', '--csm', 'walsh', '--complex']
    assert main(['reconstruct', str(file), '--output', str(tmp_path / 'out'), *options]) == 0
    said = capsys.readouterr()
    assert 'NO CERTIFICATE' in said.out
    assert 'the image has no certificate' in said.err
    assert 'MoDL' not in said.err
    report = json.loads((tmp_path / 'out' / 'report.json').read_text('utf-8'))
    assert report['certificate'] is None
    assert report['method'] == 'modl'
    assert not [p for p in (tmp_path / 'out').rglob('*') if 'lambda_map' in p.name]
    result = reconstruct_file(file, Settings(model=path, noise_std=0.1, csm='walsh'))
    assert result.lambda_map is None
    assert result.solution is None
    written = np.asarray(nibabel.Nifti1Image.from_filename(tmp_path / 'out' / 'image_complex.nii.gz').dataobj).T
    np.testing.assert_array_equal(result.idata.data[:, 0, 0], written)
    assert result.residual is not None
    assert result.residual.shape == result.img.shape
    assert 'NO CERTIFICATE' in result._repr_html_()


def test_range_of_a_model_without_certificate(raw: WriteRaw, tmp_path: Path) -> None:
    """What it was trained for is compared with the scan, as for all weights."""
    path = without_map(tmp_path, 'modl', **SMALL, sampling='CentralBox', n_coils=(1,), noise_range=(0.1, 0.2))
    result = reconstruct_file(raw(lines=LINES), Settings(model=path, noise_std=1e-4))
    (note,) = (note for note in result.notes if 'is not made for this scan' in note)
    assert 'sampling of lines instead of a whole box' in note
    assert 'noise relative to the image' in note


def test_refusal_comes_before_coil_maps(raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, exit code 2, and nothing was estimated."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError('Coil maps were estimated.')

    monkeypatch.setattr('mrpro_lambda.reconstruct.prepare.find_coil_maps', never)
    path = without_map(tmp_path, 'srdensenet', n_features=4, growth=3, n_layers=2, n_bottleneck=4)
    file = raw(simulate_kspace(n_coils=3), lines=LINES)
    command = ['reconstruct', str(file), '--output', str(tmp_path / 'out'), '--model', str(path)]
    assert main([*command, '--noise-std', '0.1']) == 2
    assert not (tmp_path / 'out').exists()
    with pytest.raises(ValueError, match=r'can not reconstruct this acquisition: Super-resolution by 2 needs the cent'):
        reconstruct_file(file, Settings(model=path, noise_std=0.1))


@pytest.mark.parametrize(
    ('options', 'names'),
    [
        ({'fit': True}, 'fit'),
        ({'tolerance': 1e-3, 'max_iterations': 5}, 'tolerance and max_iterations'),
        ({'phase': 'on'}, 'phase'),
    ],
)
def test_settings_that_need_a_map(options: dict[str, Any], names: str, raw: WriteRaw, tmp_path: Path) -> None:
    """They would change nothing: an error instead, as for the method and the dictionary of another model."""
    path = without_map(tmp_path, 'modl', **SMALL)
    with pytest.raises(ValueError, match=f'{names} must be left out with .*UnrolledModel has neither a Lambda map'):
        reconstruct_file(raw(lines=LINES), Settings(model=path, **options))
    with pytest.raises(ValueError, match=r"The method 'tv' needs the weights of total variation, got .*modl"):
        reconstruct_file(raw(lines=LINES), Settings(model=path, method='tv'))


def test_fit_to_the_scan(raw: WriteRaw, tmp_path: Path) -> None:
    """From a random start and from weights that ship; the loss in each step is written."""
    file, folder = raw(lines=LINES), tmp_path / 'out'
    options = ['--fit', '--noise-std', '0.1', '--csm', 'none', '--max-iterations', '30']
    assert main(['reconstruct', str(file), '--output', str(folder), *options]) in (0, 3)
    report = json.loads((folder / 'fit.json').read_text('utf-8'))
    assert report == json.loads((folder / 'report.json').read_text('utf-8'))['weight']
    assert len(report['losses']) == 60
    assert (folder / 'fit.png').stat().st_size > 1000
    assert 'fitted to the scan' in report['rule']


def test_time_of_a_fit(raw: WriteRaw, tmp_path: Path) -> None:
    """It ends early, with a note; without a fit, or with no time at all, the option is an error."""
    options = ['--fit', '--fit-time', '1e-6', '--noise-std', '0.1', '--csm', 'none', '--max-iterations', '30']
    assert main(['reconstruct', str(raw(lines=LINES)), '--output', str(tmp_path / 'out'), *options]) in (0, 3)
    report = json.loads((tmp_path / 'out/report.json').read_text('utf-8'))
    assert not report['weight']['losses']
    assert any('stopped after 0 of 60 steps, as its time of 1e-06 s was over' in note for note in report['notes'])
    with pytest.raises(ValueError, match='fit_time needs fit, got fit_time=3'):
        Settings(fit_time=3.0)
    with pytest.raises(ValueError, match='fit_time must be a finite number above 0, got 0'):
        Settings(fit=True, fit_time=0.0)


@pytest.mark.parametrize('rule', ['sure', 'discrepancy', 'l-curve'])
def test_weight_by_a_rule(rule: Any, raw: WriteRaw, tmp_path: Path) -> None:
    """The weight is that of the rule alone, and what it tried is written."""
    file, folder = raw(lines=LINES), tmp_path / 'out'
    options = ['--weight', rule, '--noise-std', '0.1', '--csm', 'none', '--phase', 'off']
    assert main(['reconstruct', str(file), '--output', str(folder), *options]) == 0
    report = json.loads((folder / 'sweep.json').read_text('utf-8'))
    assert report == json.loads((folder / 'report.json').read_text('utf-8'))['weight']
    assert report['rule'] == rule
    assert (folder / 'sweep.png').stat().st_size > 1000
    kdata = read_kdata(file, 'cartesian')
    expected = AdaptiveTotalVariationReconstruction(
        kdata,
        csm=None,
        regularization_dim=(-2, -1),
        regularization_weight={'sure': Sure, 'discrepancy': Discrepancy, 'l-curve': LCurve}[rule](),
        noise_std=0.1,
    )
    solution = expected.solve(kdata)
    assert solution.weight_report == expected.weight_report is not None
    assert solution.weight_report is not None
    assert solution.weight_report['factor'] == pytest.approx(report['factor'], rel=1e-3)
    assert solution.lambda_map.flatten().tolist() == pytest.approx([0.1 * c for c in report['factor']], rel=1e-3)


def test_result(raw: WriteRaw) -> None:
    """All that led to the image, in types that JSON knows."""
    result = reconstruct_file(raw(lines=LINES), Settings(noise_std=0.1))
    assert result.idata.data.shape == result.initial_idata.data.shape == (2, 1, 1, N_Y, N_X)
    assert result.lambda_map is not None
    assert result.solution is not None
    assert result.lambda_map.shape == (1, 2, 1, 1, N_Y, N_X)
    assert result.noise_std == result.report['noise_std'] == 0.1
    assert result.dictionary_op is None
    assert result.report['model'] == 'tv-variable-density'
    assert result.report['certificate']['tolerance_reached']
    assert result.report['certificate']['relative_gap'] == result.solution.relative_gap <= 0.01
    assert json.loads(json.dumps(result.report)) == result.report
    with_dictionary = reconstruct_file(raw(lines=LINES), Settings(method='cdl', model='cdl-v3', max_iterations=10))
    assert with_dictionary.dictionary_op is not None
    assert with_dictionary.lambda_map is not None
    assert len(with_dictionary.lambda_map) == len(with_dictionary.dictionary_op.filters)


def test_notes_are_warnings(raw: WriteRaw) -> None:
    kdata = read_kdata(raw(1e-3 * simulate_kspace(), lines=LINES), 'cartesian')
    settings = Settings(weight=1, max_iterations=3, tolerance=1e-9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        result = reconstruct(kdata, settings)
    assert [str(w.message) for w in caught] == result.notes
    assert {w.filename for w in caught} == {__file__}
    assert any('multiplied by' in note for note in result.notes)
    assert any('not reached its tolerance' in note for note in result.notes)
    assert result.report['factor'] == 100


def test_data_are_not_changed(raw: WriteRaw) -> None:
    kdata = KData.from_file(raw(simulate_kspace(n_x=2 * N_X)), KTrajectoryCartesian())
    before = kdata.clone()
    reconstruct(kdata, Settings(weight=1, upsample=2))
    assert torch.equal(kdata.data, before.data)
    assert kdata.header.recon_matrix == before.header.recon_matrix


def test_readout_of_another_trajectory_keeps_its_oversampling(raw: WriteRaw) -> None:
    """A Cartesian readout loses it, whatever the phase encoding; a radial one has none to lose."""
    file = raw(simulate_kspace(n_x=2 * N_X), trajectory=True)
    assert read_kdata(file, 'cartesian').data.shape[-1] == read_kdata(file, 'ismrmrd').data.shape[-1] == N_X
    kdata = KData.from_file(file, KTrajectoryRadial2D())
    assert reconstruct(kdata, Settings(weight=1, max_iterations=5)).report['shape'][-1] == 2 * N_X


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'method': 'wavelet'}, r"method must be one of \['tv', 'tgv', 'cdl'\], got 'wavelet'"),
        ({'weight': -1}, 'weight must be a finite number of at least 0 or one of .*, got -1'),
        ({'weight': 'best'}, r"of at least 0 or one of \['sure', 'discrepancy', 'l-curve'\], got 'best'"),
        ({'weight': float('nan')}, 'weight must be a finite number'),
        ({'noise_std': 0.0}, 'noise_std must be a finite number above 0, got 0.0'),
        ({'upsample': 0.5}, 'upsample must be a finite number of at least 1, got 0.5'),
        ({'tolerance': 0.0}, 'tolerance must be a finite number above 0'),
        ({'max_iterations': 1.5}, 'max_iterations must be an integer of at least 1, got 1.5'),
        ({'csm': 'pruessmann'}, "csm must be one of .*, got 'pruessmann'"),
        ({'whitening': None}, 'whitening must be one of'),
        ({'device': 'tpu'}, "device must be one of .*, got 'tpu'"),
        ({'model': 'tv-low-field', 'weight': 1}, "either model or weight, got model='tv-low-field' and weight=1"),
        ({'dictionary': 'k16-9x9-low'}, "dictionary needs the method 'cdl', got None"),
        ({'dictionary': 'a', 'method': 'tv', 'model': 'cdl-v3'}, "dictionary needs the method 'cdl', got 'tv'"),
    ],
)
def test_invalid_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_settings_that_do_not_fit_the_computer_or_the_weights(raw: WriteRaw, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not read."""
    monkeypatch.setattr(importlib.import_module('mrpro_lambda.reconstruct.reconstruct'), 'read_scan', None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for settings, message in (
        (Settings(device='cuda'), 'no CUDA device'),
        (Settings(model='nonsense'), "no weights 'nonsense'"),
        (Settings(method='tv', model='cdl-v3'), "'tv' needs the weights of total variation, got cdl-v3"),
        (Settings(method='cdl', model='tv-low-field'), "'cdl' needs the weights of a model with a dictionary"),
        (Settings(method='cdl', dictionary='missing'), 'missing'),
    ):
        with pytest.raises(ValueError, match=message):
            reconstruct_file(raw(), settings)


def test_invalid_arguments(raw: WriteRaw) -> None:
    kdata = KData.from_file(raw(), KTrajectoryCartesian())
    with pytest.raises(TypeError, match='settings must be Settings or NoneType, got dict'):
        reconstruct(kdata, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='k-space data must be KData, got Tensor'):
        reconstruct(kdata.data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"trajectory must be one of .*, got 'zigzag'"):
        reconstruct_file(raw(), trajectory='zigzag')
    with pytest.raises(ValueError, match=r'There is no file missing\.h5'):
        reconstruct_file(raw(), noise_file='missing.h5')
    with pytest.raises(ValueError, match=r'noise of 1 coil\(s\), or be left out'):
        reconstruct(kdata, noise=KNoise(NOISE[:, :, None, None]))


def test_phase_is_that_of_images_and_not_of_series(raw: WriteRaw) -> None:
    """By default; what was asked for is done."""
    kdata = KData.from_file(raw(lines=LINES), KTrajectoryCartesian())
    series = kdata.clone()
    series.header.acq_info.idx.contrast = torch.tensor([0, 1]).reshape(2, 1, 1, 1, 1)
    cases: list[tuple[KData, Any, str]] = [(kdata, 'auto', 'on'), (series, 'auto', 'off'), (kdata, 'off', 'off')]
    for data, phase, expected in cases:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            result = reconstruct(data, Settings(weight=0.5, noise_std=0.1, phase=phase, max_iterations=10))
        assert result.report['settings']['phase'] == expected
    with pytest.raises(ValueError, match='phase must be'):
        Settings(phase='yes')  # type: ignore[arg-type]
