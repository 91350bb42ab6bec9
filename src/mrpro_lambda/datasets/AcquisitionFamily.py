"""Base class of the random families of acquisitions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator


class AcquisitionFamily:
    """Random family of acquisitions, from which a `~mrpro_lambda.datasets.SimulatedData` draws one for each sample.

    Configurations know a family by the name of its class.
    """

    @classmethod
    def by_name(cls) -> dict[str, type[AcquisitionFamily]]:
        """Return the families by their names."""
        return {found.__name__: found for found in _subclasses(cls) if not inspect.isabstract(found)}


def _subclasses(cls: type[AcquisitionFamily]) -> Iterator[type[AcquisitionFamily]]:
    """Return all subclasses, also those of subclasses."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
