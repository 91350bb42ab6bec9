"""Tests of the residual as an image in units of the noise."""

from typing import Any

import pytest
import torch
from mrpro.operators import FourierOp, LinearOperator
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.reconstruction import residual_image

from tests.reconstruction.cases import csm_data, radial_kdata

SHAPE = (2, 1, 1, 40, 44)


def masked() -> LinearOperator:
    """Two images with different fractions of k-space."""
    fraction = torch.tensor([0.9, 0.2])[:, None, None, None, None]
    return CartesianAcquisitionOp((RandomGenerator(seed=1).float32_tensor(SHAPE, low=0.0, high=1.0) < fraction).float())


def rms(img: torch.Tensor) -> torch.Tensor:
    return img.abs().square().mean((-4, -3, -2, -1)).sqrt()


def problem(noise_std: float) -> tuple[torch.Tensor, LinearOperator, torch.Tensor]:
    acquisition_op, rng = masked(), RandomGenerator(seed=2)
    img = rng.complex64_tensor(SHAPE)
    (data,) = acquisition_op(img)
    (mask,) = acquisition_op(acquisition_op.adjoint(torch.ones_like(data))[0])
    noise = torch.complex(rng.randn_tensor(data.shape, torch.float32), rng.randn_tensor(data.shape, torch.float32))
    return data + noise_std / 2**0.5 * noise * (mask.abs() > 0.5), acquisition_op, img


@pytest.mark.parametrize('noise_std', [0.01, 100.0])
def test_residual_of_the_true_image_is_noise_of_size_one(noise_std: float) -> None:
    """For each image of a batch, whatever is sampled."""
    data, acquisition_op, img = problem(noise_std)
    torch.testing.assert_close(
        rms(residual_image(data, acquisition_op, img, noise_std)), torch.ones(2), rtol=0.1, atol=0
    )


def test_residual_of_the_true_image_of_a_radial_scan() -> None:
    kdata = radial_kdata()
    csm = csm_data(kdata)
    acquisition_op = FourierOp.from_kdata(kdata) @ csm.as_operator()
    rng = RandomGenerator(seed=3)
    img = rng.complex64_tensor((*kdata.data.shape[:-4], 1, *csm.data.shape[-3:]))
    noise = torch.complex(*(rng.randn_tensor(kdata.data.shape, torch.float32) for _ in range(2))) / 2**0.5
    residual = residual_image(acquisition_op(img)[0] + 0.3 * noise, acquisition_op, img, 0.3)
    torch.testing.assert_close(rms(residual), torch.ones(residual.shape[:-4]), rtol=0.2, atol=0)


def test_image_that_fits_has_none_and_scales_cancel() -> None:
    data, acquisition_op, img = problem(0.1)
    exact = residual_image(acquisition_op(img)[0], acquisition_op, img, 0.1)
    assert rms(exact).max() < 1e-5
    residual = residual_image(data, acquisition_op, img, 0.1)
    torch.testing.assert_close(residual_image(8 * data, acquisition_op, 8 * img, 0.8), residual)
    torch.testing.assert_close(residual_image(data, acquisition_op, img, 0.2), residual / 2)


def test_missing_point_is_where_it_is_missing_with_its_sign() -> None:
    data, acquisition_op, img = problem(0.1)
    wrong = img.clone()
    wrong[1, 0, 0, 7, 9] -= 5j
    change = residual_image(data, acquisition_op, wrong, 0.1) - residual_image(data, acquisition_op, img, 0.1)
    assert not change[0].any()
    assert int(change[1].abs().argmax()) == 7 * 44 + 9
    assert change[1, 0, 0, 7, 9].imag > 0
    assert change[1, 0, 0, 7, 9].real.abs() < 1e-3 * change[1, 0, 0, 7, 9].imag


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'data': torch.ones(1, 1, 1, 40, 44) + 0j}, r'must have the shape of the data, got .*\(1, 1, 1, 40, 44\)'),
        ({'noise_std': 0.0}, 'noise_std'),
        ({'img': torch.full(SHAPE, torch.nan) + 0j}, 'img must be finite'),
    ],
)
def test_invalid_inputs_are_errors(options: dict[str, Any], message: str) -> None:
    data, acquisition_op, img = problem(0.1)
    given: dict[str, Any] = {'data': data, 'acquisition_op': acquisition_op, 'img': img, 'noise_std': 0.1} | options
    with pytest.raises(ValueError, match=message):
        residual_image(**given)
