"""What every regularizer has to fulfill: a linear transform, a weighted norm, a projection to the dual ball."""

import math
from typing import Any

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.norms import SquaredNorm
from mrpro_lambda.operators.Transform import matrix_product
from mrpro_lambda.regularizers import Regularizer

from tests.regularizers.cases import CASES, REGULARIZERS, Case, all_cases, inner, random_inputs, real_and_complex


@pytest.mark.parametrize('cls', REGULARIZERS)
def test_each_regularizer_is_tested(cls: type[Regularizer]) -> None:
    """A regularizer describes itself by small examples, which are in the table of cases."""
    assert 'examples' in vars(cls)
    assert cls.examples()
    assert all(type(regularizer) is cls for regularizer in cls.examples().values())


cases_of_norms = pytest.mark.parametrize(
    'case',
    [
        pytest.param(case, id=name)
        for name, case in CASES.items()
        if not isinstance(case.regularizer.coefficient_norm, SquaredNorm)
        and not case.regularizer.coefficient_norm.smoothing
    ],
)


def dense(case: Case) -> torch.Tensor:
    """Matrix of the transform of real unknowns, by its columns."""
    shape = case.unknown_shape
    basis = torch.eye(math.prod(shape), dtype=torch.float64)
    return torch.stack([case.regularizer.transform(column.reshape(shape)).flatten() for column in basis], -1)


@all_cases
@real_and_complex
def test_adjointness(case: Case, dtype: torch.dtype) -> None:
    img, coefficients, _ = random_inputs(case, dtype)
    in_range = (case.regularizer.transform(img).conj() * coefficients).sum()
    adjoint = case.regularizer.transform_adjoint(coefficients)
    assert adjoint.shape == img.shape
    torch.testing.assert_close(in_range, (img.conj() * adjoint).sum(), rtol=1e-12, atol=1e-12)


@all_cases
@real_and_complex
@pytest.mark.parametrize('alpha', [-0.7, 1.0])
def test_in_place_forms(case: Case, dtype: torch.dtype, alpha: float) -> None:
    img, coefficients, _ = random_inputs(case, dtype)
    out = coefficients.clone()
    case.regularizer.add_transform_(out, img, alpha)
    torch.testing.assert_close(out, coefficients + alpha * case.regularizer.transform(img))
    out = img.clone()
    case.regularizer.add_transform_adjoint_(out, coefficients, alpha)
    torch.testing.assert_close(out, img + alpha * case.regularizer.transform_adjoint(coefficients))


@all_cases
def test_norm_is_the_largest_singular_value(case: Case) -> None:
    """That of several unknowns may be larger, where it is that of the circular boundary."""
    largest = torch.linalg.svdvals(dense(case)).max().item()
    norm = case.regularizer.norm(case.shape)
    if case.regularizer.circulant or case.regularizer.transform_op.n_components is None:
        assert norm == pytest.approx(largest, rel=1e-12)
    assert largest < 1.000001 * norm < 1.2 * largest


@all_cases
@pytest.mark.parametrize('size', [0.0, 0.3, 2.0])
def test_norm_with_a_data_term(case: Case, size: float) -> None:
    regularizer, shape = case.regularizer, case.shape
    synthesis_op = regularizer.synthesis_op
    if regularizer.dictionary_op is not None:
        return
    matrix = dense(case)
    normal = matrix.T @ matrix
    basis = torch.eye(len(normal), dtype=torch.float64).reshape(-1, *case.unknown_shape)
    images = basis if synthesis_op is None else torch.stack([synthesis_op(column)[0] for column in basis])
    largest = torch.linalg.eigvalsh(normal + size * images.flatten(1) @ images.flatten(1).T)[-1].item()
    bound = regularizer.transform_op.norm_squared_with(torch.full((2, 1, 1, 1, 1), size), shape)
    assert bound.shape == (2, 1, 1, 1, 1)
    assert largest < 1.000001 * bound[0].item() < 1.3 * largest


@all_cases
def test_only_the_named_axes_are_coupled(case: Case) -> None:
    regularizer = case.regularizer
    assert all(d < 0 for d in regularizer.dim)
    img, _, _ = random_inputs(case, torch.float64)
    for axis in range(-len(case.shape), 0):
        if axis not in regularizer.dim:
            single = [regularizer.transform(part) for part in img.split(1, axis)]
            # FFTs of several images at once round differently
            torch.testing.assert_close(torch.cat(single, axis), regularizer.transform(img), rtol=0, atol=1e-14)


