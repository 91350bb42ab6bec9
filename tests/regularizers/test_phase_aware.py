"""Regularization of the demodulated image."""

import math

import pytest
import torch
from mrpro.operators import SensitivityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp, ModulationOp, gram_operator, low_resolution_phase
from mrpro_lambda.regularizers import DictionarySparsity, PhaseAware, Sparsity, TotalVariation
from mrpro_lambda.solvers import ADMM, FISTA

from tests.regularizers.cases import orthonormal_filters
from tests.solvers.cases import get_case

TV = TotalVariation((-2, -1))
SHAPE = (2, 1, 1, 32, 30)


def disk() -> torch.Tensor:
    """Magnitude of an object in air."""
    y, x = torch.meshgrid(torch.arange(32) - 16.0, torch.arange(30) - 15.0, indexing='ij')
    return (y.square() + x.square() < 36).double().expand(SHAPE)


def smooth_phase() -> torch.Tensor:
    """A phase that differs between the two images."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 30), indexing='ij')
    slope = torch.tensor([0.8, -0.5]).reshape(2, 1, 1, 1, 1)
    return torch.polar(torch.ones(SHAPE), 0.7 + slope * y + 0.4 * x.square()).to(torch.complex128)


def test_phase_of_a_smooth_one_inside_the_object_and_none_outside() -> None:
    noise = 0.02 * RandomGenerator(0).randn_tensor(SHAPE, torch.complex128)
    img = disk() * smooth_phase() + noise
    phase = low_resolution_phase(img, (-2, -1), 8.0)
    torch.testing.assert_close(phase.abs(), torch.ones(SHAPE, dtype=torch.float64))
    error = (phase * smooth_phase().conj()).angle()[disk() > 0]
    assert error.abs().max() < 0.1
    assert bool((phase[..., :2, :] == 1).all())
    assert bool((low_resolution_phase(img, (-2, -1), object_only=False)[..., :2, :] != 1).all())


def test_phase_of_each_image_is_that_of_the_image_alone() -> None:
    img = disk() * smooth_phase()
    for i in range(2):
        assert torch.equal(low_resolution_phase(img, (-2, -1))[i], low_resolution_phase(img[i : i + 1], (-2, -1))[0])


def test_phase_of_zeros_and_of_real_numbers() -> None:
    assert bool((low_resolution_phase(torch.zeros(SHAPE, dtype=torch.complex64), (-2, -1)) == 1).all())
    voxel = torch.full((*SHAPE[:-2], 1, 1), 3 + 4j)
    torch.testing.assert_close(low_resolution_phase(voxel, (-2, -1)), voxel / 5)
    with pytest.raises(ValueError, match=r'needs a complex image, got torch\.float64 of shape'):
        low_resolution_phase(disk(), (-2, -1))


@pytest.mark.parametrize('angle', [0.4, math.pi])
@pytest.mark.parametrize('imaginary_factor', [5.0, 1.0, None])
def test_global_phase(angle: float, imaginary_factor: float | None) -> None:
    """It turns the image and nothing else, whatever the weights of the imaginary part."""
    case = get_case('three coils')
    solver = ADMM(PhaseAware(TV, imaginary_factor=imaginary_factor, object_only=False), n_iterations=30)
    bright = case.initial_image + 2 * case.initial_image.abs().amax()
    (data,) = case.acquisition_op(bright)
    rotation = torch.polar(*torch.tensor([1.0, angle], dtype=torch.float64))
    weight = 0.1 if imaginary_factor is not None else [0.1, 0.4]
    images = [solver(r * data, case.acquisition_op, r * bright, weight) for r in (1, rotation)]
    torch.testing.assert_close(rotation * images[0], images[1], rtol=0, atol=1e-10)


def test_strong_weight_of_the_imaginary_part_leaves_a_real_demodulated_image() -> None:
    """Up to the constant that total variation does not see, and with a weak one it is not forced to be real."""
    case = get_case('three coils')
    phase = low_resolution_phase(case.initial_image, (-2, -1))
    parts = []
    for factor in (1e-3, 1e3):
        img = ADMM(PhaseAware(TV, imaginary_factor=factor), max_iterations=5000, tolerance=1e-5)(*case[1:])
        imaginary = (phase.conj() * img).imag
        parts.append((imaginary - imaginary.mean((-2, -1), keepdim=True)).abs().max())
    assert parts[1] < 1e-3 < 1e-2 < parts[0]


def test_second_solve_has_the_phase_of_the_first_image() -> None:
    case = get_case('three coils')
    solver = ADMM(PhaseAware(TV, width=1.0, refined_width=3.0), max_iterations=300)
    first = solver.replace(n_iterations=100)(*case[1:])
    regularizer = solver.regularizer.with_modulation_of(first)
    refined = solver.regularizer.refined(first)
    assert solver.regularizer.refinable
    assert not regularizer.refinable  # it is given
    assert not refined.refinable
    torch.testing.assert_close(refined.modulation(case.initial_image), low_resolution_phase(first, (-2, -1), 3.0))
    model = LambdaMapModel(case.lambda_map, solver, band_limit=False)
    expected = solver.with_regularizer(refined).solve(*case[1:])
    torch.testing.assert_close(model.solve(*case[1:4]).img, expected.img)
    fixed = LambdaMapModel(case.lambda_map, solver.replace(n_iterations=20), band_limit=False)
    torch.testing.assert_close(fixed(*case[1:4]), solver.with_regularizer(refined).replace(n_iterations=20)(*case[1:]))
    once = LambdaMapModel(case.lambda_map, ADMM(PhaseAware(TV, refined_width=None), n_iterations=20), band_limit=False)
    torch.testing.assert_close(once(*case[1:4]), ADMM(PhaseAware(TV), n_iterations=20)(*case[1:]))


def test_refined_phase_of_undersampled_data_is_nearer_to_the_true_one() -> None:
    """Where zero-filled images are aliased, a window as wide brings their aliasing into the phase."""
    rng = RandomGenerator(3)
    mask = (rng.float64_tensor((1, 1, 1, 32, 30), low=0, high=1) < 0.5).double()
    mask[..., 12:20, 11:19] = 1
    img, operator = disk() * smooth_phase(), CartesianAcquisitionOp(mask)
    initial_image = operator.adjoint(operator(img)[0])[0]
    regularizer = PhaseAware(TV, width=2.0, refined_width=8.0)
    first = ADMM(regularizer, n_iterations=100)(operator(img)[0], operator, initial_image, 0.02)

    def error(phase: torch.Tensor) -> float:
        return (phase * smooth_phase().conj()).angle()[disk() > 0].square().mean().item()

    found = error(regularizer.refined(first).modulation(initial_image))
    assert found < 0.5 * error(regularizer.modulation(initial_image))
    assert found < 0.5 * error(low_resolution_phase(initial_image, (-2, -1), 8.0))


def test_maps_of_both_parts_are_one_map_with_a_factor() -> None:
    case = get_case('three coils')
    expected = ADMM(PhaseAware(TV, imaginary_factor=3.0), n_iterations=20)(*case[1:])
    maps = torch.cat((case.lambda_map, 3 * case.lambda_map))
    found = ADMM(PhaseAware(TV, imaginary_factor=None), n_iterations=20)(*case[1:4], maps)
    torch.testing.assert_close(found, expected)


def test_dictionary_of_the_demodulated_image() -> None:
    """The two algorithms agree on it, and smooth part and synthesis are both of the demodulated image."""
    case = get_case('dictionary, three coils')
    filters = orthonormal_filters((4, 3, 3), torch.float64)
    regularizer = PhaseAware(DictionarySparsity(filters), imaginary_factor=2.0)
    solutions = [cls(regularizer, max_iterations=5000, tolerance=1e-8).solve(*case[1:4], 0.1) for cls in (ADMM, FISTA)]
    torch.testing.assert_close(solutions[0].img, solutions[1].img, rtol=0, atol=1e-4)
    phase = low_resolution_phase(case.initial_image, (-2, -1))
    smooth = regularizer.offset(phase.conj() * case.initial_image)
    assert solutions[0].coefficients is not None
    assert regularizer.dictionary_op is not None
    assert smooth is not None
    expected = phase * (smooth + regularizer.dictionary_op(solutions[0].coefficients)[0])
    torch.testing.assert_close(solutions[0].img, expected)


@pytest.mark.parametrize('n_coils', [0, 3])
@pytest.mark.parametrize('image_coils', [1, 3])
def test_gram_operator_with_a_modulation(n_coils: int, image_coils: int) -> None:
    """It is the fast one, and images of several coils stay apart."""
    if n_coils and image_coils > 1:
        return
    rng = RandomGenerator(0)
    mask = rng.bool_tensor((1, 1, 1, 8, 7)).double()
    csm = rng.randn_tensor((1, n_coils, 1, 8, 7), torch.complex128) if n_coils else None
    modulation = rng.randn_tensor((1, image_coils, 1, 8, 7), torch.complex128)
    acquisition_op = CartesianAcquisitionOp(mask) if csm is None else CartesianAcquisitionOp(mask) @ SensitivityOp(csm)
    op = acquisition_op @ ModulationOp(modulation)
    x = rng.randn_tensor((1, image_coils, 1, 8, 7), torch.complex128)
    expected = op.adjoint(op(x)[0])[0]
    torch.testing.assert_close(gram_operator(op)(x)[0], expected)
    torch.testing.assert_close(LeastSquares(acquisition_op).modulated(modulation).gram(x)[0], expected)


def test_norm_of_both_parts_together() -> None:
    modulus = TotalVariation((-2, -1), complex_modulus=True)
    with pytest.raises(ValueError, match='a norm that treats them separately, got GroupNorm and imaginary_factor=2'):
        PhaseAware(modulus, imaginary_factor=2)
    assert PhaseAware(modulus, imaginary_factor=1.0).n_maps == 1


def test_sums_are_of_one_unknown() -> None:
    """A phase-aware sum is one of the sum; added to another one its phase would be lost without a word."""
    for add in (lambda: PhaseAware(TV) + Sparsity(), lambda: Sparsity() + PhaseAware(TV)):
        with pytest.raises(ValueError, match='must be of one unknown, the image, but that of PhaseAware is another'):
            add()
    assert PhaseAware(TV + Sparsity()).n_maps == 2
    with pytest.raises(ValueError, match='phase-aware once'):
        PhaseAware(PhaseAware(TV))


def test_data_term_of_a_phase_is_kept() -> None:
    """As long as the phase is the same, so that a sweep over weights sets up once."""
    case = get_case('three coils')
    data_term = LeastSquares(case.acquisition_op)
    phase = low_resolution_phase(case.initial_image, (-2, -1))
    first = data_term.modulated(phase)
    assert data_term.modulated(phase.clone()) is first
    other = data_term.modulated(phase.conj().resolve_conj())
    assert other is not first
    x = case.initial_image
    torch.testing.assert_close(other.acquisition_op(x)[0], case.acquisition_op(phase.conj() * x)[0])
