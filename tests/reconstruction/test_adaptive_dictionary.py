"""Reconstruction with a dictionary: weights, networks, and filters that are not valid."""

from typing import Any

import pytest
import torch
from mrpro.data import KData
from mrpro_lambda.nets import LambdaNet
from mrpro_lambda.recipes import DictionaryRecipe
from mrpro_lambda.reconstruction import AdaptiveDictionaryReconstruction, LearnedReconstruction
from mrpro_lambda.regularizers import DictionarySparsity
from mrpro_lambda.solvers import ADMM, FISTA

from tests.helper import relative_image_difference
from tests.reconstruction.cases import N_X, N_Y, cartesian_kdata, cosine_filters, csm_data, radial_kdata

KDATA = {'Cartesian': cartesian_kdata(), 'single coil': cartesian_kdata(n_coils=1), 'radial': radial_kdata()}
STATIC = KDATA['Cartesian']
FILTERS = cosine_filters(3, 3)


def image(kdata: KData = STATIC, **options: Any) -> torch.Tensor:
    common: dict[str, Any] = {'csm': csm_data(STATIC), 'filters': FILTERS}
    return AdaptiveDictionaryReconstruction(kdata, **common | options)(kdata).data


def network(responses: Any, **options: Any) -> LambdaNet:
    config = DictionaryRecipe(n_features=2, n_resolutions=2, padding=3, initial_scale=0.1, responses=responses)
    net = DictionaryRecipe(**(vars(config) | options)).build(filters=FILTERS).lambda_net
    assert net is not None
    return net


