"""The description of a model."""

import dataclasses
import json
from typing import Any

import pytest
import torch
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import UNet
from mrpro_lambda.recipes import TotalVariationRecipe
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG, TruncatedBackward

SMALL: dict[str, Any] = {'n_features': 2, 'n_resolutions': 2, 'padding': 3, 'n_iterations': 4}


def weights(model: LambdaMapModel) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters())


def test_build_depends_on_the_seed_only() -> None:
    config = TotalVariationRecipe(**SMALL)
    first = weights(config.build(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        assert torch.equal(weights(config.build(3)), first)
    assert not torch.equal(weights(config.build(4)), first)
    assert torch.equal(weights(config.build()), weights(config.build(0)))
    assert torch.equal(weights(config.build(3, inference=True)), first)


@pytest.mark.parametrize(
    ('options', 'n_channels_in', 'n_maps'),
    [
        ({}, 2, 1),
        ({'features': 'magnitude'}, 1, 1),
        ({'noise_level': True}, 3, 1),
        ({'features': 'magnitude', 'noise_level': True, 'solver': 'PDHG'}, 2, 1),
        ({'dim': (-5, -2, -1), 'net_dim': (-5, -2, -1)}, 2, 2),
        ({'dim': (-5, -2, -1), 'boundary': 'neumann'}, 2, 2),
        ({'dim': (-3, -2, -1), 'net_dim': (-3, -2, -1), 'band_limit': False, 'initial_scale': 0.5}, 2, 1),
    ],
)
def test_build(options: dict[str, Any], n_channels_in: int, n_maps: int) -> None:
    """The model is as described, and fits together."""
    config = TotalVariationRecipe(**SMALL | options)
    model = config.build()
    net = model.lambda_net
    assert net is not None
    assert isinstance(net.backbone, UNet)
    assert net.backbone.n_channels_in == n_channels_in
    assert net.backbone.n_channels_out == n_maps == model.solver.regularizer.n_maps
    assert (net.dim, net.uses_noise_level, net.padding) == (config.net_dim, config.noise_level, 3)
    assert ('image, magnitude' in net.channels) == (config.features == 'magnitude')
    assert net.log_scale.exp().item() == pytest.approx(config.initial_scale)
    assert model.band_limit == config.band_limit
    assert isinstance(model.solver, PDHG if options.get('solver') == 'PDHG' else ADMM)
    assert model.solver.n_iterations == 4
    assert isinstance(model.solver.regularizer, TotalVariation)
    assert model.solver.regularizer.dim == config.dim
    assert model.solver.regularizer.boundary == config.boundary
    img = torch.ones(4, 1, 3, 8, 7, dtype=torch.complex64)
    lambda_map = model.estimate(img, 0.1 if config.noise_level else None)
    assert lambda_map.shape == (n_maps, *img.shape)


def test_penalty_factor_reaches_admm() -> None:
    solver = TotalVariationRecipe(**SMALL, penalty_factor=0.7).build().solver
    assert isinstance(solver, ADMM)
    assert solver.penalty_factor == 0.7


def test_fixed_iterations_in_training_and_a_tolerance_in_use() -> None:
    config = TotalVariationRecipe(**SMALL, tolerance=0.03, max_iterations=9)
    assert config.build().solver.n_iterations == 4
    solver = config.build(inference=True).solver
    assert (solver.n_iterations, solver.max_iterations, solver.tolerance) == (None, 9, 0.03)


def test_round_trip_through_json() -> None:
    """Lists become tuples again."""
    config = TotalVariationRecipe(**SMALL, dim=(-5, -2, -1), solver='PDHG', max_iterations=7)
    assert TotalVariationRecipe.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert TotalVariationRecipe.from_dict({}) == TotalVariationRecipe()


def test_unknown_keys() -> None:
    with pytest.raises(ValueError, match=r"Unknown key\(s\) \['features_', 'n'\] in section \[model\].*'n_features'"):
        TotalVariationRecipe.from_dict({'n': 3, 'n_features': 2, 'features_': 'magnitude'})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'solver': 'CG'}, r"solver must be one of \['ADMM', 'PDHG'\], got 'CG'"),
        ({'boundary': 'reflect'}, 'boundary must be one of'),
        ({'features': 'phase'}, 'features must be one of'),
        ({'dim': (0, 1)}, 'negative axes'),
        ({'n_features': 0}, 'n_features must be an integer of at least 1 and at most 2048, got 0'),
        ({'n_iterations': 0}, 'n_iterations must be an integer of at least 1'),
        ({'n_resolutions': 40}, 'n_resolutions must be'),
    ],
)
def test_invalid_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TotalVariationRecipe.from_dict(SMALL | options).build()


def test_setting_of_another_solver() -> None:
    with pytest.raises(ValueError, match='penalty_factor is a setting of ADMM'):
        TotalVariationRecipe(solver='PDHG', penalty_factor=0.5).build()


def test_truncated_gradient() -> None:
    """In training only, where the last iterations alone have a gradient."""
    config = TotalVariationRecipe(n_iterations=9, gradient_iterations=4)
    backward = config.build().solver.backward
    assert isinstance(backward, TruncatedBackward)
    assert backward.n_iterations == 4
    assert not isinstance(config.build(inference=True).solver.backward, TruncatedBackward)
    assert not isinstance(TotalVariationRecipe().build().solver.backward, TruncatedBackward)
    with pytest.raises(ValueError, match='gradient_iterations must be an integer of at least 1'):
        TotalVariationRecipe(gradient_iterations=0).build()
