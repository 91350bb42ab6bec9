"""What every reconstruction has to fulfill, as those of mrpro do: k-space data in, image out."""

import copy
import inspect
import io
import math
import pickle
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro.algorithms.prewhiten_kspace import prewhiten_kspace
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import CsmData, DcfData, IData, KData, KTrajectory
from mrpro.data.traj_calculators import KTrajectoryIsmrmrd
from mrpro.operators import FourierOp, SensitivityOp
from mrpro_lambda.datasets import CartesianLines, Radial, RadialSample, SimulatedAcquisitions
from mrpro_lambda.reconstruction import LearnedReconstruction
from mrpro_lambda.solvers import Solution

from tests.helper import relative_image_difference
from tests.reconstruction.cases import (
    N_Y,
    RECONSTRUCTIONS,
    cartesian_kdata,
    coil_maps,
    csm_data,
    learned_model,
    noise_measurement,
    options,
    phantom,
    radial_kdata,
)

all_reconstructions = pytest.mark.parametrize('cls', RECONSTRUCTIONS)
with_certificate = pytest.mark.parametrize('cls', [c for c in RECONSTRUCTIONS if issubclass(c, LearnedReconstruction)])
KDATA = {
    'undersampled': cartesian_kdata(),
    'fully sampled': cartesian_kdata(lines=range(-8, 8)),
    'oversampled readout': cartesian_kdata(oversampling=2),
    'single coil': cartesian_kdata(n_coils=1),
    'several images': cartesian_kdata(n_other=3),
    'radial': radial_kdata(),
}


@all_reconstructions
@pytest.mark.parametrize('name', KDATA)
def test_kdata_in_idata_out(cls: Any, name: str) -> None:
    """Set up from the data alone. The image is that of the phantom."""
    kdata = KDATA[name]
    reconstruction = cls(kdata, **options(cls))
    assert isinstance(reconstruction, DirectReconstruction)
    assert isinstance(reconstruction.csm_op, SensitivityOp)
    assert reconstruction.dcf_op is not None
    assert reconstruction.noise is None
    idata = reconstruction(kdata)
    assert isinstance(idata, IData)
    n_other = len(kdata.data)
    assert idata.data.shape == (n_other, 1, *kdata.header.recon_matrix.zyx)
    assert idata.data.dtype == torch.complex64
    assert not idata.data.requires_grad
    assert bool(idata.data.isfinite().all())
    expected = phantom(n_other, *idata.data.shape[-2:])
    assert relative_image_difference(idata.data.abs(), expected.abs()) < 0.2


@all_reconstructions
def test_data_of_a_file(cls: Any, tmp_path: Path) -> None:
    """The way of users: written as ISMRMRD, read by mrpro, reconstructed, and the image written again."""
    kdata = KDATA['undersampled']
    kdata.to_file(tmp_path / 'data.h5')
    read = KData.from_file(tmp_path / 'data.h5', KTrajectoryIsmrmrd())
    assert relative_image_difference(read.data, kdata.data) < 1e-6
    idata = cls(read, **options(cls))(read)
    assert relative_image_difference(idata.data, cls(kdata, **options(cls))(kdata).data) < 1e-4
    assert idata.data.shape[-3:] == kdata.header.recon_matrix.zyx
    idata.to_dicom_folder(tmp_path / 'dicom')
    assert list((tmp_path / 'dicom').iterdir())


