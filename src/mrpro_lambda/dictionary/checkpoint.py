"""Checkpoints that are complete or not there, and that know what they are of."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_LOGS = ('csv', 'tensorboard')


def find_checkpoint(path: Path, *, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, `None` if there is none to go on from.

    Whatever is interrupted before its first checkpoint leaves logs and partial files at most. They count as nothing, so
    that it can be started again as well as resumed.

    Parameters
    ----------
    path
        File of the checkpoint in the folder of the output.
    resume
        Whether to go on.

    Raises
    ------
    ValueError
        If the folder holds something else without `resume`, or with it something else than a checkpoint, or is missing.
    """
    output = path.parent
    if output.exists() and not output.is_dir():
        raise ValueError(f'The output must be a folder: {output} is a file.')
    if resume and path.exists():
        return path
    entries = output.iterdir() if output.exists() else iter(())
    is_empty = all(entry.name in _LOGS or entry.suffix == '.partial' for entry in entries)
    if resume and not (is_empty and output.exists()):
        raise ValueError(f'There is no checkpoint to resume from: {path} does not exist.')
    if not is_empty:
        raise ValueError(f'The output folder must be empty, or give resume: {output} is not.')
    return None


def save_checkpoint(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint, which takes the place of an earlier one when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    torch.save(dict(content), partial)
    partial.replace(path)


def load_checkpoint(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint that has an entry `parameters`.

    Parameters
    ----------
    path
        File.
    parameters
        What the result depends on, to be equal to that of the checkpoint.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is damaged, or is that of other parameters.
    """
    try:
        with zipfile.ZipFile(path) as file:  # torch does not look at the checksums
            if (damaged := file.testzip()) is not None:
                raise ValueError(f'wrong checksum of {damaged}')
        content = torch.load(path, map_location='cpu', weights_only=True)
        found = dict(content['parameters'])
    except Exception as error:
        raise ValueError(
            f'{path} is damaged or no checkpoint of this version, so that nothing can be resumed ({error!r:.200}): '
            'start anew in another folder.'
        ) from error
    different = {k: (found.get(k), parameters.get(k)) for k in {**found, **parameters}}
    different = {k: v for k, v in different.items() if v[0] != v[1]}
    if different:
        raise ValueError(f'The checkpoint {path} is that of other parameters (there, given): {different}.')
    return content