@all_cases
def test_symbol_is_the_transform_squared_or_above(case: Case) -> None:
    regularizer, shape = case.regularizer, case.unknown_shape
    if getattr(regularizer.transform_op, 'boundary', None) == 'zero':
        with pytest.raises(ValueError, match='use PDHG'):
            regularizer.symbol(shape, torch.device('cpu'))
        return
    symbol = regularizer.symbol(case.shape, torch.device('cpu'))
    matrix = dense(case)
    size = matrix.shape[1]
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    axes = tuple(range(-len(case.shape), 0))
    spectra = torch.fft.fftn(basis, dim=axes)
    if regularizer.transform_op.n_components is not None:
        spectra = torch.stack([matrix_product(symbol, spectrum) for spectrum in spectra])
    else:
        spectra = symbol * spectra
    circulant = torch.fft.ifftn(spectra, dim=axes).real.reshape(size, size)
    above = torch.linalg.eigvalsh(circulant - matrix.T @ matrix)
    assert above.min() > -1e-12
    assert bool(above.max() < 1e-12) == regularizer.circulant


@all_cases
@real_and_complex
def test_solve_normal_is_the_pseudo_inverse_of_the_transform_squared(case: Case, dtype: torch.dtype) -> None:
    """It is refused where there is no direct way."""
    unknown, _, _ = random_inputs(case, dtype)
    if not case.regularizer.has_pseudo_inverse:
        with pytest.raises(ValueError, match=r'The pseudo-inverse needs another boundary, got .* for'):
            case.regularizer.solve_normal(unknown)
        return
    matrix = dense(case)
    expected = torch.linalg.pinv(matrix.T @ matrix).to(dtype) @ unknown.flatten()
    solved = case.regularizer.solve_normal(unknown)
    assert solved.dtype == dtype
    torch.testing.assert_close(solved.flatten(), expected, rtol=1e-10, atol=1e-10)


@cases_of_norms
@real_and_complex
def test_value_is_a_norm(case: Case, dtype: torch.dtype) -> None:
    _, a, threshold = random_inputs(case, dtype)
    b = RandomGenerator(1).randn_tensor(a.shape, dtype)

    def value(coefficients: torch.Tensor) -> torch.Tensor:
        return case.regularizer.value(coefficients, threshold)

    assert value(a).shape == ()
    assert value(a).dtype == torch.float64
    assert value(a) > 0
    assert value(torch.zeros_like(a)) == 0
    torch.testing.assert_close(value(-2.5 * a), 2.5 * value(a), rtol=1e-12, atol=0)
    assert value(a + b) < value(a) + value(b)
    torch.testing.assert_close(case.regularizer.value(a, 3 * threshold), 3 * value(a), rtol=1e-12, atol=0)


@cases_of_norms
@real_and_complex
def test_projection_is_idempotent_and_feasible(case: Case, dtype: torch.dtype) -> None:
    r"""A dual :math:`q` is feasible if :math:`\mathrm{Re} \langle q, c \rangle` never exceeds the norm of :math:`c`."""
    regularizer = case.regularizer
    _, coefficients, threshold = random_inputs(case, dtype)
    projected = regularizer.project(coefficients, threshold)
    assert projected.dtype == coefficients.dtype
    torch.testing.assert_close(regularizer.project(projected, threshold), projected, rtol=1e-14, atol=1e-14)
    assert not torch.equal(projected, coefficients)
    rng = RandomGenerator(1)
    for c in (coefficients, projected, *(rng.randn_tensor(coefficients.shape, dtype) for _ in range(20))):
        value = regularizer.value(c, threshold)
        assert inner(projected, c) <= value * (1 + 1e-12)
    torch.testing.assert_close(
        regularizer.project(0.0 * coefficients, threshold), torch.zeros_like(coefficients), rtol=0, atol=0
    )


