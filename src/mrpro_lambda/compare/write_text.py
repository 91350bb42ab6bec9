"""Text files that are complete or not there."""

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file, which takes the place of an earlier one when it is complete.

    Parameters
    ----------
    path
        File; folders on the way are made.
    text
        Content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, 'utf-8')
    partial.replace(path)
