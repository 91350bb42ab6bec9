"""Progress of a computation on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

_SECONDS = 5.0
_FRACTION = 0.1


class Progress:
    """Progress on stderr: a bar in a terminal, and plain lines in a log.

    Lines come at most every 5 s and, for what takes long, every tenth of the time that has passed, and at the end.
    """

    def __init__(self, total: int, name: str, *, show: bool = True, start: int = 0) -> None:
        """Initialize the progress, for use as a context.

        Parameters
        ----------
        total
            Number of steps.
        name
            What the steps are.
        show
            Whether it is shown.
        start
            Number of steps that are done already.
        """
        in_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=start, desc=name, disable=not (show and in_terminal), leave=False, file=sys.stderr
        )
        self._prints = show and not in_terminal
        self._name, self._total, self._done = name, total, start
        self._values: dict[str, str] = {}
        self._last = ''
        self._start = self._printed = time.monotonic()

    def update(self, n: int = 1, values: Mapping[str, str] | None = None) -> None:
        """Add steps, and show values by their names, such as a gap."""
        self._done += n
        self._values |= values or {}
        self._bar.set_postfix(self._values, refresh=n == 0)
        self._bar.update(n)
        now = time.monotonic()
        if now - self._printed > max(_SECONDS, _FRACTION * (now - self._start)):
            self._print()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Remove the bar, or print the last line."""
        self._bar.close()
        self._print()

    def _print(self) -> None:
        """Print a line, unless it would be the last one once more."""
        values = ''.join(f', {name} {value}' for name, value in self._values.items())
        text = f'{self._name}: {self._done} of {self._total}{values}'
        if self._prints and text != self._last:
            self._printed, self._last = time.monotonic(), text
            sys.stderr.write(f'{text}, {self._printed - self._start:.0f} s\n')
            sys.stderr.flush()
