"""The loss of counts of photons: its expectation is the deviance from the true means, up to a constant."""

import pytest
import torch
from mrpro.operators import IdentityOp, LinearOperator
from mrpro_lambda.data_terms import DataTerm, PoissonCounts
from mrpro_lambda.losses import HeldOut, Measured, Recorrupted, Thinned, UnbiasedRisk, default_loss
from mrpro_lambda.losses.default_loss import judging_loss

SHAPE = (1, 1, 1, 6, 7)
NOISE = torch.full((1, 1, 1, 1, 1), 0.1, dtype=torch.float64)
N_REPLICAS = 200


def term(n_photons: float = 60.0) -> PoissonCounts:
    return PoissonCounts(IdentityOp(), n_photons=n_photons, attenuation=2.0)


def response() -> torch.Tensor:
    return torch.linspace(0, 1.5, 42, dtype=torch.float64).reshape(SHAPE)


def measured(seed: int) -> Measured:
    counts = term().draw(response(), torch.Generator().manual_seed(seed))
    return Measured.of_photons(term().post_log(counts), term(), NOISE)


def shrunk(data: torch.Tensor, acquisition: LinearOperator | DataTerm, noise_std: torch.Tensor) -> torch.Tensor:
    """A reconstruction that follows the noise."""
    assert isinstance(acquisition, DataTerm)
    return 0.2 + 0.6 * data.clamp(-1, 2) + 0 * noise_std


def divergence(img: torch.Tensor, fraction: float) -> torch.Tensor:
    """Mean deviance of the true means of the counts that are held out."""
    true, found = ((1 - fraction) * term().counts(x) for x in (response(), img))
    return (2 * (found - true + true * (true / found).log())).mean()


@pytest.mark.parametrize('fraction', [0.5, 0.9])
def test_expectation_is_the_deviance_from_the_true_means(fraction: float) -> None:
    """Over replicas of the scan, the mean difference is that of the truth itself, whose deviance is noise alone."""
    differences = []
    for seed in range(N_REPLICAS):
        seen: list[torch.Tensor] = []

        def reconstruct(*scan: torch.Tensor | LinearOperator | DataTerm) -> torch.Tensor:
            seen.append(shrunk(*scan))  # type: ignore[arg-type]  # noqa: B023
            return seen[-1]  # noqa: B023

        loss, scan = Thinned(fraction), measured(seed)
        value = loss(reconstruct, scan, torch.Generator().manual_seed(1000 + seed))
        truth = loss(lambda *_: response(), scan, torch.Generator().manual_seed(1000 + seed))
        differences.append(value - truth - divergence(seen[0], fraction))
    values = torch.stack(differences)
    standard_error = values.std() / N_REPLICAS**0.5
    assert standard_error < 0.03
    assert values.mean().abs() < 4 * standard_error
    assert divergence(seen[0], fraction) > 10 * standard_error


def test_parts_are_independent_poisson_scans() -> None:
    """With their own numbers of photons; what the reconstruction sees has the noise of fewer photons."""
    parts = []
    for seed in range(400):
        seen: list[tuple[torch.Tensor, PoissonCounts]] = []

        def reconstruct(
            data: torch.Tensor, acquisition: LinearOperator | DataTerm, noise_std: torch.Tensor
        ) -> torch.Tensor:
            assert isinstance(acquisition, PoissonCounts)
            torch.testing.assert_close(noise_std, NOISE / 0.7**0.5)
            seen.append((data, acquisition))  # noqa: B023
            return response()

        scan = measured(seed)
        Thinned(0.7)(reconstruct, scan, torch.Generator().manual_seed(seed + 500))
        data, seen_term = seen[0]
        kept = seen_term.counts(data).round()
        parts.append((kept, term().counts(scan.data).round() - kept))
    first, second = (torch.stack(part) for part in zip(*parts, strict=True))
    mean = term().counts(response())
    for part, fraction in ((first, 0.7), (second, 0.3)):
        assert bool(((part.mean(0) - fraction * mean).abs() < 5 * (fraction * mean / 400).sqrt()).all())
        assert (part.var(0) / (fraction * mean)).mean() == pytest.approx(1, abs=0.06)
    covariance = ((first - first.mean(0)) * (second - second.mean(0))).mean(0) / (0.21**0.5 * mean)
    assert covariance.mean().abs() < 5 / (400 * 42) ** 0.5


def test_gradient_where_no_photon_is_held_out() -> None:
    """That of the mean deviance."""
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    loss = Thinned(0.999)(lambda *_: factor * response(), measured(0), torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(loss, factor)
    assert bool(gradient.isfinite())


def test_same_seed_same_loss() -> None:
    scan = measured(0)
    first, again, other = (Thinned()(shrunk, scan, torch.Generator().manual_seed(i)) for i in (7, 7, 8))
    assert torch.equal(first, again)
    assert first != other


def test_losses_know_what_they_are_for() -> None:
    scan = measured(0)
    assert isinstance(default_loss(scan), Thinned)
    assert judging_loss(scan) is None
    Thinned().check(scan)
    for loss in (HeldOut(), Recorrupted(), UnbiasedRisk()):
        with pytest.raises(ValueError, match=r'needs Gaussian noise, got counts of photons.*use Thinned'):
            loss.check(scan)
    other = scan._replace(counts=None)
    with pytest.raises(ValueError, match=r'needs counts of photons, got other data.*use Recorrupted'):
        Thinned().check(other)
    with pytest.raises(ValueError, match='fraction must be between 0 and 1'):
        Thinned(1.0)
