"""Dictionaries in files."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro_lambda.dictionary import Dictionary, list_dictionaries, load_dictionary, save_dictionary
from mrpro_lambda.regularizers import DictionarySparsity
from safetensors.torch import save_file

from tests.dictionary.cases import PLANTED


@pytest.fixture
def dictionary() -> Dictionary:
    return Dictionary(PLANTED, 0.1, 3.7, {'data': 'none', 'purpose': 'tests'})


def test_round_trip(dictionary: Dictionary, tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_dictionary(dictionary, path)
    for name in (path, str(path)):
        found = load_dictionary(name)
        assert torch.equal(found.filters, dictionary.filters)
        assert (found.sparsity, found.beta, found.card) == (dictionary.sparsity, dictionary.beta, dictionary.card)
    assert [p.name for p in tmp_path.iterdir()] == ['a.safetensors']


@pytest.mark.parametrize('name', list_dictionaries())
def test_shipped_dictionary(name: str) -> None:
    """The name tells number, size and sparsity, and the filters can be used."""
    dictionary = load_dictionary(name)
    number, size, level = name.split('-')
    ky, kx = map(int, size.split('x'))
    assert dictionary.filters.shape == (int(number[1:]), ky, kx)
    assert dictionary.filters.dtype == torch.float32
    assert dictionary.sparsity == {'low': 0.015, 'medium': 0.04, 'high': 0.1}[level]
    assert {'purpose', 'data', 'license', 'validation_data', 'validation_objective'} <= dictionary.card.keys()
    assert '7A' not in dictionary.card['data']
    DictionarySparsity(dictionary.filters, beta=dictionary.beta)
    # no filter is a copy of another
    flat = dictionary.filters.flatten(1)
    assert (flat @ flat.T - torch.eye(len(flat))).abs().max() < 0.99


def test_all_shipped_files_are_listed() -> None:
    folder = Path(load_dictionary.__code__.co_filename).parents[1] / 'dictionaries'
    assert {path.stem for path in folder.glob('*.safetensors')} == set(list_dictionaries())


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"no dictionary 'k1-1x1-none'; there are .*k32-9x9-medium"):
        load_dictionary('k1-1x1-none')


def test_changed_file_is_refused(dictionary: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is in order, but not the one that was published, and a missing one."""
    monkeypatch.setattr(sys.modules[Dictionary.__module__], '_FOLDER', tmp_path)
    with pytest.raises(ValueError, match=r"'k32-9x9-medium'.*no file"):
        load_dictionary('k32-9x9-medium')
    save_dictionary(dictionary, tmp_path / 'k32-9x9-medium.safetensors')
    with pytest.raises(ValueError, match=r"'k32-9x9-medium'.*not the one that was published"):
        load_dictionary('k32-9x9-medium')


def test_file_that_is_no_dictionary(dictionary: Dictionary, tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    with pytest.raises(FileNotFoundError):
        load_dictionary(path)
    save_dictionary(dictionary, path)
    content = path.read_bytes()
    for damaged in (content[:-8], content[:100], b'', b'text'):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='no dictionary of mrpro_lambda'):
            load_dictionary(path)
    metadata = {'sparsity': '0.1', 'beta': '1', 'card': json.dumps({})}
    for key in metadata:
        save_file({'filters': PLANTED}, path, metadata={k: v for k, v in metadata.items() if k != key})
        with pytest.raises(ValueError, match=f'no dictionary.*{key}'):
            load_dictionary(path)
    for key, value in (('sparsity', 'nan'), ('beta', '-1'), ('card', '[]'), ('card', 'NaN')):
        save_file({'filters': PLANTED}, path, metadata=metadata | {key: value})
        with pytest.raises(ValueError, match=f'no dictionary.*{key}'):
            load_dictionary(path)
    save_file({'weights': PLANTED}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r'no dictionary.*filters'):
        load_dictionary(path)


def unit_norm(*shape: int) -> torch.Tensor:
    filters = torch.ones(shape)
    return filters / filters.flatten(1).norm(dim=1).reshape(-1, *(1,) * (len(shape) - 1))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'filters': 2 * PLANTED}, r'unit norm .*norms from 2 to 2, .*shape \('),
        ({'filters': PLANTED[0]}, 'odd sizes'),
        ({'filters': PLANTED / 0}, 'must be finite'),
        ({'filters': 0 * PLANTED}, 'must not be zero'),
        ({'filters': PLANTED[:0]}, 'must hold numbers'),
        ({'filters': PLANTED.half()}, 'must be float32 or float64'),
        ({'filters': PLANTED + 0j}, 'must be real'),
        ({'filters': unit_norm(2, 4, 4)}, 'odd sizes'),
        ({'filters': unit_norm(2, 3, 3, 3)}, r'shape \(n_filters, ky, kx\)'),
        ({'sparsity': float('nan')}, 'sparsity must be a finite'),
        ({'beta': -1.0}, 'beta must be a finite, non-negative'),
    ],
)
def test_invalid_values(values: dict[str, Any], message: str, dictionary: Dictionary, tmp_path: Path) -> None:
    """As they are made, and in a file."""
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(dictionary, **values)
    valid: dict[str, Any] = {'filters': dictionary.filters, 'sparsity': 0.1, 'beta': 1.0} | values
    path = tmp_path / 'a.safetensors'
    metadata = {'sparsity': str(valid['sparsity']), 'beta': str(valid['beta']), 'card': '{}'}
    save_file({'filters': valid['filters'].contiguous()}, path, metadata=metadata)
    with pytest.raises(ValueError, match=f'a.safetensors is no dictionary.*{message}'):
        load_dictionary(path)
