"""Configuration of a comparison."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch

from mrpro_lambda import __version__
from mrpro_lambda.compare.EvaluationSet import EvaluationSet
from mrpro_lambda.compare.fingerprint import described
from mrpro_lambda.compare.methods import ComparedMethod
from mrpro_lambda.compare.persons import check_apart
from mrpro_lambda.compare.ReferenceScan import ReferenceScan
from mrpro_lambda.compare.TrainingSettings import TrainingSettings
from mrpro_lambda.models.fields import check_fields, dataclass_from_dict
from mrpro_lambda.training.TrainingConfig import read_sampling, read_sections_of_images, read_toml

_FOLDER = Path(__file__).parent / 'configurations'
_IMAGES = ('.mat', '.nii', '.nii.gz', '.npy', '.npz')
_SCANS = ('.h5', '.hdf5', '.mrd', '.npy', '.cfl')


@dataclass(frozen=True)
class CompareConfig:
    """Methods, and what they are trained with and tested on."""

    tests: tuple[EvaluationSet, ...]
    """What methods are tested on."""
    methods: tuple[ComparedMethod, ...]
    """Methods, in the order of the tables."""
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    """Training images and their acquisition, at the top level of a file."""
    baseline: str | None = None
    """Method that differences are to. `None`: the first."""
    title: str = 'Comparison'
    """Title of the report."""
    device: Literal['cpu', 'cuda'] = 'cpu'
    """Device to train and test on."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        for section, entries in (('methods', self.methods), ('tests', self.tests)):
            names: list[str] = [entry.name for entry in entries]
            if len({*names}) < len(names):
                raise ValueError(f'The names of {section} must differ, got {names}.')
        if self.baseline is not None and self.baseline not in (known := [method.name for method in self.methods]):
            raise ValueError(f'baseline must be one of the methods, {known}, got {self.baseline!r}.')

    @classmethod
    def from_toml(cls, path: str | Path, data_root: str | Path | None = None) -> Self:
        """Read a configuration; unknown keys are an error.

        Parameters
        ----------
        path
            TOML file, or the name of a configuration that ships, see `list_configurations`. Sections: `[sampling]`,
            `[validation_sampling]`, `[[images]]`, `[[validation_images]]`, `[[tests]]` and `[[methods]]`, each method
            that is trained with `[methods.model]`. The path of images may be that of a folder, for all files in it.
        data_root
            Folder that the paths in the configuration are relative to. Default: that of the file, the working directory
            for a configuration that ships.

        Raises
        ------
        ValueError
            If there is no such file or configuration, if a key is unknown, or a value not valid.
        """
        named = str(path) in list_configurations()
        file = _FOLDER / f'{path}.toml' if named else Path(path)
        if not file.is_file():
            raise ValueError(
                f'config must be a file or one of the configurations that ship, {[*list_configurations()]}, got '
                f'{str(path)!r}.'
            )
        root = Path(data_root) if data_root is not None else Path() if named else file.parent
        values = _with_sections(read_toml(file), root)
        for key in ('tests', 'methods'):
            if not isinstance(values.get(key, []), list):
                raise ValueError(f'{key} must be a list of tables [[{key}]], got {values[key]!r:.200}.')
        values['tests'] = [_evaluation_set(entry, root) for entry in values.get('tests', [])]
        values['methods'] = [ComparedMethod.from_dict(entry, root) for entry in values.get('methods', [])]
        training = {field.name for field in dataclasses.fields(TrainingSettings)}
        own = {field.name for field in dataclasses.fields(cls)} - {'training'}
        if unknown := sorted(values.keys() - training - own):
            raise ValueError(f'Unknown key(s) {unknown} in section [top level]; known are {sorted(training | own)}.')
        settings = dataclass_from_dict(
            TrainingSettings, {key: value for key, value in values.items() if key in training}, 'top level'
        )
        config = dataclass_from_dict(
            cls, {key: value for key, value in values.items() if key in own} | {'training': settings}, 'top level'
        )
        return dataclasses.replace(config, tests=tuple(_filled(test, settings) for test in config.tests))

    def check(self) -> None:
        """Check what needs to read files: that persons are apart, and that there is what the methods need.

        Raises
        ------
        ValueError
            If a person is in training and test, if images are missing, or if there is no GPU.
        """
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError("This computer has no CUDA device: use device = 'cpu'.")
        training = self.training
        if training.persons is not None:
            try:
                re.compile(training.persons)
            except re.error as error:
                raise ValueError(f'persons must be a regular expression, got {training.persons!r}: {error}') from error
        needing = [method.name for method in self.methods if method.needs_images]
        if needing and (not training.images or training.sampling is None):
            raise ValueError(
                f'The methods {needing} are trained or tuned and need the sections [[images]] and [sampling].'
            )
        check_apart(
            [*training.images, *training.validation_images],
            [(test.name, test.images) for test in self.tests],
            training.persons,
        )

    def described(self) -> dict[str, Any]:
        """Return what the results depend on, in types that JSON knows: shared, and of each method and test."""
        free = frozenset({'n_workers'})
        return {
            'shared': {'version': __version__, 'device': self.device, 'training': described(self.training, free)},
            'methods': {method.name: described(method) for method in self.methods},
            'tests': {test.name: described(test, frozenset({'pictures'})) for test in self.tests},
        }


