"""Rules that find one weight on the scan itself."""

import copy
import json
from typing import Any

import pytest
import torch
from mrpro.operators import IdentityOp
from mrpro.utils import RandomGenerator
from mrpro_lambda import weighting
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, Solver
from mrpro_lambda.weighting import AutomaticWeight, Discrepancy, LCurve, Scan, Sure, Sweep, SweepPoint
from mrpro_lambda.weighting.AutomaticWeight import vertex

from tests.regularizers.cases import CASES, concrete_subclasses
from tests.regularizers.cases import Case as RegularizerCase
from tests.solvers.cases import DICTIONARY, SOLVERS, mask

RULES = {
    name: weight for cls in concrete_subclasses(AutomaticWeight, weighting) for name, weight in cls.examples(1).items()
}
all_rules = pytest.mark.parametrize('rule', RULES.values(), ids=RULES)
TV, SHAPE, SIGMA = TotalVariation((-2, -1)), (1, 1, 1, 16, 14), 0.3


def image(shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    """A few steps, different for each image of a batch."""
    img = torch.zeros(shape, dtype=dtype)
    img[..., 3:12, 4:9] += 1 + (0.5j if dtype.is_complex else 0)
    img[1:2, ..., 5:8, 2:12] += 2
    return img


def scan(
    solver: Solver | None = None,
    *,
    shape: tuple[int, ...] = SHAPE,
    noise_std: torch.Tensor | float = SIGMA,
    fully_sampled: bool = False,
    seed: int = 0,
) -> Scan:
    """Simulate a scan."""
    solver = ADMM(TV, max_iterations=3000, tolerance=1e-4) if solver is None else solver
    sampled = mask((1, 1, 1, *shape[-2:]))
    acquisition_op = CartesianAcquisitionOp(torch.ones_like(sampled) if fully_sampled else sampled)
    noise = RandomGenerator(seed).randn_tensor(shape, torch.complex128) * noise_std
    (data,) = acquisition_op(image(shape) + acquisition_op.adjoint(noise)[0])
    return Scan(data, acquisition_op, acquisition_op.adjoint(data)[0], noise_std, solver)


def sweep(scan: Scan, *factors: float, seed: int = 0, **stop: Any) -> Sweep:
    """Solve with some weights."""
    solver = scan.solver.replace(**(stop or {'max_iterations': 3000, 'tolerance': 1e-4}))
    found = Sweep(scan, solver, [1.0] * solver.regularizer.n_maps, degrees=True, seed=seed)
    for factor in factors:
        found.solve(factor)
    return found


def residual(scan: Scan, img: torch.Tensor) -> float:
    """Return the residual of one image relative to the energy of the noise."""
    data, acquisition_op = scan.measured()
    n_samples = int((data != 0).sum())
    return ((acquisition_op(img)[0] - data).abs().square().sum() / (SIGMA**2 * n_samples)).item()


def with_options(rule: AutomaticWeight, **options: float) -> AutomaticWeight:
    """Return the same rule with other options."""
    rule = copy.copy(rule)
    for name, value in options.items():
        assert hasattr(rule, name)
        setattr(rule, name, value)
    return rule


@pytest.mark.parametrize('solver', [ADMM(TV, max_iterations=1), ADMM(DICTIONARY, max_iterations=1)])
@pytest.mark.parametrize('stop', [{'n_iterations': 4}, {'max_iterations': 2000, 'tolerance': 1e-2}], ids=str)
def test_sure_is_unbiased(solver: Solver, stop: dict[str, Any]) -> None:
    """Its mean over noise and random vectors is that of the error, converged or not, within its standard error."""
    n_seeds, differences, shape = 12, [], (32, 1, 1, 8, 7)
    for seed in range(n_seeds):
        one = scan(solver, shape=shape, seed=seed)
        data, acquisition_op = one.measured()
        found = sweep(one, 0.7, seed=seed, **stop)
        img = solver.replace(**stop)(data, acquisition_op, one.initial_image, found.lambda_map(0.7))
        energy = acquisition_op(img - image(shape))[0].abs().square().sum((-4, -3, -2, -1), keepdim=True)
        error = energy / (SIGMA**2 * found.n_samples)
        differences.append((Sure.risk(found.points)[0] - error).mean().item())
    difference = torch.tensor(differences)
    assert difference.mean().abs() < 3 * difference.std() / n_seeds**0.5
    assert difference.std() < 0.1 * error.mean()


def test_sure_sees_what_the_image_can_not_explain() -> None:
    """A noise level that is far too low gives nearly the weight of the true one, and a warning."""
    csm = RandomGenerator(0).complex128_tensor((1, 4, 1, 16, 14))
    acquisition_op = CartesianAcquisitionOp(torch.ones(16, 14), csm / csm.abs().square().sum(1, keepdim=True).sqrt())
    (data,) = acquisition_op(image())
    data = data + SIGMA * RandomGenerator(1).randn_tensor(data.shape, torch.complex128)
    solver = ADMM(TV, max_iterations=3000, tolerance=1e-4)
    one = Scan(data, acquisition_op, acquisition_op.adjoint(data)[0], SIGMA, solver)
    expected = Sure(low=0.05, high=4)(one)
    with pytest.warns(UserWarning, match=r'differ by (3\.[89]|4) times the noise level'):
        found = Sure(low=0.2, high=16)(one._replace(noise_std=SIGMA / 4))
    torch.testing.assert_close(found, expected, rtol=0.2, atol=0)


def test_degrees_of_freedom() -> None:
    """All of them without regularization; only those of a constant with a lot of it."""
    small, large = sweep(scan(fully_sampled=True), 1e-6, 1e4).points.degrees_of_freedom.flatten().tolist()
    assert small == pytest.approx(1, rel=1e-3)
    n_samples = 16 * 14
    assert abs(large) < 20 / n_samples  # the random vector has a mean of the order of the root of their number


def test_residual_rises_and_regularization_falls_with_the_weight() -> None:
    points = sweep(scan(), *(4 * 0.6**i for i in range(8)), max_iterations=3000, tolerance=1e-6).points
    assert bool((points.factor.diff(dim=0) > 0).all())
    assert bool((points.residual.diff(dim=0) > 0).all())
    assert bool((points.regularization.diff(dim=0) < 1e-4).all())  # none at the largest ones, up to the tolerance
    assert points.regularization[-1] < 1e-4 < points.regularization[0]


@pytest.mark.parametrize('correction', [False, True])
def test_discrepancy_reaches_its_target(correction: bool) -> None:
    one = scan()
    rule = Discrepancy(correction=correction, tolerance=1e-4, max_iterations=3000, n_refinements=4)
    choice = rule.choose(one)
    assert choice.report is not None
    solution = one.solver.solve(*one.measured(), one.initial_image, choice.lambda_map)
    degrees = sweep(one, choice.report['factor']).points.degrees_of_freedom.item() if correction else 0
    assert residual(one, solution.img) == pytest.approx(1 - degrees, rel=1e-2)
    criterion = torch.tensor(choice.report['sweep']['criterion'])
    assert criterion.abs().min() < 1e-2


@all_rules
def test_scale_equivariance(rule: AutomaticWeight) -> None:
    """Data in other units give the weight in these units."""
    one, rule = scan(), with_options(rule, n_weights=5)
    expected = rule(one)
    for scale in (2.0**-20, 1e3):
        scaled = one._replace(
            data=scale * one.measured()[0], initial_image=scale * one.initial_image, noise_std=scale * SIGMA
        )
        torch.testing.assert_close(rule(scaled), scale * expected, rtol=1e-6, atol=0)


@all_rules
def test_the_same_scan_gives_the_same_weight_and_report(rule: AutomaticWeight) -> None:
    rule = with_options(rule, n_weights=5)
    first, second = (rule.choose(scan()) for _ in range(2))
    assert torch.equal(first.lambda_map, second.lambda_map)
    assert json.dumps(first.report, allow_nan=False) == json.dumps(second.report, allow_nan=False)


@all_rules
def test_images_of_a_batch_have_their_own_weights(rule: AutomaticWeight) -> None:
    """As if they were alone, up to the tolerance, as they stop together. Also with noise levels of their own."""
    shape, noise_std = (2, *SHAPE[1:]), torch.tensor([0.15, 0.4], dtype=torch.float64).reshape(2, 1, 1, 1, 1)
    one = scan(shape=shape, noise_std=noise_std)
    data, acquisition_op = one.measured()
    rule = with_options(rule, tolerance=1e-4, max_iterations=5000, n_weights=6, low=0.05)
    choice = rule.choose(one)
    assert choice.lambda_map.shape == (1, 2, 1, 1, 1, 1)
    assert choice.report is not None
    assert len(choice.report['factor']) == len(choice.report['sweep']['residual']) == 2
    for i in range(2):
        part = slice(i, i + 1)
        alone = rule(Scan(data[part], acquisition_op, one.initial_image[part], noise_std[part], one.solver))
        torch.testing.assert_close(choice.lambda_map[:, part], alone, rtol=2e-2, atol=0)


@all_rules
def test_coupled_images_share_a_weight(rule: AutomaticWeight) -> None:
    """Those of a series with differences in time."""
    solver = ADMM(TotalVariation((-5, -2, -1)), max_iterations=1000)
    choice = with_options(rule, n_weights=5).choose(scan(solver, shape=(3, 1, 1, 8, 7)))
    assert choice.lambda_map.shape == (2, 1, 1, 1, 1, 1)  # one map for space, one for time
    assert choice.lambda_map[0].equal(choice.lambda_map[1])
    assert choice.report is not None
    assert choice.report['n_samples'] == 3 * int(mask((1, 1, 1, 8, 7)).sum())


@pytest.mark.filterwarnings('ignore:Sure has')  # the images are tiny
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_each_regularizer(case: RegularizerCase) -> None:
    """A rule asks for nothing but a regularizer and a solver that takes it."""
    solver = next(s for s in SOLVERS if s.refusal(case.regularizer) is None)
    one = scan(solver(case.regularizer, max_iterations=100), shape=(1, *case.shape[1:]))
    ratios = [1.0 + k for k in range(case.regularizer.n_maps)]
    rule = Sure(n_weights=3, n_refinements=1, low=0.1, high=2.0, ratios=ratios, max_iterations=10)
    choice = rule.choose(one)
    assert choice.report is not None
    weights = choice.lambda_map.flatten(1).mean(1)
    torch.testing.assert_close(weights / weights[0], torch.tensor(ratios, dtype=weights.dtype))
    assert weights[0].item() == pytest.approx(choice.report['factor'] * SIGMA)


def test_real_images_and_a_known_model() -> None:
    """Real noise has all of its variance in one part."""
    img = image(dtype=torch.float64)
    data = img + SIGMA * RandomGenerator(1).float64_tensor(SHAPE, -(3**0.5), 3**0.5)
    one = Scan(data, IdentityOp(), data, SIGMA, ADMM(TV, max_iterations=1000))
    model = LambdaMapModel(Sure(), one.solver)
    found = model.solve(data, IdentityOp(), data, SIGMA)
    assert found.report is not None
    assert found.report['n_samples'] == img.numel()
    errors = {c: (model(data, IdentityOp(), data, lambda_map=c * SIGMA) - img).norm() for c in (0.2, 4.0)}
    assert (found.img - img).norm() < 0.9 * min(errors.values())


def test_corner_of_an_l_curve() -> None:
    """Of a curve that is steep, turns at a known place, and is flat."""
    x = torch.cat([torch.linspace(0, 0.1, 6), torch.linspace(0.1, 3, 7)[1:]]).double()
    y = torch.cat([torch.linspace(3, 0.1, 6), torch.linspace(0.1, 0, 7)[1:]]).double()
    factor, nothing = torch.logspace(-2, 1, 12, dtype=torch.float64), torch.full((12,), torch.nan)
    points = SweepPoint(factor, (2 * x).exp(), y.exp(), nothing, nothing, nothing)
    assert LCurve().criterion(points).argmin() == 5


def test_vertex_is_exact_for_a_parabola() -> None:
    factors = torch.tensor([[0.1, 0.3, 0.5, 2.0, 4.0], [0.1, 0.2, 0.4, 0.7, 4.0]], dtype=torch.float64).T
    lowest = torch.tensor([0.6, 9.0], dtype=torch.float64)
    found = vertex(factors, 3 * (factors / lowest).log().square() - 1)
    torch.testing.assert_close(found, torch.tensor([0.6, 4.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ('create', 'message'),
    [
        (lambda: Sure(n_weights=2), 'n_weights must be an integer from 3 on, got 2'),
        (lambda: Sure(low=2.0, high=1.0), 'low must be below high, got low=2.0 and high=1.0'),
        (lambda: LCurve(low=0.0), 'low must be positive and finite, got 0.0'),
        (lambda: Discrepancy(tolerance=0.0), 'tolerance must be positive and finite, got 0.0'),
        (lambda: Discrepancy(tau=0.0), 'tau must be positive and finite, got 0.0'),
        (lambda: Sure(ratios=[1.0, 0.0]), r'ratios must hold one positive number for each map, got \[1.0, 0.0\]'),
        (lambda: Sure(ratios=torch.ones(1, 1)), 'ratios must hold one positive number for each map'),
        (
            lambda: LambdaMapModel(Sure(ratios=[1.0, 2.0]), scan().solver),
            r'2 ratios, \[1.0, 2.0\], but TotalVariation has 1 map',
        ),
        (lambda: Sure().choose(scan()._replace(noise_std=None)), 'noise level is needed: give noise_std'),
        (lambda: Sure().choose(scan()._replace(noise_std=0.0)), 'noise_std must be positive'),
        (lambda: Sure().choose(scan()._replace(data=None)), 'needs data and acquisition_op'),
        (lambda: Sure().choose(scan()._replace(noise_std=torch.ones(14))), r'one noise level for each image, .* 14\)'),
    ],
)
def test_errors(create: Any, message: str) -> None:
    """Before anything is solved."""
    with pytest.raises(ValueError, match=message):
        create()


def test_warnings() -> None:
    """Of what is not what was asked for."""
    with pytest.warns(UserWarning, match='no weight between .* of those tried, 2 and 4 times the noise'):
        report = Sure(low=2.0, n_weights=3, n_refinements=0).choose(scan()).report
    assert report is not None
    assert report['at_end']
    with pytest.warns(UserWarning, match='have not reached the tolerance of 1e-09 in 10 iterations'):
        report = Sure(tolerance=1e-9, max_iterations=10).choose(scan()).report
    assert report is not None
    assert not report['tolerance_reached']
