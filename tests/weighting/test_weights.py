"""What chooses the Lambda map of a scan."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from mrpro.algorithms.optimizers import cg
from mrpro.utils import RandomGenerator
from mrpro_lambda import weighting
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import DictionarySparsity, TotalGeneralizedVariation, TotalVariation
from mrpro_lambda.solvers import ADMM, Solver
from mrpro_lambda.weighting import (
    CGImageWeight,
    GivenWeight,
    LearnedNumbers,
    NetworkWeight,
    NoiseWeight,
    NumberNet,
    Scan,
    Weight,
    WeightChoice,
    as_weight,
)

from tests.regularizers.cases import concrete_subclasses
from tests.solvers.cases import coil_maps, mask

SHAPE = (3, 1, 1, 18, 14)
NOISE = torch.tensor([0.1, 0.3, 0.2], dtype=torch.float64).reshape(3, 1, 1, 1, 1)
SOLVER = ADMM(TotalVariation((-2, -1)), n_iterations=5)
TWO_MAPS = ADMM(TotalVariation((-2, -1), groups=[(-2,), (-1,)]), n_iterations=5)


def filters(n_filters: int = 4) -> torch.Tensor:
    drawn = RandomGenerator(1).randn_tensor((n_filters, 3, 3), torch.float64)
    return drawn / drawn.flatten(1).norm(dim=1)[:, None, None]


DICTIONARY = ADMM(DictionarySparsity(filters(), beta=2.0), n_iterations=5)


def varied(weight: Weight) -> Weight:
    """Undo the small start of last layers, and convert to double precision."""
    with torch.no_grad():
        for name, parameter in weight.named_parameters():
            if 'last.weight' in name:
                parameter.mul_(10)
    return weight.double()


def create_example(cls: type[Weight], name: str, n_maps: int) -> Weight:
    return varied(cls.examples(n_maps)[name])


def responses() -> Weight:
    return NetworkWeight.examples(1)['network of responses']


def fits(weight: Weight, solver: Solver) -> bool:
    try:
        weight.check_solver(solver)
    except ValueError:
        return False
    return True


WEIGHTS = concrete_subclasses(Weight, weighting)
SOLVERS = {'one map': SOLVER, 'two maps': TWO_MAPS, 'dictionary': DICTIONARY}
# of each example of a weight that is relative to the scan, rules apart: how it is made, and a solver that it is for
RELATIVE: dict[str, tuple[Callable[[], Weight], Solver]] = {
    f'{name}, {kind}': (partial(create_example, cls, name, solver.regularizer.n_maps), solver)
    for cls in WEIGHTS
    for kind, solver in SOLVERS.items()
    for name, weight in cls.examples(solver.regularizer.n_maps).items()
    if weight.relative and not weight.uses_data and fits(weight, solver)
}
all_relative = pytest.mark.parametrize(('create', 'solver'), RELATIVE.values(), ids=RELATIVE)


def image(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Objects of different intensity and structure."""
    img = 0.1 * RandomGenerator(0).randn_tensor(shape, torch.complex128) + 0.2
    img[..., 3:12, 4:9] += 1 + 0.5j
    img[1:2, ..., 5:8, 5:12] *= 3
    return img


def scan(
    solver: Solver, img: torch.Tensor | None = None, noise_std: torch.Tensor | float | None = NOISE, scale: float = 1.0
) -> Scan:
    noise_std = None if noise_std is None else scale * noise_std
    return Scan(None, None, scale * (image() if img is None else img), noise_std, solver)


@pytest.mark.parametrize('cls', WEIGHTS)
def test_each_weight_describes_itself(cls: type[Weight]) -> None:
    """By small examples, of which each is for one of the solvers here."""
    for weights in zip(*(cls.examples(s.regularizer.n_maps).values() for s in SOLVERS.values()), strict=True):
        assert all(type(weight) is cls for weight in weights)
        assert any(fits(weight, solver) for weight, solver in zip(weights, SOLVERS.values(), strict=True))


@all_relative
def test_map_is_positive_and_fits_the_regularizer(create: Any, solver: Solver) -> None:
    weight = create()
    weight.check_solver(solver)
    choice = weight.choose(scan(solver))
    assert isinstance(choice, WeightChoice)
    assert choice.report is None
    assert choice.lambda_map.dtype == torch.float64
    assert bool((choice.lambda_map > 0).all())
    assert torch.equal(solver.regularizer.lambda_map(choice.lambda_map, image()), choice.lambda_map)
    assert torch.equal(weight(scan(solver)), choice.lambda_map)


