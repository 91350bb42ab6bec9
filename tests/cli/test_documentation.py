"""The pages of the documentation name all commands, options, settings and extras."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
from mrpro_lambda.cli import main
from mrpro_lambda.cli.RunSettings import RunSettings

ROOT = Path(__file__).parents[2]
COMMANDS = ('demo', 'reconstruct', 'train', 'compare', 'learn-dictionary', 'list', 'completion')


def page(name: str) -> str:
    path = ROOT / 'docs' / 'source' / name
    if not path.exists():
        pytest.skip('the sources have no documentation')
    return path.read_text('utf-8')


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    (names,) = re.findall(r'COMMAND\n((?:    .*\n)+)', capsys.readouterr().out)
    assert set(re.findall(r'^    ([a-z-]+)\b', names, re.MULTILINE)) == set(COMMANDS)
    for command in COMMANDS:
        assert re.search(rf'^## {command}$', page('command_line.md'), re.MULTILINE)


@pytest.mark.parametrize('command', COMMANDS)
def test_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = page('command_line.md')
    assert main([command, '--help']) == 0
    options = set(re.findall(r'--[a-z][a-z-]+', capsys.readouterr().out)) - {'--help'}
    assert options >= {'--debug', '--log-level'}
    assert sorted(option for option in options if not re.search(rf'`{option}[ `]', text)) == []


def test_settings() -> None:
    rows = re.findall(r'^\| `--([a-z-]+)', page('command_line.md'), re.MULTILINE)
    names = [field.name.replace('_', '-') for field in dataclasses.fields(RunSettings)]
    assert set(names) <= set(rows)


def test_extras() -> None:
    """With what they install."""
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))['project']['optional-dependencies']
    rows = dict(re.findall(r'^\| `([a-z]+)` \| (.*?) \|', page('installation.md'), re.MULTILINE))
    assert set(rows) == set(extras)
    for name in ('plot', 'demo', 'train', 'completion', 'benchmark'):
        packages = [re.split(r'[>=<]', text)[0] for text in extras[name]]
        expanded = [
            re.split(r'[>=<]', inner)[0]
            for text in packages
            for inner in (extras['plot'] if text == 'mrpro-lambda[plot]' else [text])
        ]
        assert rows[name].split(', ') == expanded
