"""Dictionaries that ship with the package, and dictionaries in files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.operators.ConvolutionalDictionaryOp import check_filters

_FOLDER = Path(__file__).parents[1] / 'dictionaries'
_SHA256: dict[str, str] = {
    'k16-9x9-low': 'dfc7f3bdf1ceb397d53ff8d88bf44f3b69467fec9c00e8fddc0f5f519874823b',
    'k16-9x9-medium': 'a87c649b089097e56a1d8ecb55da5deb1132b5dd10da14681d83418e555ccc93',
    'k16-9x9-high': 'f1bea1cfe65fb6991a46db28af1971a35afaf564cd6b68e2e42a242b7aea9432',
    'k16-11x11-low': '0f763b1342b618bcb8afa9264c04c72bda8cef7b0970df907d5a7089baa1233e',
    'k16-11x11-medium': '0e5ec3c552cae01d809342bc98fdf010849225d5d183cbcc9a0fd2defa14b3d1',
    'k16-11x11-high': '085acccfce97a63de0c42da76564aa28fe4618bd8a37a037d61963e2700fa5cc',
    'k32-9x9-low': 'b830fede985466d5af8a4bd1a1c7d5b8e8b47c17ec023f6ccf08e7a2e7ef0b64',
    'k32-9x9-medium': '2c0e79e0952478f998e6c673660d815d7ea48d1a702aa1caaefd54eddf6dafed',
    'k32-9x9-high': 'd6dede6967e7539f9dd3cb8526c690252613af232fc9ede2b537a1abb65c1a03',
    'k32-11x11-low': '1668138265996db27508182eb65b6879d362747e59af31266e7871d34aab81a9',
    'k32-11x11-medium': 'ce8dd52a2f3b87d1d25e93741ca998a9972ba12fe3eecff78cc6bb735a4074af',
    'k32-11x11-high': 'caa550bb835ed3b81530301738f0f543909a722f985df6aea28667a5ee5543b9',
    'k64-9x9-low': 'a5ae8e0e7698b8aed2ba3f9b6229b308b2a11bcac202e31e8b72c3cb8b4c26d9',
    'k64-9x9-medium': 'ffb94cf1b0990cfe4ca145dbeb3889c7f731ef310720ff6e7692a9cb066486fb',
    'k64-9x9-high': '0957e4deb8e1d4b4e027cbd4c0613d58b65e61e2fdae4c37c646305bf8cf29b1',
    'k64-11x11-low': 'd903e56b049241ebb3c8ef2e83c14542d2a3ab82a2c720cbf2bf25cb5c512f18',
    'k64-11x11-medium': '495ea948281b4a43de97dba010589bb6eea8c04ba07c727bc84cbb96f065624d',
    'k64-11x11-high': '07be890efe9c573cc6755f6d1efe313f3f1783b0e55434f490b24aa4d0feac38',
    'k128-9x9-low': '0282394389a9e9ecf3e70733f075eec9b91b5093ee9cd3a4d8132fe5ce7f5dd1',
    'k128-9x9-medium': '7fde4eda85bf73e42e9149ab5687df676a2003e8ce0e9657c506560caea415ac',
    'k128-9x9-high': 'fb5b5a0f8e343104ba6c3b6f99b11a7441d99d4804fc69f5bdf7d503af104ce4',
    'k128-11x11-low': 'f23358a7da7a7d27a50be30c1a4cfad6b29d2ee6af003c209f7ac631def8653b',
    'k128-11x11-medium': '4b7e8964e10a88c4ca9b907e9568c880f23e5782b3cbc3eee5e91e3290d1a6dc',
    'k128-11x11-high': 'dffd7424e6c6c27fd6990a4d7f7e164a2cf21e7bf8285ab099aaaef91a9c6456',
}


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

    def __post_init__(self) -> None:
        """Check filters and numbers."""
        check_filters(self.filters)
        norms = self.filters.flatten(1).norm(dim=1)
        if self.filters.ndim != 3 or self.filters.is_complex() or not bool(((norms - 1).abs() < 1e-4).all()):
            raise ValueError(
                'Filters must be real with unit norm and shape (n_filters, ky, kx), got norms from '
                f'{norms.min():g} to {norms.max():g}, {self.filters.dtype}, shape {tuple(self.filters.shape)}.'
            )
        for name, value in (('sparsity', self.sparsity), ('beta', self.beta)):
            check_number(name, value)


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
    check_type('name_or_path', name_or_path, (str, Path))
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
        if not isinstance(card, dict):
            raise ValueError(f'card must be a table, got {card!r:.200}')
        return Dictionary(filters, sparsity, beta, card)
    except FileNotFoundError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f'{path} is no dictionary of mrpro_lambda: {error!r}.') from error
