"""Descriptions of models in general: how a method is found, and what weights are for."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from mrpro.operators import LinearOperator
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel, Model
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import load_weights, load_weights_with_recipe, save_weights
from mrpro_lambda.recipes import DictionaryRecipe, LambdaRecipe, Recipe, ScanProperties, TotalVariationRecipe
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.weighting import CGImageWeight, LearnedNumbers, NetworkWeight, NumberNet

SMALL: dict[str, Any] = {'n_features': 2, 'n_resolutions': 2, 'padding': 3, 'n_iterations': 4, 'max_iterations': 6}
KINDS: dict[str, Any] = {'network': NetworkWeight, 'numbers': LearnedNumbers, 'number_net': NumberNet}
METHODS = Recipe.methods()
all_kinds = pytest.mark.parametrize('kind', KINDS)


def filters() -> torch.Tensor:
    drawn = RandomGenerator(0).randn_tensor((3, 3, 3), torch.float32)
    return drawn / drawn.flatten(1).norm(dim=1)[:, None, None]


def test_methods_are_found_by_introspection() -> None:
    assert Recipe.methods().items() >= {'tv': TotalVariationRecipe, 'cdl': DictionaryRecipe}.items()
    assert isinstance(Recipe.from_dict({'method': 'cdl'}), DictionaryRecipe)
    assert TotalVariationRecipe.methods() == {'tv': TotalVariationRecipe}
    with pytest.raises(ValueError, match=r"must be one of \['cdl'\], got 'tv'"):
        DictionaryRecipe.from_dict({'method': 'tv'})


def test_a_new_method_is_one_class(tmp_path: Path) -> None:
    """Also for a model that has neither a map nor a solver: it is stored and loaded as the others."""

    class Scaled(Model):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(factor))

        def forward(
            self,
            data: torch.Tensor,
            acquisition_op: LinearOperator,
            initial_image: torch.Tensor,  # noqa: ARG002
            noise_std: torch.Tensor | float | None = None,  # noqa: ARG002
        ) -> torch.Tensor:
            return self.factor * acquisition_op.adjoint(data)[0]

    @dataclass(frozen=True)
    class ScaledRecipe(Recipe):
        method: Literal['scaled'] = 'scaled'
        initial: float = 3.0

        def build(
            self,
            seed: int = 0,
            *,
            filters: torch.Tensor | None = None,
            inference: bool = False,  # noqa: ARG002
            trained: torch.nn.Module | None = None,
        ) -> Model:
            model = self.trainable(seed, filters=filters) if trained is None else trained
            assert isinstance(model, Model)
            return model

        def trainable(self, seed: int = 0, *, filters: torch.Tensor | None = None) -> torch.nn.Module:  # noqa: ARG002
            return Scaled(self.initial)

        def trainable_of(self, model: Model) -> torch.nn.Module:
            return model

    recipe = Recipe.from_dict({'method': 'scaled', 'initial': 2.0})
    save_weights(recipe.build(), recipe, {}, tmp_path / 'file')
    model, found = load_weights_with_recipe(tmp_path / 'file')
    assert found == recipe
    acquisition_op, img = CartesianAcquisitionOp(torch.ones(1, 1, 1, 4, 4)), torch.ones(1, 1, 1, 4, 4) + 0j
    torch.testing.assert_close(model.solve(*acquisition_op(img), acquisition_op, img).img, 2 * img)


@all_kinds
@pytest.mark.parametrize('method', [name for name, cls in METHODS.items() if issubclass(cls, LambdaRecipe)])
def test_weights_of_each_kind_are_stored(method: str, kind: Any, tmp_path: Path) -> None:
    recipe = Recipe.from_dict(SMALL | {'method': method, 'weight': kind, 'noise_level': True, 'initial_scale': 0.3})
    given = filters() if recipe.takes_filters else None
    model = recipe.build(3, filters=given)
    assert isinstance(model, LambdaMapModel)
    assert isinstance(model.weight, KINDS[kind])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    save_weights(model, recipe, {}, tmp_path / 'file')
    loaded, _ = load_weights(tmp_path / 'file')
    assert loaded.solver.max_iterations == 6
    img = RandomGenerator(1).randn_tensor((2, 1, 1, 12, 10), torch.complex64)
    with torch.no_grad():
        assert torch.equal(loaded.estimate(img, 0.2), model.estimate(img, 0.2))
    if kind != 'network' and given is not None:  # bound to the number of filters
        with pytest.raises(ValueError, match=r'trained for 3 filters .* got filters of shape \(2, 3, 3\)'):
            load_weights(tmp_path / 'file', filters=given[:2])


@pytest.mark.parametrize(
    ('options', 'n_maps'),
    [
        ({'groups': 'each'}, 2),
        ({'groups': 'tied'}, 1),
        ({'groups': 'each', 'dim': (-5, -2, -1)}, 3),
        ({'dim': (-5, -2, -1)}, 2),
    ],
)
@all_kinds
def test_maps_of_the_directions(kind: Any, options: dict[str, Any], n_maps: int) -> None:
    """One for space and one for any other axis, or one for each axis."""
    model = TotalVariationRecipe(**SMALL | options, weight=kind).build()
    regularizer = model.solver.regularizer
    assert isinstance(regularizer, TotalVariation)
    assert regularizer.n_maps == n_maps
    img = RandomGenerator(1).randn_tensor((3, 1, 1, 12, 10), torch.complex64)
    assert model.estimate(img).shape[0] == n_maps


def test_what_weights_were_trained_for() -> None:
    """It is unknown in files of before, and what is said stays."""
    names = ('noise_range', 'acceleration', 'n_coils', 'sampling', 'grid')
    recipe = TotalVariationRecipe(n_coils=(4,))
    assert all(getattr(Recipe.from_dict({}), name) is None for name in names)
    said = recipe.trained_for(noise_range=(0.1, 0.2), n_coils=(1, 8), sampling='CentralBox', grid=(64, 64))
    assert (said.noise_range, said.n_coils, said.sampling, said.grid) == ((0.1, 0.2), (4,), 'CentralBox', (64, 64))
    assert Recipe.from_dict(json.loads(json.dumps(dataclasses.asdict(said)))) == said


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'noise_range': (0.1,)}, 'noise_range must be a list of 2'),
        ({'acceleration': (0.5, 2.0)}, 'acceleration must be a list of 2: a finite number of at least 1'),
        ({'grid': (0,)}, 'grid must be a list, each an integer of at least 1'),
        ({'weight': 'oracle'}, "weight must be one of .*'number_net'.*, got 'oracle'"),
        ({'groups': 'none'}, r"groups must be one of \['tied', 'each'\], got 'none'"),
    ],
)
def test_invalid_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TotalVariationRecipe(**options)


def test_filters_are_for_dictionaries() -> None:
    with pytest.raises(ValueError, match=r'takes no filters, got shape \(3, 3, 3\)'):
        TotalVariationRecipe(**SMALL).build(filters=filters())
    with pytest.raises(ValueError, match='dictionary model needs filters, got none'):
        DictionaryRecipe(**SMALL).build()
    recipe = TotalVariationRecipe(**SMALL)
    with pytest.raises(ValueError, match='no dictionary'):
        recipe.exchange_filters(recipe.build(), filters(), None)
    with pytest.raises(ValueError, match='no smooth part'):
        recipe.with_low_pass_strength(2.0)
    with pytest.raises(TypeError, match='trained must be a Weight, got Identity'):
        recipe.build(trained=torch.nn.Identity())


def test_what_weights_are_good_for() -> None:
    """What was measured goes before what they were trained for, and what is not known excludes nothing."""
    scan = ScanProperties('lines', 4.0, 8, 0.02)
    assert TotalVariationRecipe().mismatches(scan) == []
    assert TotalVariationRecipe().good_for() == ''
    trained = TotalVariationRecipe(
        sampling='CartesianLines', acceleration=(2.0, 4.0), n_coils=(1, 4, 8), noise_range=(0.05, 0.3)
    )
    assert trained.mismatches(scan) == ['noise relative to the image of 0.02 instead of 0.05 to 0.3']
    assert dataclasses.replace(trained, valid_noise=(0.02, 0.3)).mismatches(scan) == []
    assert trained.mismatches(scan._replace(noise=0.048, acceleration=4.1)) == []  # within what can be measured
    others = ScanProperties('box', 5.0, 16, None)
    assert trained.mismatches(others) == [
        'sampling of a whole box instead of lines',
        'acceleration of 5 instead of 2 to 4',
        'number of coils of 16 instead of 1 to 8',
    ]
    assert trained.good_for() == (
        'sampling of lines, acceleration of 2 to 4, number of coils of 1 to 8, '
        'noise relative to the image of 0.05 to 0.3'
    )


def test_weights_of_series_are_stored(tmp_path: Path) -> None:
    """With the continuation and the boundary of each axis, and the image that the network sees."""
    options = SMALL | {'dim': (-5, -2, -1), 'net_dim': (-5, -2, -1), 'padding': (4, 2, 2), 'net_circular_dim': (-5,)}
    recipe = TotalVariationRecipe(**options, cg_iterations=2, boundary=('neumann', 'circular', 'circular'))
    model = recipe.build(1)
    assert isinstance(model.weight, CGImageWeight)
    assert model.weight.n_iterations == 2
    save_weights(model, recipe, {}, tmp_path / 'file')
    loaded, found = load_weights_with_recipe(tmp_path / 'file')
    assert found == recipe
    assert isinstance(loaded, LambdaMapModel)
    csm = RandomGenerator(2).randn_tensor((1, 2, 1, 12, 10), torch.complex64)
    acquisition_op = CartesianAcquisitionOp(torch.ones(5, 1, 1, 12, 10), csm / csm.abs().square().sum(1).sqrt())
    (data,) = acquisition_op(RandomGenerator(1).randn_tensor((5, 1, 1, 12, 10), torch.complex64))
    (start,) = acquisition_op.adjoint(data)
    with torch.no_grad():
        lambda_map = model.choose(data, acquisition_op, start).lambda_map
        assert lambda_map.shape == (2, 5, 1, 1, 12, 10)
        assert torch.equal(loaded.choose(data, acquisition_op, start).lambda_map, lambda_map)
    with pytest.raises(ValueError, match='padding must be'):
        TotalVariationRecipe(padding=(1, -1))
