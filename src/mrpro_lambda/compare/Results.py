"""Results of a comparison in its folder, each in a file of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mrpro_lambda.compare.CompareConfig import CompareConfig
from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.fingerprint import differences, fingerprint
from mrpro_lambda.compare.measures import truth_of
from mrpro_lambda.compare.write_text import write_text

_CONFIGURATION = 'configuration.json'

Record = dict[str, Any]
"""What was found for one method and sample."""


class Results:
    """Folder of a comparison: what was measured so far, and of what configuration.

    A file is complete or not there. Methods and tests may be added to a configuration later; those that are there must
    stay as they are.
    """

    def __init__(self, folder: str | Path, config: CompareConfig) -> None:
        """Initialize, without reading or writing.

        Parameters
        ----------
        folder
            Folder.
        config
            Configuration.
        """
        self.folder = Path(folder)
        self._described = config.described()

    def check(self, *, resume: bool) -> None:
        """Check that the folder is that of the configuration, or empty.

        Parameters
        ----------
        resume
            Whether to go on with what is in the folder.

        Raises
        ------
        ValueError
            If it is a file, holds something without `resume`, nothing of a comparison with it, or another one.
        """
        path = self.folder / _CONFIGURATION
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f'The output must be a folder: {self.folder} is a file.')
        if not self.folder.exists() or not any(e.suffix != '.partial' for e in self.folder.iterdir()):
            if resume and not self.folder.exists():
                raise ValueError(f'There is nothing to resume from: {self.folder} does not exist.')
            return
        if not resume:
            raise ValueError(f'The output folder must be empty, or give resume: {self.folder} is not.')
        if not path.exists():
            raise ValueError(f'There is no comparison to resume from: {path} does not exist.')
        try:
            found = json.loads(path.read_text('utf-8'))
            found = {key: dict(found[key]) for key in ('shared', 'methods', 'tests')}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is damaged: start anew in another folder ({error!r:.200}).') from error
        given = self._described
        changed = differences(found['shared'], given['shared'])
        for kind in ('methods', 'tests'):
            for name in found[kind].keys() & given[kind].keys():
                changed += differences(found[kind][name], given[kind][name], name)
        if changed:
            raise ValueError(
                f'The folder {self.folder} is that of another configuration, take another folder: '
                f'{"; ".join(changed[:5])}.'
            )
        for kind in ('methods', 'tests'):  # what was there before stays known
            given[kind] = found[kind] | given[kind]

    def begin(self) -> None:
        """Write the configuration into the folder."""
        write_text(self.folder / _CONFIGURATION, json.dumps(self._described, indent=2))

    @property
    def methods(self) -> Path:
        """Folder of the methods."""
        return self.folder / 'methods'

    def identity(self, method: str, test: str) -> str:
        """Return the hash of what the results of a method in a test depend on.

        Parameters
        ----------
        method, test
            Names.
        """
        parts = self._described
        return fingerprint(parts['shared'], parts['methods'][method], parts['tests'][test])

    def read(self, method: str, test: str, sample: str) -> Record | None:
        """Return what was found, `None` if it was not yet.

        Parameters
        ----------
        method, test, sample
            Names.
        """
        path = self._path(method, test, sample)
        if not path.exists():
            return None
        try:
            record: Record = json.loads(path.read_text('utf-8'))
        except ValueError as error:
            raise ValueError(f'{path} is damaged, remove it: {error}') from error
        return record if record.get('identity') == self.identity(method, test) else None

    def write(self, method: str, test: str, sample: EvaluationSample, record: Record) -> None:
        """Store what was found.

        Parameters
        ----------
        method, test
            Names.
        sample
            Sample.
        record
            What was found.
        """
        content = record | {
            'identity': self.identity(method, test),
            'image': sample.image,
            'noise': sample.noise,
            'truth': truth_of(sample),
        }
        write_text(self._path(method, test, sample.name), json.dumps(content))

    def has_image(self, method: str, test: str, sample: str) -> bool:
        """Tell whether the image is stored.

        Parameters
        ----------
        method, test, sample
            Names.
        """
        return self._path(method, test, sample, '.safetensors').exists()

    def write_image(self, method: str, test: str, sample: str, img: torch.Tensor) -> None:
        """Store an image, before what was found about it.

        Parameters
        ----------
        method, test, sample
            Names.
        img
            Image.
        """
        path = self._path(method, test, sample, '.safetensors')
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + '.partial')
        img = img.detach().cpu()
        save_file({'img': torch.view_as_real(img).contiguous() if img.is_complex() else img.contiguous()}, partial)
        partial.replace(path)

    def read_image(self, method: str, test: str, sample: str) -> torch.Tensor:
        """Return a stored image.

        Parameters
        ----------
        method, test, sample
            Names.
        """
        img = load_file(self._path(method, test, sample, '.safetensors'))['img']
        return torch.view_as_complex(img) if img.shape[-1] == 2 and img.ndim > 5 else img

    def _path(self, method: str, test: str, sample: str, ending: str = '.json') -> Path:
        """Return the file of a result."""
        return self.folder / 'results' / test / method / f'{sample}{ending}'
