"""Types and ranges of the fields of configurations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from mrpro_lambda.models.fields import Range, check_fields, dataclass_from_dict


@dataclass(frozen=True)
class Part:
    size: Annotated[int, Range(1)] = 1

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Config:
    """A field of each kind."""

    count: Annotated[int, Range(1, 8)] = 2
    rate: Annotated[float, Range(0, above=True)] = 0.5
    flag: bool = False
    name: str = 'a'
    kind: Literal['x', 'y'] = 'x'
    pair: tuple[float, float] = (0.0, 1.0)
    counts: tuple[Annotated[int, Range(0)], ...] = (1,)
    names: tuple[str, ...] = ()
    limit: Annotated[int, Range(0)] | None = None
    either: float | tuple[float, float] = 1.0
    card: dict[str, str] | None = None
    path: str | Path = 'a'
    selected: Sequence[int] | slice | None = None
    part: Part = Part()

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    'values',
    [
        {},
        {'count': 8, 'rate': 1, 'pair': [0, 1e300], 'counts': [0, 5], 'names': [], 'limit': 0},
        {'either': [1, 2], 'card': {'a': 'b'}, 'path': Path('b'), 'selected': [1, -2], 'part': Part(3)},
        {'count': np.int64(3), 'rate': np.float32(0.5), 'selected': slice(2)},
    ],
)
def test_valid_values(values: dict[str, Any]) -> None:
    config = dataclass_from_dict(Config, values, 'section')
    for name, value in values.items():
        assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ('name', 'value', 'rule'),
    [
        ('count', 0, 'an integer of at least 1 and at most 8'),
        ('count', 9, 'an integer of at least 1 and at most 8'),
        ('count', 2.0, 'an integer'),
        ('count', True, 'an integer'),
        ('count', '2', 'an integer'),
        ('rate', 0, 'a finite number above 0'),
        ('rate', math.nan, 'a finite number'),
        ('rate', math.inf, 'a finite number'),
        ('rate', 10**400, 'a finite number'),
        ('rate', True, 'a finite number'),
        ('flag', 1, 'true or false'),
        ('name', 1, 'text'),
        ('kind', 'z', r"one of \['x', 'y'\]"),
        ('kind', [], r"one of \['x', 'y'\]"),
        ('pair', [1], 'a list of 2: a finite number, a finite number'),
        ('pair', [1, 2, 3], 'a list of 2'),
        ('pair', [1, 'a'], 'a list of 2'),
        ('pair', {}, 'a list of 2'),
        ('counts', 1, 'a list, each an integer of at least 0'),
        ('counts', [1, -1], 'a list, each an integer of at least 0'),
        ('counts', [[1]], 'a list'),
        ('counts', [], 'not be empty'),
        ('names', 'abc', 'a list, each text'),
        ('limit', -1, 'an integer of at least 0, got -1'),
        ('either', [1], 'a finite number or a list of 2'),
        ('card', {'a': 1}, 'a table, each text'),
        ('path', 3, 'text or a path'),
        ('selected', 'abc', 'a list, each an integer or a table of start, stop and step'),
        ('selected', [0.5], 'a list, each an integer'),
        ('part', {'size': 1}, r'a section \[Part\]'),
    ],
)
def test_invalid_values(name: str, value: object, rule: str) -> None:
    """One line names section, key, rule and value."""
    with pytest.raises(ValueError, match=rf'^Section \[top\]: {name} must (be )?{rule}') as caught:
        dataclass_from_dict(Config, {name: value}, 'top')
    shown = tuple(value) if isinstance(value, list) else value
    assert f'{shown!r}'[:100] in str(caught.value)
    assert len(str(caught.value)) < 400


def test_invalid_mappings() -> None:
    wrong: list[Any] = [3, [{}], 'text', None]
    for values in wrong:
        with pytest.raises(ValueError, match=r'Section \[top\] must be a table, got'):
            dataclass_from_dict(Config, values, 'top')
    with pytest.raises(ValueError, match=r"Unknown key\(s\) \['siz'\] in section \[part\]; known are \['size'\]"):
        dataclass_from_dict(Part, {'siz': 1}, 'part')
