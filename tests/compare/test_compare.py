"""Comparisons from a configuration to the report, and what can go wrong before and on the way."""

import csv
import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mrpro_lambda.cli import main
from mrpro_lambda.compare import CompareConfig, compare, list_configurations
from mrpro_lambda.compare.Results import Results
from mrpro_lambda.compare.write_text import write_text
from mrpro_lambda.models import SplittingModel
from mrpro_lambda.pretrained import load_weights

from tests.compare.conftest import CONFIG, write_images


def table(folder: Path) -> list[dict[str, str]]:
    """Rows of the table without time and memory, which no two runs share."""
    with (folder / 'table.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in ('seconds', 'memory_mib')} for row in rows]


def changed(folder: Path, *changes: tuple[str, str], add: str = '') -> CompareConfig:
    """The configuration with other texts in it."""
    text = CONFIG
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / 'changed.toml').write_text(text + add)
    return CompareConfig.from_toml(folder / 'changed.toml')


class Killed(BaseException):
    """As good as SIGKILL for what is on the disk."""


def die(*_: object) -> None:
    raise Killed


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Kill the next run before its write of some number, of those that are complete or not there."""

    def at(number: int) -> None:
        count = [0]

        def dies(path: Path, text: str) -> None:
            count[0] += 1
            if count[0] > number:
                path.with_name(path.name + '.partial').write_text(text[: len(text) // 2])
                raise Killed
            write_text(path, text)

        monkeypatch.setattr('mrpro_lambda.compare.Results.write_text', dies)

    return at


def test_killed_after_each_write(folder: Path, kill: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods, two samples: a run that dies after each of its writes, and in the training, has the same table."""
    config = CompareConfig.from_toml(folder / 'config.toml')
    with monkeypatch.context() as patch:  # all steps are done, the weights are not there
        patch.setattr('mrpro_lambda.training.train.save_weights', die)
        with pytest.raises(Killed):
            compare(config, folder / 'killed')
    assert (folder / 'killed' / 'methods' / 'TV-Lambda' / 'last.ckpt').exists()
    for number in (1, 2, 2, 2):  # the configuration, and one more
        kill(number)
        with pytest.raises(Killed):
            compare(config, folder / 'killed', resume=True)
    assert len(list((folder / 'killed' / 'results').rglob('*.json'))) == 3
    monkeypatch.undo()
    compare(config, folder / 'killed', resume=True)
    compare(config, folder / 'alone')
    assert table(folder / 'killed') == table(folder / 'alone')
    assert len(table(folder / 'alone')) == 2
    paths = {path.relative_to(folder / 'alone') for path in (folder / 'alone' / 'results').rglob('*')}
    assert {path.relative_to(folder / 'killed') for path in (folder / 'killed' / 'results').rglob('*')} == paths
    before = {path: path.stat().st_mtime_ns for path in (folder / 'alone' / 'results').rglob('*.json')}
    assert compare(config, folder / 'alone', resume=True) == folder / 'alone' / 'report.html'
    assert {path: path.stat().st_mtime_ns for path in (folder / 'alone' / 'results').rglob('*.json')} == before


