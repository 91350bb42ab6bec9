"""What a user gives wrongly is one clear error, which names the rule, before anything is computed."""

import math
from typing import Any

import pytest
import torch
from mrpro.data import CsmData, DcfData, KData, KNoise
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction, LearnedReconstruction, prewhiten
from mrpro_lambda.reconstruction.check_inputs import check_weight

from tests.reconstruction.cases import N_X, N_Y, cartesian_kdata, coil_maps, csm_data, learned_model, noise_measurement

KDATA = cartesian_kdata()


def sensitivities(n_coils: int, *, n_other: int = 1, bad: float | None = None) -> CsmData:
    """Coil sensitivities, with one bad value."""
    csm = coil_maps(n_coils).repeat(n_other, 1, 1, 1, 1)
    if bad is not None:
        csm[0, 1, 0, 2, 3] = bad
    return CsmData(csm, csm_data(KDATA).header)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'csm': sensitivities(3, bad=math.nan)}, r'csm must be finite, got 1 NaN or Inf in shape \(1, 3, 1, '),
        ({'csm': sensitivities(3, bad=math.inf).as_operator()}, 'csm must be finite, got 1 NaN or Inf'),
        ({'csm': sensitivities(2)}, r'csm must have the 3 coils of the data, got 2 in shape \(1, 2, 1, '),
        (
            {'noise': noise_measurement(2)},
            r'noise must have the 3 coils of the data, got 2 in shape \(1, 2, 1, 1, 2000',
        ),
        ({'noise': KNoise(torch.full((1, 3, 1, 1, 9), math.nan + 0j))}, 'noise must be finite'),
        ({'noise': KNoise(noise_measurement().data[..., :2])}, 'at least as many samples as the 3 coils'),
        ({'dcf': DcfData(torch.full((1, 1, 1, 1, 1), math.inf))}, 'dcf must be finite'),
        ({'csm': lambda idata: idata}, 'The result of csm must be CsmData, got IData'),
        ({'csm': 3}, 'csm must be CsmData, a SensitivityOp, a function or None, got int'),
        ({'csm': CsmData(0 * sensitivities(3).data, csm_data(KDATA).header)}, 'csm must have|moduli around 1'),
        ({'noise': KNoise(0 * noise_measurement().data)}, 'noise must not be all zero'),
        ({'noise_std': torch.ones(2)}, r'noise_std must be one number, got torch.float32, shape \(2,\)'),
        ({'noise_std': 'loud'}, "noise_std must be a number, got 'loud'"),
        ({'noise_std': -0.5}, 'noise_std must be positive and finite, got noise_std=-0.5'),
        ({'model': torch.nn.Identity()}, 'model must be LambdaMapModel, got Identity'),
    ],
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        LearnedReconstruction(KDATA, **{'csm': sensitivities(3), 'model': learned_model(), **options})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'regularization_weight': torch.ones(N_Y, N_X)}, rf'lambda_map\.reshape\(1, 1, 1, 1, {N_Y}, {N_X}\)'),
        ({'regularization_weight': torch.ones(1, N_Y, N_X)}, rf'lambda_map\.reshape\(1, 1, 1, 1, {N_Y}, {N_X}\)'),
        ({'regularization_weight': torch.ones(1, 1, 1, 1, N_Y, 3)}, 'Each axis of the Lambda map must have size 1 or'),
        ({'regularization_weight': [0.1, 0.1, 0.1]}, r'n_maps=1, got shape \(3, 1, 1'),
        ({'regularization_weight': [0.1, -0.1]}, r'must be finite and not negative, got .* shape \(2,\), smallest'),
        ({'regularization_weight': 0.1j}, 'must hold real numbers, got torch.complex64'),
        ({'regularization_weight': 'strong'}, 'must be a number, a sequence of numbers, a tensor or a Weight, got str'),
        ({'regularization_dim': (-7, -1)}, r'must be axes of the image, got regularization_dim=\(-7, -1\) for 5 axes'),
        ({'regularization_dim': (0.5,)}, r'regularization_dim must hold axes, got regularization_dim=\(0.5,\)'),
    ],
)
def test_invalid_weight_or_axes(options: dict[str, Any], message: str) -> None:
    """Found before the coil sensitivities are calculated, which would take long."""

    def csm(_: Any) -> CsmData:
        raise AssertionError('calculated')

    given = {'regularization_weight': 0.1, 'regularization_dim': (-2, -1), **options}
    with pytest.raises((ValueError, TypeError), match=message):
        AdaptiveTotalVariationReconstruction(KDATA, csm=csm, **given)


def test_proposed_reshape_works() -> None:
    weight = torch.rand(N_Y, N_X, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {'csm': sensitivities(3), 'regularization_dim': (-2, -1)}
    reshaped = weight.reshape(1, 1, 1, 1, N_Y, N_X)
    result = AdaptiveTotalVariationReconstruction(KDATA, regularization_weight=reshaped, **options).solve(KDATA)
    torch.testing.assert_close(result.lambda_map, reshaped)


def single_line() -> KData:
    return cartesian_kdata(lines=range(-3, 4))


def half() -> KData:
    kdata = KDATA.clone()
    kdata.data = kdata.data.real
    return kdata


@pytest.mark.parametrize(
    ('kdata', 'message'),
    [
        (single_line(), r'must have the trajectory, coils and image .* got shape \(1, 3, 1, 7, '),
        (cartesian_kdata(n_coils=2), 'csm must have the 3 coils|csm must have the 2 coils of the data, got 3'),
        (half(), 'k-space data must be complex .* got torch.float32'),
        (None, 'k-space data must be KData, got NoneType'),
    ],
)
def test_data_of_another_scan(kdata: Any, message: str) -> None:
    reconstruction = LearnedReconstruction(KDATA, csm=sensitivities(3), model=learned_model())
    with pytest.raises((ValueError, TypeError), match=message):
        reconstruction(kdata)


def test_dependent_coils() -> None:
    noise = KNoise(noise_measurement(1).data * torch.arange(1, 4).reshape(3, 1, 1, 1))
    with pytest.raises(ValueError, match=r'noise of the coils must be independent, got noise of shape \(1, 3, '):
        prewhiten(KDATA, noise)


@pytest.mark.parametrize('weight', [0, 0.0, [0.1, 0], torch.tensor(2), torch.zeros(1, 1)])
def test_valid_weights(weight: Any) -> None:
    tensor = check_weight(weight)
    assert isinstance(tensor, torch.Tensor)
    assert torch.equal(tensor, torch.as_tensor(weight))