@cases_of_norms
@real_and_complex
def test_dual_ratio_tells_what_the_projection_changes(case: Case, dtype: torch.dtype) -> None:
    """In balls that are larger by it the projection changes nothing, in any smaller ones it does."""
    regularizer = case.regularizer
    norm = regularizer.coefficient_norm
    _, coefficients, threshold = random_inputs(case, dtype)
    threshold = threshold + 0.1
    ratio = norm.dual_ratio(coefficients, threshold)
    bound = threshold * (ratio.unsqueeze(-1) if threshold.ndim > ratio.ndim else ratio)
    torch.testing.assert_close(regularizer.project(coefficients, bound), coefficients, rtol=1e-14, atol=0)
    shorter = regularizer.project(coefficients, 0.999 * bound)
    assert bool((shorter != coefficients).all())
    projected = regularizer.project(coefficients, threshold)
    torch.testing.assert_close(norm.dual_ratio(projected, threshold), ratio.clamp_max(1))
    assert bool(norm.dual_ratio(coefficients, 0 * threshold).isinf().all())
    assert not norm.dual_ratio(0 * coefficients, 0 * threshold).any()


@cases_of_norms
@real_and_complex
def test_norm_is_the_support_function_of_the_projection(case: Case, dtype: torch.dtype) -> None:
    r"""The supremum of :math:`\mathrm{Re} \langle q, c \rangle` over the dual ball is attained far out along `c`."""
    regularizer = case.regularizer
    _, coefficients, threshold = random_inputs(case, dtype)
    attained = inner(regularizer.project(1e9 * coefficients, threshold), coefficients)
    torch.testing.assert_close(attained, regularizer.value(coefficients, threshold), rtol=1e-12, atol=0)


@cases_of_norms
@real_and_complex
def test_projection_is_the_nearest_feasible_point(case: Case, dtype: torch.dtype) -> None:
    r"""The projection :math:`p` of `c` is the only one with :math:`\mathrm{Re} \langle c - p, q - p \rangle \le 0`."""
    regularizer = case.regularizer
    _, coefficients, threshold = random_inputs(case, dtype)
    projected = regularizer.project(coefficients, threshold)
    rng = RandomGenerator(1)
    scales = (0.1, 1.0, 10.0, 1e6)
    feasible = [regularizer.project(s * rng.randn_tensor(coefficients.shape, dtype), threshold) for s in scales * 5]
    for q in (*feasible, *(projected.lerp(q, 1e-3) for q in feasible)):
        assert inner(coefficients - projected, q - projected) <= 1e-12


@cases_of_norms
@real_and_complex
def test_moreau(case: Case, dtype: torch.dtype) -> None:
    r"""What the projection removes is the proximal mapping of the norm, by the definition of the latter.

    :math:`R(u) + \frac{1}{2} \|u - c\|^2` is strongly convex: any other point is above the minimum by at least half the
    squared distance to it.
    """
    regularizer = case.regularizer
    _, coefficients, threshold = random_inputs(case, dtype)

    def objective(u: torch.Tensor) -> torch.Tensor:
        return regularizer.value(u, threshold) + 0.5 * (u - coefficients).abs().square().sum()

    shrunk = coefficients - regularizer.project(coefficients, threshold)
    rng = RandomGenerator(1)
    candidates = [torch.zeros_like(coefficients), coefficients]
    for distance in (1e-6, 1e-3, 1.0):
        candidates += [shrunk + distance * rng.randn_tensor(shrunk.shape, dtype) for _ in range(10)]
    for u in candidates:
        assert objective(u) - objective(shrunk) >= 0.5 * (u - shrunk).abs().square().sum() - 1e-12


@all_cases
@real_and_complex
@pytest.mark.parametrize('step', [0.3, 1.0, 5.0])
def test_prox_of_the_conjugate(case: Case, dtype: torch.dtype, step: float) -> None:
    r"""By the identity of Moreau, :math:`c - \sigma\,\mathrm{prox}_{N^* / \sigma}(c / \sigma)` minimizes
    :math:`\sigma N(u) + \frac{1}{2} \|u - c\|^2`, and a scale of the dual variable changes nothing.
    """
    regularizer, norm = case.regularizer, case.regularizer.coefficient_norm
    _, c, threshold = random_inputs(case, dtype)
    threshold = threshold + 0.05
    minimizer = c - step * norm.prox_conjugate(c / step, threshold, 1 / step)
    torch.testing.assert_close(minimizer, c - norm.prox_conjugate(c, threshold, 1 / step, step))

    def objective(u: torch.Tensor) -> torch.Tensor:
        return step * regularizer.value(u, threshold) + 0.5 * (u - c).abs().square().sum()

    rng = RandomGenerator(1)
    for distance in (1e-6, 1e-3, 1.0):
        for _ in range(10):
            u = minimizer + distance * rng.randn_tensor(c.shape, dtype)
            assert objective(u) - objective(minimizer) >= 0.5 * (u - minimizer).abs().square().sum() - 1e-11