def test_report_opens_offline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file, with all pictures and nothing from elsewhere; the command says where."""
    assert main(['compare', '--config', str(folder / 'config.toml'), '--output', str(folder / 'out'), '--quiet']) == 0
    assert main(['compare', '--config', str(folder / 'config.toml'), '--output', str(folder / 'out')]) == 2
    assert 'must be empty, or give resume' in capsys.readouterr().err
    page = (folder / 'out' / 'report.html').read_text('utf-8')
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page) == []
    assert page.count('<img') == len(list((folder / 'out' / 'pictures').iterdir())) == 2
    assert '<script' not in page
    text = (folder / 'out' / 'table.md').read_text('utf-8')
    assert [line for line in text.splitlines() if line.startswith('## ')] == [
        '## squares',
        '## squares: differences',
        '## Methods',
        '## Time and memory',
    ]
    assert '| TV-Lambda | train | 490 | 3 steps of 2, learning rate 0.001 |' in text


def test_other_configurations(folder: Path) -> None:
    """A folder takes more methods and tests later, but none that differ from those that are there."""
    config = changed(folder)
    config = dataclasses.replace(config, methods=config.methods[:1])
    compare(config, folder / 'out')
    section = "\n[[methods]]\nname = 'TV'\nkind = 'scalar'\nn_weights = 3\nsearch_iterations = 2\nmax_iterations = 3\n"
    more = dataclasses.replace(changed(folder, add=section), baseline='TV')
    more = dataclasses.replace(more, methods=(more.methods[0], more.methods[2]))
    with pytest.warns(UserWarning, match='tuned weight of'):
        compare(more, folder / 'out', resume=True)
    assert [row['method'] for row in table(folder / 'out')] == ['zero-filled', 'TV']
    assert table(folder / 'out')[1]['psnr_difference'] == '0'
    compare(config, folder / 'out', resume=True)
    before = (folder / 'out' / 'table.csv').read_bytes()
    for changes, message in (
        ([('fraction = 0.5', 'fraction = 0.6')], r'training.sampling.fraction: 0.5 there, 0.6 given'),
        ([('validation_noise = [0.2]', 'validation_noise = [0.1]')], 'validation_noise'),
        ([("path = 'test.npy'", "path = 'test.npy'\nslices = [0]")], 'squares.images'),
    ):
        with pytest.raises(ValueError, match=f'another configuration, take another folder: .*{message}'):
            compare(changed(folder, *changes), folder / 'out', resume=True)
    write_images(folder, 'training', 4, 7)
    with pytest.raises(ValueError, match=r'another configuration.*images'):
        compare(config, folder / 'out', resume=True)
    assert (folder / 'out' / 'table.csv').read_bytes() == before
    with pytest.raises(ValueError, match='nothing to resume from'):
        compare(config, folder / 'nowhere', resume=True)
    (folder / 'filled').mkdir()
    (folder / 'filled' / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='no comparison to resume from'):
        compare(config, folder / 'filled', resume=True)


@pytest.mark.parametrize(
    ('changes', 'add', 'message'),
    [
        ([("title = 'Tiny'", "titel = 'Tiny'")], '', r"Unknown key\(s\) \['titel'\] in section \[top level\]"),
        ([('max_steps = 3', 'steps = 3')], '', r"Unknown key\(s\) \['steps'\] in section \[methods: TV-Lambda\]"),
        ([('n_features = 2', 'features_n = 2')], '', r"Unknown key\(s\) \['features_n'\] in section \[model\]"),
        ([("name = 'squares'", "name = 'squares'\ncoils = 2")], '', r"Unknown key\(s\) \['coils'\].*tests: squares"),
        ([("kind = 'zero-filled'", "kind = 'magic'")], '', r"kind in .* must be one of \['fit', .*, got 'magic'"),
        ([("name = 'zero-filled'", "name = 'TV-Lambda'")], '', 'names of methods must differ'),
        ([("name = 'zero-filled'", "name = '../up'")], '', 'name must be up to 64 letters'),
        ([("title = 'Tiny'", "baseline = 'TV'")], '', "baseline must be one of the methods.*got 'TV'"),
        (
            [("path = 'test.npy'", "path = 'training.npy'\nslices = [3]")],
            '',
            'persons of the test .* must not be among',
        ),
        (
            [("path = 'test.npy'", "path = 'copy.npy'")],
            '',
            'image of the test .*copy.npy is one of the training as well',
        ),
        ([("path = 'test.npy'", "path = 'none.npy'")], '', 'existing file'),
        ([('noise = [0.1, 0.3]', "noise = [0.1, 0.3]\npersons = 'a('")], '', 'persons must be a regular expression'),
        ([('crop = 16', 'crop = 16\nn_coils = [0]')], '', 'n_coils must be'),
        ([('batch_size = 2', "dictionaries = ['k16-9x9-medium']")], '', 'dictionaries must be given for a model'),
        ([], "[[methods]]\nname = 'V'\nkind = 'weights'\nweights = 'tv-medium'", 'There are no weights'),
        ([], "[[methods]]\nname = 'V'\nkind = 'weights'\ntrained = 'zero-filled'", 'must be one of the methods that'),
        ([], "[[methods]]\nname = 'V'\nkind = 'scalar'\nregularizer = 'cdl'", 'dictionary must be given with'),
        ([], "[[methods]]\nname = 'V'\nkind = 'train'", r'needs a section \[methods.model\]'),
        ([], "[[tests]]\nname = 'scans'\n[[tests.scans]]\npath = 'a.h5'\nreference = 'b.npy'", 'There is no file'),
        ([("[sampling]\nname = 'CentralBox'\nfraction = 0.5", '')], '', 'needs a sampling'),
    ],
)
def test_one_error_before_any_training(
    folder: Path, changes: list[tuple[str, str]], add: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong: nothing is written, the exit code is 2 and the message one line."""
    shutil.copy(folder / 'training.npy', folder / 'copy.npy')
    text = CONFIG
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / 'config.toml').write_text(text + add)
    assert main(['compare', '--config', str(folder / 'config.toml'), '--output', str(folder / 'out')]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(message, error)
    assert not (folder / 'out').exists()


def test_learning_rate_is_that_of_the_best_validation(folder: Path) -> None:
    """With the rate alone, the weights are the same; a rate that learns nothing is not chosen."""
    several = ('batch_size = 2', 'batch_size = 2\nlearning_rate = [1e-9, 0.01]\ntuning_steps = 2')
    compare(changed(folder, several), folder / 'several')
    assert ', learning rate 0.01 of 1e-09, 0.01 |' in (folder / 'several' / 'table.md').read_text()
    compare(changed(folder, ('batch_size = 2', 'batch_size = 2\nlearning_rate = 0.01')), folder / 'one')
    models = [
        load_weights(folder / name / 'methods' / 'TV-Lambda' / 'weights.safetensors')[0] for name in ('several', 'one')
    ]
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize('network', ['scae', 'snlae', 'gan'])
def test_splitting_is_trained_as_all_others(folder: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a choice of the rate, and from the last loop after it was killed."""
    model = (
        '[methods.model]\nn_features = 2\nn_resolutions = 2\npadding = 3\nn_iterations = 4\nmax_iterations = 5\n',
        f"learning_rate = [1e-9, 0.01]\ntuning_steps = 2\n[methods.model]\nmethod = 'splitting'\n"
        f"network = '{network}'\n"
        'features = [4]\npatch_size = 4\nn_loops = 2\nsolver_iterations = 3\nimage_steps = 2\n',
    )
    name = ("name = 'TV-Lambda'", "name = 'splitting'")
    size = ("path = 'test.npy'\n", "path = 'test.npy'\nsize = 16\n")  # of whole patches
    config = changed(folder, name, model, size)
    compare(config, folder / 'alone')
    invert, n_calls = SplittingModel.invert, [0]

    def dies(self: SplittingModel, measured: object, img: object, dual: object, loop: int) -> torch.Tensor:
        n_calls[0] += loop == 1
        if n_calls[0] > 12:  # in the second loop of the second rate
            raise Killed
        return invert(self, measured, img, dual, loop)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(SplittingModel, 'invert', dies)
        with pytest.raises(Killed):
            compare(config, folder / 'killed')
    rates = folder / 'killed' / 'methods' / 'splitting rates'
    assert (rates / '1e-09' / 'weights.safetensors').exists()
    assert (rates / '0.01' / 'last.ckpt').exists()
    assert not (rates / '0.01' / 'weights.safetensors').exists()
    compare(config, folder / 'killed', resume=True)
    assert table(folder / 'killed') == table(folder / 'alone')
    assert [row['method'] for row in table(folder / 'alone')] == ['zero-filled', 'splitting']


def test_tests_of_the_same_images_are_paired(folder: Path) -> None:
    """Levels of noise and numbers of coils share image, phase and pattern; the table tells the changes."""
    more = "\n[[tests]]\nname = 'coils'\nn_coils = 3\nnoise = [0.1, 0.2]\n[[tests.images]]\npath = 'test.npy'\n"
    config = changed(folder, add=more)
    one, many = (list(test.samples()) for test in config.tests)
    assert [s.noise for s in many] == [0.1, 0.1, 0.2, 0.2]
    torch.testing.assert_close(one[0].target, many[2].target, rtol=0, atol=0)
    assert many[0].data.shape[1] == 3
    config = dataclasses.replace(config, methods=config.methods[:1])
    compare(config, folder / 'out')
    text = (folder / 'out' / 'table.md').read_text()
    assert '## Robustness: PSNR' in text
    rows = {(row['test'], row['noise']): float(row['psnr']) for row in table(folder / 'out')}
    assert set(rows) == {('squares', 'all'), ('coils', 'all'), ('coils', '0.1'), ('coils', '0.2')}
    np.testing.assert_allclose(rows['coils', 'all'], (rows['coils', '0.1'] + rows['coils', '0.2']) / 2, rtol=1e-5)


def test_configurations_that_ship(capsys: pytest.CaptureFixture[str]) -> None:
    """Each can be read, and names its methods once."""
    names = list_configurations()
    assert len(names) >= 1
    for name in names:
        config = CompareConfig.from_toml(name, 'nowhere')
        assert config.title
        assert config.tests
    assert main(['compare', '--list']) == 0
    assert all(name in capsys.readouterr().out for name in list(names)[:1])
    assert main(['compare', '--config', 'low-feild', '--output', 'out']) == 2
    assert 'one of the configurations that ship' in capsys.readouterr().err
    assert main(['compare', '--config', next(iter(names))]) == 2
    assert 'Give --config and --output, or --list.' in capsys.readouterr().err


def test_damaged_results(folder: Path) -> None:
    config = CompareConfig.from_toml(folder / 'config.toml')
    config = dataclasses.replace(config, methods=config.methods[:1])
    compare(config, folder / 'out')
    (path, *_) = (folder / 'out' / 'results').rglob('*.json')
    path.write_text('{"psnr": ')
    with pytest.raises(ValueError, match='is damaged, remove it'):
        compare(config, folder / 'out', resume=True)
    path.unlink()
    compare(config, folder / 'out', resume=True)
    (folder / 'out' / 'configuration.json').write_text('{')
    with pytest.raises(ValueError, match='is damaged: start anew'):
        Results(folder / 'out', config).check(resume=True)
