"""The model of TV-Lambda: network, solver and band limit."""

from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NoiseLevelInput
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, Regularizer, TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG, Solver

from tests.helper import relative_image_difference
from tests.solvers.cases import DICTIONARY, SOLVERS, SolverClass, coil_maps

SIZE = 16


def box(*, offset: int = 0) -> torch.Tensor:
    """Mask of a central rectangle that does not reach the edges of k-space; two of its points are not sampled."""
    mask = torch.zeros(1, 1, 1, SIZE, SIZE)
    mask[..., 4 + offset : 13, 6:11] = 1
    mask[..., 6, 7] = mask[..., 10, 8] = 0
    return mask


def acquire(mask: torch.Tensor, n_coils: int = 3) -> tuple[torch.Tensor, CartesianAcquisitionOp, torch.Tensor]:
    """Data, acquisition operator and initial image of two images."""
    rng = RandomGenerator(0)
    csm = coil_maps((2, n_coils, 1, SIZE, SIZE), torch.complex64) if n_coils > 1 else None
    acquisition_op = CartesianAcquisitionOp(mask, csm)
    img = rng.randn_tensor((2, 1, 1, SIZE, SIZE), torch.complex64) + 2
    img[..., 4:11, 5:9] += 3j
    (data,) = acquisition_op(img)
    data = data + 0.1 * mask * rng.randn_tensor(data.shape, torch.complex64)
    return data, acquisition_op, acquisition_op.adjoint(data)[0]


TV = TotalVariation((-2, -1))
SYNTHESIS = DictionarySparsity(DICTIONARY.synthesis_op.filters.float())
# without those of quadratic problems: the weight of squares has no unit, that of a network has
all_solvers = pytest.mark.parametrize(
    'cls', [cls for cls in SOLVERS if None in (cls.refusal(TV), cls.refusal(SYNTHESIS))]
)


def regularizer(cls: SolverClass) -> Regularizer:
    """A regularizer that a solver can handle."""
    return TV if cls.refusal(TV) is None else SYNTHESIS


def network(cls: SolverClass = ADMM, *, noise_level: bool = False) -> LambdaNet:
    """A network with one map for each map of the regularizer."""
    backbone = UNet(2, 2 + noise_level, regularizer(cls).n_maps, n_features=2)
    inputs = [ImageInput(), NoiseLevelInput()] if noise_level else [ImageInput()]
    return LambdaNet(backbone, inputs, padding=4, initial_scale=0.05)


def solver(cls: SolverClass = ADMM, n_iterations: int = 8) -> Solver:
    return cls(regularizer(cls), n_iterations=n_iterations)


@all_solvers
@pytest.mark.parametrize('n_coils', [1, 3])
def test_model_is_the_solver_with_the_map_of_the_network(cls: SolverClass, n_coils: int) -> None:
    inputs = acquire(torch.ones(1, 1, 1, SIZE, SIZE), n_coils)
    net = network(cls)
    img = LambdaMapModel(net, solver(cls))(*inputs)
    expected = solver(cls)(*inputs, net(inputs[2]))
    assert img.shape == (2, 1, 1, SIZE, SIZE)
    torch.testing.assert_close(img, expected, rtol=0, atol=0)


@all_solvers
def test_weight_overrides_the_network(cls: SolverClass) -> None:
    """A number, a list and a map; the network is not even called."""

    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError(f'called with {tuple(x.shape)}')

    inputs = acquire(box())
    n_maps = regularizer(cls).n_maps
    weights: list[Any] = [0.2, n_maps * [0.2], torch.tensor(n_maps * [0.2])]
    weights.append(torch.full((n_maps, 2, 1, 1, SIZE, SIZE), 0.2))
    broken = LambdaNet(Broken(), dim=(-2, -1))
    models = [LambdaMapModel(net, solver(cls)) for net in (None, broken)]
    images = [model(*inputs, lambda_map=weight) for model in models for weight in weights]
    images += [LambdaMapModel(weight, solver(cls))(*inputs) for weight in weights]
    for img in images[1:]:
        torch.testing.assert_close(img, images[0], rtol=0, atol=0)
    assert relative_image_difference(LambdaMapModel(network(cls), solver(cls))(*inputs), images[0]) > 1e-3
    with pytest.raises(AssertionError, match='called'):
        LambdaMapModel(broken, solver(cls))(*inputs)


