"""Whose images are read, so that nobody is among training and test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mrpro_lambda.datasets import ImageSource, read_images
from mrpro_lambda.training.TrainingConfig import Images

_VOLUMES = ('.mat', '.nii', '.nii.gz')


def persons_of(source: ImageSource, pattern: str | None) -> list[str]:
    """Return the person of each image that is selected of a file.

    A volume is one person. Images of a stack, `.npy` or `.npz`, may be of different ones: each is taken for a person
    of its own unless the pattern tells.

    Parameters
    ----------
    source
        File and selection.
    pattern
        Regular expression that is searched in the path with the id of an image after it; what it matches is the person.

    Raises
    ------
    ValueError
        If the file can not be read.
    """
    path = Path(source.path)
    if not path.is_file():
        raise ValueError(f'path must be an existing file, got {path}.')
    place = path.resolve().as_posix()
    if place.lower().endswith(_VOLUMES):
        return [_person(place, place, pattern)]
    try:
        content = np.load(path, mmap_mode='r', allow_pickle=False)
        stack = content if isinstance(content, np.ndarray) else content['images']
        ids = None if isinstance(content, np.ndarray) or 'ids' not in content else [str(i) for i in content['ids']]
    except Exception as error:  # the libraries have many kinds of it for a file that is damaged
        raise ValueError(f'{path} can not be read: {error}') from error
    n_images = stack.shape[source.axis or 0] if stack.ndim == 3 else 1
    numbers = list(range(n_images))
    if source.ids is not None and ids is not None:
        starts = tuple(source.ids)
        numbers = [i for i in numbers if any(re.match(re.escape(s) + r'($|[^0-9a-zA-Z])', ids[i]) for s in starts)]
    elif isinstance(source.slices, slice):
        numbers = numbers[source.slices]
    elif source.slices is not None:
        numbers = [numbers[i] for i in source.slices if -n_images <= i < n_images]
    names = [str(i) for i in numbers] if ids is None else [ids[i] for i in numbers]
    return [_person(f'{place}/{name}', f'{place}/{name}', pattern) for name in names]


def _person(place: str, otherwise: str, pattern: str | None) -> str:
    """Return what a pattern matches, or else something unique."""
    found = None if pattern is None else re.search(pattern, place)
    return otherwise if found is None else found[0]


def of_first_persons(entries: Sequence[Images], n_persons: int, pattern: str | None) -> tuple[Images, ...]:
    """Return the entries of the first persons in the order of the list, those of ids taken apart.

    Parameters
    ----------
    entries
        Images.
    n_persons
        Number of persons.
    pattern
        As in `persons_of`.

    Raises
    ------
    ValueError
        If there are fewer persons, or if an entry that can not be taken apart has images of several.
    """
    parts = [
        replace(entry, source=replace(entry.source, ids=ids))
        for entry in entries
        for ids in ([None] if entry.source.ids is None else [(name,) for name in entry.source.ids])
    ]
    owners = [sorted({*persons_of(part.source, pattern)}) for part in parts]
    for part, persons in zip(parts, owners, strict=True):
        if len(persons) > 1:
            raise ValueError(
                f'n_persons needs entries of one person each, {part.source.path} has images of {len(persons)}: give '
                'ids, or a pattern for persons.'
            )
    order = list(dict.fromkeys(person for persons in owners for person in persons))
    if len(order) < n_persons:
        raise ValueError(f'n_persons must be at most the number of persons in the training, {len(order)}: {n_persons}.')
    chosen = {*order[:n_persons]}
    return tuple(part for part, persons in zip(parts, owners, strict=True) if chosen & {*persons})


def check_apart(training: Iterable[Images], tests: Iterable[tuple[str, Iterable[Images]]], pattern: str | None) -> None:
    """Check that no person of the tests is in the training, and no image by another name.

    Parameters
    ----------
    training
        Images of training and validation.
    tests
        Names of tests with their images.
    pattern
        As in `persons_of`.

    Raises
    ------
    ValueError
        If a person or an image is in both.
    """
    training = list(training)
    known = {person for entry in training for person in persons_of(entry.source, pattern)}
    seen = {key: entry.source.path for entry in training for key in map(_content, read_images(entry.source))}
    for name, entries in tests:
        for entry in entries:
            if common := sorted(known & {*persons_of(entry.source, pattern)}):
                raise ValueError(
                    f'The persons of the test {name!r} must not be among those of training and validation, '
                    f'{len(common)} are: {common[:3]} of {entry.source.path}.'
                )
            for key in map(_content, read_images(entry.source)):
                if key in seen:
                    raise ValueError(
                        f'An image of the test {name!r} in {entry.source.path} is one of the training as well, in '
                        f'{seen[key]}.'
                    )


def _content(image: torch.Tensor) -> str:
    """Return a hash of an image."""
    return hashlib.sha256(image.numpy().tobytes() + repr(image.shape).encode()).hexdigest()
