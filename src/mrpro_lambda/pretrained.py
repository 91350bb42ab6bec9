"""Weights that ship with the package, and weights in files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mrpro_lambda.checks import check_type
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.models.ModelConfig import DictionaryModelConfig, ModelConfig, model_config
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.operators.ConvolutionalDictionaryOp import check_filters

_FOLDER = Path(__file__).parent / 'weights'
_FILTERS = 'dictionary.filters'
_SHA256: dict[str, str] = {
    'cdl-v1': 'f5aeee397c93923d02c1e64b9ac223b8991ccbd2ae826cf6d9303cc786978dd3',
    'cdl-v1-low-field': '85350954c965bdc1759a70c820b7019157d33558f95b4b906d3fa44a64f6c21a',
    'cdl-v2': '290536907b9d5daf3096de32fd8d5387453734f1992de39fed01bea2da0c95aa',
    'cdl-v2-low-field': 'b74792470c17c2bdfbda890a92497c1371976314182eaee7c252803ff60cbbb2',
    'cdl-v3': 'a09b6c4650396b33465e34731afcb62bc34fab80dae21396928a7dd9a9848f51',
    'cdl-v3-low-field': '801fc835fa0b11ac06216da91b03d0bce48d9ed6ec2dfdb82a959abb0a27e84d',
    'tv-low-field': '91322f5c06946659dc942c43dd9bc752146c2ca61d9564d24a691f02a297df68',
    'tv-variable-density': 'c5dd42298c73eb72fb55f4c390f8aea9a1a3fe9793c33a8a261fc3cbce973d1b',
}


def list_pretrained() -> dict[str, dict[str, str]]:
    """List the weights that ship with the package.

    Returns
    -------
        Model cards by name: what the weights are for, training data and their license, range of acquisitions and noise,
        version and metrics.
    """
    return {name: _read_card(_FOLDER / f'{name}.safetensors')[1] for name in sorted(_SHA256)}


def load_pretrained(name: str, filters: torch.Tensor | None = None) -> LambdaMapModel:
    """Load a model that ships with the package.

    Parameters
    ----------
    name
        Name of the weights, see `list_pretrained`.
    filters
        Filters in place of those of a dictionary model, see `~mrpro_lambda.dictionary.load_dictionary`.

    Returns
    -------
        Model, ready for use in `~mrpro_lambda.reconstruction.LearnedReconstruction`.

    Raises
    ------
    ValueError
        If the name is unknown, or if the file is not the one that was published.
    """
    if name not in _SHA256:
        raise ValueError(f'There are no weights {name!r}; there are {sorted(_SHA256)}.')
    path = _FOLDER / f'{name}.safetensors'
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else 'no file'
    if found != _SHA256[name]:
        raise ValueError(
            f'The weights {name!r} in {path} are not those that were published: SHA-256 {found}, expected '
            f'{_SHA256[name]}. Install the package again. There are {sorted(_SHA256)}.'
        )
    return load_weights(path, filters)[0]


def load_weights(path: str | Path, filters: torch.Tensor | None = None) -> tuple[LambdaMapModel, dict[str, str]]:
    """Load a model from a file written by `save_weights` or by a training.

    Parameters
    ----------
    path
        File in the safetensors format.
    filters
        Filters in place of those of a dictionary model.

    Returns
    -------
        Model that solves to its tolerance, and model card.

    Raises
    ------
    ValueError
        If the file is no weights file of this package, if its tensors are not finite or do not fit its model, or if the
        model has no filters, or those of a network that is bound to their number.
    """
    check_type('path', path, (str, Path))
    if filters is not None:
        check_filters(filters)
    config, card = _read_card(Path(path))
    with safe_open(str(path), framework='pt') as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return _build(path, config, state, filters).eval(), card


def _build(
    path: str | Path,
    config: ModelConfig | DictionaryModelConfig,
    state: dict[str, torch.Tensor],
    filters: torch.Tensor | None,
) -> LambdaMapModel:
    """Build a model with the tensors of a file."""
    if isinstance(config, DictionaryModelConfig):
        stored = state.pop(_FILTERS, None)
        if stored is None:
            raise ValueError(f'{path} holds no filters, but its model has a dictionary.')
        if filters is not None and config.responses != 'each' and len(filters) != len(stored):
            raise ValueError(
                f'The network of {path} was trained for {len(stored)} filters and gives as many maps, got filters of '
                f"shape {tuple(filters.shape)}: take weights of a network with responses='each' (V3)."
            )
        net = _load_network(path, lambda: config.network(len(stored)), state)
        return config.build(stored if filters is None else filters, inference=True, net=net)
    if filters is not None:
        raise ValueError(f'The model of {path} has no dictionary, got filters of shape {tuple(filters.shape)}.')
    return config.build(inference=True, net=_load_network(path, config.network, state))


def _load_network(path: str | Path, build: Callable[[], LambdaNet], state: dict[str, torch.Tensor]) -> LambdaNet:
    """Build a network and load its tensors, in their precision, after checking them."""
    with torch.device('meta'):  # shapes without memory, as a description may ask for any amount of it
        net = build()
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if expected != given:
        different = sorted(key for key in {*expected, *given} if expected.get(key) != given.get(key))
        first = different[0]
        raise ValueError(
            f'The weights in {path} are those of another architecture: {len(different)} tensor(s) differ, the first is '
            f'{first} with shape {given.get(first)}, expected {expected.get(first)}.'
        )
    for key, value in state.items():
        if value.dtype not in (torch.float32, torch.float64) or not bool(value.isfinite().all()):
            raise ValueError(
                f'The weights in {path} must be finite numbers of single or double precision, {key} of {value.dtype}, '
                f'shape {tuple(value.shape)}, holds {int((~value.isfinite()).sum())} NaN or Inf.'
            )
    net.load_state_dict(state, assign=True)
    return net


def save_weights(
    model: LambdaMapModel, config: ModelConfig | DictionaryModelConfig, card: Mapping[str, str], path: str | Path
) -> None:
    """Write the weights of the network of a model, its filters, its configuration and a model card, but no scan data.

    Parameters
    ----------
    model
        Model.
    config
        Configuration that the model was built from.
    card
        Model card.
    path
        File to write, in the safetensors format.
    """
    if model.lambda_net is None:
        raise ValueError('A model without a network has no weights.')
    state = {key: value.detach().cpu().contiguous() for key, value in model.lambda_net.state_dict().items()}
    if (synthesis_op := model.solver.regularizer.dictionary_op) is not None:
        state[_FILTERS] = synthesis_op.filters.detach().cpu().contiguous()
    metadata = {'config': json.dumps(dataclasses.asdict(config)), 'card': json.dumps(dict(card))}
    path = Path(path)
    partial = path.with_name(path.name + '.partial')
    save_file(state, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors makes it readable by its owner only
    partial.replace(path)


def _read_card(path: Path) -> tuple[ModelConfig | DictionaryModelConfig, dict[str, str]]:
    """Read configuration and model card of a weights file."""
    try:
        with safe_open(str(path), framework='pt') as file:
            metadata = file.metadata() or {}
        config, card = json.loads(metadata['config']), json.loads(metadata['card'])
        if not (isinstance(config, dict) and isinstance(card, dict)):
            raise ValueError('configuration and card must be tables')
        return model_config(config), card
    except FileNotFoundError as error:
        raise FileNotFoundError(f'No such file: {path}') from error
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f'{path} is no weights file of mrpro_lambda: {error!r}.') from error