def test_map_in_the_place_of_the_noise_level() -> None:
    """Also where the noise level would be ignored."""
    with pytest.raises(ValueError, match=r'noise_std must broadcast to the image, got shapes \(1, 2, 1, 1, 1, 1\)'):
        LambdaMapModel(network(), solver())(*acquire(box()), torch.ones(1, 2, 1, 1, 1, 1))


def test_noise_level_is_ignored_by_networks_that_do_not_use_it() -> None:
    inputs = acquire(box())
    model = LambdaMapModel(network(), solver())
    assert not model.uses_noise_level
    assert torch.equal(model(*inputs, noise_std=0.3), model(*inputs))
    assert LambdaMapModel(network(noise_level=True), solver()).uses_noise_level


def test_model_without_a_weight_needs_a_map() -> None:
    model, inputs = LambdaMapModel(None, solver()), acquire(box())
    for call in (model, model.solve):
        with pytest.raises(ValueError, match='without a weight needs lambda_map'):
            call(*inputs)
    with pytest.raises(ValueError, match='without a weight needs lambda_map'):
        model.estimate(inputs[2])


@all_solvers
@pytest.mark.parametrize('n_coils', [1, 3])
def test_spectrum_beyond_the_measured_band_is_zero(cls: SolverClass, n_coils: int) -> None:
    """The band is the symmetric box around all samples: points that are left out inside of it are filled."""
    inputs = acquire(box(offset=2), n_coils)
    band = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    band[8 - 4 : 8 + 5, 8 - 2 : 8 + 3] = True  # the samples reach from 6 to 12 and from 6 to 10, the center is at 8

    def spectrum(band_limit: bool) -> torch.Tensor:
        img = LambdaMapModel(network(cls), solver(cls), band_limit=band_limit)(*inputs)
        return torch.fft.fftshift(torch.fft.fftn(img, dim=(-2, -1)), (-2, -1)).abs()

    limited, free = spectrum(True), spectrum(False)
    assert limited[..., ~band].max() < 1e-5 * limited.max()
    assert free[..., ~band].max() > 1e-3 * free.max()
    torch.testing.assert_close(limited[..., band], free[..., band], rtol=1e-4, atol=1e-4)
    assert bool((limited[..., band] > 1e-5 * limited.max()).all())


def test_full_k_space_has_no_band_limit() -> None:
    mask = torch.zeros(1, 1, 1, SIZE, SIZE)
    mask[..., ::2, ::3] = mask[..., 8, 8] = mask[..., 0, 0] = mask[..., -1, -1] = 1
    inputs = acquire(mask)
    limited, free = (LambdaMapModel(0.1, solver(), band_limit=limit)(*inputs) for limit in (True, False))
    assert torch.equal(limited, free)


@all_solvers
@pytest.mark.parametrize('n_coils', [1, 3])
def test_gradient_reaches_every_parameter_through_the_solver(cls: SolverClass, n_coils: int) -> None:
    inputs = acquire(box(), n_coils)
    model = LambdaMapModel(network(cls, noise_level=True), solver(cls))
    model(*inputs, noise_std=0.1).abs().square().sum().backward()
    parameters = dict(model.named_parameters())
    assert len(parameters) == len(list(network(cls, noise_level=True).parameters()))
    for name, parameter in parameters.items():
        assert name.startswith('weight.lambda_net.')
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


@all_solvers
def test_a_step_along_the_gradient_lowers_the_loss(cls: SolverClass) -> None:
    inputs = acquire(box())
    model = LambdaMapModel(network(cls), solver(cls))
    parameters = list(model.parameters())
    loss = model(*inputs).abs().square().sum()
    gradient = torch.autograd.grad(loss, parameters)
    slope = sum(float(g.square().sum()) for g in gradient)
    step = 1e-3 * loss.item() / slope
    with torch.no_grad():
        for parameter, g in zip(parameters, gradient, strict=True):
            parameter.sub_(g, alpha=step)
    assert model(*inputs).abs().square().sum() < loss * (1 - 5e-4)