@all_cases
@real_and_complex
def test_conjugate_is_attained(case: Case, dtype: torch.dtype) -> None:
    r"""For the dual variable of the proximal mapping, :math:`N(u) + N^*(q) = \mathrm{Re} \langle q, u \rangle`."""
    regularizer, norm = case.regularizer, case.regularizer.coefficient_norm
    _, c, threshold = random_inputs(case, dtype)
    threshold = threshold + 0.05
    q = norm.prox_conjugate(c, threshold, 1.0)
    conjugate = norm.conjugate(q, threshold)
    total = regularizer.value(c - q, threshold) + (0 if conjugate is None else conjugate.sum())
    torch.testing.assert_close(total, inner(q, c - q), rtol=1e-11, atol=1e-11)
    assert bool((norm.dual_ratio(q, threshold) <= 1 + 1e-12).all())


@cases_of_norms
def test_elementwise_tells_whether_real_numbers_are_independent(case: Case) -> None:
    """Whether a number is clipped depends on this number alone."""
    regularizer = case.regularizer
    _, coefficients, threshold = random_inputs(case, torch.complex128)
    threshold = threshold + 0.1
    before = torch.view_as_real(regularizer.project(coefficients, threshold))
    changed = False
    for index in range(coefficients.numel()):
        other = coefficients.clone()
        other.view(-1)[index] = torch.tensor(100 + 100j)
        after = torch.view_as_real(regularizer.project(other, threshold))
        same = (after == before).reshape(-1, 2)
        changed |= bool((~same).any(-1).sum() > 1)
    real = coefficients.real + 100j
    changed |= not torch.equal(regularizer.project(real, threshold).real, before[..., 0])
    assert regularizer.elementwise == (not changed)


@all_cases
def test_lambda_map_reaches_the_coefficients(case: Case) -> None:
    """A number, one number for each map and a full map with these values are the same thing."""
    regularizer, shape = case
    img, unknown = (torch.zeros(s, dtype=torch.complex128) for s in (shape, case.unknown_shape))
    numbers = [0.5 + i for i in range(regularizer.n_maps)]
    full = torch.stack([torch.full(shape, number, dtype=torch.float64) for number in numbers])
    expected = regularizer.expand(regularizer.lambda_map(full, img), img)
    coefficients = regularizer.transform(unknown)
    assert expected.shape[: coefficients.ndim] == coefficients.shape
    assert expected.shape[coefficients.ndim :] in ((), (2,))  # of real and imaginary part
    assert not expected.is_complex()
    weights: list[Any] = [numbers, torch.tensor(numbers), full.narrow(1, 0, 1).narrow(-1, 0, 1)]
    if regularizer.n_maps == 1:
        weights.append(numbers[0])
    for weight in weights:
        threshold = regularizer.expand(regularizer.lambda_map(weight, img), img)
        torch.testing.assert_close(threshold, expected, rtol=0, atol=0)


@all_cases
def test_gradient_reaches_the_lambda_map(case: Case) -> None:
    regularizer, shape = case
    img = torch.zeros(shape, dtype=torch.complex128)
    _, coefficients, _ = random_inputs(case, torch.complex128)
    lambda_map = torch.full((regularizer.n_maps, *shape), 0.3, dtype=torch.float64, requires_grad=True)

    def value(lambda_map: torch.Tensor) -> torch.Tensor:
        threshold = regularizer.expand(regularizer.lambda_map(lambda_map, img), img)
        projected = regularizer.project(coefficients, threshold)
        return inner(projected, coefficients) + regularizer.value(coefficients, threshold)

    assert torch.autograd.gradcheck(value, lambda_map)


