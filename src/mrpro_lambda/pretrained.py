"""Weights that ship with the package, and weights in files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mrpro_lambda.checks import check_type
from mrpro_lambda.models.Model import Model
from mrpro_lambda.operators.ConvolutionalDictionaryOp import check_filters
from mrpro_lambda.recipes import Recipe

_FOLDER = Path(__file__).parent / 'weights'
_FILTERS = 'dictionary.filters'
_SHA256: dict[str, str] = {
    'cdl-v1': '416521c00ca79e6a619bcb0dd02c65dec2a2d28e922adf9e69686b8b872bdae2',
    'cdl-v1-low-field': 'e2445e78c9e970e313ad53c16660458872066194afd4aaef1f8b715644979116',
    'cdl-v2': '8262310d39595d3bb72da5762e96923ecb7c74d13e8de0b7d1cc2a36af2629d0',
    'cdl-v2-low-field': 'b0b1ff63f49746441a654fab2ab5293c197784a055b8fe7a454b1c0d65456ae5',
    'cdl-v3': 'f4ad07d8439c42ec0cde411b6847f94b00415d6224d9eb2c69565b99f69ee370',
    'cdl-v3-low-field': 'b9767b86d12f2d6e827d4e1afefe7be2f663d759a052e80f6e00be4416b85d5c',
    'ct-tv': '2eb5b51bf42c7e88d5f4e1eafd3b930f8f9503e5a3773fe5e85d5a04ab2a3639',
    'plug-and-play-denoiser': 'c3ca5e5efb949da7b892eb5332efbb2b7ba91192202b5c74c967dde60a8daa97',
    'tgv-low-field': '2811d04bac3b8d1ea486b77d68a5e5e24b8dea7e3b12de1c81eac2973cb8f139',
    'tgv-variable-density': '11a7a6a4db0968551632119b85dd77a9e50dafcb56b01b347b3ef25aa77c49e9',
    'tv-low-field': 'e7de4e9d0a7d62d65045f44865b66f9112e290af1c40b67856b12d7036d602f0',
    'tv-variable-density': '701d245679372369bab4e55ec1dc619241603a5473a3a30530ff71f6177404c9',
}


def list_pretrained() -> dict[str, dict[str, str]]:
    """List the weights that ship with the package.

    Returns
    -------
        Model cards by name: what the weights are for, training data and their license, range of acquisitions and noise,
        version and metrics.
    """
    return {name: _read_card(_FOLDER / f'{name}.safetensors')[1] for name in sorted(_SHA256)}


def load_pretrained(name: str, filters: torch.Tensor | None = None) -> Any:  # noqa: ANN401
    """Load a model that ships with the package.

    Parameters
    ----------
    name
        Name of the weights, see `list_pretrained`.
    filters
        Filters in place of those of a dictionary model, see `~mrpro_lambda.dictionary.load_dictionary`.

    Returns
    -------
        Model. Its class depends on the file: for most that ship now it is a `~mrpro_lambda.models.LambdaMapModel`,
        ready for use in `~mrpro_lambda.reconstruction.LearnedReconstruction`; others are for
        `~mrpro_lambda.reconstruction.ModelReconstruction`.

    Raises
    ------
    ValueError
        If the name is unknown, or if the file is not the one that was published.
    """
    _check_name(name)
    path = _FOLDER / f'{name}.safetensors'
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else 'no file'
    if found != _SHA256[name]:
        raise ValueError(
            f'The weights {name!r} in {path} are not those that were published: SHA-256 {found}, expected '
            f'{_SHA256[name]}. Install the package again. There are {sorted(_SHA256)}.'
        )
    return load_weights(path, filters)[0]


def load_weights(path: str | Path, filters: torch.Tensor | None = None) -> tuple[Any, dict[str, str]]:
    """Load a model from a file written by `save_weights` or by a training.

    Parameters
    ----------
    path
        File in the safetensors format.
    filters
        Filters in place of those of a dictionary model.

    Returns
    -------
        Model of the class that the file describes, which solves to its tolerance, and model card.

    Raises
    ------
    ValueError
        If the file is no weights file of this package, if its tensors are not finite or do not fit its model, or if the
        model has no filters, or those of a network that is bound to their number.
    """
    check_type('path', path, (str, Path))
    if filters is not None:
        check_filters(filters)
    recipe, card = _read_card(Path(path))
    return _load(path, recipe, filters), card


def load_weights_with_recipe(path: str | Path) -> tuple[Model, Recipe]:
    """Load a model with its description, for a training that goes on from it, see `load_weights`."""
    recipe = read_recipe(path)
    return _load(path, recipe, None), recipe


def read_recipe(path: str | Path) -> Recipe:
    """Return the description of the model in a file, see `load_weights`."""
    check_type('path', path, (str, Path))
    return _read_card(Path(path))[0]


def pretrained_recipe(name: str) -> Recipe:
    """Return the description of a model that ships with the package, without loading it.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    _check_name(name)
    return read_recipe(_FOLDER / f'{name}.safetensors')