@with_certificate
@pytest.mark.parametrize('name', ['undersampled', 'radial'])
def test_solution(cls: Any, name: str) -> None:
    """All that led to the image, and the certificate with the shape of the image alone."""
    kdata = KDATA[name]
    reconstruction = cls(kdata, **options(cls))
    before = reconstruction.certificate
    assert before is None
    solution = reconstruction.solve(kdata)
    torch.testing.assert_close(solution.solution.img, solution.idata.data, rtol=0, atol=0)
    assert solution.lambda_map.shape[0] == reconstruction.model.solver.regularizer.n_maps
    assert torch.broadcast_shapes(solution.lambda_map.shape[1:], solution.idata.data.shape) == solution.idata.data.shape
    certificate: Solution = reconstruction.certificate
    assert certificate.img.is_meta
    assert repr(certificate).startswith(f'Solution(shape={tuple(solution.idata.data.shape)}, relative_gap=')
    assert 'tensor' not in repr(solution.solution)
    assert certificate[1:-1] == solution.solution[1:-1]
    assert certificate.coefficients is None
    synthesis_op = reconstruction.model.solver.regularizer.synthesis_op
    assert (solution.solution.coefficients is None) == (synthesis_op is None)
    assert certificate.gap > 0
    assert certificate.objective > 0
    assert certificate.n_iterations > 0
    # the NUFFT adds up in parallel, so that two calls differ by rounding
    assert relative_image_difference(reconstruction(kdata).data, solution.idata.data) < 1e-4
    # the image of the network is the adjoint, and for non-Cartesian data that of the compensated data
    reference = DirectReconstruction(kdata, csm=reconstruction.csm_op)
    if name == 'undersampled':
        reference.dcf_op = None
    torch.testing.assert_close(solution.initial_idata.data, reference(kdata).data)


@all_reconstructions
def test_without_sensitivities_each_coil_is_an_image(cls: Any) -> None:
    kdata = KDATA['undersampled']
    reconstruction = cls(kdata, csm=None, **options(cls))
    assert reconstruction.csm_op is None
    data = reconstruction(kdata).data
    assert data.shape == (1, 3, *kdata.header.recon_matrix.zyx)
    expected = coil_maps(3) * phantom()
    assert relative_image_difference(data.abs(), expected.abs()) < 0.2


@all_reconstructions
def test_sensitivities(cls: Any) -> None:
    """Data, operator, and functions that calculate them."""
    kdata = KDATA['undersampled']
    csm = csm_data(kdata)
    given = [cls(kdata, csm=c, **options(cls)) for c in (csm, csm.as_operator(), lambda _: csm)]
    expected = given[0](kdata).data
    for reconstruction in given:
        torch.testing.assert_close(reconstruction.csm_op.csm_tensor, csm.data, rtol=0, atol=0)
        torch.testing.assert_close(reconstruction(kdata).data, expected, rtol=0, atol=0)
    calculated = [cls(kdata, csm=c, **options(cls)) for c in (CsmData.from_idata_walsh, CsmData.from_idata_inati)]
    default = cls(kdata, **options(cls))(kdata).data
    torch.testing.assert_close(calculated[0](kdata).data, default, rtol=0, atol=0)
    assert relative_image_difference(calculated[1](kdata).data.abs(), default.abs()) < 0.2


@all_reconstructions
def test_noise_measurement(cls: Any) -> None:
    """The data are prewhitened, as if this had been done before."""
    kdata, noise = KDATA['undersampled'], noise_measurement()
    csm = csm_data(kdata)
    reconstruction = cls(kdata, csm=csm, noise=noise, **options(cls))
    assert reconstruction.noise is noise
    expected = cls(kdata, csm=csm, **options(cls))(prewhiten_kspace(kdata, noise)).data
    data = reconstruction(kdata).data
    torch.testing.assert_close(data, expected)
    assert relative_image_difference(data, cls(kdata, csm=csm, **options(cls))(kdata).data) > 0.1


@all_reconstructions
def test_density_compensation(cls: Any) -> None:
    """Data and operator are the same. It changes the initial image; by default, Cartesian acquisitions have none."""
    for name in ('radial', 'undersampled'):
        kdata = KDATA[name]
        csm = csm_data(kdata)
        dcf = DcfData.from_traj_voronoi(kdata.traj)
        initial = []
        for given in (None, dcf, dcf.as_operator(), DcfData(3 * dcf.data)):
            reconstruction = cls(kdata, csm=csm, dcf=given, **options(cls))
            assert reconstruction.dcf_op is not None
            initial.append(reconstruction.solve(kdata).initial_idata.data)
        torch.testing.assert_close(initial[2], initial[1])
        torch.testing.assert_close(initial[3], 3 * initial[1])
        if name == 'radial':
            torch.testing.assert_close(initial[0], initial[1])
        else:
            (adjoint,) = (FourierOp.from_kdata(kdata) @ csm.as_operator()).adjoint(kdata.data)
            torch.testing.assert_close(initial[0], adjoint)


