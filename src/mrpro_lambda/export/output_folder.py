"""A folder that appears complete or not at all."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != 'win32':
    import fcntl


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """Provide a temporary folder that takes the place of `path` at the end.

    If the block raises an exception, which includes an interrupt from the keyboard, nothing is left. What a process
    that was killed left is removed by the next one that writes the same folder.

    Parameters
    ----------
    path
        Folder to write. It must be empty or not exist.

    Yields
    ------
        Temporary folder beside `path`.

    Raises
    ------
    ValueError
        If `path` is a file or a folder that is not empty.
    """
    path = Path(path).resolve()
    _check_empty(path)
    new_parents = [parent for parent in path.parents if not parent.exists()]  # the innermost first
    path.parent.mkdir(parents=True, exist_ok=True)
    for entry in path.parent.glob(f'.{glob.escape(path.name)}-{"[0-9a-f]" * 8}'):
        if (handle := _lock(entry)) is not None:
            shutil.rmtree(entry, ignore_errors=True)
            os.close(handle)
    temporary = path.with_name(f'.{path.name}-{secrets.token_hex(4)}')
    temporary.mkdir()
    lock = _lock(temporary)
    try:
        yield temporary
        _check_empty(path)
        if not path.exists():
            temporary.rename(path)
        else:  # perhaps the working directory or a mount point, which can not be replaced
            for entry in sorted(temporary.iterdir()):
                shutil.move(entry, path / entry.name)
            temporary.rmdir()
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # another process may have used a new folder in the meantime
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the process ends, however it ends; `None` if another process holds it or it can not be."""
    if sys.platform == 'win32':
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


def _check_empty(path: Path) -> None:
    """Raise an error if a folder can not be written."""
    if path.exists() and not path.is_dir():
        raise ValueError(f'The output folder must be empty or not exist: {path} is a file.')
    if path.exists() and any(path.iterdir()):
        raise ValueError(f'The output folder must be empty or not exist: {path} is not empty.')