@all_solvers
@pytest.mark.parametrize('scale', [1e-9, 1e-6, 3.7, 1e6, 1e9])
def test_scale_equivariance(cls: SolverClass, scale: float) -> None:
    data, acquisition_op, initial_image = acquire(box())
    model = LambdaMapModel(network(cls, noise_level=True), solver(cls))
    expected = scale * model(data, acquisition_op, initial_image, noise_std=0.1)
    scaled = model(scale * data, acquisition_op, scale * initial_image, noise_std=scale * 0.1)
    assert relative_image_difference(scaled, expected) < 1e-5


@all_solvers
def test_solve_returns_the_image_of_the_call_with_a_certificate(cls: SolverClass) -> None:
    inputs = acquire(box())
    model = LambdaMapModel(network(cls), solver(cls, 50))
    found = model.solve(*inputs)
    solution = found.solution
    assert solution is not None
    assert not found.img.requires_grad
    assert torch.equal(found.img, solution.img)
    assert found.lambda_map is not None
    assert torch.equal(found.lambda_map, model.estimate(inputs[2]).detach())
    assert found.report is None
    torch.testing.assert_close(solution.img, model(*inputs).detach(), rtol=1e-4, atol=1e-4)
    assert bool((solution.gap > 0).all())
    assert solution.n_iterations == 50
    to_tolerance = LambdaMapModel(model.weight, cls(regularizer(cls), max_iterations=2000, tolerance=1e-2))
    solution = to_tolerance.solve(*inputs).solution
    assert solution is not None
    assert solution.reason == 'tolerance reached'
    with pytest.raises(ValueError, match='use n_iterations'):
        to_tolerance(*inputs)
    with torch.no_grad():
        torch.testing.assert_close(to_tolerance(*inputs), solution.img, rtol=0, atol=0)


def test_batch_entries_do_not_influence_each_other() -> None:
    data, acquisition_op, initial_image = acquire(box())
    model = LambdaMapModel(network(), solver(PDHG))
    together = model(data, acquisition_op, initial_image)
    assert acquisition_op.csm is not None
    for i in range(2):
        alone_op = CartesianAcquisitionOp(acquisition_op.mask, acquisition_op.csm[i : i + 1])
        alone = model(data[i : i + 1], alone_op, initial_image[i : i + 1])
        assert relative_image_difference(together[i : i + 1], alone) < 1e-5


@pytest.mark.cuda
@all_solvers
def test_cuda(cls: SolverClass) -> None:
    data, acquisition_op, initial_image = acquire(box())
    model = LambdaMapModel(network(cls), solver(cls))
    expected = model(data, acquisition_op, initial_image)
    img = model.cuda()(data.cuda(), acquisition_op.cuda(), initial_image.cuda())
    assert img.is_cuda
    img.abs().sum().backward()
    assert relative_image_difference(img.cpu(), expected) < 1e-3


def test_band_is_that_of_all_frames_that_the_regularizer_couples() -> None:
    """Frames that measure different bands: coupled in time they share the larger one, otherwise each has its own."""
    mask = torch.zeros(2, 1, 1, SIZE, SIZE)
    mask[0, ..., 5:12, 5:12] = mask[1, ..., 2:15, 2:15] = 1
    inputs = acquire(mask, n_coils=1)

    def beyond_the_small_band(dim: tuple[int, ...]) -> float:
        solver = ADMM(TotalVariation(dim), n_iterations=20)
        img = LambdaMapModel(None, solver)(*inputs, lambda_map=[0.05] * solver.regularizer.n_maps)
        spectrum = torch.fft.fftshift(torch.fft.fftn(img, dim=(-2, -1)), (-2, -1)).abs()[0]
        return (spectrum * (1 - mask[0])).max().item() / spectrum.max().item()

    assert beyond_the_small_band((-2, -1)) < 1e-5
    assert beyond_the_small_band((-5, -2, -1)) > 1e-2
