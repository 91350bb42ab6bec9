"""Tests of the output folder."""

import shutil
from pathlib import Path

import pytest
from mrpro_lambda.export import output_folder


def write(folder: Path) -> None:
    (folder / 'a').mkdir()
    (folder / 'a' / 'b').write_text('text')


@pytest.mark.parametrize('exists', [False, True])
def test_folder_appears_at_the_end(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / 'new' / 'out'
    if exists:
        output.mkdir(parents=True)
    with output_folder(output) as folder:
        write(folder)
        assert folder.parent == output.parent
        assert not output.exists() or not any(output.iterdir())
    assert (output / 'a' / 'b').read_text() == 'text'
    assert [p.name for p in output.parent.iterdir()] == ['out']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with output_folder(tmp_path / 'new' / 'newer' / 'out') as folder:
            write(folder)
            raise error

    with pytest.raises(error):
        interrupted()
    assert not any(tmp_path.iterdir())


def test_folders_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """Those of a run that goes on, and what only looks like one, stay."""
    (tmp_path / '.out-0123abcd' / 'a').mkdir(parents=True)
    (tmp_path / '.out-notes').mkdir()
    (tmp_path / '.outer-0123abcd').mkdir()
    with output_folder(tmp_path / 'out') as first:
        assert not (tmp_path / '.out-0123abcd').exists()
        with pytest.raises(ValueError, match='not empty'), output_folder(tmp_path / 'out') as second:  # noqa: PT012
            assert first != second
            write(first)
            (tmp_path / 'out').mkdir()
            write(tmp_path / 'out')
        assert first.exists()
        shutil.rmtree(tmp_path / 'out')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.out-notes', '.outer-0123abcd', 'out']


def test_folder_that_fills_up_in_the_meantime_is_kept(tmp_path: Path) -> None:
    def late() -> None:
        with output_folder(tmp_path / 'out') as folder:
            write(folder)
            (tmp_path / 'out').mkdir()
            (tmp_path / 'out' / 'other').write_text('keep')

    with pytest.raises(ValueError, match='not empty'):
        late()
    assert [p.name for p in tmp_path.iterdir()] == ['out']
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['other']
