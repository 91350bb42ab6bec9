"""Dictionaries that ship with the package, and dictionaries in files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_FOLDER = Path(__file__).parents[1] / 'dictionaries'
_SHA256: dict[str, str] = {}


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Filters of a sparse convolutional model of images, and what they were learned with."""

    filters: torch.Tensor
    """Filters of unit norm, shape `(n_filters, ky, kx)`, those that are used most first. They follow the convention of
    `~mrpro_lambda.operators.ConvolutionalDictionaryOp`."""
    sparsity: float
    """Weight of the sparsity, for images with a maximum of 1."""
    beta: float
    """Strength of the low-pass filter that gives the part of an image that the filters do not model."""
    card: dict[str, str] = field(default_factory=dict)
    """Purpose, training data and their license, and how well it codes other images."""


def list_dictionaries() -> dict[str, dict[str, str]]:
    """List the dictionaries that ship with the package.

    Returns
    -------
        Cards by name. A name such as `k32-9x9-medium` tells number and size of the filters and the sparsity that they
        were learned with.
    """
    return {name: _read(_path(name)).card for name in _SHA256}


def load_dictionary(name_or_path: str | Path) -> Dictionary:
    """Load a dictionary that ships with the package, or one from a file.

    Parameters
    ----------
    name_or_path
        Name, see `list_dictionaries`; or file in the safetensors format, with this extension, as written by
        `save_dictionary`.

    Returns
    -------
        Dictionary.

    Raises
    ------
    ValueError
        If the name is unknown, if the file is not the one that was published, or if it is no dictionary.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith('.safetensors'):
        return _read(Path(name_or_path))
    name = name_or_path
    if name not in _SHA256:
        raise ValueError(f'There is no dictionary {name!r}; there are {list(_SHA256)}, or give a .safetensors file.')
    path = _path(name)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else 'no file'
    if found != _SHA256[name]:
        raise ValueError(
            f'The dictionary {name!r} in {path} is not the one that was published: SHA-256 {found}, expected '
            f'{_SHA256[name]}. Install the package again.'
        )
    return _read(path)


def save_dictionary(dictionary: Dictionary, path: str | Path) -> None:
    """Write a dictionary.

    Parameters
    ----------
    dictionary
        Dictionary.
    path
        File to write, in the safetensors format.
    """
    metadata = {
        'sparsity': repr(float(dictionary.sparsity)),
        'beta': repr(float(dictionary.beta)),
        'card': json.dumps(dict(dictionary.card)),
    }
    path = Path(path)
    partial = path.with_name(path.name + '.partial')
    save_file({'filters': dictionary.filters.detach().cpu().contiguous()}, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors makes it readable by its owner only
    partial.replace(path)


def _path(name: str) -> Path:
    """Return the file of a dictionary of the package."""
    return _FOLDER / f'{name}.safetensors'


def _read(path: Path) -> Dictionary:
    """Read a file and check that it holds a dictionary."""
    try:
        with safe_open(str(path), framework='pt') as file:
            metadata = file.metadata() or {}
            filters = file.get_tensor('filters')
        sparsity, beta = float(metadata['sparsity']), float(metadata['beta'])
        card = json.loads(metadata['card'])
    except FileNotFoundError:
        raise
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(f'{path} is no dictionary of mrpro_lambda: {error!r}.') from error
    if filters.ndim != 3 or not bool(((filters.flatten(1).norm(dim=1) - 1).abs() < 1e-4).all()):
        raise ValueError(
            f'Filters must have unit norm and shape (n_filters, ky, kx), those in {path} have not: '
            f'got shape {tuple(filters.shape)}.'
        )
    return Dictionary(filters, sparsity, beta, card)