@pytest.mark.parametrize('sampling', [Radial(11, random_start=True), CartesianLines(2.0, 4)])
def test_network_sees_the_initial_image_of_its_training(sampling: Radial | CartesianLines) -> None:
    """The same data as a sample of a training set, and as a scan."""
    image = phantom(n_y=N_Y, n_x=N_Y).abs()[0, 0, 0]
    sample = SimulatedAcquisitions(image[None], sampling, noise=0.1, n_coils=3)[0]
    if isinstance(sample, RadialSample):
        kdata, data = radial_kdata(n_spokes=11), sample.data
        trajectory = KTrajectory(*(k[None] for k in sample.traj))
    else:
        kdata, lines = cartesian_kdata(size=(N_Y, N_Y)), sample.mask[0, 0, :, 0].nonzero()[:, 0]
        data = sample.data[:, :, lines]
        trajectory = KTrajectory(kdata.traj.kz, (lines - N_Y // 2).float().reshape(1, 1, 1, -1, 1), kdata.traj.kx)
    kdata = KData(kdata.header, data[None], trajectory)
    reconstruction = LearnedReconstruction(kdata, csm=SensitivityOp(sample.csm[None]), model=learned_model())
    initial_image = reconstruction.solve(kdata).initial_idata.data[0]
    assert relative_image_difference(initial_image, sample.initial_image) < 1e-4


@with_certificate
def test_averages(cls: Any) -> None:
    """All lines twice, as two averages of one scan: twice the data term. Networks take account of it on their own."""
    once, twice = (cartesian_kdata(lines=[*range(-8, 5)] * n, noise=0.0) for n in (1, 2))
    csm, settings = csm_data(once), options(cls)
    expected = cls(once, csm=csm, **settings).solve(once)
    if 'regularization_weight' in settings:
        settings['regularization_weight'] *= 2
    reconstruction = cls(twice, csm=csm, **settings)
    solution = reconstruction.solve(twice)
    torch.testing.assert_close(solution.initial_idata.data, expected.initial_idata.data)
    torch.testing.assert_close(solution.lambda_map, 2 * expected.lambda_map)
    assert relative_image_difference(solution.idata.data, expected.idata.data) < 1e-3
    assert solution.solution.objective == pytest.approx(2 * expected.solution.objective, rel=1e-3)
    reconstruction.recalculate_fourierop(twice)
    torch.testing.assert_close(reconstruction(twice).data, solution.idata.data)


@with_certificate
@pytest.mark.parametrize('explicit', [False, True])
def test_repeated_center(cls: Any, explicit: bool) -> None:
    """The central line is acquired three times, each with noise of its own: the same as their mean with a weight."""
    lines = [*range(-8, 5), 0, 0]
    kdata = cartesian_kdata(lines=lines, noise=0.1)
    csm = csm_data(kdata)
    fourier_op = FourierOp.from_kdata(kdata)
    reconstruction = cls(kdata, fourier_op if explicit else None, csm=csm, **options(cls))
    mean = cartesian_kdata(lines=lines[:-2])
    center = kdata.data[..., [8, 13, 14], :].mean(-2, keepdim=True)
    mean.data = torch.cat((kdata.data[..., :8, :], center, kdata.data[..., 9:13, :]), -2)
    solution = reconstruction.solve(kdata)
    expected = cls(mean, csm=csm, **options(cls)).solve(mean)
    torch.testing.assert_close(solution.initial_idata.data, expected.initial_idata.data)
    # which counts three times in the data term
    weight = torch.ones(len(lines) - 2, 1)
    weight[8] = math.sqrt(3)
    weighted_op = weight * (FourierOp.from_kdata(mean) @ csm.as_operator())
    start = expected.initial_idata.data
    weighted = reconstruction.model.solve(weight * mean.data, weighted_op, start, lambda_map=solution.lambda_map)
    # both stop at a tolerance, relative to objectives that differ by a constant
    assert relative_image_difference(solution.solution.img, weighted.img) < 3e-3


@all_reconstructions
def test_explicit_operators_instead_of_kdata(cls: Any) -> None:
    kdata = KDATA['undersampled']
    fourier_op, csm = FourierOp.from_kdata(kdata), csm_data(kdata)
    reconstruction = cls(fourier_op=fourier_op, csm=csm, **options(cls))
    assert reconstruction.fourier_op is fourier_op
    assert reconstruction.dcf_op is None
    torch.testing.assert_close(reconstruction(kdata).data, cls(kdata, csm=csm, **options(cls))(kdata).data)
    with pytest.raises(ValueError, match='kdata or fourier_op'):
        cls(csm=csm, **options(cls))
    with pytest.raises(ValueError, match='kdata needs to be defined'):
        cls(fourier_op=fourier_op, **options(cls))


@all_reconstructions
@pytest.mark.parametrize('name', ['undersampled', 'radial'])
def test_copies_and_pickles(cls: Any, name: str) -> None:
    """Before and after use."""
    kdata = KDATA[name]
    reconstruction = cls(kdata, **options(cls))
    copies = [copy.deepcopy(reconstruction)]
    expected = reconstruction(kdata).data
    copies += [copy.deepcopy(reconstruction), pickle.loads(pickle.dumps(reconstruction))]  # noqa: S301
    for other in copies:
        torch.testing.assert_close(other(kdata).data, expected, rtol=1e-5, atol=1e-6)
    # a copy has tensors of its own
    copies[0].csm_op.csm_tensor.zero_()
    torch.testing.assert_close(reconstruction(kdata).data, expected, rtol=0, atol=0)


@all_reconstructions
def test_new_scan(cls: Any) -> None:
    """The operators of an object can be set up again from other data, with the result of a new object."""
    old, new = KDATA['fully sampled'], cartesian_kdata(seed=1)
    expected = cls(new, **options(cls))(new).data
    reconstruction = cls(old, **options(cls))
    with pytest.raises((ValueError, RuntimeError)):
        reconstruction(new)
    assert reconstruction.recalculate_fourierop(new) is reconstruction
    assert reconstruction.recalculate_csm(new) is reconstruction
    torch.testing.assert_close(reconstruction(new).data, expected)
    initial = [r.solve(new).initial_idata.data for r in (reconstruction, cls(new, **options(cls)))]
    torch.testing.assert_close(initial[0], initial[1])
    reconstruction.recalculate_csm(new, lambda _: csm_data(new))
    torch.testing.assert_close(reconstruction.csm_op.csm_tensor, csm_data(new).data)


@all_reconstructions
def test_moves(cls: Any) -> None:
    """To the processor it is on already, and to double precision."""
    kdata = KDATA['undersampled']
    reconstruction = cls(kdata, csm=csm_data(kdata), **options(cls))
    expected = reconstruction(kdata).data
    for moved in (reconstruction.cpu(), reconstruction.to('cpu'), reconstruction.to(torch.device('cpu'))):
        assert moved is reconstruction
        torch.testing.assert_close(moved(kdata).data, expected, rtol=0, atol=0)
    data = reconstruction.double()(kdata.double()).data
    assert data.dtype == torch.complex128
    assert relative_image_difference(data.to(torch.complex64), expected) < 1e-3


@all_reconstructions
def test_data_and_object_do_not_change(cls: Any) -> None:
    kdata = KDATA['undersampled']
    before = kdata.data.clone()
    given = options(cls)
    rng_state = torch.random.get_rng_state()
    reconstruction = cls(kdata, **given)
    first = reconstruction(kdata).data
    torch.testing.assert_close(reconstruction(kdata).data, first, rtol=0, atol=0)
    assert torch.equal(kdata.data, before)
    assert torch.equal(torch.random.get_rng_state(), rng_state)


@all_reconstructions
def test_small_units(cls: Any) -> None:
    """Images with values below 1e-6, as raw data of some vendors have them. mrpro's data classes drop their axes."""
    kdata = cartesian_kdata(n_other=2)
    given, csm = options(cls), csm_data(kdata)
    small = kdata.clone()
    small.data *= 1e-9
    if 'regularization_weight' in given:
        given['regularization_weight'] *= 1e-9
    expected = 1e-9 * cls(kdata, csm=csm, **options(cls))(kdata).data
    idata = cls(small, csm=csm, **given)(small)
    assert relative_image_difference(idata.data, expected) < 1e-5


@all_reconstructions
def test_state_of_the_network_holds_no_scan_data(cls: Any) -> None:
    """What is shared or saved of a reconstruction with a network is the state of the network only."""
    if 'model' not in options(cls):
        pytest.skip('has no network by default')
    kdata = KDATA['undersampled']
    given = options(cls)
    fresh = {name: value.clone() for name, value in given['model'].state_dict().items()}
    reconstruction = cls(kdata, **given)
    reconstruction(kdata)
    state = reconstruction.model.state_dict()
    assert state.keys() == fresh.keys()
    for name, value in state.items():
        assert name.startswith('weight.lambda_net.')
        assert torch.equal(value, fresh[name])
    assert sum(value.numel() for value in state.values()) == sum(p.numel() for p in given['model'].parameters())
    # it fits another scan
    other = cls(KDATA['radial'], **options(cls))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    other.model.load_state_dict(torch.load(buffer, weights_only=True))
    assert bool(other(KDATA['radial']).data.isfinite().all())


@all_reconstructions
@pytest.mark.parametrize('bad', [math.nan, math.inf, 0.0])
def test_invalid_data(cls: Any, bad: float) -> None:
    kdata = KDATA['undersampled']
    invalid = kdata.clone()
    if bad == 0:
        invalid.data.zero_()
        message = 'k-space data must not be all zero'
    else:
        invalid.data[0, 1, 0, 2, 3] = bad
        message = r'k-space data must be finite, got 1 NaN or Inf in shape \(1, 3, '
    reconstruction = cls(kdata, **options(cls))
    with pytest.raises(ValueError, match=message):
        reconstruction(invalid)
    with pytest.raises(ValueError, match=message):
        cls(invalid, **options(cls))


@all_reconstructions
def test_first_parameters_are_those_of_mrpro(cls: Any) -> None:
    ours = list(inspect.signature(cls).parameters.values())
    for own, theirs in zip(ours, inspect.signature(DirectReconstruction).parameters.values(), strict=False):
        assert (own.name, own.kind, own.default) == (theirs.name, theirs.kind, theirs.default)
    assert all(own.kind == inspect.Parameter.KEYWORD_ONLY for own in ours[5:])


def test_entry_points() -> None:
    """Other tools find the classes by name."""
    found = {entry.name: entry.load() for entry in entry_points(group='mrpro.reconstructions')}
    assert {name: cls for name, cls in found.items() if cls in RECONSTRUCTIONS} == {
        cls.__name__: cls for cls in RECONSTRUCTIONS
    }


@pytest.mark.cuda
@all_reconstructions
@pytest.mark.parametrize('name', ['undersampled', 'radial'])
def test_cuda(cls: Any, name: str) -> None:
    """Device moves in all orders."""
    kdata = KDATA[name]
    expected = cls(kdata, **options(cls))(kdata).data
    on_gpu = kdata.cuda()

    def moved_to_gpu() -> dict[str, Any]:
        return {k: v.cuda() if isinstance(v, torch.nn.Module) else v for k, v in options(cls).items()}

    for reconstruction, data in [
        (cls(kdata, **options(cls)).cuda(), on_gpu),
        (cls(on_gpu, **moved_to_gpu()), on_gpu),
        (cls(on_gpu, **moved_to_gpu()).cpu(), kdata),
    ]:
        idata = reconstruction(data)
        assert idata.data.device == data.data.device
        assert relative_image_difference(idata.data.cpu(), expected) < 1e-2
