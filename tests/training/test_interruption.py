"""Trainings and learnings that are interrupted, resumed with something else, or can not start."""

import dataclasses
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mrpro_lambda.cli import main
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.training.dictionary import DictionaryConfig
from mrpro_lambda.training.ModelModule import ModelModule
from mrpro_lambda.training.train import train
from mrpro_lambda.training.TrainingConfig import TrainingConfig

from tests.training.conftest import CONFIG
from tests.training.test_dictionary_config import TOML

pytestmark = [
    pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning'),
]

Interrupt = Callable[[int, Callable[[], object]], None]


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    config = TrainingConfig.from_toml(folder / 'config.toml')
    return dataclasses.replace(config, n_coils=(1,), max_steps=3, validation_interval=2)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Do something at a step of the next training."""

    def at(step: int, action: Callable[[], object]) -> None:
        original = ModelModule.training_step
        done: list[int] = []

        def interrupted(self: ModelModule, sample, batch_idx: int) -> torch.Tensor:
            if self.global_step == step and not done:
                done.append(step)
                action()
            return original(self, sample, batch_idx)

        monkeypatch.setattr(ModelModule, 'training_step', interrupted)

    return at


def fail() -> None:
    raise RuntimeError('power failure')


def command(folder: Path, *more: str, name: str = 'train') -> list[str]:
    """Arguments of a run in the folder."""
    config = 'config.toml' if name == 'train' else 'dictionary.toml'
    return [name, '--config', str(folder / config), '--output', str(folder / 'out'), '--no-progress', *more]


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_have_exit_codes(
    folder: Path, interrupt: Interrupt, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that is interrupted before its first checkpoint is no success, and can be resumed or started."""
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    interrupt(1, lambda: os.kill(os.getpid(), number))
    assert main(command(folder)) == code
    assert capsys.readouterr().err.splitlines()[-1].startswith('mrpro-lambda: ')
    assert not list((folder / 'out').glob('*.*'))
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert main(command(folder, *(['--resume'] if number == signal.SIGTERM else []))) == 0
    assert load_weights(folder / 'out' / 'weights.safetensors')[1]['steps'] == '4'


def test_signals_without_the_command_line(config: TrainingConfig, interrupt: Interrupt, tmp_path: Path) -> None:
    """Lightning would leave with exit code 1 for the first, and 0 for the second."""
    interrupt(0, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / 'a', progress=False)
    interrupt(0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as caught:
        train(config, tmp_path / 'b', progress=False)
    assert caught.value.code == 143


def test_resumed_weights_have_the_same_card(config: TrainingConfig, interrupt: Interrupt, tmp_path: Path) -> None:
    """The metrics are those of the stored weights, also after the last validation, and of a run that had ended."""
    path = train(config, tmp_path / 'a', progress=False)
    expected = load_weights(path)[1]
    interrupt(2, fail)
    with pytest.raises(RuntimeError, match='power failure'):
        train(config, tmp_path / 'b', progress=False)
    for _ in range(2):
        assert load_weights(train(config, tmp_path / 'b', resume=True, progress=False))[1] == expected
    path.unlink()
    other = dataclasses.replace(config, max_steps=2)
    before = load_weights(train(other, tmp_path / 'c', progress=False))[1]
    assert before['validation_psnr'] != expected['validation_psnr']


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'seed': 4}, r"'seed': \(3, 4\)"),
        ({'noise': (0.2, 0.3)}, r"'noise': \(\(0.1, 0.3\), \(0.2, 0.3\)\)"),
        ({'learning_rate': 0.5}, 'learning_rate'),
        ({'validation_interval': 1}, 'validation_interval'),
        ({'model': {'padding': 4}}, r"'model.padding': \(3, 4\)"),
        ({'sampling': {'n_center_lines': 2}}, 'sampling'),
        ({'images': {'repeat': 1}}, "'images'"),
        ({'max_steps': 1}, 'max_steps must not be below the steps that are done, 2, got 1'),
    ],
)
def test_resuming_something_else(config: TrainingConfig, tmp_path: Path, changes: dict, message: str) -> None:
    output = tmp_path / 'out'
    train(dataclasses.replace(config, max_steps=2), output, progress=False)
    before = {path: path.read_bytes() for path in output.glob('*.*')}
    for name, value in changes.items():
        part = getattr(config, name)
        if name == 'images':
            value = (dataclasses.replace(part[0], **value),)
        elif isinstance(value, dict):
            value = dataclasses.replace(part, **value)
        config = dataclasses.replace(config, **{name: value})
    with pytest.raises(ValueError, match=message):
        train(config, output, resume=True, progress=False)
    assert {path: path.read_bytes() for path in output.glob('*.*')} == before


