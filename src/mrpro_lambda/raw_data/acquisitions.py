"""What the acquisitions of an ISMRMRD file are for, and bringing them into one form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from typing import NamedTuple

import ismrmrd
import numpy as np
from ismrmrd.xsd import ismrmrdHeader

_NOT_FOR_IMAGES = {
    'noise': ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    'calibration': ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    'navigator': ismrmrd.ACQ_IS_NAVIGATION_DATA,
    'phase correction': ismrmrd.ACQ_IS_PHASECORR_DATA,
    'feedback': ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    'dummy': ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    'real-time feedback': ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    'surface coil correction': ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    'phase stabilization reference': ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    'phase stabilization': ismrmrd.ACQ_IS_PHASE_STABILIZATION,
}


class Lines(NamedTuple):
    """Acquisitions of a file by their purpose. A line for calibration and imaging is in two of the lists."""

    image: list[ismrmrd.Acquisition]
    """Lines of the image."""
    calibration: list[ismrmrd.Acquisition]
    """Lines for coil sensitivities."""
    noise: list[ismrmrd.Acquisition]
    """Noise without excitation."""
    others: Counter[str]
    """Number of the other acquisitions by their purpose."""


def sort_lines(acquisitions: Iterable[ismrmrd.Acquisition]) -> Lines:
    """Sort acquisitions by their flags.

    The flags are those of ISMRMRD: `mrpro.data.acq_filters` takes the first and the last line of an average, and of a
    second phase encoding step, for lines of phase stabilization, and leaves them out.
    """
    lines = Lines([], [], [], Counter())
    for acquisition in acquisitions:
        purposes = [name for name, flag in _NOT_FOR_IMAGES.items() if acquisition.is_flag_set(flag)]
        both = acquisition.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
        if not purposes or (both and purposes == ['calibration']):
            lines.image.append(acquisition)
        if purposes == ['calibration'] or (not purposes and both):
            lines.calibration.append(acquisition)
        elif 'noise' in purposes:
            lines.noise.append(acquisition)
        elif purposes:
            lines.others[purposes[0]] += 1
    return lines


def prepare_lines(
    header: ismrmrdHeader, acquisitions: Sequence[ismrmrd.Acquisition], *, combine_averages: bool
) -> tuple[ismrmrdHeader, list[ismrmrd.Acquisition], list[str]]:
    """Bring lines of one purpose into the form that `mrpro.data.KData.from_ismrmrd` reads correctly.

    Those of one encoded space are kept, with its header. Samples to discard are cut off, and the index of the center
    with them. Reversed readouts are turned around. Averages become repeated lines.

    Returns
    -------
        Header, copies of the acquisitions, and notes.

    Raises
    ------
    ValueError
        If the lines have different numbers of coils or of samples, or if there is no such encoded space.
    """
    notes = []
    spaces = Counter(acquisition.encoding_space_ref for acquisition in acquisitions)
    space = max(spaces, key=lambda ref: spaces[ref])
    if space >= len(header.encoding):
        raise ValueError(
            f'The lines must belong to one of the {len(header.encoding)} encoded spaces of the header, got {space}.'
        )
    if len(spaces) > 1:
        notes.append(
            f'{spaces.total() - spaces[space]} lines belong to another encoded space than the other {spaces[space]} '
            'and are left out.'
        )
    header = copy(header)
    header.encoding = [header.encoding[space]]
    prepared = [_prepare(a, combine_averages) for a in acquisitions if a.encoding_space_ref == space]
    for what, values in {
        'numbers of coils': {a.data.shape[0] for a in prepared},
        'numbers of samples': {a.data.shape[1] for a in prepared},
    }.items():
        if len(values) > 1 or 0 in values:
            raise ValueError(f'The lines must not have different {what}, nor none, got {sorted(values)}.')
    if n_reversed := sum(a.is_flag_set(ismrmrd.ACQ_IS_REVERSE) for a in acquisitions):
        notes.append(f'{n_reversed} of the {len(acquisitions)} readouts are reversed and were turned around.')
    return header, prepared, notes


def _prepare(acquisition: ismrmrd.Acquisition, combine_averages: bool) -> ismrmrd.Acquisition:
    """Return a copy in the form of `prepare_lines`."""
    head = acquisition.getHead()  # a copy
    kept = slice(head.discard_pre, max(head.discard_pre, head.number_of_samples - head.discard_post))
    data, trajectory = acquisition.data[:, kept], acquisition.traj[kept]
    center = head.center_sample - head.discard_pre
    if acquisition.is_flag_set(ismrmrd.ACQ_IS_REVERSE):
        # scanners give the center one sample later than the definition of ISMRMRD does, see mrpro
        data, trajectory, center = data[:, ::-1], trajectory[::-1], data.shape[1] - center
    head.number_of_samples, head.discard_pre, head.discard_post = data.shape[1], 0, 0
    head.center_sample = max(center, 0)
    prepared = ismrmrd.Acquisition(head, data.copy(), trajectory.copy())
    prepared.clear_flag(ismrmrd.ACQ_IS_REVERSE)
    if combine_averages:
        prepared.idx.average = 0
    return prepared


def counters(acquisitions: Iterable[ismrmrd.Acquisition], name: str) -> np.ndarray:
    """Return the values of a counter such as `'slice'`, one for each acquisition."""
    return np.array([getattr(acquisition.idx, name) for acquisition in acquisitions])
