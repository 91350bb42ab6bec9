"""Total variation reconstruction: weights, and the reconstruction of mrpro that it takes the place of."""

import inspect
from typing import Any

import pytest
import torch
from mrpro.algorithms.reconstruction import TotalVariationRegularizedReconstruction
from mrpro.data import KData
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction
from mrpro_lambda.solvers import ADMM, PDHG

from tests.helper import relative_image_difference
from tests.reconstruction.cases import N_X, N_Y, cartesian_kdata, csm_data, network

STATIC, DYNAMIC = cartesian_kdata(), cartesian_kdata(n_other=3)


def image(kdata: KData, dim: tuple[int, ...] = (-2, -1), **options: Any) -> torch.Tensor:
    options = {'csm': csm_data(kdata), 'regularization_dim': dim} | options
    return AdaptiveTotalVariationReconstruction(kdata, **options)(kdata).data


def test_mrpro_with_twice_the_weight() -> None:
    """mrpro's class minimizes the objective without the factor 1/2 of the data term, with zeros beyond the border.

    This is the class itself, with its own steps, which are short: it needs many iterations of this small problem.
    """
    common: dict[str, Any] = {'csm': csm_data(STATIC), 'regularization_dim': (-2, -1)}
    theirs = TotalVariationRegularizedReconstruction(STATIC, regularization_weight=0.1, max_iterations=600, **common)
    expected = theirs(STATIC).data
    ours: dict[str, Any] = common | {'boundary': 'zero', 'band_limit': False, 'tolerance': 1e-4}
    reconstruction = AdaptiveTotalVariationReconstruction(STATIC, regularization_weight=0.05, **ours)
    assert relative_image_difference(reconstruction(STATIC).data, expected) < 3e-3
    assert reconstruction.certificate is not None
    assert reconstruction.certificate.reason == 'tolerance reached'
    for weight in (0.025, 0.1):
        assert relative_image_difference(image(STATIC, regularization_weight=weight, **ours), expected) > 1e-2


def test_arguments_of_mrpro_have_the_same_names() -> None:
    ours = inspect.signature(AdaptiveTotalVariationReconstruction).parameters
    for name, theirs in inspect.signature(TotalVariationRegularizedReconstruction).parameters.items():
        assert name in ours
        assert ours[name].kind == theirs.kind
    options: dict[str, Any] = {
        'csm': csm_data(STATIC),
        'noise': None,
        'dcf': None,
        'max_iterations': 30,
        'tolerance': 1e-2,
        'regularization_dim': (-2, -1),
        'regularization_weight': 0.05,
    }
    for cls in (AdaptiveTotalVariationReconstruction, TotalVariationRegularizedReconstruction):
        idata = cls(STATIC, None, **options)(STATIC)
        assert idata.data.shape == (1, 1, 1, N_Y, N_X)


