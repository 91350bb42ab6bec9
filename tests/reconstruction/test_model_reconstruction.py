"""K-space data in, image out, for the models of all descriptions: they see of a scan what they see in training."""

from typing import Any

import pytest
import torch
from mrpro.data import CsmData, IData, KData, KTrajectory
from mrpro.operators import FourierOp, SensitivityOp
from mrpro_lambda.datasets import (
    AcquisitionSample,
    CartesianLines,
    CentralBox,
    Radial,
    RadialSample,
    SimulatedAcquisitions,
)
from mrpro_lambda.models import DirectInversionModel, LambdaMapModel, Model, SuperResolutionModel
from mrpro_lambda.nets import DenseNet
from mrpro_lambda.reconstruction import ModelReconstruction
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from torch.utils.data import default_collate

from tests.helper import relative_image_difference
from tests.models.test_network_models import EXAMPLES, built
from tests.reconstruction.cases import cartesian_kdata, csm_data, noise_measurement, phantom, radial_kdata

N = 16
SAMPLES: dict[str, AcquisitionSample | RadialSample] = {
    name: default_collate(
        [SimulatedAcquisitions(phantom(1, N, N).abs()[0, 0], sampling, noise=0.1, n_coils=n_coils)[0]]
    )
    for name, sampling, n_coils in (
        ('full', CentralBox(1.0), 1),
        ('full, 3 coils', CentralBox(1.0), 3),
        ('box', CentralBox(0.5), 1),
        ('lines, 3 coils', CartesianLines(1.6, 8), 3),
        ('radial, 3 coils', Radial(11, random_start=True), 3),
    )
}
all_models = pytest.mark.parametrize('name', EXAMPLES)


