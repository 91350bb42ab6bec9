"""Tests of the command line: signals, exit codes, and results that are not finite."""

import contextlib
import importlib
import json
import math
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro.data import CsmData, IData, KData
from mrpro_lambda.cli import main
from mrpro_lambda.reconstruction import LearnedReconstruction

from tests.raw_file import WriteRaw, simulate_kspace, write_raw
from tests.test_cli import fails, nothing_is_left


@pytest.fixture
def raw(tmp_path: Path) -> WriteRaw:
    return partial(write_raw, tmp_path / 'scan.h5')


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_nothing(
    raw: WriteRaw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    handler = signal.getsignal(number)
    monkeypatch.setattr('mrpro_lambda.cli.reconstruct.write_report', lambda *_: os.kill(os.getpid(), number))
    assert main(['reconstruct', str(raw()), '--output', str(tmp_path / 'a' / 'out'), '--weight', '1']) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert nothing_is_left(tmp_path)
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize('error', [ValueError, TypeError, None])
def test_signals_that_a_library_swallows(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
    error: type[Exception] | None,
) -> None:
    """The exit code is that of the signal, whatever a library makes of its exception."""

    def swallow(*_: object, **__: object) -> dict:
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            os.kill(os.getpid(), number)
        if error is not None:
            raise error('expected str')
        return {}

    monkeypatch.setattr('mrpro_lambda.cli.demo.run_demo', swallow)
    assert main(['demo']) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ignored_signals_stay_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a process in the background."""

    def demo(*_: object, **__: object) -> dict:
        os.kill(os.getpid(), signal.SIGINT)
        return {}

    monkeypatch.setattr('mrpro_lambda.cli.demo.run_demo', demo)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert main(['demo']) == 0
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize(('code', 'expected'), [(None, 1), ('text', 1), (0, 0), (7, 7)])
def test_exit_codes_of_others(monkeypatch: pytest.MonkeyPatch, code: Any, expected: int) -> None:
    """What ends without a number is no success."""

    def leave(*_: object, **__: object) -> None:
        raise SystemExit(code)

    monkeypatch.setattr('mrpro_lambda.cli.demo.run_demo', leave)
    assert main(['demo']) == expected


@pytest.mark.parametrize('part', ['img', 'lambda_map'])
def test_results_that_are_not_finite(
    raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    solve = LearnedReconstruction.solve

    def broken(self: LearnedReconstruction, kdata: KData) -> Any:
        result = solve(self, kdata)
        (result.solution.img if part == 'img' else result.lambda_map).view(-1)[0] = torch.nan
        return result

    monkeypatch.setattr(LearnedReconstruction, 'solve', broken)
    assert main(['reconstruct', str(raw()), '--output', str(tmp_path / 'out'), '--weight', '1']) == 2
    name = 'image' if part == 'img' else 'map'
    assert f'error: The {name} must be finite, got 1 NaN or Inf in shape' in capsys.readouterr().err
    assert nothing_is_left(tmp_path)


def test_coil_sensitivities_that_are_not_finite(
    raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(idata: IData) -> CsmData:
        csm = CsmData.from_idata_walsh(idata)
        csm.data[:, 0] = torch.nan
        return csm

    module = importlib.import_module('mrpro_lambda.coil_maps.find_coil_maps')
    monkeypatch.setitem(module._METHODS, 'walsh', broken)
    file = raw(simulate_kspace(n_coils=2))
    error = fails(capsys, 'reconstruct', file, '--output', tmp_path / 'out', '--csm', 'walsh', '--weight', '1')
    assert 'csm must be finite, got' in error
    assert nothing_is_left(tmp_path)


def test_certificate_that_is_not_finite(raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missing in the report, and no tolerance is reached."""
    solve = LearnedReconstruction.solve

    def broken(self: LearnedReconstruction, kdata: KData) -> Any:
        result = solve(self, kdata)
        objective, gap = torch.tensor([math.nan]), torch.tensor([math.inf])
        solution = result.solution._replace(objective=objective, gap=gap, relative_gap=math.nan)
        return result._replace(solution=solution._replace(reason='maximum number of iterations'))

    monkeypatch.setattr(LearnedReconstruction, 'solve', broken)
    arguments = ['reconstruct', str(raw()), '--output', str(tmp_path / 'out'), '--weight', '1']
    assert main(arguments) == 3
    text = (tmp_path / 'out' / 'report.json').read_text('utf-8')
    certificate = json.loads(text, parse_constant=pytest.fail)['certificate']
    assert [certificate[key] for key in ('objective', 'gap', 'relative_gap')] == [[None], [None], None]
    assert not certificate['tolerance_reached']


def test_tolerance_that_is_reached_by_an_estimate_only(
    raw: WriteRaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said on both streams and in the report, and is not called reached."""
    solve = LearnedReconstruction.solve

    def estimated(self: LearnedReconstruction, kdata: KData) -> Any:
        result = solve(self, kdata)
        solution = result.solution._replace(relative_gap=0.3, relative_estimate=4e-3)
        return result._replace(solution=solution._replace(reason='estimate within the tolerance'))

    monkeypatch.setattr(LearnedReconstruction, 'solve', estimated)
    assert main(['reconstruct', str(raw()), '--output', str(tmp_path / 'out'), '--weight', '1']) == 0
    certificate = json.loads((tmp_path / 'out' / 'report.json').read_text('utf-8'))['certificate']
    assert (certificate['relative_gap'], certificate['relative_estimate']) == (0.3, 4e-3)
    assert not certificate['tolerance_reached']
    found = capsys.readouterr()
    assert 'NOT PROVEN' in found.out
    assert found.err == 'mrpro-lambda: warning: the tolerance is reached by an estimate and not proven\n'
