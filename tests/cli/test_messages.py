"""Tests of what the command line says on its way: progress, messages of the logger, quiet, and completion."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mrpro_lambda.cli import main

from tests.raw_file import LINES, write_raw

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Reconstruct a small file; the output folder is another one in each call."""
    monkeypatch.setattr('mrpro_lambda.cli.reconstruct.write_images', lambda *_, **__: True)
    file = write_raw(tmp_path / 'scan.h5', lines=LINES)
    options = ['--weight', '0.5', '--noise-std', '0.1', '--csm', 'none', '--phase', 'off']

    def reconstruct(*more: str) -> int:
        output = tmp_path / f'out {len(list(tmp_path.iterdir()))}'
        return main(['reconstruct', str(file), '--output', str(output), *options, *more])

    return reconstruct


def test_progress_without_a_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A line with iterations and gap if it is asked for, and nothing otherwise."""
    for options in ((), ('--progress', 'off'), ('--progress', 'on', '--quiet')):
        assert run(*options) == 0
        assert capsys.readouterr().err == ''
    assert run('--progress', 'on') == 0
    error = capsys.readouterr().err
    assert error.startswith('Iterations: ')
    assert ' of 1000, gap ' in error
    assert error.count('\n') == 1
    assert '\r' not in error


def test_progress_in_a_terminal(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar by default."""
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    assert run() == 0
    assert 'Iterations' in (error := capsys.readouterr().err)
    assert '\r' in error
    for options in (('--progress', 'off'), ('--quiet',)):
        assert run(*options) == 0
        assert capsys.readouterr().err == ''


def test_quiet_leaves_warnings(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run('--quiet') == 0
    assert capsys.readouterr() == ('', '')
    assert run('--quiet', '--tolerance', '1e-9', '--max-iterations', '10') == 3
    assert capsys.readouterr() == ('', 'mrpro-lambda: warning: the tolerance was not reached\n')


def test_levels_of_messages(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """More levels say more, each in a line; afterwards the logger is as before."""
    logger = logging.getLogger('mrpro_lambda')
    before = (logger.level, list(logger.handlers))
    lines = {}
    for level in ('error', 'warning', 'info', 'debug'):
        assert run('--log-level', level, '--tolerance', '1e-9', '--max-iterations', '20') == 3
        lines[level] = capsys.readouterr().err.splitlines()
    assert lines['error'] == []
    assert lines['warning'] == ['mrpro-lambda: warning: the tolerance was not reached']
    assert any(line.startswith('mrpro-lambda: info: reading ') for line in lines['info'])
    assert any(
        'info: total variation with 0.5 times the noise level, noise level 0.1' in line for line in lines['info']
    )
    assert any('info: scan.h5: The solver has not reached its tolerance' in line for line in lines['info'])
    assert sum('debug: ' in line and 'certified gap' in line for line in lines['debug']) == 2
    assert (logger.level, logger.handlers) == before


def test_rule_tells_the_weights_that_it_tries(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run('--weight', 'discrepancy', '--log-level', 'info') == 0
    lines = capsys.readouterr().err.splitlines()
    weights = [float(line.split(' of ')[1].split()[0]) for line in lines if 'info: weight of ' in line]
    assert len(weights) > 2
    assert weights[:3] == sorted(weights[:3], reverse=True)


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script names commands and options, and is one of its shell."""
    assert main(['completion', shell]) == 0
    script = tmp_path / 'script'
    script.write_text(text := capsys.readouterr().out)
    assert all(word in text for word in ('reconstruct', 'learn-dictionary', 'weight-unit', 'max-iterations'))
    if shutil.which(shell) is not None:
        subprocess.run([str(shutil.which(shell)), '-n', str(script)], check=True)  # noqa: S603


def test_completion_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options complete to their names and choices, and files to theirs."""
    bash = shutil.which('bash')
    if bash is None:
        pytest.skip('there is no bash')
    assert main(['completion', 'bash']) == 0
    (tmp_path / 'completion.sh').write_text(capsys.readouterr().out)
    (tmp_path / 'scan.h5').write_text('')

    def complete(*words: str) -> list[str]:
        line = ' '.join(f"'{word}'" for word in ('mrpro-lambda', *words))
        setting = f'COMP_WORDS=({line}); COMP_CWORD={len(words)}'
        code = f'source ./completion.sh; {setting}; _shtab_mrpro_lambda; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run([bash, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.split()

    assert complete('recon') == ['reconstruct']
    assert complete('reconstruct', '--weight-u') == ['--weight-unit']
    assert complete('reconstruct', '--weight-unit', '') == ['noise', 'image']
    assert complete('reconstruct', 'sc') == complete('reconstruct', '--output', 'sc') == ['scan.h5']


def test_completion_without_shtab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'shtab', None)
    assert main(['completion', 'bash']) == 2
    assert "pip install 'mrpro-lambda[completion]'" in capsys.readouterr().err