def scan_of(sample: AcquisitionSample | RadialSample) -> KData:
    """A sample of a training as raw data, which hold what was sampled and nothing else."""
    if isinstance(sample, RadialSample):
        kz, ky, kx = sample.traj.unbind(1)
        return KData(radial_kdata().header, sample.data, KTrajectory(kz, ky, kx))
    mask = sample.mask[0, 0, 0] > 0
    rows, columns = (mask.any(d).nonzero()[:, 0] for d in (1, 0))
    assert bool(mask[rows][:, columns].all())
    kdata = cartesian_kdata(lines=(rows - N // 2).tolist(), size=(N, N))
    ky, kx = ((index - N // 2).float() for index in (rows, columns))
    traj = KTrajectory(kdata.traj.kz, ky.reshape(1, 1, 1, -1, 1), kx.reshape(1, 1, 1, 1, -1))
    return KData(kdata.header, sample.data[..., rows, :][..., columns], traj)


def reconstruction_of(model: Model, sample: AcquisitionSample | RadialSample) -> ModelReconstruction:
    return ModelReconstruction(
        scan_of(sample), csm=SensitivityOp(sample.csm), model=model, noise_std=float(sample.noise_std.flatten()[0])
    )


@all_models
def test_image_is_that_of_the_training_sample(name: str) -> None:
    """Of each acquisition that the model does not refuse, and there is one. For others there is the reason, at once."""
    model, n_taken = built(name), 0
    for sample in SAMPLES.values():
        kdata = scan_of(sample)
        if is_refused(model, kdata, SensitivityOp(sample.csm)):
            with pytest.raises(ValueError, match=r'The model can not reconstruct this acquisition: .*got'):
                ModelReconstruction(kdata, csm=_never, model=model)
            taken = model.refusal(sample.data, sample.acquisition_op(), sample.initial_image) is None
            assert not taken or isinstance(model, DirectInversionModel)
            continue
        n_taken += 1
        with torch.no_grad():
            expected = model(sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std)
        reconstruction = reconstruction_of(model, sample)
        idata = reconstruction(kdata)
        assert isinstance(idata, IData)
        assert relative_image_difference(idata.data, expected) < 1e-3
        solution = reconstruction.solve(kdata)
        assert torch.equal(solution.img, idata.data)
        assert solution.lambda_map is None
        assert solution.solution is None
        assert 'tensor' not in repr(solution)
        assert (solution.noise_std is not None) == model.uses_noise_level
    assert n_taken


def is_refused(model: Model, kdata: KData, csm: SensitivityOp) -> bool:
    """Whether a model refuses the samples of a scan, which fewer of them know than their place on a grid."""
    classical = LambdaMapModel(0.0, ADMM(TotalVariation((-2, -1)), n_iterations=1))
    given = ModelReconstruction(kdata, csm=csm, model=classical).tensors(kdata)
    return model.refusal(given.data, given.acquisition_op, given.initial_image) is not None


def _never(_: IData) -> CsmData:
    raise AssertionError('Coil sensitivities were calculated before the refusal.')


@all_models
def test_scale_equivariance(name: str) -> None:
    """The image of c y is c times that of y, in the units of a scanner."""
    model = built(name)
    sample = next(s for s in SAMPLES.values() if not is_refused(model, scan_of(s), SensitivityOp(s.csm)))
    kdata, csm = scan_of(sample), SensitivityOp(sample.csm)
    noise_std = 0.1
    expected = ModelReconstruction(kdata, csm=csm, model=model, noise_std=noise_std)(kdata).data
    kdata.data *= 1e-4
    found = ModelReconstruction(kdata, csm=csm, model=model, noise_std=1e-4 * noise_std)(kdata).data
    assert relative_image_difference(1e4 * found, expected) < 1e-4


@all_models
def test_averages(name: str) -> None:
    """All samples twice are one acquisition of their means, with less noise."""
    model = built(name)
    once, twice = (cartesian_kdata(lines=[*range(-8, 8)] * n, noise=0.0, size=(N, N)) for n in (1, 2))
    csm = csm_data(once)
    if any(is_refused(model, kdata, csm.as_operator()) for kdata in (once, twice)):
        pytest.skip('takes no averages of several coils')
    expected = ModelReconstruction(once, csm=csm, model=model, noise_std=0.1)(once).data
    found = ModelReconstruction(twice, csm=csm, model=model, noise_std=0.1 * 2**0.5)(twice).data
    assert relative_image_difference(found, expected) < 1e-3


def test_noise_level_is_estimated_and_prewhitened() -> None:
    """As by all reconstructions: 1 after prewhitening, that of the air without."""
    model = built('plug_and_play: alternating')
    kdata, noise = cartesian_kdata(lines=range(-8, 8), noise=0.05), noise_measurement()
    assert ModelReconstruction(kdata, noise=noise, model=model).solve(kdata).noise_std == 1
    found = ModelReconstruction(kdata, model=model).solve(kdata).noise_std
    assert found == pytest.approx(0.05, rel=0.5)


def test_refusal_of_other_data() -> None:
    """Also where the operator was given, and its acquisition is known at the call only."""
    kdata = scan_of(SAMPLES['full'])
    model = SuperResolutionModel(DenseNet(2, 4, growth=3, n_layers=2, n_bottleneck=4))
    fourier_op = FourierOp.from_kdata(kdata)
    with pytest.raises(ValueError, match='Super-resolution by 2 needs the central half'):
        ModelReconstruction(fourier_op=fourier_op, csm=None, model=model)(kdata)
    other: Any = DirectInversionModel((1, 1, 8, 8), (8, 8), 4, 2)
    with pytest.raises(
        ValueError, match=r'can not reconstruct this acquisition: Direct inversion needs .* got \(1, 1, '
    ):
        ModelReconstruction(kdata, csm=None, model=other)
    with pytest.raises(TypeError, match='model must be Model, got Identity'):
        ModelReconstruction(kdata, model=torch.nn.Identity())  # type: ignore[arg-type]


def test_image_that_is_not_finite() -> None:
    """Weights that went wrong in a training are no image."""
    model, sample = built('modl: MoDL'), SAMPLES['full']
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, float('nan'))
    with pytest.raises(ValueError, match='The image of UnrolledModel must be finite, got 256 NaN or Inf'):
        reconstruction_of(model, sample)(scan_of(sample))