def test_forms_of_a_weight() -> None:
    """A number, a list, a tensor and a map."""
    weights = [0.05, [0.05], torch.tensor(0.05), torch.tensor([0.05]), torch.full((1, 1, 1, 1, N_Y, N_X), 0.05)]
    images = [image(STATIC, regularization_weight=weight) for weight in weights]
    for img in images[1:]:
        torch.testing.assert_close(img, images[0], rtol=0, atol=0)
    assert relative_image_difference(image(STATIC, regularization_weight=0.1), images[0]) > 1e-2
    lambda_map = torch.full((1, 1, 1, 1, N_Y, N_X), 0.05)
    lambda_map[..., : N_X // 2] = 0.5
    assert relative_image_difference(image(STATIC, regularization_weight=lambda_map), images[0]) > 1e-2


def test_one_weight_for_each_axis_as_in_mrpro() -> None:
    """With as many numbers as axes, each axis has its own; equal numbers are the same as one."""
    one = image(STATIC, regularization_weight=0.05)
    torch.testing.assert_close(image(STATIC, regularization_weight=[0.05, 0.05]), one)
    strong_y = image(STATIC, regularization_weight=(0.5, 0.005))
    strong_x = image(STATIC, regularization_weight=torch.tensor([0.005, 0.5]))
    assert strong_y.diff(dim=-2).abs().sum() < 0.8 * strong_x.diff(dim=-2).abs().sum()
    assert strong_x.diff(dim=-1).abs().sum() < 0.8 * strong_y.diff(dim=-1).abs().sum()


def test_one_weight_for_space_and_one_for_time() -> None:
    dim = (-5, -2, -1)
    both = image(DYNAMIC, dim, regularization_weight=[0.05, 0.2])
    assert both.shape == (3, 1, 1, N_Y, N_X)
    no_coupling = image(DYNAMIC, dim, regularization_weight=[0.05, 0.0], tolerance=1e-4)
    each = image(DYNAMIC, regularization_weight=0.05, tolerance=1e-4)
    assert relative_image_difference(no_coupling, each) < 1e-2
    assert relative_image_difference(both, no_coupling) > 2e-2
    for weight in ([0.05], [0.05, 0.2, 0.2, 0.2]):
        with pytest.raises(ValueError, match='n_maps=2'):
            image(DYNAMIC, dim, regularization_weight=weight)


@pytest.mark.parametrize('noise_level', [False, True])
def test_network(noise_level: bool) -> None:
    """The network sees the initial image and, if it uses it, the noise level."""
    net = network(noise_level=noise_level)
    reconstruction = AdaptiveTotalVariationReconstruction(STATIC, regularization_dim=(-2, -1), lambda_net=net)
    solution = reconstruction.solve(STATIC)
    assert (solution.noise_std is not None) == noise_level
    with torch.no_grad():
        expected = net(solution.initial_idata.data, solution.noise_std)
    torch.testing.assert_close(solution.lambda_map, expected, rtol=0, atol=0)
    as_map = AdaptiveTotalVariationReconstruction(
        STATIC, regularization_dim=(-2, -1), regularization_weight=solution.lambda_map
    )
    torch.testing.assert_close(as_map(STATIC).data, solution.idata.data, rtol=0, atol=0)


@pytest.mark.parametrize(('positive', 'negative'), [((3, 4), (-2, -1)), ((0, 3, 4), (-5, -2, -1)), ((0, -1), (-5, -1))])
def test_positive_axes(positive: tuple[int, ...], negative: tuple[int, ...]) -> None:
    """As in mrpro, axes may be counted from the first one of the data."""
    torch.testing.assert_close(
        image(DYNAMIC, positive, regularization_weight=0.05),
        image(DYNAMIC, negative, regularization_weight=0.05),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize('scale', [1e-9, 1e-6, 3.7, 1e6, 1e9])
def test_scale_equivariance(scale: float) -> None:
    """In other units of the data the weight is in these units, too."""
    scaled = STATIC.clone()
    scaled.data *= scale
    img = image(scaled, csm=csm_data(STATIC), regularization_weight=0.05 * scale)
    assert relative_image_difference(img, scale * image(STATIC, regularization_weight=0.05)) < 1e-5


def test_tolerance_and_iterations() -> None:
    options: dict[str, Any] = {'csm': csm_data(STATIC), 'regularization_dim': (-2, -1), 'regularization_weight': 0.05}
    default = AdaptiveTotalVariationReconstruction(STATIC, **options)
    default(STATIC)
    assert default.certificate is not None
    assert default.certificate.reason == 'tolerance reached'
    assert default.certificate.relative_gap <= 1e-2
    short = AdaptiveTotalVariationReconstruction(STATIC, max_iterations=3, tolerance=1e-9, **options)
    with pytest.warns(UserWarning, match=r'after 3 iterations the certified gap is \S+ of the objective, not 1e-09'):
        short(STATIC)
    assert short.certificate is not None
    assert short.certificate.n_iterations == 3
    assert short.certificate.reason == 'maximum number of iterations'


def test_solver_suits_the_boundary() -> None:
    for boundary, solver in (('circular', ADMM), ('neumann', ADMM), ('zero', PDHG)):
        reconstruction = AdaptiveTotalVariationReconstruction(
            STATIC,
            regularization_dim=(-2, -1),
            regularization_weight=0.05,
            boundary=boundary,  # type: ignore[arg-type]
        )
        assert isinstance(reconstruction.model.solver, solver)
        assert reconstruction(STATIC).data.shape == (1, 1, 1, N_Y, N_X)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'either regularization_weight or lambda_net'),
        ({'regularization_weight': 0.1, 'lambda_net': network()}, 'either regularization_weight or lambda_net'),
        ({'regularization_weight': 0.1, 'regularization_dim': (-1, -1)}, 'each axis once'),
        ({'regularization_weight': 0.1, 'regularization_dim': (4, -1)}, 'each axis once'),
        ({'regularization_weight': 0.1, 'regularization_dim': ()}, 'at least one axis'),
        ({'regularization_weight': 0.1, 'boundary': 'reflect'}, 'boundary must be one of'),
        ({'regularization_weight': 0.1, 'max_iterations': 0}, 'max_iterations must be an integer from 1 on, got 0'),
        ({'regularization_weight': 0.1, 'tolerance': 0.0}, 'tolerance must be positive'),
        ({'lambda_net': network(noise_level=True), 'noise_std': 0.0}, 'noise_std must be positive'),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveTotalVariationReconstruction(STATIC, **{'regularization_dim': (-2, -1)} | options)


@pytest.mark.parametrize('dim', [(5,), (-6,)])
def test_axis_that_the_data_lack(dim: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='must be axes of the image'):
        image(STATIC, dim, regularization_weight=0.1)


def test_positive_axes_need_kdata() -> None:
    with pytest.raises(ValueError, match='Without kdata, axes must be negative'):
        AdaptiveTotalVariationReconstruction(csm=None, regularization_dim=(3, 4), regularization_weight=0.1)


@pytest.mark.parametrize('weight', [-0.1, float('nan'), torch.ones(1, 1, 1, 1, 3, 3)])
def test_invalid_weight(weight: Any) -> None:
    with pytest.raises(ValueError, match=r'Lambda map|regularization_weight must be finite'):
        image(STATIC, regularization_weight=weight)
