"""Tests of the progress on stderr."""

import sys
from itertools import pairwise

import pytest
from mrpro_lambda import progress
from mrpro_lambda.progress import Progress


class Clock:
    """Time that passes as it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, 'time', clock)
    return clock


def test_lines_of_a_log(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """One for more than 5 s or a tenth of the time, and the last."""
    with Progress(10000, 'Steps', start=2) as shown:
        for _ in range(998):
            clock.now += 1
            shown.update(1, {'loss': f'{clock.now:g}'})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == 'Steps: 8 of 10000, loss 6, 6 s'
    assert lines[1] == 'Steps: 14 of 10000, loss 12, 12 s'
    assert lines[-1] == 'Steps: 1000 of 10000, loss 998, 998 s'
    seconds = [float(line.split()[-2]) for line in lines]
    assert all(b - a > max(5, 0.1 * b) for a, b in pairwise(seconds[:-1]))
    assert len(lines) < 40


def test_last_line_comes_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1, 'Steps') as shown:
        clock.now += 10
        shown.update()
    assert capsys.readouterr().err == 'Steps: 1 of 1, 10 s\n'


def test_nothing_is_shown_unless_asked(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for in_terminal in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.stderr, 'isatty', lambda value=in_terminal: value, raising=False)
            with Progress(10, 'Steps', show=False) as shown:
                clock.now += 100
                shown.update(5)
    assert capsys.readouterr().err == ''


def test_bar_of_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    with Progress(10, 'Steps', start=3) as shown:
        shown.update(2, {'gap': '0.5'})
    error = capsys.readouterr().err
    assert error.startswith('\rSteps:  30%')
    assert '\n' not in error
