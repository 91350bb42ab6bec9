"""Names of methods and tests, which are those of folders as well."""

import re


def check_name(field: str, name: str) -> None:
    """Raise an error unless a name can be that of a folder.

    Parameters
    ----------
    field
        Name of the field in the message.
    name
        Name.
    """
    if not re.fullmatch(r'[^\W_][\w .,+=()-]{0,63}', name) or name.endswith((' ', '.')):
        raise ValueError(
            f'{field} must be up to 64 letters, digits, spaces and characters of ".,+=()-_", beginning with a letter '
            f'or digit, got {name!r}.'
        )
