"""Learning of dictionaries."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from mrpro_lambda.dictionary import coding_objective, high_pass, learn_dictionary, sparse_codes
from mrpro_lambda.dictionary.learn_dictionary import _State

from tests.dictionary.cases import PLANTED, synthetic_images

SETTINGS: dict[str, Any] = {'sparsity': 0.05, 'n_steps': 5, 'batch_size': 2, 'crop': 20, 'progress': False}


def learn(n_filters: int = 4, filter_size: int | tuple[int, int] = 5, **options: Any) -> torch.Tensor:
    return learn_dictionary(synthetic_images(3), n_filters, filter_size, **SETTINGS | options)


@pytest.mark.parametrize('size', [3, (5, 3)])
@pytest.mark.parametrize('crop', [20, None])
def test_filters_have_unit_norm(size: int | tuple[int, int], crop: int | None) -> None:
    filters = learn(6, size, crop=crop)
    assert filters.shape == (6, *((size, size) if isinstance(size, int) else size))
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(6))


def test_same_seed_gives_the_same_filters() -> None:
    first = learn(seed=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        assert torch.equal(learn(seed=3), first)
    assert not torch.equal(learn(seed=4), first)


@pytest.mark.parametrize(('stop', 'interval'), [(2, 25), (4, 3)])
def test_resumed_run_gives_the_same_filters(stop: int, interval: int, tmp_path: Path) -> None:
    expected = learn(n_steps=6)
    options: dict[str, Any] = {'checkpoint': tmp_path / 'checkpoint.ckpt', 'checkpoint_interval': interval}
    learn(n_steps=stop, **options)
    assert torch.equal(learn(n_steps=6, resume=True, **options), expected)
    assert [path.name for path in tmp_path.iterdir()] == ['checkpoint.ckpt']


def test_interrupted_run_goes_on_from_its_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = learn(n_steps=6)
    options: dict[str, Any] = {'checkpoint': tmp_path / 'checkpoint.ckpt', 'checkpoint_interval': 2}
    sweep, n_calls = _State.sweep, 0

    def interrupted(state: _State) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 14:  # in the fifth step, which has three sweeps as all have
            raise RuntimeError('power failure')
        sweep(state)

    with monkeypatch.context() as context:
        context.setattr(_State, 'sweep', interrupted)
        with pytest.raises(RuntimeError, match='power failure'):
            learn(n_steps=6, **options)
    assert torch.equal(learn(n_steps=6, resume=True, **options), expected)


def test_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint.ckpt'
    with pytest.raises(ValueError, match='no checkpoint to resume from'):
        learn(checkpoint=path, resume=True)
    with pytest.raises(ValueError, match='no checkpoint to resume from'):
        learn(resume=True)
    learn(checkpoint=path)
    for other in ({'sparsity': 0.1}, {'seed': 1}, {'n_filters': 5}, {'beta': 2.0}):
        with pytest.raises(ValueError, match=rf'other parameters.*{next(iter(other))}'):
            learn(checkpoint=path, resume=True, **other)


@pytest.mark.parametrize('seed', [0, 1])
def test_planted_filters_are_found(seed: int) -> None:
    """Up to a shift and the sign. There are more filters than planted ones, as some get stuck between two."""
    images = synthetic_images(6, 48)
    options: dict[str, Any] = {'sparsity': 0.05, 'beta': 20.0, 'crop': 32, 'seed': seed, 'progress': False}
    first, filters = (learn_dictionary(images, 8, 7, n_steps=n, **options) for n in (1, 40))
    objectives = [coding_objective(f, images, 0.05, 20.0) for f in (first, filters)]
    assert objectives[1] < 0.9 * objectives[0]
    padded = torch.nn.functional.pad(filters, (4, 4, 4, 4))[:, None]
    correlations = torch.nn.functional.conv2d(padded, PLANTED[:, None]).abs().amax((0, 2, 3))
    assert (correlations > 0.9).sum() >= 3, correlations


def test_filters_are_in_the_order_of_their_usage() -> None:
    images = synthetic_images(3)
    filters = learn(6, n_steps=60, crop=None)
    usage = sparse_codes(filters, torch.stack(high_pass(images, 4.0)), SETTINGS['sparsity'], 200).abs().sum((0, 2, 3))
    assert usage[:3].sum() > usage[3:].sum()
    assert usage.argmax() < 3


def test_surrogate_is_the_data_term() -> None:
    """A sweep never increases the mean over all crops so far of the data term with fixed codes."""
    images = torch.stack(synthetic_images(2)) - 0.5
    filters = PLANTED + 0.1 * torch.randn(PLANTED.shape, generator=torch.Generator().manual_seed(0))
    filters = filters / filters.flatten(1).norm(dim=1)[:, None, None]
    codes = sparse_codes(filters, images, 0.05, 20)
    state = _State.create(filters)
    state.update(images, codes, 0.0)

    def data_term(filters: torch.Tensor) -> float:
        padded = torch.nn.functional.pad(codes, (2, 2, 2, 2), mode='circular')
        return (torch.nn.functional.conv2d(padded, filters[None])[:, 0] - images).square().sum().item()

    def surrogate(filters: torch.Tensor) -> float:
        spectrum = torch.fft.rfft2(filters, s=state.grid)
        image = torch.fft.irfft2(torch.einsum('yxkl,lyx->kyx', state.gram, spectrum), s=state.grid)[:, :5, :5]
        return 2 * ((filters * image).sum() - 2 * (filters * state.rhs).sum() + images.square().sum() / 2).item()

    other = PLANTED.flip(0)
    assert surrogate(other) == pytest.approx(data_term(other), rel=1e-3)
    values = [data_term(state.filters)]
    for _ in range(5):
        state.sweep()
        values.append(data_term(state.filters))
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(values))
    assert values[-1] < 0.95 * values[0]


def test_unused_filter_is_replaced() -> None:
    images = torch.stack(synthetic_images(2)) - 0.5
    checkerboard = torch.ones(5, 5)
    checkerboard[::2, 1::2] = checkerboard[1::2, ::2] = -1
    state = _State.create(torch.cat((PLANTED, checkerboard[None] / 5)))
    codes = sparse_codes(state.filters, images, 0.2, 50)
    assert not codes[:, 4].any()
    state.update(images, codes, 1.0)
    state.revive(images, codes, torch.Generator().manual_seed(0))
    assert torch.equal(state.filters[:4], PLANTED)
    assert state.filters[4].norm() == pytest.approx(1)
    assert sparse_codes(state.filters, images, 0.2, 50)[:, 4].any()


def test_progress_shows_the_objective(capsys: pytest.CaptureFixture[str]) -> None:
    learn(progress=True)
    assert 'objective ' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'n_filters': 0}, 'n_filters must be an integer from 1 to 65536, got 0'),
        ({'filter_size': 4}, r'odd, got \(4, 4\)'),
        ({'filter_size': (5, 2)}, r'odd, got \(5, 2\)'),
        ({'filter_size': 21}, r'not be larger than the crops.*21.*20'),
        ({'crop': 33}, r'smallest image.*33.*32'),
        ({'sparsity': 0.0}, r'sparsity must be .* got 0'),
        ({'sparsity': float('nan')}, r'sparsity must be .* got nan'),
        ({'beta': -1.0}, 'beta must be'),
        ({'n_steps': 0}, 'n_steps must be an integer from 1 on, got 0'),
        ({'batch_size': 0}, 'batch_size must be an integer from 1 to 65536, got 0'),
        ({'n_sweeps': 0}, 'n_sweeps must be an integer from 1 on, got 0'),
        ({'forgetting': -1.0}, 'forgetting must be a finite, non-negative number, got -1'),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn(**options)


def test_bad_images() -> None:
    good = synthetic_images(1)[0]
    nan = good.clone()
    nan[3, 4] = torch.nan
    for images, message in (
        ([], 'at least one image'),
        ([good, nan], r'finite, but number 1 of shape \(32, 32\)'),
        ([good[None]], r'shape \(y, x\).*\(1, 32, 32\)'),
        ([good + 0j], 'must be real.*complex'),
        ([2 * good], r'maximum of 1.*to 2.*\(32, 32\)'),
        ([0 * good], 'maximum of 1.*to 0'),
        ([good - 0.5], 'magnitudes'),
    ):
        with pytest.raises(ValueError, match=message):
            learn_dictionary(images, 2, 3, **SETTINGS)
    with pytest.raises(ValueError, match=r'square.*\(32, 30\)'):
        learn_dictionary([good, good[:, 2:] / good[:, 2:].max()], 2, 3, **SETTINGS | {'crop': None})


@pytest.mark.cuda
def test_cuda() -> None:
    filters = learn(device='cuda')
    assert not filters.is_cuda
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(4))
