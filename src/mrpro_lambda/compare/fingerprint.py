"""What a configuration consists of, so that results are not mistaken for those of another one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any


def described(value: Any, free: frozenset[str] = frozenset()) -> Any:  # noqa: ANN401
    """Return a configuration in types that JSON knows. Files are known by their content.

    Parameters
    ----------
    value
        Dataclass, or a value of a field.
    free
        Names of fields of the dataclass that do not matter.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in free]
        return {'': type(value).__name__} | {name: described(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): described(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [described(entry) for entry in value]
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    if isinstance(value, Path):
        return f'{value.name} {_content(str(value), value.stat().st_mtime_ns)}' if value.is_file() else str(value)
    return value


def fingerprint(*parts: Any) -> str:  # noqa: ANN401
    """Return a hash of descriptions, see `described`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def differences(found: Any, given: Any, name: str = '') -> list[str]:  # noqa: ANN401
    """Return the names of the keys in which two descriptions differ, with both values."""
    if isinstance(found, dict) and isinstance(given, dict):
        keys = sorted({*found, *given})
        return [
            text for key in keys for text in differences(found.get(key), given.get(key), f'{name}.{key}'.strip('.'))
        ]
    return [] if found == given else [f'{name}: {found!s:.80} there, {given!s:.80} given']


@lru_cache(maxsize=1024)
def _content(path: str, changed: int) -> str:  # noqa: ARG001
    """Return a hash of the content of a file, once as long as it does not change."""
    with Path(path).open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()[:16]