@pytest.mark.parametrize('scale', [1e-9, 3.7, 1e9])
@all_relative
def test_scale_equivariance(create: Any, solver: Solver, scale: float) -> None:
    """Data in other units give the map in these units."""
    weight = create()
    scaled = weight(scan(solver, scale=scale))
    torch.testing.assert_close(scaled, scale * weight(scan(solver)), rtol=1e-10, atol=0)


@all_relative
def test_images_are_independent(create: Any, solver: Solver) -> None:
    weight, img = create(), image()
    together = weight(scan(solver)).expand(-1, 3, -1, -1, -1, -1)
    for i in range(3):
        alone = weight(scan(solver, img[i : i + 1], NOISE[i : i + 1]))
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=1e-10, atol=0)
    assert together.std(1).max() > 1e-2 * together.mean()


@all_relative
def test_noise_level_is_needed_if_and_only_if_the_weight_says_so(create: Any, solver: Solver) -> None:
    weight = create()
    if weight.uses_noise_level:
        with pytest.raises(ValueError, match='noise level is needed: give noise_std'):
            weight(scan(solver, noise_std=None))
        for bad in (0.0, -NOISE, NOISE / 0, NOISE[:2]):
            with pytest.raises(ValueError, match='noise_std must'):
                weight(scan(solver, noise_std=bad))
    else:
        assert torch.equal(weight(scan(solver, noise_std=None)), weight(scan(solver)))


@all_relative
def test_gradient_reaches_all_parameters(create: Any, solver: Solver) -> None:
    """Also through a solve; numbers with a meaning are known as such."""
    weight = create()
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, *SHAPE[-2:], dtype=torch.float64))
    model = LambdaMapModel(weight, solver)
    (data,) = acquisition_op(image())
    img = model(data, acquisition_op, image(), NOISE)
    parameters = dict(weight.named_parameters())
    if parameters:
        img.abs().square().sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name
    assert {id(p) for p in weight.numbers()} <= {id(p) for p in parameters.values()}
    assert bool(weight.numbers()) == bool(parameters)
    assert model.uses_noise_level == weight.uses_noise_level


@all_relative
def test_start_from(create: Any, solver: Solver) -> None:
    first, second = create(), create()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
    second.start_from(first)
    assert torch.equal(second(scan(solver)), first(scan(solver)))
    with pytest.raises(TypeError, match='The weight of the initial weights must be'):
        second.start_from(GivenWeight(0.1))


def test_permutation_of_the_filters() -> None:
    """The maps of a network that sees each response by itself (V3) go with the filters."""
    create, _ = RELATIVE['network of responses, dictionary']
    order, weight = [2, 0, 3, 1], create()
    permuted = ADMM(DictionarySparsity(filters()[order], beta=2.0), n_iterations=5)
    torch.testing.assert_close(weight(scan(permuted)), weight(scan(DICTIONARY))[order], rtol=1e-10, atol=0)


def test_values_relative_to_the_reference() -> None:
    """Of the weights that are numbers."""
    expected = NOISE.expand(1, 3, 1, 1, 1, 1)
    torch.testing.assert_close(NoiseWeight(1.5)(scan(SOLVER)), 1.5 * expected)
    torch.testing.assert_close(NoiseWeight(1.5)(scan(TWO_MAPS)), 1.5 * expected.expand(2, 3, 1, 1, 1, 1))
    numbers = LearnedNumbers(2, [0.3, 2.0]).double()(scan(TWO_MAPS))
    torch.testing.assert_close(numbers, torch.cat([0.3 * expected, 2 * expected]), rtol=1e-6, atol=0)
    flat = torch.full((1, 1, 1, 4, 4), 2j, dtype=torch.complex128)
    relative = LearnedNumbers(1, 0.5, noise_level=False).double()(scan(SOLVER, flat))
    torch.testing.assert_close(relative, torch.ones(1, 1, 1, 1, 1, 1, dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (17, 5)])
