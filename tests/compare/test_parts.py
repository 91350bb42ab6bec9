"""Persons, weights and tables of comparisons, and data of one's own."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.compare import CompareConfig, ComparedMethod, PretrainedMethod, ReferenceScan, ScalarMethod, compare
from mrpro_lambda.compare.fingerprint import described, fingerprint
from mrpro_lambda.compare.measures import comparable, measure
from mrpro_lambda.compare.Meter import Meter
from mrpro_lambda.compare.methods import Workplace
from mrpro_lambda.compare.persons import of_first_persons, persons_of
from mrpro_lambda.compare.tables import change_rows, difference, mean_of, table_csv
from mrpro_lambda.datasets import ImageSource
from mrpro_lambda.metrics import psnr
from mrpro_lambda.training import Images

from tests.compare.conftest import CONFIG, write_images


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Stack of images of three persons, A-1, A-2 and A-10, two of each."""
    images = RandomGenerator(0).float32_tensor((6, 8, 8), 0.1, 1.0).numpy()
    np.savez(tmp_path / 'named.npz', images=images, ids=[f'A-{n}-{k}' for n in (1, 2, 10) for k in 'ab'])
    return tmp_path / 'named.npz'


def test_persons(named: Path) -> None:
    """By id, by pattern, by slice; a volume is one person."""
    pattern = r'A-\d+'
    assert persons_of(ImageSource(named, ids=('A-1', 'A-10-b')), pattern) == ['A-1', 'A-1', 'A-10']
    assert len({*persons_of(ImageSource(named), None)}) == 6
    assert persons_of(ImageSource(named, slices=slice(4, None)), pattern) == ['A-10', 'A-10']
    assert persons_of(ImageSource(named, slices=[-1, 0]), pattern) == ['A-10', 'A-1']
    volume = named.with_name('6A.nii')
    volume.write_bytes(b'')
    assert len(persons_of(ImageSource(volume), None)) == 1
    assert persons_of(ImageSource(volume), r'\d[AB]') == ['6A']


def test_first_persons(named: Path) -> None:
    entries = (Images(ImageSource(named, ids=('A-2', 'A-10', 'A-1-a', 'A-1-b')), 3),)
    for n, ids in ((1, ['A-2']), (2, ['A-2', 'A-10']), (3, ['A-2', 'A-10', 'A-1-a', 'A-1-b'])):
        chosen = of_first_persons(entries, n, r'A-\d+')
        assert [name for entry in chosen for name in entry.source.ids or ()] == ids
        assert {entry.repeat for entry in chosen} == {3}
    with pytest.raises(ValueError, match='number of persons in the training, 3: 4'):
        of_first_persons(entries, 4, r'A-\d+')
    with pytest.raises(ValueError, match='n_persons needs entries of one person each'):
        of_first_persons((Images(ImageSource(named)),), 1, r'A-\d+')


def test_person_in_training_and_test(folder: Path, named: Path) -> None:
    """Other images of the same person, which only the pattern tells."""
    text = CONFIG.replace("path = 'training.npy'", "path = 'named.npz'\nids = ['A-1-a', 'A-2']")
    text = text.replace("path = 'test.npy'", "path = 'named.npz'\nids = ['A-1-b', 'A-10']")
    (folder / 'config.toml').write_text(text)
    CompareConfig.from_toml(folder / 'config.toml').check()
    (folder / 'config.toml').write_text("persons = 'A-\\d+'\n" + text)
    with pytest.raises(ValueError, match=r"persons of the test 'squares' must not be .*\['A-1'\]"):
        CompareConfig.from_toml(folder / 'config.toml').check()
    assert named.parent == folder


def test_fingerprint(folder: Path) -> None:
    """It depends on content, not on where a file lies or how many processes work."""
    config = CompareConfig.from_toml(folder / 'config.toml')

    def identity(config: CompareConfig) -> str:
        return fingerprint(config.described())

    (folder / 'moved').mkdir()
    for name in ('training', 'test', 'config'):
        ending = '.toml' if name == 'config' else '.npy'
        (folder / 'moved' / f'{name}{ending}').write_bytes((folder / f'{name}{ending}').read_bytes())
    assert identity(CompareConfig.from_toml(folder / 'moved' / 'config.toml')) == identity(config)
    settings = dataclasses.replace(config.training, n_workers=2)
    assert identity(dataclasses.replace(config, training=settings)) == identity(config)
    write_images(folder / 'moved', 'test', 2, 5)
    assert identity(CompareConfig.from_toml(folder / 'moved' / 'config.toml')) != identity(config)
    assert described(slice(1, None, 2)) == [1, None, 2]