def test_resuming_with_more_steps(config: TrainingConfig, tmp_path: Path) -> None:
    train(dataclasses.replace(config, max_steps=2), tmp_path / 'out', progress=False)
    more = dataclasses.replace(config, max_steps=4, card={'data': 'other'}, n_workers=0)
    assert load_weights(train(more, tmp_path / 'out', resume=True, progress=False))[1]['steps'] == '4'


@pytest.mark.parametrize('name', ['train', 'learn-dictionary'])
def test_damaged_checkpoints(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / 'dictionary.toml').write_text(TOML)
    assert main(command(folder, name=name)) == 0
    checkpoint = folder / 'out' / ('last.ckpt' if name == 'train' else 'checkpoint.ckpt')
    (folder / 'config.toml').write_text(CONFIG)
    if name == 'train':  # no checkpoint before the first validation
        text = CONFIG.replace('seed = 3', 'seed = 3\nvalidation_interval = 2')
        (folder / 'config.toml').write_text(text)
        (folder / 'out' / 'weights.safetensors').unlink()
        assert main(command(folder)) == 0
    content = bytearray(checkpoint.read_bytes())
    flipped = content.copy()
    flipped[content.index(b'parameters')] ^= 4
    for damaged in (content[: len(content) // 2], content[:10], b'', b'text', flipped):
        checkpoint.write_bytes(damaged)
        capsys.readouterr()
        assert main(command(folder, '--resume', name=name)) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert f'{checkpoint.name} is damaged or no checkpoint' in error
    assert checkpoint.read_bytes() == flipped


def test_partial_files_do_not_block_a_folder(folder: Path) -> None:
    (folder / 'dictionary.toml').write_text(TOML)
    config = DictionaryConfig.from_toml(folder / 'dictionary.toml')
    expected = load_dictionary(config.learn(folder / 'a', progress=False))
    for resume in (False, True):
        output = folder / f'resume {resume}'
        output.mkdir()
        (output / 'checkpoint.ckpt.partial').write_bytes(b'half')
        found = load_dictionary(config.learn(output, resume=resume, progress=False))
        assert torch.equal(found.filters, expected.filters)
        assert found.card == expected.card
        assert not list(output.glob('*.partial'))
    with pytest.raises(ValueError, match='n_steps must not be below the steps that are done, 3, got 2'):
        dataclasses.replace(config, n_steps=2).learn(folder / 'a', resume=True, progress=False)
    with pytest.raises(ValueError, match="device must be one of this computer, got 'abacus'"):
        dataclasses.replace(config, device='abacus').learn(folder / 'b', progress=False)
    assert not (folder / 'b').exists()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'batch_size': 9}, r'at least batch_size images for each device, got 8 image\(s\) .* batch_size = 9 on 1'),
        ({'crop': 4}, 'n_center_lines=4'),
        ({'accelerator': 'abacus'}, "accelerator, devices and strategy must be those of .*, got 'abacus'"),
        ({'strategy': 'abacus'}, 'accelerator, devices and strategy must be'),
    ],
)
def test_trainings_that_can_not_start(config: TrainingConfig, tmp_path: Path, changes: dict, message: str) -> None:
    """Nothing is left that would block the next try."""
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(config, **changes), tmp_path / 'out', progress=False)
    assert not (tmp_path / 'out').exists()


def test_small_validation_images(config: TrainingConfig) -> None:
    source = dataclasses.replace(config.validation_images[0].source, size=6)
    images = (dataclasses.replace(config.validation_images[0], source=source),)
    with pytest.raises(ValueError, match=r'validation_images must have the 7 pixels .*, got \(6, 6\)'):
        dataclasses.replace(config, validation_images=images).validation_data()


def test_loss_that_is_not_finite(config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder can be used for the next try."""
    with monkeypatch.context() as patch:
        patch.setattr('mrpro_lambda.training.ModelModule.relative_mse', lambda *_, **__: torch.tensor(torch.nan))
        with pytest.raises(ValueError, match='loss must be finite, it is not at step 0'):
            train(config, tmp_path / 'out', progress=False)
    assert not (tmp_path / 'out' / 'weights.safetensors').exists()
    assert train(config, tmp_path / 'out', progress=False).exists()


def test_progress_counts_steps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a log, and from where an interrupted training goes on; without progress there is none."""
    arguments = command(folder)
    arguments.remove('--no-progress')
    assert main(arguments) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if 'Training' in line]
    assert len(lines) == 1
    assert re.fullmatch(r'Training: 4 of 4, loss [\d.]+, \d+ s', lines[0])
    (folder / 'other').mkdir()
    assert main([*command(folder), '--output', str(folder / 'other')]) == 0
    assert 'Training' not in capsys.readouterr().err
