"""Tests of the operators of simulated acquisitions."""

import pytest
import torch
from mrpro.data import DcfData, KTrajectory
from mrpro.operators import FastFourierOp
from mrpro_lambda.datasets import (
    AcquisitionSample,
    CartesianLines,
    CartesianSampling,
    CentralBox,
    Radial,
    RadialSample,
    SimulatedAcquisitions,
)

from tests.helper import dotproduct_adjointness_test, relative_image_difference

IMAGES = torch.rand(3, 16, 12, generator=torch.Generator().manual_seed(0))
SAMPLINGS: list[CartesianSampling | Radial] = [
    CentralBox((0.4, 0.9)),
    CartesianLines(2.0, 4),
    Radial(9),
    Radial(9, random_start=True),
]


def collated(sampling: CartesianSampling | Radial, noise: float = 0.1) -> AcquisitionSample | RadialSample:
    dataset = SimulatedAcquisitions(IMAGES, sampling, noise=noise, n_coils=2)
    return torch.utils.data.default_collate([dataset[i] for i in range(3)])


def entry(batch: AcquisitionSample | RadialSample, i: int) -> AcquisitionSample | RadialSample:
    return type(batch)(*(field[i] for field in batch))


@pytest.mark.parametrize('sampling', SAMPLINGS, ids=str)
def test_initial_image_is_the_adjoint_of_the_data(sampling: CartesianSampling | Radial) -> None:
    """With density compensation if it is not Cartesian, as in reconstructions."""
    batch = collated(sampling)
    data = batch.data
    if isinstance(batch, RadialSample):
        kz, ky, kx = batch.traj.unbind(1)
        data = data * DcfData.from_traj_voronoi(KTrajectory(kz, ky, kx)).data
    (initial_image,) = batch.acquisition_op().adjoint(data)
    assert batch.initial_image.shape == batch.img.shape == (3, 1, 1, 16, 12)
    assert relative_image_difference(batch.initial_image, initial_image) < 1e-5


@pytest.mark.parametrize('sampling', SAMPLINGS, ids=str)
def test_noise_free_data_is_the_image_through_the_operator(sampling: CartesianSampling | Radial) -> None:
    batch = collated(sampling, noise=0.0)
    (data,) = batch.acquisition_op()(batch.img)
    assert relative_image_difference(batch.data, data) < 1e-5
    assert (batch.noise_std == 0).all()


@pytest.mark.parametrize('sampling', SAMPLINGS, ids=str)
def test_batch_is_the_stack_of_its_samples(sampling: CartesianSampling | Radial) -> None:
    batch = collated(sampling)
    (data,) = batch.acquisition_op()(batch.img)
    for i in range(3):
        sample = entry(batch, i)
        (sample_data,) = sample.acquisition_op()(sample.img)
        assert relative_image_difference(sample_data, data[i]) < 1e-5


@pytest.mark.parametrize('sampling', SAMPLINGS, ids=str)
def test_adjointness(sampling: CartesianSampling | Radial) -> None:
    batch = collated(sampling)
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(batch.img.shape, generator=generator, dtype=torch.complex64)
    v = torch.randn(batch.data.shape, generator=generator, dtype=torch.complex64)
    dotproduct_adjointness_test(batch.acquisition_op(), u, v)


def test_radial_spoke_is_a_line_of_the_oversampled_k_space() -> None:
    """The first spoke is the central line of the orthonormal FFT on the encoding matrix."""
    dataset = SimulatedAcquisitions(IMAGES, Radial(5), noise=0.0)
    sample = dataset[0]
    fft = FastFourierOp(dim=(-2, -1), recon_matrix=(16, 12), encoding_matrix=(32, 32))
    (k_space,) = fft(sample.img)
    assert relative_image_difference(sample.data[..., 0, :], k_space[..., 16, :]) < 1e-4
