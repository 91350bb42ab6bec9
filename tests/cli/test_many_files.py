"""Tests of the command line with several files: each gets its result, and one that fails does not stop the others."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from mrpro_lambda.cli import main
from mrpro_lambda.reconstruction import LearnedReconstruction

from tests.raw_file import LINES, write_raw

OPTIONS = ('--weight', '0.5', '--noise-std', '0.1', '--csm', 'none', '--phase', 'off')


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time."""
    monkeypatch.setattr('mrpro_lambda.cli.reconstruct.write_images', lambda *_, **__: True)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Folder with two scans, a file that is none, and something else."""
    folder = tmp_path / 'scans'
    folder.mkdir()
    write_raw(folder / 'b.h5', lines=LINES)
    write_raw(folder / 'c.mrd')
    (folder / 'a.h5').write_text('no raw data')
    (folder / 'notes.txt').write_text('text')
    return folder


def run(*arguments: object) -> int:
    return main(['reconstruct', *map(str, arguments), *OPTIONS])


def summary(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / 'summary.csv').open(newline='') as file:
        return {Path(row['file']).name: row for row in csv.DictReader(file)}


def test_folder(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each raw data file has a folder of its name, and the summary tells what failed."""
    output = tmp_path / 'out'
    assert run(scans, '--output', output) == 2
    assert sorted(path.name for path in output.iterdir()) == ['b', 'c', 'summary.csv']
    rows = summary(output)
    assert list(rows) == ['a.h5', 'b.h5', 'c.mrd']
    assert [row['status'] for row in rows.values()] == ['failed', 'done', 'done']
    assert [row['code'] for row in rows.values()] == ['2', '0', '0']
    assert 'is no ISMRMRD file' in rows['a.h5']['message']
    for name in ('b', 'c'):
        report = json.loads((output / name / 'report.json').read_text('utf-8'))
        (row,) = (row for key, row in rows.items() if key.startswith(name))
        assert float(row['relative_gap']) == report['certificate']['relative_gap']
        assert (row['model'], row['message']) == (report['model'], 'tolerance reached')
    found = capsys.readouterr()
    assert found.err.startswith(f'mrpro-lambda: error: {scans / "a.h5"}: ')
    assert len(found.err.splitlines()) == 1
    assert [line.split()[:2] for line in found.out.splitlines()[1:4]] == [
        [str(scans / 'a.h5'), 'failed'],
        [str(scans / 'b.h5'), 'done'],
        [str(scans / 'c.mrd'), 'done'],
    ]


def test_one_file_and_several_give_the_same(scans: Path, tmp_path: Path) -> None:
    """Up to the folder; a folder with one file is as several."""
    assert run(scans / 'b.h5', '--output', tmp_path / 'one') == 0
    assert run(scans / 'b.h5', scans / 'c.mrd', '--output', tmp_path / 'two') == 0
    (scans / 'a.h5').unlink()
    (scans / 'c.mrd').unlink()
    assert run(scans, '--output', tmp_path / 'folder') == 0
    reports = [json.loads((tmp_path / name / 'report.json').read_text()) for name in ('one', 'two/b', 'folder/b')]
    for report in reports:
        del report['seconds']
    assert reports[0] == reports[1] == reports[2]