def workplace(folder: Path) -> Workplace:
    return Workplace(CompareConfig.from_toml(folder / 'config.toml').training, folder / 'methods')


def test_tuned_weight_is_the_best_on_training_images(folder: Path) -> None:
    """Not those of the test, and stored; the best for the image itself is at least as good."""
    place = workplace(folder)
    tuned = ScalarMethod('TV', low=0.05, high=1.0, n_weights=5, search_iterations=30, n_tuning=3)
    samples = place.training.tuning_samples(3, 0.2)
    reconstruct = tuned.prepare(place)
    quality: dict[str, list[float]] = {name: [] for name in ('tuned', 'half', 'double', 'oracle')}
    oracle = dataclasses.replace(tuned, name='oracle', choice='oracle').prepare(place)
    for sample in samples:
        result = reconstruct(sample)
        weight = result.details['weight']
        images = {'tuned': result.img, 'oracle': oracle(sample).img}
        for name, factor in (('half', 0.5), ('double', 2.0)):
            other = dataclasses.replace(tuned, name=name)
            place.folder.joinpath(name).mkdir(exist_ok=True)
            text = f'[{{"noise": 0.2, "weight": {factor * weight}, "beta": 4.0, "psnr": 0}}]'
            place.folder.joinpath(name, 'tuned.json').write_text(text)
            images[name] = other.prepare(place)(sample).img
        for name, img in images.items():
            quality[name].append(psnr(img, sample.target).item())
    means = {name: np.mean(values) for name, values in quality.items()}
    assert means['tuned'] > max(means['half'], means['double'])
    assert means['oracle'] > means['tuned'] - 0.02
    assert 'tuned on training images' in str(tuned.described(place)['how'])


def test_weight_between_noise_levels(folder: Path) -> None:
    """Linear in the logarithms of both, at the ends that of the ends."""
    place = workplace(folder)
    place = place._replace(training=dataclasses.replace(place.training, validation_noise=(0.1, 0.4)))
    (place.folder / 'TV').mkdir(parents=True)
    rows = '[{"noise": 0.1, "weight": 0.2, "beta": 1, "psnr": 0}, {"noise": 0.4, "weight": 0.8, "beta": 2, "psnr": 0}]'
    (place.folder / 'TV' / 'tuned.json').write_text(rows)
    reconstruct = ScalarMethod('TV', max_iterations=1).prepare(place)
    for noise, expected in ((0.05, 0.2), (0.1, 0.2), (0.2, 0.4), (0.4, 0.8), (0.9, 0.8)):
        (sample,) = place.training.tuning_samples(1, noise)
        assert reconstruct(sample).details['weight'] == pytest.approx(expected)


def test_order_of_filters_does_not_matter_to_v3(folder: Path) -> None:
    """The theorem of the permutation table; V1, whose maps belong to the filters, changes."""
    place = workplace(folder)
    (sample,) = place.training.tuning_samples(1, 0.2)
    change = {}
    for version in ('v1', 'v3'):
        images = [
            PretrainedMethod('x', weights=f'cdl-{version}', permutation=seed, max_iterations=3).prepare(place)(sample)
            for seed in (None, 1)
        ]
        change[version] = (images[0].img - images[1].img).abs().max() / images[0].img.abs().max()
    assert change['v3'] < 1e-4 < 1e-3 < change['v1']


