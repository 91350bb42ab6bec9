"""Tests of settings files, and of the options that are made of the fields of the settings."""

import argparse
import dataclasses
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from mrpro_lambda.cli import main
from mrpro_lambda.cli.annotations import add_fields, field_documentation, given_fields
from mrpro_lambda.cli.RunSettings import RunSettings
from mrpro_lambda.models.fields import Range
from mrpro_lambda.reconstruct import Settings

from tests.raw_file import LINES, write_raw


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mrpro_lambda.cli.reconstruct.write_images', lambda *_, **__: True)


def run(file: Path, output: Path, *options: object) -> dict[str, Any]:
    assert main(['reconstruct', str(file), '--output', str(output), *map(str, options)]) == 0
    return json.loads((output / 'report.json').read_text('utf-8'))


def test_settings_of_a_result_repeat_it(tmp_path: Path) -> None:
    """From anywhere, for any file; options of the command line win."""
    file = write_raw(tmp_path / 'scan.h5', lines=LINES)
    given = ('--weight', '0.4', '--noise-std', '0.2', '--csm', 'none', '--phase', 'off', '--tolerance', '0.003')
    report = run(file, tmp_path / 'a', *given)
    settings = tmp_path / 'a' / 'settings.toml'
    repeated = run(file, tmp_path / 'b', '--settings', settings)
    for key in set(report) - {'seconds'}:
        assert repeated[key] == report[key]
    assert (tmp_path / 'b' / 'settings.toml').read_text() == settings.read_text()
    assert tomllib.loads(settings.read_text())['weight'] == 0.4
    other = run(file, tmp_path / 'c', '--settings', settings, '--weight', '0.8', '--trajectory', 'auto')
    assert other['model'] == 'total variation with 0.8 times the noise level'
    assert other['settings'] == report['settings'] | {'weight': 0.8}
    assert report['settings'].keys() >= {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('tolerence = 0.1', r"Unknown key\(s\) \['tolerence'\] .*; known are .*'tolerance'"),
        ('tolerance = "small"', "tolerance must be a finite number above 0, got 'small'"),
        ('max_iterations = 0', 'max_iterations must be an integer of at least 1, got 0'),
        ('csm = "best"', "csm must be one of .*, got 'best'"),
        ('weight = 1\nmodel = "tv-low-field"', 'either model or weight'),
        ('weight = ', 'is no TOML file'),
        ('[tolerance]\nvalue = 1', 'tolerance must be a finite number above 0'),
        ('trajectory = 3', 'trajectory must be text, got 3'),
    ],
)
def test_invalid_settings(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names file and key, before anything is read."""
    settings = tmp_path / 'settings.toml'
    settings.write_text(text)
    assert main(['reconstruct', 'missing.h5', '--output', str(tmp_path / 'out'), '--settings', str(settings)]) == 2
    error = capsys.readouterr().err
    assert re.search(rf'error: .*{re.escape(str(settings))}.*{message}', error), error
    assert error.count('\n') == 1
    settings.unlink()
    assert main(['reconstruct', 'missing.h5', '--output', str(tmp_path / 'out'), '--settings', str(settings)]) == 2
    assert 'settings.toml' in capsys.readouterr().err


def test_text_of_settings_is_read_back(tmp_path: Path) -> None:
    """Whatever the values are; names of files become absolute, and those in a file are relative to its folder."""
    for settings in (
        RunSettings(),
        RunSettings(method='cdl', weight='sure', dictionary='a"b\\c\x7f\n.safetensors', complex=True),
        RunSettings(weight=3, weight_unit='image', noise_std=1e-9, tolerance=1e-30, trajectory='ismrmrd'),
    ):
        path = tmp_path / 'settings.toml'
        path.write_text(settings.to_toml(), 'utf-8')
        assert RunSettings.from_toml(path) == settings
    (tmp_path / 'weights.safetensors').write_text('')
    path.write_text('model = "weights.safetensors"\nnoise_file = "none"\n')
    found = RunSettings.from_toml(path)
    assert (found.model, found.noise_file) == (str(tmp_path / 'weights.safetensors'), 'none')
    assert tomllib.loads(found.to_toml())['model'] == str(tmp_path / 'weights.safetensors')


def test_what_is_given_wins_over_what_it_excludes() -> None:
    with_weight = RunSettings(weight=2.0, weight_unit='image', tolerance=0.1)
    assert with_weight.replaced_by({'model': 'tv-low-field'}) == RunSettings(model='tv-low-field', tolerance=0.1)
    with_model = RunSettings(model='tv-low-field')
    assert with_model.replaced_by({'weight': 'sure'}) == RunSettings(weight='sure')
    assert with_weight.replaced_by({}) == with_weight
    with pytest.raises(ValueError, match='either model or weight'):
        with_weight.replaced_by({'model': 'tv-low-field', 'weight': 1.0})


def test_each_field_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    """With its documentation as help."""
    assert main(['reconstruct', '--help']) == 0
    text = ' '.join(capsys.readouterr().out.split())
    documentation = field_documentation(RunSettings)
    for field in dataclasses.fields(RunSettings):
        assert f'--{field.name.replace("_", "-")}' in text
        assert documentation[field.name].replace('- ', '-')[:30] in text
    assert set(documentation) >= {field.name for field in dataclasses.fields(Settings)}


@dataclass
class Example:
    """Fields of all kinds."""

    count: Annotated[int, Range(1)] | None = None
    """How many. `None`: all of `~mrpro_lambda.all.of_them`, 100 %."""
    ratio: float = 0.5
    """Ratio."""
    name: str | Path | None = None
    path: Path | None = None
    kind: Literal['a', 'b'] = 'a'
    number: Annotated[float, Range(0)] | Literal['auto'] = 'auto'
    maps: Literal['none'] | Path | dict | None = None
    region: tuple[int, ...] = ()
    flag: bool = False


def read(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_fields(parser, Example, {}, {}, ())
    return given_fields(parser.parse_args(arguments), Example)


def test_options_of_all_kinds_of_fields() -> None:
    assert read() == {}
    for arguments, expected in (
        (('--count', '3'), {'count': 3}),
        (('--ratio', '2'), {'ratio': 2.0}),
        (('--name', 'x', '--path', 'y'), {'name': 'x', 'path': Path('y')}),
        (('--kind', 'b', '--number', 'auto'), {'kind': 'b', 'number': 'auto'}),
        (('--number', '1e-3', '--maps', 'none'), {'number': 1e-3, 'maps': 'none'}),
        (('--maps', 'maps.h5'), {'maps': Path('maps.h5')}),
        (('--region', '1', '2', '--flag'), {'region': (1, 2), 'flag': True}),
        (('--no-flag',), {'flag': False}),
    ):
        found = read(*arguments)
        assert found == expected
        assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]
    for arguments in (('--count', '1.5'), ('--kind', 'c'), ('--number', 'x'), ('--region', 'x')):
        with pytest.raises(argparse.ArgumentError):
            read(*arguments)
    assert field_documentation(Example) == {'count': 'How many. Default: all of of_them, 100 %.', 'ratio': 'Ratio.'}


def test_field_that_only_python_can_give() -> None:
    @dataclass
    class Bad:
        """No text is a dictionary."""

        table: dict

    with pytest.raises(TypeError, match='The field table can not be given on the command line'):
        add_fields(argparse.ArgumentParser(), Bad, {}, {}, ())