def _check_name(name: str) -> None:
    """Raise an error if no weights of that name ship."""
    if name not in _SHA256:
        raise ValueError(f'There are no weights {name!r}; there are {sorted(_SHA256)}.')


def _load(path: str | Path, recipe: Recipe, filters: torch.Tensor | None) -> Model:
    """Read the tensors of a file and build the model with them."""
    with safe_open(str(path), framework='pt') as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return _build(path, recipe, state, filters).eval()


def _build(path: str | Path, recipe: Recipe, state: dict[str, torch.Tensor], filters: torch.Tensor | None) -> Model:
    """Build a model with the tensors of a file."""
    stored = None
    if recipe.takes_filters:
        stored = state.pop(_FILTERS, None)
        if stored is None:
            raise ValueError(f'{path} holds no filters, but its model has a dictionary.')
        if filters is not None:
            recipe.check_filters(stored, filters)
    elif filters is not None:
        raise ValueError(f'The model of {path} has no dictionary, got filters of shape {tuple(filters.shape)}.')
    trained = _load_trained(path, lambda: recipe.trainable(filters=stored), _translated(state))
    return recipe.build(filters=stored if filters is None else filters, inference=True, trained=trained)


def _translated(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors by the names of now: files of before weights hold those of a network alone."""
    if not any(key.startswith('backbone.') for key in state):
        return state
    of_factor = ('log_threshold', 'exponent')
    return {f'lambda_net.{"inverse_response." * (key in of_factor)}{key}': value for key, value in state.items()}


def _load_trained(
    path: str | Path, build: Callable[[], torch.nn.Module], state: dict[str, torch.Tensor]
) -> torch.nn.Module:
    """Build the trained part of a model and load its tensors, in their precision, after checking them."""
    with torch.device('meta'):  # shapes without memory, as a description may ask for any amount of it
        trained = build()
    expected = {key: tuple(value.shape) for key, value in trained.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if expected != given:
        different = sorted(key for key in {*expected, *given} if expected.get(key) != given.get(key))
        first = different[0]
        raise ValueError(
            f'The weights in {path} are those of another architecture: {len(different)} tensor(s) differ, the first is '
            f'{first} with shape {given.get(first)}, expected {expected.get(first)}.'
        )
    kinds = {key: value.dtype for key, value in trained.state_dict().items()}
    for key, value in state.items():
        counts = not kinds[key].is_floating_point and value.dtype == kinds[key]  # of batches that were normalized
        if not counts and (value.dtype not in (torch.float32, torch.float64) or not bool(value.isfinite().all())):
            raise ValueError(
                f'The weights in {path} must be finite numbers of single or double precision, {key} of {value.dtype}, '
                f'shape {tuple(value.shape)}, holds {int((~value.isfinite()).sum())} NaN or Inf.'
            )
    trained.load_state_dict(state, assign=True)
    return trained


def save_weights(model: Model, recipe: Recipe, card: Mapping[str, str], path: str | Path) -> None:
    """Write the trained part of a model, its filters, its description and a model card, but no scan data.

    Parameters
    ----------
    model
        Model.
    recipe
        Description that the model was built from.
    card
        Model card.
    path
        File to write, in the safetensors format.
    """
    state = dict(recipe.trainable_of(model).state_dict())
    if (filters := recipe.filters_of(model)) is not None:
        state[_FILTERS] = filters
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    metadata = {'config': json.dumps(dataclasses.asdict(recipe)), 'card': json.dumps(dict(card))}
    path = Path(path)
    partial = path.with_name(path.name + '.partial')
    save_file(state, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors makes it readable by its owner only
    partial.replace(path)


def _read_card(path: Path) -> tuple[Recipe, dict[str, str]]:
    """Read description and model card of a weights file."""
    try:
        with safe_open(str(path), framework='pt') as file:
            metadata = file.metadata() or {}
        config, card = json.loads(metadata['config']), json.loads(metadata['card'])
        if not (isinstance(config, dict) and isinstance(card, dict)):
            raise ValueError('configuration and card must be tables')
        return Recipe.from_dict(config), card
    except FileNotFoundError as error:
        raise FileNotFoundError(f'No such file: {path}') from error
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f'{path} is no weights file of mrpro_lambda: {error!r}.') from error