def list_configurations() -> dict[str, str]:
    """Return the configurations that ship by name, with their titles."""
    return {path.stem: str(read_toml(path).get('title', '')) for path in sorted(_FOLDER.glob('*.toml'))}


def _with_sections(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return values with images and samplings as objects."""
    values = dict(values)
    for key in ('images', 'validation_images'):
        if isinstance(values.get(key), list):
            values[key] = [part for entry in values[key] for part in _files(entry, root, _IMAGES)]
    values = read_sections_of_images(values, root)
    for key in ('sampling', 'validation_sampling'):
        if key in values:
            values[key] = read_sampling(values[key], key)
    return values


def _files(entry: Any, root: Path, endings: Sequence[str]) -> list[Any]:  # noqa: ANN401
    """Return an entry for each file of a folder, sorted by name, and other entries as they are."""
    if not isinstance(entry, dict) or not isinstance(entry.get('path'), str) or not (root / entry['path']).is_dir():
        return [entry]
    folder = root / entry['path']
    names = sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(tuple(endings)))
    if not names:
        raise ValueError(f'path must be a file, or a folder with files that end with {list(endings)}, got {folder}.')
    return [entry | {'path': f'{entry["path"]}/{name}'} for name in names]


def _evaluation_set(values: Any, root: Path) -> EvaluationSet:  # noqa: ANN401
    """Create a test from its section."""
    if not isinstance(values, dict):
        raise ValueError(f'tests must be a list of tables [[tests]], got {values!r:.200} in it.')
    section = f'tests: {values.get("name")}'
    values = _with_sections(values, root)
    if 'scans' in values:
        if not isinstance(values['scans'], list):
            raise ValueError(f'scans must be a list of tables [[tests.scans]], got {values["scans"]!r:.200}.')
        values['scans'] = [
            dataclass_from_dict(ReferenceScan, part, f'{section}, scans').in_folder(root)
            for entry in values['scans']
            for part in _scan_files(entry, root)
        ]
    return dataclass_from_dict(EvaluationSet, values, section)


def _scan_files(entry: Any, root: Path) -> list[Any]:  # noqa: ANN401
    """Return an entry for each file of a folder of scans, whose references have the same names without endings."""
    parts = _files(entry, root, _SCANS)
    if parts == [entry] or not isinstance(entry.get('reference'), str) or not (root / entry['reference']).is_dir():
        return parts
    references = {path.name.split('.')[0]: path for path in sorted((root / entry['reference']).iterdir())}
    found = []
    for part in parts:
        name = Path(part['path']).name.split('.')[0]
        if name not in references:
            raise ValueError(f'There is no reference for {part["path"]} in {root / entry["reference"]}.')
        found.append(part | {'reference': f'{entry["reference"]}/{references[name].name}'})
    return found


def _filled(test: EvaluationSet, training: TrainingSettings) -> EvaluationSet:
    """Return a test with sampling, noise and coils of the validation where it has none."""
    if test.scans:
        return test
    sampling = test.sampling or training.test_sampling
    if sampling is None:
        raise ValueError(f'The test {test.name!r} needs a sampling: give [sampling] or [tests.sampling].')
    return dataclasses.replace(
        test,
        sampling=sampling,
        noise=test.noise or training.validation_noise,
        n_coils=max(training.n_coils) if test.n_coils is None else test.n_coils,
    )