def test_tables() -> None:
    """Means over images with their standard errors, and paired differences."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 4, 3))  # methods, images, noise levels
    names = ('psnr', 'ssim', 'nrmse', 'blur', 'psnr_foreground', 'ssim_foreground', 'nrmse_foreground')

    def records(of_method: np.ndarray) -> list[dict]:
        return [
            {
                'image': i,
                'truth': str(i),
                'noise': noise,
                'seconds': 1.0,
                'memory': None,
                **dict.fromkeys(names, of_method[i, k]),
            }
            for k, noise in enumerate((0.1, 0.2, 0.3))
            for i in range(4)
        ]

    collected = {'test': {'a': records(values[0]), 'b': records(values[1])}}
    found = difference(collected['test']['b'], collected['test']['a'], 'psnr')
    paired = (values[1] - values[0]).mean(1)
    assert found == pytest.approx((paired.mean(), paired.std(ddof=1) / 2))
    lines = [line.split(',') for line in table_csv(collected, 'a').splitlines()]
    assert [line[:4] for line in lines[1:3]] == [['test', 'all', 'a', '4'], ['test', 'all', 'b', '4']]
    assert len(lines) == 1 + 2 * 4
    np.testing.assert_allclose(float(lines[2][4]), values[1].mean(), rtol=1e-5)
    np.testing.assert_allclose(float(lines[3][5]), values[0, :, 0].std(ddof=1) / 2, rtol=1e-5)
    assert np.isnan(mean_of([1.0]).error)
    shorter = {**collected, 'other': {name: rows[:1] for name, rows in collected['test'].items()}}
    assert len(change_rows(shorter, 'psnr')) == 3
    again = {**collected, 'other': {name: [dict(row) for row in rows] for name, rows in collected['test'].items()}}
    assert change_rows(again, 'psnr')[1][2] == '+0.00 (0.00)'
    for rows in again['other'].values():
        for row in rows:
            row['truth'] = 'other'
    assert change_rows(again, 'psnr')[1][2] != '+0.00 (0.00)'


def test_magnitudes_are_compared_up_to_a_factor() -> None:
    rng = RandomGenerator(0)
    img = rng.complex64_tensor((1, 1, 1, 9, 9))
    found, target = comparable(3 * img, img.abs())
    torch.testing.assert_close(found, target)
    assert comparable(3 * img, img)[0] is not None
    torch.testing.assert_close(comparable(3 * img, img)[0], 3 * img)


def test_memory_of_what_is_done() -> None:
    """A hundred mebibytes more are seen, if the system tells."""
    with Meter('cpu') as small:
        torch.zeros(10)
    with Meter('cpu') as large:
        torch.zeros(100 * 2**18).add_(1)
    assert large.seconds > 0
    if small.memory is None or large.memory is None:
        pytest.skip('the system does not tell')
    assert 90 < large.memory - small.memory < 200


def test_folder_of_images_in_ten_lines(tmp_path: Path) -> None:
    """Each file of a folder is read; ten lines are a comparison."""
    for name in ('train', 'test'):
        (tmp_path / name).mkdir()
        for i in range(2):
            write_images(tmp_path / name, f'{name}-{i}', 1, seed=10 * i + len(name))
    text = """
    images = [{path = 'train'}]
    sampling = {name = 'CentralBox', fraction = 0.5}
    validation_noise = [0.2]
    [[tests]]
    name = 'mine'
    images = [{path = 'test'}]
    [[methods]]
    name = 'zero-filled'
    kind = 'zero-filled'
    """
    (tmp_path / 'mine.toml').write_text(text)
    config = CompareConfig.from_toml(tmp_path / 'mine.toml')
    assert [Path(entry.source.path).name for entry in config.training.images] == ['train-0.npy', 'train-1.npy']
    assert len(list(config.tests[0].samples())) == 2
    compare(config, tmp_path / 'out')
    assert len((tmp_path / 'out' / 'table.csv').read_text().splitlines()) == 2
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'mine.toml').write_text(text.replace("path = 'test'", "path = 'empty'"))
    with pytest.raises(ValueError, match='path must be a file, or a folder with files that end with'):
        CompareConfig.from_toml(tmp_path / 'mine.toml')


def test_raw_files_with_references(tmp_path: Path) -> None:
    """k-space of two coils with the images that it is of; a reference of another shape is an error before all."""
    rng = RandomGenerator(0)
    for folder in ('raw', 'references'):
        (tmp_path / folder).mkdir()
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing='ij')
    img = 1.0 * (x.square() + 2 * y.square() < 0.5)
    coils = torch.stack([1 + 0.5 * x, 1 - 0.5 * x]) * img
    for name in ('a', 'b'):
        kspace = torch.fft.fftshift(
            torch.fft.fft2(torch.fft.ifftshift(coils, dim=(-2, -1)), norm='ortho'), dim=(-2, -1)
        )
        kspace = kspace + 0.05 * rng.complex64_tensor((2, 32, 32))
        np.save(tmp_path / 'raw' / f'{name}.npy', kspace.to(torch.complex64).numpy())
        np.save(tmp_path / 'references' / f'{name}.npy', (7 * coils.square().sum(0).sqrt()).numpy())
    text = """
    [[tests]]
    name = 'mine'
    scans = [{path = 'raw', reference = 'references', noise_std = 0.05}]
    [[methods]]
    name = 'zero-filled'
    kind = 'zero-filled'
    """
    (tmp_path / 'mine.toml').write_text(text)
    config = CompareConfig.from_toml(tmp_path / 'mine.toml')
    samples = list(config.tests[0].samples())
    assert [sample.name for sample in samples] == ['a', 'b']
    for sample in samples:
        assert measure(sample.initial_image, sample)['psnr'] > 20
    np.save(tmp_path / 'references' / 'a.npy', np.ones((32, 30), np.float32))
    with pytest.raises(ValueError, match=r'must have the shape of the image of .*a\.npy, .*got \(32, 30\)'):
        compare(config, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    (tmp_path / 'references' / 'a.npy').write_bytes(b'no array')
    with pytest.raises(ValueError, match='can not be read as an image'):
        ReferenceScan(tmp_path / 'raw' / 'a.npy', tmp_path / 'references' / 'a.npy').sample(0)
    (tmp_path / 'references' / 'b.npy').unlink()
    with pytest.raises(ValueError, match=r'There is no reference for raw/b\.npy'):
        CompareConfig.from_toml(tmp_path / 'mine.toml')


def test_method_that_can_not_take_the_acquisition(folder: Path) -> None:
    """A model that refuses, in the training or in a test, is one error before any training."""
    sizes = "method = 'srdensenet'\nn_features = 2\ngrowth = 2\nn_layers = 2\nn_bottleneck = 2\n"
    text = CONFIG[: CONFIG.index('n_features = 2')] + sizes
    for old, new, where in (
        ('fraction = 0.5', 'fraction = 0.6', 'training'),
        ("name = 'squares'", "name = 'squares'\nsampling = {name = 'VariableDensityRandom'}", 'squares'),
    ):
        assert text.count(old) == 1
        (folder / 'config.toml').write_text(text.replace(old, new))
        config = CompareConfig.from_toml(folder / 'config.toml')
        with pytest.raises(ValueError, match=f"'TV-Lambda' can not take the acquisition of '{where}'"):
            compare(config, folder / 'out')
        assert not (folder / 'out').exists()


def test_kinds() -> None:
    """Each kind has a name of its own."""
    assert ComparedMethod.kinds().keys() == {'zero-filled', 'weights', 'scalar', 'fit', 'train'}


def test_coils_of_tests(folder: Path) -> None:
    """As many as the training has at most, unless a test says something else."""
    (folder / 'config.toml').write_text('n_coils = [1, 3]\n' + CONFIG)
    (test,) = CompareConfig.from_toml(folder / 'config.toml').tests
    assert next(test.samples()).data.shape[1] == 3
    assert next(dataclasses.replace(test, n_coils=2).samples()).data.shape[1] == 2


def test_noise_of_phase_encodings_is_whitened(tmp_path: Path) -> None:
    """As in reconstructions: data and acquisition are weighted where the air of a scan tells, and still fit."""
    rng = RandomGenerator(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing='ij')
    img = 1.0 * (4 * x.square() + 3 * y.square() < 0.5)
    kspace = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(img), norm='ortho'))
    level = torch.linspace(0.02, 0.2, 64)[:, None]
    np.save(tmp_path / 'a.npy', (kspace + level * rng.complex64_tensor((64, 64)))[None].to(torch.complex64).numpy())
    np.save(tmp_path / 'b.npy', img.numpy())
    sample = ReferenceScan(tmp_path / 'a.npy', tmp_path / 'b.npy').sample(0)
    ratio = (sample.data.abs().mean(-1) / sample.data.abs().mean()).flatten()
    plain = (torch.from_numpy(np.load(tmp_path / 'a.npy')).abs().mean(-1) / np.abs(np.load(tmp_path / 'a.npy')).mean())[
        0
    ]
    assert (ratio / plain).max() / (ratio / plain).min() > 2
    residual = sample.acquisition_op(sample.initial_image)[0] - sample.data
    assert residual.abs().max() < 1e-4 * sample.data.abs().max()
