"""Broken files, configurations and options, drawn with a seed."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
from safetensors import safe_open
from safetensors.torch import load_file, save_file

_OPTIONS = """
--upsample 1e6 | --upsample 7.3 | --upsample nan | --weight 1e300 | --weight 1e38 | --weight 1e17 | --weight 0 |
--weight 1e-300 | --noise-std 1e-40 | --noise-std 1e38 | --noise-std 1e300 | --tolerance 1e-300 | --tolerance 1e300 |
--max-iterations 99999999999999999999999 | --trajectory radial2d | --trajectory spiral2d | --trajectory ismrmrd |
--trajectory sunflower-rpe | --csm walsh | --csm none | --csm walsh --weight 1e30 | --noise-file {}/noise.h5 |
--noise-file {}/scan.h5 | --noise-file {}/train.toml | --noise-file / | --model {}/train.toml | --model {}/scan.h5 |
--model / | --model {}/dictionary.safetensors | --method cdl --dictionary {}/weights.safetensors |
--method cdl --dictionary {}/images.npy | --method cdl --dictionary '' | --whitening background |
--output {}/scan.h5 | --output {}/scan.h5/out | --output /proc/out | --output /dev/null
"""
_VALUES = """
-1 | 0 | 0.5 | 1000000000000000000000000000 | nan | -inf | 1e308 | 'text' | '' | [] | [1, 2, 3] | ['a'] | {} | {a = 1} |
true | [[1]] | 1979-05-27 | {stap = 2} | [0.1, -0.1] | [-1e30, 1e30] | 1 | 3 | 1e3 | [0.2] | 'cuda' | [1e-30, 1]
"""

Case = tuple[str, str, Callable[[Path], list[str]]]
"""Family, what is wrong, and how to make the files in a folder that has good ones; returns the arguments."""

RECONSTRUCT = ['reconstruct', '{}/scan.h5', '--output', '{}/out', '--max-iterations', '20']
NETWORK = [*RECONSTRUCT, '--model', '{}/weights.safetensors']
SCALAR = [*RECONSTRUCT, '--weight', '1']
CDL = [*SCALAR, '--method', 'cdl', '--dictionary', '{}/dictionary.safetensors']
TRAIN = ['train', '--config', '{}/train.toml', '--output', '{}/out', '--no-progress']
LEARN = ['learn-dictionary', '--config', '{}/dictionary.toml', '--output', '{}/out', '--no-progress']


def arguments(command: list[str], folder: Path, *more: str) -> list[str]:
    """Fill in the folder."""
    return [part.replace('{}', str(folder)) for part in (*command, *more)]


def given(command: list[str], *more: str) -> Callable[[Path], list[str]]:
    """Return how to give arguments to good files."""
    return lambda folder: arguments(command, folder, *more)


def changed(family: str, what: str, file: str, change: Callable[[bytes], bytes], command: list[str]) -> Case:
    """Return a case of a file with other bytes."""

    def make(folder: Path) -> list[str]:
        (folder / file).write_bytes(change((folder / file).read_bytes()))
        return arguments(command, folder)

    return family, what, make


def damaged(rng: random.Random, family: str, file: str, command: list[str], n: int) -> Iterator[Case]:
    """Yield cases of bits that flip and of truncated files."""
    for i in range(n):
        seed = rng.getrandbits(32)

        def flip(content: bytes, seed: int = seed) -> bytes:
            draw, data = random.Random(seed), bytearray(content)  # noqa: S311
            # headers are small: half of the flips are to meet them
            end = len(data) if draw.random() < 0.5 else min(len(data), 4096)
            for _ in range(draw.choice((1, 4, 16, 64))):
                data[draw.randrange(end)] ^= 1 << draw.randrange(8)
            return bytes(data)

        def cut(content: bytes, seed: int = seed) -> bytes:
            return content[: random.Random(seed).randrange(len(content))]  # noqa: S311

        yield changed(
            family, f'{"truncated" if i % 4 == 3 else "bits"} {seed}', file, cut if i % 4 == 3 else flip, command
        )


def wrong_headers() -> Iterator[Case]:
    """Yield scans whose header says something else."""
    values = {
        'matrixSize>[^m]*<x': ('0', '-3', '1', '1000000', '65536', 'abc', ''),
        'matrixSize>[^m]*<y': ('0', '-3', '1', '1000000', '4'),
        'matrixSize>[^m]*<z': ('0', '7', '1000000'),
        'fieldOfView_mm>[^m]*<x': ('0', 'nan', 'inf', '-10', '1e30', '1e-30', 'abc'),
        'fieldOfView_mm>[^m]*<z': ('0', 'nan'),
        'center': ('65535', '-5', 'x'),
        'maximum': ('0', '60000'),
        'H1resonanceFrequency_Hz': ('0', '-1', 'abc'),
        'trajectory': ('radial', 'other', 'nonsense'),
    }
    for tag, texts in values.items():
        for text in texts:

            def edit(xml: str, tag: str = tag, text: str = text) -> str:
                name = re.split('<', tag)[-1]
                return re.sub(f'(<{tag}>)[^<]*(</{name}>)', rf'\g<1>{text}\g<2>', xml)

            yield 'header', f'{tag}={text}', xml_case(edit)
    for what, edit_all in {
        'empty': lambda _: '',
        'no XML': lambda _: 'text',
        'half': lambda xml: xml[: len(xml) // 2],
        'no encoding': lambda xml: re.sub('<encoding>.*</encoding>', '', xml, flags=re.DOTALL),
        'no limits': lambda xml: re.sub('<encodingLimits>.*</encodingLimits>', '', xml, flags=re.DOTALL),
        'entities': lambda xml: xml.replace('?>', '?><!DOCTYPE a [<!ENTITY b "cccc">]>', 1),
    }.items():
        yield 'header', what, xml_case(edit_all)


def xml_case(edit: Callable[[str], str]) -> Callable[[Path], list[str]]:
    """Return how to make a scan with another header."""

    def make(folder: Path) -> list[str]:
        with h5py.File(folder / 'scan.h5', 'a') as file:
            xml = file['dataset']['xml']
            xml[0] = edit(xml[0].decode()).encode()
        return arguments(SCALAR, folder)

    return make


def wrong_data(rng: random.Random) -> Iterator[Case]:
    """Yield scans with other samples or indices."""
    everything: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        'NaN': lambda x: x * np.float32(np.nan),
        'Inf': lambda x: x + np.float32(np.inf),
        'zero': lambda x: x * 0,
        '1e30': lambda x: x * np.float32(1e30),
        '1e37': lambda x: x * np.float32(1e37),
        '1e20': lambda x: x * np.float32(1e20),
        '1e-12': lambda x: x * np.float32(1e-12),
        '1e-40': lambda x: x * np.float32(1e-40),
        'half': lambda x: x[: len(x) // 2],
        'constant': lambda x: x * 0 + 1,
    }
    for what, change in everything.items():

        def all_samples(row: dict, _: int, change: Callable[[np.ndarray], np.ndarray] = change) -> None:
            row['data'] = change(row['data'])

        yield 'data', what, data_case(all_samples, SCALAR)
    one = rng.randrange(24)
    for value in (np.nan, np.inf, 1e38, -1e25, 1e10):

        def spike(row: dict, i: int, value: float = value) -> None:
            row['data'][2 * one] = value if i == one else row['data'][2 * one]

        yield 'data', f'one sample {value}', data_case(spike, SCALAR)
        yield 'data', f'one sample {value}, network', data_case(spike, NETWORK)
    for field, values in {
        'number_of_samples': (0, 1, 65535, 23),
        'active_channels': (0, 1, 3, 65535),
        'center_sample': (0, 65535),
        'flags': (2**64 - 1, 1 << 18, 1 << 21),
        'version': (9,),
        'read_dir': (np.nan, 0.0),
        'position': (np.nan, np.inf, 1e30),
        'sample_time_us': (np.nan, 0.0),
    }.items():
        for number in values:

            def head(row: dict, _: int, field: str = field, number: float = number) -> None:
                row['head'][field] = number

            yield 'data', f'{field}={number}', data_case(head, SCALAR)
    for step in (65535, 20, 0):

        def index(row: dict, _: int, step: int = step) -> None:
            row['head']['idx']['kspace_encode_step_1'] = step

        yield 'data', f'kspace_encode_step_1={step}', data_case(index, SCALAR)


def data_case(edit: Callable[[dict, int], None], command: list[str]) -> Callable[[Path], list[str]]:
    """Return how to make a scan with other acquisitions."""

    def make(folder: Path) -> list[str]:
        with h5py.File(folder / 'scan.h5', 'a') as file:
            data = file['dataset']['data']
            for i in range(len(data)):
                row = data[i]
                values = {name: row[name].copy() for name in row.dtype.names}
                edit(values, i)
                for name in values:
                    row[name] = values[name]
                data[i] = row
        return arguments(command, folder)

    return make


def wrong_options() -> Iterator[Case]:
    """Yield options that go with a good scan or not."""
    for text in _OPTIONS.split('|'):
        if more := [part.replace("''", '') for part in text.split()]:
            base = RECONSTRUCT if {'--model', '--weight'} & set(more) else SCALAR
            yield 'options', ' '.join(more), given(base, *more)
    for file in ('/', '/dev/null', 'missing.h5', '{}/train.toml', '', '\0'):
        yield 'options', f'file {file!r}', given(['reconstruct', file, *SCALAR[2:]])
    for more in (['demo', '--seed', '99999999999999'], ['demo', '--seed', '-1'], ['train'], ['list', '--all'], []):
        yield 'options', ' '.join(more), given(more)


def wrong_toml(rng: random.Random, family: str, file: str, command: list[str], n: int) -> Iterator[Case]:
    """Yield configurations with another value, a missing line or broken syntax."""
    hostile = [value.strip() for value in _VALUES.split('|')]
    for _ in range(n):
        seed = rng.getrandbits(32)

        def edit(content: bytes, seed: int = seed) -> bytes:
            draw = random.Random(seed)  # noqa: S311
            lines = content.decode().splitlines()
            places = [i for i, line in enumerate(lines) if line]
            i = draw.choice(places)
            kind = draw.random()
            if kind < 0.85 and '=' in lines[i]:
                lines[i] = f'{lines[i].split("=")[0]} = {draw.choice(hostile)}'
            elif kind < 0.9:
                del lines[i]
            elif kind < 0.95:
                lines[i] = draw.choice(['[[model]]', 'x = ', '\0', '[images]', 3000 * '[', 'a.b.c = 1', '[card.more]'])
            else:
                lines[i] = 'unknown = 1'
            return '\n'.join(lines).encode()

        yield changed(family, str(seed), file, edit, command)


def wrong_metadata(rng: random.Random, n: int) -> Iterator[Case]:
    """Yield weights with another description of their model."""
    hostile: list[object] = [-1, 0, 0.5, 10**30, 1e308, float('nan'), 'a', None, [], {}, True, [-1e30], 40, 10**7]
    for _ in range(n):
        seed = rng.getrandbits(32)

        def make(folder: Path, seed: int = seed) -> list[str]:
            draw, path = random.Random(seed), folder / 'weights.safetensors'  # noqa: S311
            with safe_open(str(path), framework='pt') as file:
                metadata = file.metadata()
            config = json.loads(metadata['config'])
            config[draw.choice(list(config))] = draw.choice(hostile)
            texts = [json.dumps(config), json.dumps(config), json.dumps(draw.choice(hostile)), 'text']
            metadata[draw.choice(['config', 'config', 'config', 'card'])] = draw.choice(texts)
            save_file(load_file(path), path, metadata=metadata)
            return arguments(NETWORK, folder)

        yield 'metadata', str(seed), make


def wrong_formats(rng: random.Random) -> Iterator[Case]:
    """Yield images to learn from in other formats, damaged and with wrong values."""
    for name in ('images.npz', 'images.mat', 'images.nii', 'images.nii.gz'):
        for _, what, damage in damaged(rng, 'formats', name, LEARN, 4):

            def make(folder: Path, name: str = name, damage: Callable[[Path], list[str]] = damage) -> list[str]:
                write_images(folder / name, np.load(folder / 'images.npy'))
                config = folder / 'dictionary.toml'
                config.write_text(config.read_text().replace('images.npy', name))
                return damage(folder)

            yield 'formats', f'{name} {what}', make
    values = (np.nan, np.inf, -1.0, 1e300, 0.0)
    arrays = {f'all {x}': np.full((4, 20, 18), x) for x in values} | {f'one {x}': one_value(x) for x in values[:4]}
    arrays |= {
        f'shape {shape}': np.ones(shape) for shape in ((20,), (2, 2, 20, 18), (0, 20, 18), (4, 1, 1), (4, 3, 200))
    }
    arrays |= {'complex': np.ones((4, 20, 18)) * 1j, 'text': np.full((4, 20, 18), 'a'), 'objects': np.array([{}, None])}
    for what, array in arrays.items():
        for command in (TRAIN, LEARN):

            def replace(folder: Path, array: np.ndarray = array, command: list[str] = command) -> list[str]:
                np.save(folder / 'images.npy', array)
                return arguments(command, folder)

            yield 'formats', f'{command[0]} {what}', replace


def one_value(value: float) -> np.ndarray:
    """Return images with one wrong value."""
    images = np.ones((4, 20, 18))
    images[1, 2, 3] = value
    return images


def write_images(path: Path, images: np.ndarray) -> None:
    """Write images in the format of the extension."""
    if path.suffix == '.npz':
        np.savez_compressed(path, images=images)
    elif path.suffix == '.mat':
        scipy.io.savemat(path, {'image': images})
    else:
        nibabel.save(nibabel.Nifti1Image(images, np.eye(4)), path)


def wrong_checkpoints(rng: random.Random, good: Path) -> Iterator[Case]:
    """Yield runs to resume with damaged checkpoints or other configurations."""
    for command, file, config in ((TRAIN, 'last.ckpt', 'train.toml'), (LEARN, 'checkpoint.ckpt', 'dictionary.toml')):
        for _, what, make in damaged(rng, 'checkpoint', f'out/{file}', [*command, '--resume'], 8):

            def resume(folder: Path, make: Callable = make, command: list[str] = command) -> list[str]:
                shutil.copytree(good / command[0], folder / 'out')
                return make(folder)

            yield 'checkpoint', f'{command[0]} {what}', resume
        changes = {'seed = ': 'seed = 1', '_steps = ': '_steps = 1', 'size = 2': 'size = 1', 'repeat': '#'}
        for old, new in changes.items():

            def other(
                folder: Path, command: list = command, config: str = config, old: str = old, new: str = new
            ) -> list:
                shutil.copytree(good / command[0], folder / 'out')
                (folder / config).write_text((folder / config).read_text().replace(old, new, 1))
                return arguments(command, folder, '--resume')

            yield 'checkpoint', f'{command[0]} {new}', other


def cases(seed: int, good: Path) -> list[Case]:
    """Return all cases."""
    rng = random.Random(seed)  # noqa: S311
    found = [*damaged(rng, 'scan', 'scan.h5', SCALAR, 32), *wrong_headers(), *wrong_data(rng), *wrong_options()]
    found += damaged(rng, 'noise', 'noise.h5', [*SCALAR, '--noise-file', '{}/noise.h5'], 12)
    found += damaged(rng, 'weights', 'weights.safetensors', NETWORK, 16)
    found += damaged(rng, 'dictionary', 'dictionary.safetensors', CDL, 12)
    found += damaged(rng, 'images', 'images.npy', LEARN, 8)
    found += wrong_toml(rng, 'train.toml', 'train.toml', TRAIN, 60)
    found += wrong_toml(rng, 'dictionary.toml', 'dictionary.toml', LEARN, 30)
    return [*found, *wrong_metadata(rng, 24), *wrong_formats(rng), *wrong_checkpoints(rng, good)]
