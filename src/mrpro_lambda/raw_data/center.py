"""Center of k-space, of which headers hold placeholders."""

from __future__ import annotations

from collections.abc import Sequence

import ismrmrd
import numpy as np
from ismrmrd.xsd import ismrmrdHeader, limitType


def complete_center(header: ismrmrdHeader, acquisitions: Sequence[ismrmrd.Acquisition]) -> list[str]:
    """Put the center of the matrix in place of a missing one, for Cartesian lines, in place.

    A center of 0 counts as missing where the lines or samples that follow do not fit into one half of the matrix.

    Returns
    -------
        Notes, also on a center far from the strongest line or sample.
    """
    notes = []
    encoding = header.encoding[0]
    matrix = encoding.encodedSpace.matrixSize
    energy = np.array([np.square(np.abs(a.data)).sum(0) for a in acquisitions])  # lines, samples
    for axis, n in ((1, matrix.y), (2, matrix.z)):
        if n < 2:
            continue
        name = f'kspace_encoding_step_{axis}'
        line = np.array([getattr(a.idx, f'kspace_encode_step_{axis}') for a in acquisitions])
        limits = getattr(encoding.encodingLimits, name, None)
        center = 0 if limits is None else limits.center
        if center == 0 and line.max() > (n - 1) // 2:
            center = n // 2
            if encoding.encodingLimits is not None:
                setattr(
                    encoding.encodingLimits,
                    name,
                    limitType(minimum=int(line.min()), maximum=int(line.max()), center=center),
                )
            notes.append(f'The header gives no center of phase encoding {axis}: it is put at line {center} of {n}.')
        strongest = int(line[energy.sum(1).argmax()])
        if abs(strongest - center) > max(2, n // 8):
            notes.append(
                f'The header puts the center of phase encoding {axis} at line {center}, but line {strongest} is the '
                'strongest.'
            )
    n_samples, strongest = energy.shape[1], int(energy.sum(0).argmax())
    if all(a.center_sample == 0 for a in acquisitions) and n_samples - 1 > (matrix.x - 1) // 2:
        for acquisition in acquisitions:
            acquisition.center_sample = n_samples // 2
        notes.append(f'The lines give no center of the readout: it is put at sample {n_samples // 2} of {n_samples}.')
    center = acquisitions[0].center_sample
    if abs(strongest - center) > max(2, n_samples // 8):
        notes.append(
            f'The lines put the center of the readout at sample {center}, but sample {strongest} is the strongest.'
        )
    return notes
