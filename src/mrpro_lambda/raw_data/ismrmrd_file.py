"""Reading ISMRMRD files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import ismrmrd
from ismrmrd.xsd import ismrmrdHeader

from mrpro_lambda.raw_data.ismrmrd_header import parse_header


class Measurement(NamedTuple):
    """Data set of an ISMRMRD file."""

    header: ismrmrdHeader
    """Header."""
    acquisitions: list[ismrmrd.Acquisition]
    """All acquisitions, whatever they are for."""
    notes: list[str]
    """What could not be read."""

    @property
    def vendor(self) -> str:
        """Vendor of the scanner in lower case."""
        system = self.header.acquisitionSystemInformation
        return str(system.systemVendor).lower() if system is not None else ''


def read_measurement(path: Path, index: int = -1) -> Measurement:
    """Read a data set of an ISMRMRD file.

    Parameters
    ----------
    path
        HDF5 file.
    index
        Which of the data sets that hold raw data, see `datasets`. Default: the last one.

    Raises
    ------
    ValueError
        If the file is no ISMRMRD file or damaged, or if its header can not be read.
    """
    name = datasets(path)[index]
    with ismrmrd.File(path, 'r') as file, h5py.File(path, 'r') as content:
        document = content[name]['xml'][0]
        header, notes = parse_header(document if isinstance(document, bytes) else str(document).encode())
        return Measurement(header, file[name].acquisitions[:], notes)


def datasets(path: Path) -> list[str]:
    """Return the names of the data sets of a file that hold raw data.

    Raises
    ------
    ValueError
        If there is no such file, if it is damaged, or if there are none.
    """
    if not path.is_file():
        raise ValueError(f'There is no file {path}.')
    found = []
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                groups = {name: set(group) if isinstance(group, h5py.Group) else set() for name, group in file.items()}
            found = [name for name, parts in groups.items() if {'xml', 'data'} <= parts]
    except Exception as error:  # of many kinds
        raise ValueError(f'{path} is damaged: {error!r:.200}.') from error
    if not found:
        raise ValueError(f"{path} is no ISMRMRD file: it must be HDF5 with a data set that holds 'xml' and 'data'.")
    return found