@pytest.mark.parametrize('dim', [(-2, -1), (-5, -2, -1), (-1,)])
def test_number_net_takes_any_size(size: tuple[int, int], dim: tuple[int, ...]) -> None:
    """One number for each image that is convolved."""
    img = RandomGenerator(2).randn_tensor((2, 3, 1, 1, *size), torch.complex128)
    found = varied(NumberNet(1, 2, dim=dim))(scan(SOLVER, img, 0.2))
    assert found.shape == (1, *(1 if d in dim else n for d, n in zip(range(-6, 0), img.shape, strict=True)))
    assert bool((found > 0).all())


def test_number_net_depends_on_its_generator_only() -> None:
    def weights(seed: int | None) -> torch.Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(NumberNet(1, 2, generator=generator).parameters())

    state = torch.random.get_rng_state()
    assert torch.equal(weights(None), weights(0))
    assert not torch.equal(weights(1), weights(0))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_as_weight() -> None:
    """All that a user may give."""
    weight = NoiseWeight(1.0)
    assert as_weight(weight) is weight
    net = LambdaNet(UNet(2, 2, 1, n_features=2))
    found = as_weight(net)
    assert isinstance(found, NetworkWeight)
    assert found.lambda_net is net
    lambda_map = torch.rand(1, 3, 1, 1, 18, 14, dtype=torch.float64)
    for value in (0.1, [0.1], (0.1,), torch.tensor(0.1, dtype=torch.float64), 0.1 * torch.ones_like(lambda_map)):
        given = as_weight(value)
        assert isinstance(given, GivenWeight)
        expected = torch.full_like(lambda_map, 0.1)
        torch.testing.assert_close(given(scan(SOLVER)).expand_as(expected), expected, rtol=0, atol=0)
    assert [tuple(as_weight([0.1, 0.2])(scan(TWO_MAPS)).flatten().tolist())] == [(0.1, 0.2)]


@pytest.mark.parametrize(
    ('value', 'error', 'message'),
    [
        ('0.1', TypeError, 'A weight must be a number, .* got str'),
        (torch.nn.Identity(), TypeError, 'got Identity'),
        (['a'], TypeError, 'The weight must be a number, a sequence of numbers or a tensor, got list'),
        (-0.1, ValueError, r'must be finite and not negative, got torch.float64, shape \(\), smallest value -0.1'),
        ([0.1, float('nan')], ValueError, r'must be finite and not negative, .* shape \(2,\)'),
        ([], ValueError, r'must hold real numbers, got torch.float64, shape \(0,\)'),
        (torch.tensor(1j), ValueError, 'must hold real numbers, got torch.complex64'),
    ],
)
def test_invalid_weights(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_weight(value)


@pytest.mark.parametrize(
    ('create', 'message'),
    [
        (lambda: NoiseWeight(torch.ones(1, 2, 3)), r'a number, or one number for each map, got shape \(1, 2, 3\)'),
        (lambda: NoiseWeight(-1.0), 'factor of the noise level must be finite and not negative'),
        (lambda: LearnedNumbers(0), 'n_maps must be an integer from 1 on, got 0'),
        (lambda: LearnedNumbers(2, [1.0, 2.0, 3.0]), r'one for each of 2 map\(s\), got .* of shape \(3,\)'),
        (lambda: LearnedNumbers(1, 0.0), 'initial must be a positive number'),
        (lambda: NumberNet(1, dim=(-1, -1)), 'dim must hold one to three negative axes, each once'),
        (lambda: NumberNet(1, 0), 'n_features must be an integer from 1'),
        (lambda: LambdaMapModel(LearnedNumbers(3), SOLVER), r'3 learned number\(s\), but TotalVariation needs 1'),
        (lambda: LambdaMapModel(NumberNet(3), TWO_MAPS), r'gives 3 number\(s\), but TotalVariation needs 2'),
        (lambda: scan(SOLVER).measured(), 'needs data and acquisition_op'),
        (lambda: LambdaMapModel(responses(), SOLVER), 'needs a dictionary, got TotalVariation'),
        (
            lambda: LambdaMapModel(responses(), ADMM(TotalGeneralizedVariation((-2, -1)), n_iterations=1)),
            'needs a dictionary, got TotalGeneralizedVariation',
        ),
    ],
)
def test_errors(create: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create()


def test_a_rule_looks_at_the_data_and_reports() -> None:
    """A weight that tries several numbers is one class; a model passes its report on."""

    class Energy(Weight):
        def choose(self, scan: Scan) -> WeightChoice:
            data, _ = scan.measured()
            value = data.abs().square().mean().sqrt()
            return WeightChoice(scan.solver.regularizer.lambda_map(value, scan.initial_image), {'value': value.item()})

    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, *SHAPE[-2:], dtype=torch.float64))
    (data,) = acquisition_op(image())
    found = LambdaMapModel(Energy(), SOLVER).solve(data, acquisition_op, image())
    assert found.lambda_map is not None
    assert found.report == {'value': pytest.approx(found.lambda_map.item())}
    with pytest.raises(ValueError, match='needs data and acquisition_op'):
        LambdaMapModel(Energy(), SOLVER).estimate(image())


