"""Options of the command line from the annotated and documented fields of a dataclass."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mrpro_lambda.cli.command import completes_files


def add_fields(
    command: argparse.ArgumentParser,
    cls: type,
    metavars: Mapping[str, str],
    choices: Mapping[str, Sequence[str]],
    exclusive: Sequence[str],
) -> None:
    """Add an option for each field of a dataclass: ``max_iterations: int`` becomes ``--max-iterations N``.

    The help is the documentation of the field. Options that are not given are not set.

    Parameters
    ----------
    command
        Parser of the command.
    cls
        Dataclass.
    metavars
        Names of values, by field.
    choices
        Values of fields that are annotated as text, by field.
    exclusive
        Fields of which one may be given.

    Raises
    ------
    TypeError
        If the type of a field can not be given on a command line.
    """
    hints, texts = get_type_hints(cls, include_extras=True), field_documentation(cls)
    group = command.add_mutually_exclusive_group()
    for field in dataclasses.fields(cls):
        options = _options(field.name, hints[field.name])
        if field.name in choices:
            options['choices'] = tuple(choices[field.name])
        if field.name in metavars:
            options['metavar'] = metavars[field.name]
        text = texts.get(field.name, '')
        if field.default not in (None, False):
            text += f' Default: {field.default}.'
        target = group if field.name in exclusive else command
        action = target.add_argument(
            f'--{field.name.replace("_", "-")}',
            dest=field.name,
            default=argparse.SUPPRESS,
            help=text.strip().replace('%', '%%'),
            **options,
        )
        if Path in alternatives(hints[field.name]):
            completes_files(action)


def given_fields(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """Return the fields that were given as options."""
    names = [field.name for field in dataclasses.fields(cls) if hasattr(args, field.name)]
    values = {name: getattr(args, name) for name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def alternatives(hint: Any) -> list[Any]:  # noqa: ANN401
    """Return the types that an annotation allows, without `None` and the rules of numbers."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [found for arg in get_args(hint) for found in alternatives(arg)]
    return [] if hint is NoneType else [hint]


def field_documentation(cls: type) -> dict[str, str]:
    """Return the documentation of the fields of a dataclass and its bases, on one line and without markup."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for statement, following in pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(following, ast.Expr):
                continue
            if isinstance(following.value, ast.Constant) and isinstance(statement.target, ast.Name):
                texts[statement.target.id] = _plain(str(following.value.value))
    return texts


def _plain(text: str) -> str:
    """Return documentation as plain text, where `None` is the default."""
    text = re.sub(r'`~?(?:[\w.]+\.)?([^`]+)`', r'\1', ' '.join(text.split()))
    return text.replace('None:', 'Default:')


def _options(name: str, hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return how argparse reads the values of an annotation. Types that only Python can give are left out."""
    found = alternatives(hint)
    literals = [value for kind in found if get_origin(kind) is Literal for value in get_args(kind)]
    scalars = [kind for kind in (bool, int, float, str, Path) if kind in found]
    sequences = [kind for kind in found if get_origin(kind) is tuple]
    if sequences and not (literals or scalars):
        return _options(name, get_args(sequences[0])[0]) | {'nargs': '+'}
    if not (literals or scalars):
        raise TypeError(f'The field {name} can not be given on the command line: {hint}.')
    if scalars == [bool] and not literals:
        return {'action': argparse.BooleanOptionalAction}
    if literals and not scalars:
        return {'choices': tuple(literals)}
    kinds = [kind for kind in scalars if kind not in (bool, Path) or (kind is Path and str not in scalars)]
    if literals or len(kinds) > 1:
        return {'type': _reader(literals, kinds)}
    return {'type': kinds[0]}


def _reader(literals: Sequence[str], kinds: Sequence[type]) -> Callable[[str], Any]:
    """Return a function that reads one of some words, or else a value of the first type that can be."""

    def read(text: str) -> Any:  # noqa: ANN401
        if text in literals:
            return text
        for kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
        names = ['a number' for kind in kinds if kind in (int, float)][:1]
        rule = ' or '.join([*names, *([f'one of {", ".join(literals)}'] if literals else [])])
        raise argparse.ArgumentTypeError(f'must be {rule}, got {text!r}')

    return read
