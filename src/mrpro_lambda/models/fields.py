"""Types and ranges of the fields of configurations, which are checked as they are annotated."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar('T')

_NAMES: dict[Any, str] = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a finite number',
    str: 'text',
    Path: 'a path',
    slice: 'a table of start, stop and step',
}


@dataclass(frozen=True)
class Range:
    """Rule of a number, written next to it: ``batch_size: Annotated[int, Range(1)] = 4``."""

    low: float
    """Smallest value."""
    high: float = math.inf
    """Largest value."""
    above: bool = False
    """Whether the smallest value itself is not allowed."""

    def __contains__(self, value: float) -> bool:
        """Tell whether a number is within the range."""
        return self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        """Describe the range."""
        low = f'above {self.low:g}' if self.above else f'of at least {self.low:g}'
        return low if self.high == math.inf else f'{low} and at most {self.high:.10g}'


def check_fields(instance: Any) -> None:  # noqa: ANN401
    """Check that the fields of a dataclass have the types and ranges of their annotations.

    A list must not be empty, unless its default is.

    Raises
    ------
    ValueError
        If one has not; the message names field, rule and value.
    """
    hints = get_type_hints(type(instance), include_extras=True)
    for field in dataclasses.fields(instance):
        value, hint = getattr(instance, field.name), hints[field.name]
        if not _fits(value, hint):
            raise ValueError(f'{field.name} must be {_describe(hint)}, got {value!r:.200}.')
        if isinstance(value, tuple) and not value and field.default != ():
            raise ValueError(f'{field.name} must not be empty, got {value!r}.')


def dataclass_from_dict(cls: type[T], values: Mapping[str, Any], section: str) -> T:
    """Create a dataclass from a mapping.

    Lists become tuples.

    Raises
    ------
    ValueError
        If the values are no mapping, if a key is unknown or missing, or if a value is not valid.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'Section [{section}] must be a table, got {values!r:.200}.')
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f'Unknown key(s) {unknown} in section [{section}]; known are {sorted(fields)}.')
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f'Missing key(s) {missing} in section [{section}].')
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except ValueError as error:
        raise ValueError(f'Section [{section}]: {error}') from error


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401
    """Tell whether a value has the type and range of an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in (int, float) and isinstance(value, bool):
        return False
    if origin is Annotated:
        return _fits(value, args[0]) and all(value in rule for rule in args[1:])
    if origin in (Union, UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is tuple and args[1:] != (...,):
        return isinstance(value, tuple) and len(value) == len(args) and all(map(_fits, value, args))
    if origin in (tuple, Sequence):
        return isinstance(value, origin) and not isinstance(value, str) and all(_fits(x, args[0]) for x in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    if hint in (int, float):
        if isinstance(value, Integral):
            return abs(int(value)) <= sys.float_info.max
        return hint is float and isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:  # noqa: ANN401
    """Describe the values that an annotation allows."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return ' '.join([_describe(args[0]), *map(str, args[1:])])
    if origin in (Union, UnionType):
        return ' or '.join(_describe(arg) for arg in args if arg is not NoneType)
    if origin is Literal:
        return f'one of {list(args)}'
    if origin is tuple and args[1:] != (...,):
        return f'a list of {len(args)}: {", ".join(map(_describe, args))}'
    if origin in (tuple, Sequence):
        return f'a list, each {_describe(args[0])}'
    if origin is dict:
        return f'a table, each {_describe(args[1])}'
    return _NAMES.get(hint) or f'a section [{hint.__name__}]'