def test_image_of_conjugate_gradients() -> None:
    """It is that of mrpro's method for each image by itself, also where images of a batch differ in size."""
    csm = coil_maps((3, 2, 1, *SHAPE[-2:]), torch.complex128)
    acquisition_op = CartesianAcquisitionOp(mask((3, 1, 1, *SHAPE[-2:])), csm)
    (data,) = acquisition_op(image())
    (start,) = acquisition_op.adjoint(data)
    seen = []

    class Recorder(Weight):
        def choose(self, scan: Scan) -> WeightChoice:
            seen.append(scan.initial_image)
            return WeightChoice(scan.solver.regularizer.lambda_map(0.1, scan.initial_image))

    choice = CGImageWeight(Recorder(), 5).choose(Scan(data, acquisition_op, start, None, SOLVER))
    assert choice.lambda_map.unique().item() == pytest.approx(0.1)
    for i in range(3):
        op = CartesianAcquisitionOp(mask((3, 1, 1, *SHAPE[-2:]))[i : i + 1], csm[i : i + 1])
        (expected,) = cg(op.gram, start[i : i + 1], initial_value=start[i : i + 1], max_iterations=5, tolerance=0)
        torch.testing.assert_close(seen[0][i : i + 1], expected, rtol=1e-9, atol=1e-12)
    assert (seen[0] - image()).norm() < 0.7 * (start - image()).norm()
    with pytest.raises(ValueError, match='needs data and acquisition_op'):
        LambdaMapModel(CGImageWeight(NoiseWeight(1.0)), SOLVER).estimate(start, 0.1)
    with pytest.raises(ValueError, match='n_iterations must be an integer from 1'):
        CGImageWeight(NoiseWeight(1.0), 0)


def test_weight_of_an_image_of_conjugate_gradients_is_that_of_its_weight() -> None:
    inner = varied(NetworkWeight.examples(1)['network'])
    weight = CGImageWeight(inner)
    assert weight.uses_noise_level
    assert weight.uses_data
    assert not weight.counts_samples
    assert weight.relative
    acquisition_op = CartesianAcquisitionOp(torch.ones(1, 1, 1, *SHAPE[-2:], dtype=torch.float64))
    (data,) = acquisition_op(image())
    found = weight(Scan(data, acquisition_op, image(), NOISE, SOLVER))
    torch.testing.assert_close(found, inner(scan(SOLVER)), rtol=1e-9, atol=1e-12)  # solved at the start
    with pytest.raises(ValueError, match=r'gives 1 map\(s\), but TotalVariation needs 2'):
        weight.check_solver(TWO_MAPS)
    other = CGImageWeight(varied(NetworkWeight.examples(1)['network']))
    with torch.no_grad():
        next(p for p in other.parameters() if not p.ndim).add_(1)
    weight.start_from(other)
    assert torch.equal(weight(Scan(data, acquisition_op, image(), NOISE, SOLVER)), other.weight(scan(SOLVER)))
    with pytest.raises(TypeError, match='must be CGImageWeight, got NetworkWeight'):
        weight.start_from(inner)


def test_conjugate_gradients_that_begin_at_a_solution_stay_there() -> None:
    """The initial image of a single coil is one: in single precision, what is left are rounding errors."""
    acquisition_op = CartesianAcquisitionOp(mask((3, 1, 1, *SHAPE[-2:])).float())
    (data,) = acquisition_op(image().to(torch.complex64))
    (start,) = acquisition_op.adjoint(data)
    weight = CGImageWeight(varied(NetworkWeight.examples(1)['network of the image']).float(), 20)
    given = Scan(data, acquisition_op, start, None, SOLVER)
    torch.testing.assert_close(weight(given), weight.weight(given), rtol=1e-4, atol=0)
