"""Tests of the command line: files in, files out, and one line for each error."""

import hashlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import mrpro_lambda.demo
import mrpro_lambda.pretrained
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from ismrmrd import xsd
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian
from mrpro.operators import FastFourierOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.cli import main
from mrpro_lambda.models import ModelConfig
from mrpro_lambda.pretrained import load_weights, save_weights
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction, LearnedReconstruction

NAMES = ('tv-low-field', 'tv-variable-density')
N_Y, N_X = 20, 24
DIRECTIONS = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]])  # readout, phase, slice
Raw = Callable[..., Path]


@pytest.fixture(autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small random networks in the place of the pretrained ones."""
    folder = tmp_path_factory.mktemp('weights')
    config = ModelConfig(features='magnitude', noise_level=True, n_features=2, n_resolutions=2, padding=2)
    checksums = {}
    for name in NAMES:
        path = folder / f'{name}.safetensors'
        save_weights(config.build(seed=len(name)), config, {'purpose': f'test of {name}'}, path)
        checksums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(mrpro_lambda.pretrained, '_FOLDER', folder)
    monkeypatch.setattr(mrpro_lambda.pretrained, '_SHA256', checksums)
    return folder


def simulate(n_coils: int = 1, n_slices: int = 2, n_x: int = N_X) -> torch.Tensor:
    """k-space of a few blocks in air, with noise."""
    img = torch.zeros(n_slices, 1, N_Y, N_X, dtype=torch.complex64)
    img[..., 5:15, 6:18] = 1
    img[..., 8:12, 9:13] = 0.5 + 0.2j
    img *= torch.arange(1, n_slices + 1)[:, None, None, None]
    img = torch.nn.functional.pad(img, ((n_x - N_X) // 2,) * 2)
    coils = torch.linspace(0.5, 1, n_x) ** torch.arange(n_coils)[:, None, None]
    (kspace,) = FastFourierOp(dim=(-2, -1))(img * coils)
    return kspace + 0.05 * RandomGenerator(seed=1).complex64_tensor(kspace.shape, amplitude=1.0)


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    """Write a raw data file."""

    def write(
        kspace: torch.Tensor | None = None,
        *,
        lines: list[list[int]] | None = None,
        noise: torch.Tensor | None = None,
        trajectory: bool = False,
        n_ky: int = N_Y,
    ) -> Path:
        kspace = simulate() if kspace is None else kspace
        n_coils, n_kx = kspace.shape[1], kspace.shape[-1]
        path = tmp_path / 'scan.h5'
        encoded, recon = (
            xsd.encodingSpaceType(
                matrixSize=xsd.matrixSizeType(x=n, y=n_ky, z=1),
                fieldOfView_mm=xsd.fieldOfViewMm(x=2.0 * n, y=3.0 * n_ky, z=5),
            )
            for n in (n_kx, N_X)
        )
        limits = xsd.encodingLimitsType(kspace_encoding_step_1=xsd.limitType(0, N_Y - 1, N_Y // 2))
        header = xsd.ismrmrdHeader(
            experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=2_341_550),
            encoding=[xsd.encodingType(encoded, recon, limits, trajectory=xsd.trajectoryType.CARTESIAN)],
        )
        with ismrmrd.Dataset(str(path), create_if_needed=True) as dataset:
            dataset.write_xml_header(header.toXML('utf-8'))
            for values in [] if noise is None else noise:
                acquisition = ismrmrd.Acquisition.from_array(values.numpy())
                acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
                dataset.append_acquisition(acquisition)
            for s in range(len(kspace)):
                for k1 in range(N_Y) if lines is None else lines[s]:
                    acquisition = ismrmrd.Acquisition.from_array(kspace[s, :, k1].numpy())
                    if trajectory:
                        acquisition.resize(n_kx, n_coils, trajectory_dimensions=2)
                        acquisition.traj[:, 0] = np.arange(n_kx) - n_kx // 2
                        acquisition.traj[:, 1] = k1 - N_Y // 2
                    acquisition.center_sample = n_kx // 2
                    acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = k1, s
                    acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = DIRECTIONS.tolist()
                    acquisition.position = (torch.tensor([1.0, 2.0, 3.0]) + 7 * s * DIRECTIONS[2]).tolist()
                    dataset.append_acquisition(acquisition)
        return path

    return write


def read(path: Path, trajectory: Any = None) -> KData:
    with pytest.warns(UserWarning, match='No vendor'):
        return KData.from_file(path, trajectory or KTrajectoryCartesian())


def image(folder: Path) -> np.ndarray:
    """Image in mrpro's order of axes, slices first."""
    return np.asarray(nibabel.load(folder / 'image.nii.gz').dataobj).T


def reconstruct(file: Path, output: Path, *options: str) -> dict[str, Any]:
    assert main(['reconstruct', str(file), '--output', str(output), *options]) == 0
    return json.loads((output / 'report.json').read_text('utf-8'))


def test_fully_sampled_file(raw: Raw, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is that of the Python classes on the finer grid, in all files."""
    file, output = raw(), tmp_path / 'new' / 'out'
    report = reconstruct(file, output)
    assert report['model'] == 'tv-low-field'
    assert report['sampled_fraction'] == 1
    assert report['settings']['upsample'] == 2
    assert report['image_shape'] == [2, 1, 1, 2 * N_Y, 2 * N_X]
    assert report['certificate']['reason'] == 'tolerance reached'
    assert report['certificate']['gap'] <= 0.01 * report['certificate']['objective']
    assert 'No vendor information' in report['notes'][0]
    assert sorted(report['files']) == sorted(p.name + '/' * p.is_dir() for p in output.iterdir())
    assert {'image.png', 'lambda_map.png', 'lambda_map.nii.gz', 'dicom/'} <= set(report['files'])

    kdata = read(file)
    for matrix in (kdata.header.encoding_matrix, kdata.header.recon_matrix):
        matrix.y, matrix.x = 2 * N_Y, 2 * N_X
    model, _ = load_weights(weights / 'tv-low-field.safetensors')
    solver = model.solver
    solver.n_iterations, solver.max_iterations, solver.tolerance = None, 1000, 1e-2
    expected = LearnedReconstruction(kdata, csm=None, model=model).solve(kdata)
    assert report['noise_std'] == pytest.approx(expected.noise_std)
    np.testing.assert_allclose(image(output), expected.idata.data.abs()[:, 0, 0], rtol=1e-4, atol=1e-5)
    lambda_map = nibabel.load(output / 'lambda_map.nii.gz')
    np.testing.assert_allclose(lambda_map.get_fdata().T, expected.lambda_map[0, :, 0, 0], rtol=1e-4)

    (dicom_file,) = (output / 'dicom').iterdir()
    dicom = pydicom.dcmread(dicom_file)
    assert dicom.NumberOfFrames == 2
    slope = dicom.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope
    np.testing.assert_allclose(dicom.pixel_array.swapaxes(1, 2) * float(slope), image(output), atol=1.01 * float(slope))

    text = capsys.readouterr().out
    for part in (str(file), '2 x 1 x 1 x 40 x 48', 'tv-low-field', 'tolerance reached', 'report.json', str(output)):
        assert part in text
    assert 'NOT REACHED' not in text


def test_nifti_geometry(raw: Raw, tmp_path: Path) -> None:
    """The center of each slice is at its position, with the voxel size of the finer grid, in mm and RAS."""
    reconstruct(raw(), tmp_path / 'out')
    nifti = nibabel.load(tmp_path / 'out' / 'image.nii.gz')
    np.testing.assert_allclose(nifti.header.get_zooms(), (1, 1.5, 7), rtol=1e-5)
    assert nifti.header.get_xyzt_units()[0] == 'mm'
    flip = np.diag([-1, -1, 1])
    for s in range(2):
        position = flip @ (np.array([1.0, 2.0, 3.0]) + 7 * s * DIRECTIONS[2].numpy())
        np.testing.assert_allclose((nifti.affine @ [N_X, N_Y, s, 1])[:3], position, atol=1e-3)
    np.testing.assert_allclose(nifti.affine[:3, 0], flip @ DIRECTIONS[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(nifti.affine[:3, 1], flip @ DIRECTIONS[1].numpy() * 1.5, atol=1e-5)


LINES = [[0, 3, 5, 7, 8, 9, 10, 11, 12, 14, 17, 19]] * 2


def test_undersampled_file_and_one_weight(raw: Raw, tmp_path: Path) -> None:
    file = raw(lines=LINES)
    report = reconstruct(file, tmp_path / 'learned')
    assert report['model'] == 'tv-variable-density'
    assert report['card'] == {'purpose': 'test of tv-variable-density'}
    assert report['sampled_fraction'] == pytest.approx(12 / 20)
    assert report['settings']['upsample'] == 1

    options = ['--weight', '0.5', '--noise-std', '0.1', '--tolerance', '1e-4', '--max-iterations', '500', '--complex']
    report = reconstruct(file, tmp_path / 'scalar', *options)
    assert report['noise_std'] == 0.1
    assert report['card'] == {}
    assert not list((tmp_path / 'scalar').glob('lambda_map*'))
    kdata = read(file)
    expected = AdaptiveTotalVariationReconstruction(
        kdata, csm=None, regularization_dim=(-2, -1), regularization_weight=0.05, tolerance=1e-4, max_iterations=500
    )(kdata).data[:, 0, 0]
    np.testing.assert_allclose(image(tmp_path / 'scalar'), expected.abs(), rtol=1e-4, atol=1e-5)
    complex_image = nibabel.load(tmp_path / 'scalar' / 'image_complex.nii.gz')
    np.testing.assert_allclose(np.asarray(complex_image.dataobj).T, expected, rtol=1e-4, atol=1e-5)


def test_missed_tolerance_is_stated(raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = reconstruct(raw(), tmp_path / 'out', '--tolerance', '1e-9', '--max-iterations', '10', '--upsample', '1')
    assert not report['certificate']['tolerance_reached']
    assert 'maximum number of iterations: THE TOLERANCE 1e-09 WAS NOT REACHED' in capsys.readouterr().out


def test_noise_measurement_of_coils(raw: Raw, tmp_path: Path) -> None:
    """Several acquisitions of noise whiten together; without them the noise level is estimated."""
    noise = 0.05 * RandomGenerator(seed=2).complex64_tensor((5, 3, 40), amplitude=1.0)
    file = raw(simulate(n_coils=3), noise=noise)
    report = reconstruct(file, tmp_path / 'white', '--weight', '1')
    assert (report['prewhitened'], report['noise_std'], report['settings']['csm']) == (True, 1, 'walsh')
    assert report['image_shape'][1] == 1
    assert image(tmp_path / 'white').shape == (2, N_Y, N_X)
    report = reconstruct(file, tmp_path / 'raw', '--weight', '1', '--noise-file', 'none', '--csm', 'none')
    assert (report['prewhitened'], report['image_shape'][1]) == (False, 3)
    assert image(tmp_path / 'raw').shape == (2, N_Y, N_X)
    assert report['noise_std'] < 0.2
    file.rename(tmp_path / 'noise.h5')
    report = reconstruct(raw(simulate(n_coils=3)), tmp_path / 'c', '--weight', '1', '--noise-file', f'{tmp_path}/noise.h5')
    assert report['prewhitened']
    np.testing.assert_allclose(image(tmp_path / 'c'), image(tmp_path / 'white'), rtol=1e-4)


def test_readout_oversampling_is_removed(raw: Raw, tmp_path: Path) -> None:
    report = reconstruct(raw(simulate(n_x=2 * N_X)), tmp_path / 'over', '--weight', '0.3', '--noise-std', '0.05')
    assert report['shape'] == [2, 1, 1, N_Y, N_X]
    (tmp_path / 'scan.h5').unlink()
    reconstruct(raw(), tmp_path / 'once', '--weight', '0.3', '--noise-std', '0.05')
    np.testing.assert_allclose(image(tmp_path / 'over'), image(tmp_path / 'once'), atol=0.15)


def test_trajectory_of_the_file(raw: Raw, tmp_path: Path) -> None:
    options = ['--weight', '0.3', '--noise-std', '0.05', '--tolerance', '1e-4']
    file = raw(trajectory=True, lines=LINES)
    reconstruct(file, tmp_path / 'cartesian', *options)
    report = reconstruct(file, tmp_path / 'ismrmrd', *options, '--trajectory', 'ismrmrd')
    assert report['sampled_fraction'] == pytest.approx(12 / 20)
    np.testing.assert_allclose(image(tmp_path / 'ismrmrd'), image(tmp_path / 'cartesian'), rtol=1e-4, atol=1e-5)


def no_solve(*_: object, **__: object) -> None:
    raise AssertionError('a computation was started')


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail with one line and without a computation, and return the line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LearnedReconstruction, 'solve', no_solve)
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
        (['--model', 'nonsense'], "no weights 'nonsense'; there are .'tv-low-field', 'tv-variable-density'."),
        (['--model', 'missing.safetensors'], 'missing.safetensors'),
        (['--noise-file', 'missing.h5'], 'There is no file missing.h5'),
        (['--noise-std', '0'], 'noise-std: must be finite and above 0, got 0'),
        (['--noise-std', 'nan'], 'noise-std: must be finite'),
        (['--weight', '-1'], 'weight: must be finite and at least 0, got -1'),
        (['--weight', 'inf'], 'weight: must be finite'),
        (['--tolerance', 'abc'], "tolerance: invalid number value: 'abc'"),
        (['--max-iterations', '0'], 'max-iterations: must be finite and at least 1'),
        (['--max-iterations', '1.5'], "max-iterations: invalid number value: '1.5'"),
        (['--upsample', '0.5'], 'upsample: must be finite and at least 1, got 0.5'),
        (['--weight', '1', '--model', 'tv-low-field'], 'not allowed with argument'),
        (['--csm', 'espirit'], "invalid choice: 'espirit'"),
    ],
)
def test_invalid_options(
    options: list[str], message: str, raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = fails(capsys, 'reconstruct', raw(), '--output', tmp_path / 'a' / 'out', *options)
    assert __import__('re').search(message, error), error
    assert nothing_is_left(tmp_path)