def test_forms_of_a_weight() -> None:
    """A number, a list, a tensor and maps."""
    maps = torch.full((3, 1, 1, 1, N_Y, N_X), 0.05)
    weights = [0.05, 3 * [0.05], torch.tensor(0.05), torch.full((3,), 0.05), maps, maps[..., :1, :1]]
    images = [image(regularization_weight=weight) for weight in weights]
    for img in images[1:]:
        torch.testing.assert_close(img, images[0], rtol=0, atol=0)
    assert relative_image_difference(image(regularization_weight=[0.05, 0.05, 1.0]), images[0]) > 1e-3
    maps[..., : N_X // 2] = 1
    assert relative_image_difference(image(regularization_weight=maps), images[0]) > 1e-3


def test_any_model_takes_a_weight() -> None:
    """The class is a model and a weight."""
    reconstruction = AdaptiveDictionaryReconstruction(
        STATIC, csm=csm_data(STATIC), filters=FILTERS, regularization_weight=0.05
    )
    general = LearnedReconstruction(
        STATIC, csm=csm_data(STATIC), model=reconstruction.model, regularization_weight=[0.05, 0.05, 0.05]
    )
    torch.testing.assert_close(general(STATIC).data, reconstruction(STATIC).data, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r'either regularization_weight or lambda_net, .*, got neither'):
        LearnedReconstruction(STATIC, model=reconstruction.model)
    with pytest.raises(ValueError, match='must be a number, 3 number'):
        LearnedReconstruction(STATIC, model=reconstruction.model, regularization_weight=[0.05, 0.05])


@pytest.mark.parametrize('name', KDATA)
def test_image_is_the_smooth_part_and_the_synthesis_of_the_coefficients(name: str) -> None:
    kdata = KDATA[name]
    reconstruction = AdaptiveDictionaryReconstruction(kdata, filters=FILTERS, regularization_weight=0.05, beta=2.0)
    result = reconstruction.solve(kdata)
    regularizer = DictionarySparsity(FILTERS, beta=2.0)
    coefficients = result.solution.coefficients
    assert coefficients is not None
    assert coefficients.shape == (3, *result.idata.data.shape)
    expected = regularizer.offset(result.initial_idata.data) + regularizer.synthesis_op(coefficients)[0]
    torch.testing.assert_close(result.idata.data, expected)
    assert reconstruction.certificate is not None
    assert reconstruction.certificate.reason == 'tolerance reached'
    # with a weight beyond any correlation, no coefficient is left
    heavy = AdaptiveDictionaryReconstruction(kdata, filters=FILTERS, regularization_weight=1e3, beta=2.0).solve(kdata)
    torch.testing.assert_close(heavy.idata.data, regularizer.offset(heavy.initial_idata.data))
    assert relative_image_difference(heavy.idata.data, result.idata.data) > 1e-2


@pytest.mark.parametrize('name', KDATA)
@pytest.mark.parametrize('responses', ['none', 'joint', 'each'])
def test_network(responses: str, name: str) -> None:
    """The maps are those of the network for the initial image and the responses of the filters to it."""
    kdata, net = KDATA[name], network(responses, features='signal_to_noise', noise_level=True)
    options: dict[str, Any] = {'filters': FILTERS, 'tolerance': 5e-2}
    result = AdaptiveDictionaryReconstruction(kdata, lambda_net=net, **options).solve(kdata)
    assert result.noise_std is not None
    initial = result.initial_idata.data
    (seen,) = DictionarySparsity(FILTERS).synthesis_op.adjoint(initial)
    with torch.no_grad():
        expected = net(initial, result.noise_std, None if responses == 'none' else seen)
    torch.testing.assert_close(result.lambda_map, expected, rtol=0, atol=0)
    as_map = AdaptiveDictionaryReconstruction(kdata, regularization_weight=result.lambda_map, **options)(kdata).data
    assert relative_image_difference(as_map, result.idata.data) < 1e-4


def test_permutation_of_the_filters() -> None:
    """The image of V3 does not depend on the order of the filters, that of a network V1 does."""
    order = [2, 0, 1]
    for responses, same in (('each', True), ('none', False)):
        net = network(responses, features='magnitude')
        with torch.no_grad():
            for parameter in net.backbone.last.parameters():  # type: ignore[union-attr]
                parameter.mul_(10)
        images = [
            image(STATIC.double(), csm=csm_data(STATIC).double(), filters=filters, lambda_net=net.double())
            for filters in (FILTERS.double(), FILTERS[order].double())
        ]
        change = relative_image_difference(images[1], images[0])
        assert change < 1e-10 if same else change > 1e-5


def test_solver_suits_the_boundary() -> None:
    options: dict[str, Any] = {'filters': FILTERS, 'regularization_weight': 0.05}
    found = {}
    for boundary, solver in (('circular', ADMM), ('zero', FISTA)):
        reconstruction = AdaptiveDictionaryReconstruction(STATIC, boundary=boundary, **options)  # type: ignore[arg-type]
        assert isinstance(reconstruction.model.solver, solver)
        found[boundary] = reconstruction(STATIC).data
    assert relative_image_difference(found['zero'], found['circular']) < 0.1


@pytest.mark.parametrize('scale', [1e-9, 3.7, 1e9])
def test_scale_equivariance(scale: float) -> None:
    scaled = STATIC.clone()
    scaled.data *= scale
    img = image(scaled, regularization_weight=0.05 * scale)
    assert relative_image_difference(img, scale * image(regularization_weight=0.05)) < 1e-5


NAN, ZERO = FILTERS.clone(), FILTERS.clone()
NAN[1, 0, 0] = float('nan')
ZERO[2] = 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'either regularization_weight or lambda_net'),
        ({'regularization_weight': 0.1, 'lambda_net': network('each')}, 'either regularization_weight or lambda_net'),
        ({'regularization_weight': 0.1, 'filters': cosine_filters(4)}, r'odd sizes, got shape \(15, 4, 4\)'),
        ({'regularization_weight': 0.1, 'filters': FILTERS[0]}, r'must have shape \(n_filters, \[kz,\] ky, kx\)'),
        ({'regularization_weight': 0.1, 'filters': FILTERS[:0]}, r'must hold numbers, .* shape \(0, 3, 3\)'),
        ({'regularization_weight': 0.1, 'filters': NAN}, r'filters must be finite, but number \[1\]'),
        ({'regularization_weight': 0.1, 'filters': ZERO}, r'filters must not be zero, but number \[2\]'),
        ({'regularization_weight': 0.1, 'filters': 2 * FILTERS}, 'filters must have unit norm'),
        ({'regularization_weight': 0.1, 'filters': FILTERS.round().long()}, 'must be float32 or float64'),
        ({'regularization_weight': 0.1, 'boundary': 'reflect'}, 'boundary must be one of'),
        ({'regularization_weight': 0.1, 'beta': -1.0}, 'beta must be a finite, non-negative number'),
        ({'regularization_weight': 0.1, 'max_iterations': 0}, 'max_iterations must be an integer from 1 on, got 0'),
        ({'regularization_weight': 0.1, 'tolerance': 0.0}, 'tolerance must be positive'),
        ({'lambda_net': network('none'), 'filters': FILTERS[:2]}, r"responses='each' \(V3\)"),
        ({'lambda_net': network('joint'), 'filters': FILTERS[:2]}, r"responses='each' \(V3\)"),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveDictionaryReconstruction(STATIC, **{'filters': FILTERS} | options)


@pytest.mark.parametrize('size', [15, 17])
def test_filters_larger_than_the_image(size: int) -> None:
    """The image has 16 x 14 pixels."""
    for options in ({'regularization_weight': 0.1}, {'lambda_net': network('each')}):
        with pytest.raises(ValueError, match=r'filters must not be larger than the image, got filters of shape'):
            image(filters=cosine_filters(size, 3), **options)


@pytest.mark.parametrize(
    'weight', [-0.1, float('nan'), [0.1, 0.1], torch.ones(2, 1, 1, 1, N_Y, N_X), torch.ones(3, 1, 1, 1, 3, 3)]
)
def test_invalid_weight(weight: Any) -> None:
    with pytest.raises(ValueError, match=r'Lambda map|regularization_weight must be finite'):
        image(regularization_weight=weight)