@pytest.mark.parametrize(
    ('codes', 'expected'), [((0, 0), 0), ((0, 3), 3), ((3, 2), 2), ((2, 1), 1), ((1, 3), 1), ((3, 0), 3)]
)
def test_exit_code_is_the_worst(
    codes: tuple[int, int], expected: int, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    solve, calls = LearnedReconstruction.solve, iter(codes)

    def outcome(self: LearnedReconstruction, kdata: Any) -> Any:
        code = next(calls)
        if code in (1, 2):
            raise {1: TypeError, 2: ValueError}[code]('broken')
        result = solve(self, kdata)
        reason: Any = 'maximum number of iterations' if code == 3 else 'tolerance reached'
        return result._replace(solution=result.solution._replace(reason=reason))

    monkeypatch.setattr(LearnedReconstruction, 'solve', outcome)
    assert run(scans / 'b.h5', scans / 'c.mrd', '--output', tmp_path / 'out') == expected
    assert [int(row['code']) for row in summary(tmp_path / 'out').values()] == list(codes)
    error = capsys.readouterr().err
    assert error.count('the tolerance was not reached') == codes.count(3)
    assert ('Traceback' in error) == (1 in codes)


def test_resume(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is done stays as it is, what failed is tried again, and other settings are an error."""
    output = tmp_path / 'out'
    assert run(scans, '--output', output) == 2
    before = (output / 'b' / 'report.json').read_bytes()
    (scans / 'a.h5').unlink()
    write_raw(scans / 'a.h5', lines=LINES)
    assert run(scans, '--output', output) == 2  # without the option nothing is written over
    assert run(scans, '--output', output, '--resume') == 0
    assert [row['status'] for row in summary(output).values()] == ['done', 'skipped', 'skipped']
    assert (output / 'b' / 'report.json').read_bytes() == before

    capsys.readouterr()
    assert run(scans, '--output', output, '--resume', '--tolerance', '0.005') == 2
    assert "other settings, it differs in ['tolerance = 0.005', 'tolerance = 0.01']" in capsys.readouterr().err
    assert (output / 'b' / 'report.json').read_bytes() == before
    (output / 'c' / 'report.json').write_text('{')
    assert run(scans, '--output', output, '--resume') == 2
    assert 'report.json is damaged: remove' in capsys.readouterr().err
    os.utime(scans / 'b.h5', (4e9, 4e9))
    assert run(scans, '--output', output, '--resume') == 2
    assert 'holds the result of another or an earlier file b.h5' in capsys.readouterr().err


def test_resume_of_one_file(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of the result, also if it was computed before."""
    arguments = (scans / 'b.h5', '--output', tmp_path / 'out', '--tolerance', '1e-9', '--max-iterations', '10')
    assert run(*arguments) == 3
    assert run(*arguments) == 2
    capsys.readouterr()
    assert run(*arguments, '--resume') == 3
    assert 'skipped         as it was done before' in capsys.readouterr().out
    assert run(scans / 'c.mrd', *arguments[1:], '--resume') == 2
    assert 'holds the result of another' in capsys.readouterr().err


def test_interrupt_keeps_what_is_done(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if a library swallows the exception of the signal, and makes an error of it."""
    solve, calls = LearnedReconstruction.solve, iter(range(10))

    def interrupted(self: LearnedReconstruction, kdata: Any) -> Any:
        if next(calls) == 1:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ValueError('swallowed') from None
        return solve(self, kdata)

    monkeypatch.setattr(LearnedReconstruction, 'solve', interrupted)
    (scans / 'a.h5').unlink()
    write_raw(scans / 'd.h5')
    assert run(scans, '--output', tmp_path / 'out') == 130
    assert next(calls) == 2
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['b', 'summary.csv']
    assert [row['status'] for row in summary(tmp_path / 'out').values()] == ['done']
    assert run(scans, '--output', tmp_path / 'out', '--resume') == 0
    assert [row['status'] for row in summary(tmp_path / 'out').values()] == ['skipped', 'done', 'done']


def test_files_of_one_name_in_several_folders(tmp_path: Path) -> None:
    """Their folders tell them apart, as few as that takes."""
    for folder in ('x/first', 'x/second', 'y/first'):
        (tmp_path / folder).mkdir(parents=True)
        write_raw(tmp_path / folder / 'scan.h5', lines=LINES)
    assert run(tmp_path / 'x' / 'first', tmp_path / 'x' / 'second', '--output', tmp_path / 'a') == 0
    assert {path.name for path in (tmp_path / 'a').iterdir()} == {'first-scan', 'second-scan', 'summary.csv'}
    assert run(tmp_path / 'x' / 'first', tmp_path / 'y' / 'first', '--output', tmp_path / 'b') == 0
    assert {path.name for path in (tmp_path / 'b').iterdir()} == {'x-first-scan', 'y-first-scan', 'summary.csv'}


def test_input_that_can_not_be_meant(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is computed."""
    (tmp_path / 'empty').mkdir()
    (scans / 'b.mrd').write_text('')
    twice = 'Files must have different names without their endings, which their results get, got'
    for arguments, message in (
        ((tmp_path / 'empty',), 'must hold raw data that end with .h5, .hdf5, .mrd'),
        ((scans,), f'{twice} {scans / "b.mrd"} twice'),
        ((scans / 'b.h5', scans / 'b.h5'), f'{twice} {scans / "b.h5"} twice'),
    ):
        assert run(*arguments, '--output', tmp_path / 'out') == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    assert run(scans / 'b.h5', scans / 'c.mrd', '--output', scans) == 2
    assert 'The output folder must be empty or not exist, or give --resume' in capsys.readouterr().err
