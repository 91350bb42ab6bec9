"""Settings of a run of the command line."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_type_hints

from mrpro_lambda.cli.annotations import alternatives
from mrpro_lambda.export import ImageFiles
from mrpro_lambda.export.ImageFiles import Kind
from mrpro_lambda.models.fields import dataclass_from_dict
from mrpro_lambda.raw_data import Averages
from mrpro_lambda.reconstruct import Settings
from mrpro_lambda.training.TrainingConfig import read_toml

_EXCLUSIVE = ({'model'}, {'weight', 'weight_unit'})


@dataclass(frozen=True)
class RunSettings(Settings):
    """Settings of the reconstruction, and how the file is read and written.

    A settings file has these keys, and each is an option of the command line.
    """

    trajectory: str = 'auto'
    """How to calculate the trajectory, or `'auto'` for that of the file."""
    averages: Averages = 'auto'
    """Whether averages become one image or several; `'auto'` combines them unless they contradict the header."""
    noise_file: str | Path | None = None
    """File with a noise measurement for prewhitening, `'none'` for no prewhitening. `None`: that of the data."""
    calibration_file: str | Path | None = None
    """File with calibration lines for coil maps. `None`: those of the data."""
    coil_maps_file: str | Path | None = None
    """File with coil maps (`.npy` or `.cfl`), in place of estimated ones."""
    phase_image: bool = False
    """Write the phase of the image as well."""
    complex: bool = False
    """Write the complex image as well."""
    residual: bool = False
    """Write the residual image as well, in units of the noise."""
    dicom: Literal['single', 'enhanced', 'none'] = 'single'
    """One DICOM file for each slice, one for all (`'enhanced'`), or none."""

    @property
    def image_files(self) -> ImageFiles:
        """The files of images that are written."""
        chosen = {'phase': self.phase_image, 'complex': self.complex, 'residual': self.residual}
        kinds = (*ImageFiles().kinds, *(kind for kind in get_args(Kind) if chosen.get(kind)))
        return ImageFiles(kinds, None if self.dicom == 'none' else self.dicom)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a settings file.

        Parameters
        ----------
        path
            TOML file. Names of files in it are relative to its folder.

        Raises
        ------
        ValueError
            If a key is unknown or a value not valid; the message names file and key.
        """
        path = Path(path)
        values = read_toml(path)
        for name in path_fields(cls):
            if isinstance(value := values.get(name), str) and (path.parent / value).is_file():
                values[name] = str(path.parent / value)
        try:
            return dataclass_from_dict(cls, values, 'top level')
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    def replaced_by(self, given: dict[str, Any]) -> Self:
        """Return the settings with others in their place, which win over those that they exclude."""
        values = dict(given)
        for names, others in (_EXCLUSIVE, _EXCLUSIVE[::-1]):
            if names & given.keys():
                values = {f.name: f.default for f in dataclasses.fields(self) if f.name in others} | values
        return dataclasses.replace(self, **values)

    def to_toml(self) -> str:
        """Return the text of a settings file. Names of files are absolute, so that the run can be repeated anywhere."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in path_fields(type(self)):
            if values[name] is not None and Path(values[name]).is_file():
                values[name] = Path(values[name]).resolve()
        return ''.join(f'{name} = {_toml(value)}\n' for name, value in values.items() if value is not None)


def path_fields(cls: type[Settings]) -> list[str]:
    """Return the names of the fields that may hold a path."""
    hints = get_type_hints(cls, include_extras=True)
    return [field.name for field in dataclasses.fields(cls) if Path in alternatives(hints[field.name])]


def _toml(value: Any) -> str:  # noqa: ANN401
    """Format a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f'[{", ".join(map(_toml, value))}]'
    # strings of JSON are strings of TOML, which wants one more character to be escaped
    return json.dumps(str(value), ensure_ascii=False).replace('\x7f', '\\u007f')