@all_cases
@real_and_complex
def test_gradient_is_finite_where_coefficients_are_zero(case: Case, dtype: torch.dtype) -> None:
    """There the projection does nothing."""
    _, coefficients, threshold = random_inputs(case, dtype)
    zero, threshold = torch.zeros_like(coefficients).requires_grad_(), (threshold + 0.1).requires_grad_()
    projected = case.regularizer.project(zero, threshold)
    gradient = torch.autograd.grad(projected, (zero, threshold), coefficients, materialize_grads=True)
    torch.testing.assert_close(gradient[0], coefficients, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient[1], torch.zeros_like(threshold), rtol=0, atol=0)


ONE_IMAGE = torch.zeros(2, 1, 1, 3, 4)
TV = CASES['circular'].regularizer


@pytest.mark.parametrize(
    ('weight', 'message'),
    [
        (-0.1, 'non-negative, got a smallest value of -0.1'),
        (float('nan'), 'finite and non-negative'),
        (float('inf'), 'finite and non-negative'),
        (torch.tensor([1.0, 1.0]), r'1 number\(s\)'),
        (torch.tensor(1.0 + 0j), 'must be real, got torch.complex64'),
        (torch.full((1, 2, 1, 1, 3, 4), -1.0), 'non-negative'),
        (torch.full((1, 1, 1, 1, 3, 1), torch.nan), '3 non-finite'),
        (torch.full((1, 1, 1, 1, 1, 4), torch.inf), '4 non-finite'),
        (torch.ones(2, 2, 1, 1, 3, 4), 'n_maps=1'),
        (torch.ones(2, 1, 1, 3, 4), r'got shape \(2, 1, 1, 3, 4\)'),
        (torch.ones(1, 1, 2, 1, 1, 3, 4), 'n_maps=1'),
        (torch.ones(1, 2, 1, 1, 3, 2), 'Each axis of the Lambda map must have size 1 or that of the image'),
        (torch.ones(1, 2, 1, 2, 3, 4), 'Each axis'),
        (torch.ones(1, 2, 3, 1, 3, 4), 'Each axis'),
    ],
    ids=lambda value: tuple(value.shape) if isinstance(value, torch.Tensor) else value,
)
def test_invalid_lambda_map(weight: float | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TV.lambda_map(weight, ONE_IMAGE)


@pytest.mark.parametrize('index', [(0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 2, 3)])
@pytest.mark.parametrize('bad', [-1e-3, math.nan, math.inf, -math.inf])
def test_one_invalid_value_in_a_map_is_found(index: tuple[int, ...], bad: float) -> None:
    weight = torch.ones(1, *ONE_IMAGE.shape)
    weight[index] = bad
    with pytest.raises(ValueError, match='finite and non-negative'):
        TV.lambda_map(weight, ONE_IMAGE)


def test_wrong_number_of_maps_of_a_dynamic_image() -> None:
    regularizer, shape = CASES['space and time']
    with pytest.raises(ValueError, match='n_maps=2'):
        regularizer.lambda_map([1.0, 1.0, 1.0], torch.zeros(shape))


def test_lambda_map_takes_precision_of_the_image() -> None:
    weight = torch.ones(1, 2, 1, 1, 3, 4, dtype=torch.float64)
    assert TV.lambda_map(weight, ONE_IMAGE.to(torch.complex64)).dtype == torch.float32
    assert TV.lambda_map(1, ONE_IMAGE).dtype == torch.float32
    assert TV.lambda_map(weight.float(), ONE_IMAGE.to(torch.complex128)).dtype == torch.float64


@pytest.mark.cuda
@all_cases
def test_cuda(case: Case) -> None:
    regularizer = case.regularizer
    img, coefficients, threshold = random_inputs(case, torch.complex128)
    on_gpu = regularizer.project(coefficients.cuda(), threshold.cuda())
    torch.testing.assert_close(on_gpu.cpu(), regularizer.project(coefficients, threshold))
    value = regularizer.value(regularizer.transform(img.cuda()), threshold.cuda())
    torch.testing.assert_close(value.cpu(), regularizer.value(regularizer.transform(img), threshold))
    assert regularizer.lambda_map(0.1, img.cuda()).is_cuda
    if regularizer.circulant:
        assert regularizer.symbol(case.unknown_shape, torch.device('cuda')).is_cuda
