"""Which trajectory the lines of an ISMRMRD file have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ismrmrd
import numpy as np
from ismrmrd.xsd import ismrmrdHeader
from mrpro.data import traj_calculators

TRAJECTORIES: dict[str, Callable[[], Any]] = {
    'cartesian': traj_calculators.KTrajectoryCartesian,
    'ismrmrd': traj_calculators.KTrajectoryIsmrmrd,
    'radial2d': traj_calculators.KTrajectoryRadial2D,
    'spiral2d': traj_calculators.KTrajectorySpiral2D,
    'sunflower-rpe': traj_calculators.KTrajectorySunflowerGoldenRpe,
}
"""How to calculate the trajectory of a file, by name."""

_KINDS = {
    'cartesian': {'cartesian', 'epi', 'other'},
    'radial2d': {'radial', 'goldenangle', 'other'},
    'spiral2d': {'spiral', 'other'},
    'sunflower-rpe': {'radial', 'goldenangle', 'other'},
}
"""Kinds of the header that each trajectory is possible for; the stored one is for all."""

_EPI = (
    'Echo-planar lines are taken as they are: phases between odd and even echoes and samples on the ramps of the '
    'gradients are not corrected.'
)

_GOLDEN = math.pi * 0.618034


class Trajectory(NamedTuple):
    """How the trajectory is obtained."""

    calculator: Any
    """What `mrpro.data.KData.from_ismrmrd` takes."""
    name: str
    """One of `TRAJECTORIES`."""
    kind: str
    """What the header says."""
    source: str
    """Where it comes from, in words."""
    notes: list[str]
    """What was found."""


def choose_trajectory(
    header: ismrmrdHeader, acquisitions: Sequence[ismrmrd.Acquisition], requested: str = 'auto'
) -> Trajectory:
    """Choose the trajectory from the header, what is stored, and what is requested.

    Cartesian and echo-planar lines lie where their counters say. Others lie where the file says; without stored
    positions, radial spokes of one plane are placed by the counter of the spokes, with the angle between them that
    makes neighboring spokes most alike.

    Parameters
    ----------
    header
        Header with one encoded space.
    acquisitions
        Lines of this space. Stored positions are brought to the units of the encoded matrix, in place.
    requested
        `'auto'`, or one of `TRAJECTORIES`.

    Raises
    ------
    ValueError
        If the request is unknown or contradicts the header, if a trajectory is requested that is not stored, if the
        stored one contradicts a Cartesian header, or if it is neither stored nor can be calculated.
    """
    if requested not in ('auto', *TRAJECTORIES):
        raise ValueError(f'trajectory must be one of {["auto", *TRAJECTORIES]}, got {requested!r}.')
    encoding = header.encoding[0]
    kind = str(getattr(encoding.trajectory, 'value', encoding.trajectory)).lower()
    stored = any(bool(a.traj.any()) for a in acquisitions)
    if requested != 'auto':
        if requested != 'ismrmrd' and kind not in _KINDS[requested]:
            raise ValueError(f'The header says {kind!r}, which contradicts the requested trajectory {requested!r}.')
        if requested == 'ismrmrd' and not stored:
            raise ValueError('No trajectory is stored.')
        notes = _to_encoded_matrix(header, acquisitions) if requested == 'ismrmrd' else []
        return Trajectory(TRAJECTORIES[requested](), requested, kind, 'as requested', notes)
    if kind in ('cartesian', 'epi') and (not stored or _agrees_with_counters(header, acquisitions)):
        notes = [_EPI] if kind == 'epi' else []
        return Trajectory(
            TRAJECTORIES['cartesian'](), 'cartesian', kind, f'counters of the lines, header {kind!r}', notes
        )
    if stored:
        notes = _to_encoded_matrix(header, acquisitions)
        if kind in ('cartesian', 'epi'):
            if not all(np.allclose(a.traj, a.traj.round(), atol=1e-2) for a in acquisitions):
                raise ValueError(
                    f'The header says {kind!r}, which contradicts the stored trajectory: it is not on the grid. Choose '
                    "the trajectory 'ismrmrd' or 'cartesian'."
                )
            notes.append('The stored positions are those of other lines than the counters say, and are used.')
        return Trajectory(TRAJECTORIES['ismrmrd'](), 'ismrmrd', kind, f'stored, header {kind!r}', notes)
    if kind in ('radial', 'goldenangle') and encoding.encodedSpace.matrixSize.z == 1:
        angle, how = _spoke_angle(acquisitions)
        note = (
            f'No trajectory is stored: the spokes are placed at multiples of {math.degrees(angle):.3f} degrees, {how}.'
        )
        return Trajectory(
            traj_calculators.KTrajectoryRadial2D(angle), 'radial2d', kind, f'calculated, header {kind!r}', [note]
        )
    raise ValueError(
        f'The header says {kind!r}, and no trajectory is stored: it can not be calculated. Choose one of '
        f'{list(_KINDS)} if you know that it is one of these.'
    )


def _agrees_with_counters(header: ismrmrdHeader, acquisitions: Sequence[ismrmrd.Acquisition]) -> bool:
    """Tell whether lines of stored positions are where their counters say, up to units, center and direction."""
    for column, name in ((1, 'kspace_encode_step_1'), (2, 'kspace_encode_step_2')):
        lines = [a for a in acquisitions if a.traj.shape[1] > column]
        counts = np.array([getattr(a.idx, name) for a in lines], dtype=float)
        stored = np.array([a.traj[:, column] for a in lines], dtype=float)
        if not lines or (column == 2 and header.encoding[0].encodedSpace.matrixSize.z == 1):
            continue
        if np.ptp(stored, axis=1).max() > 1e-3 * max(np.ptp(stored), 1e-9):
            return False  # not along the readout
        if np.ptp(counts) and np.ptp(stored[:, 0]) and abs(np.corrcoef(counts, stored[:, 0])[0, 1]) < 1 - 1e-4:
            return False
        if bool(np.ptp(counts)) != bool(np.ptp(stored[:, 0])):
            return False
    return all(a.traj.shape[0] > 1 and np.ptp(a.traj[:, 0]) > 0 for a in acquisitions if a.traj.shape[1])


def _to_encoded_matrix(header: ismrmrdHeader, acquisitions: Sequence[ismrmrd.Acquisition]) -> list[str]:
    """Bring stored positions to units of one over the encoded field of view, and return notes."""
    matrix, notes = header.encoding[0].encodedSpace.matrixSize, []
    if matrix.z == 1 and any(bool(a.traj[:, 2:].any()) for a in acquisitions):
        for acquisition in acquisitions:
            acquisition.traj[:, 2:] = 0
        notes.append('The third column of the stored trajectory is left out, as the matrix has one partition.')
    largest = max(np.abs(a.traj[:, :3]).max(initial=0) for a in acquisitions)
    if not np.isfinite(largest):
        raise ValueError('The stored trajectory must be finite.')
    if 0 < largest <= 0.5 * (1 + 1e-3) and max(matrix.x, matrix.y, matrix.z) > 2:
        for acquisition in acquisitions:
            scale = np.array([matrix.x, matrix.y, matrix.z])[: acquisition.traj.shape[1]]
            acquisition.traj[:, : len(scale)] *= scale
        notes.append('The stored trajectory is in units of the encoded k-space, by the size of which it is multiplied.')
    return notes


def _spoke_angle(acquisitions: Sequence[ismrmrd.Acquisition]) -> tuple[float, str]:
    """Return the angle between spokes that makes neighbors most alike, of the golden one and even distributions."""
    n = len({a.idx.kspace_encode_step_1 for a in acquisitions})
    angles = {
        'the golden angle': _GOLDEN,
        f'even over a half turn for {n} spokes': math.pi / n,
        f'even over a full turn for {n} spokes': 2 * math.pi / n,
    }
    number = np.array([a.idx.kspace_encode_step_1 for a in acquisitions])
    center = acquisitions[0].center_sample
    half = min(center, acquisitions[0].number_of_samples - 1 - center, 16)
    spokes = np.array([a.data[:, center - half : center + half + 1] for a in acquisitions])

    def difference(angle: float) -> float:
        turns = number * angle / math.pi
        flipped = np.floor(turns).astype(int) % 2 == 1  # an opposed spoke has the other direction
        aligned = np.where(flipped[:, None, None], spokes[..., ::-1], spokes)
        order = np.argsort(turns % 1)
        return float(np.square(np.abs(np.diff(aligned[order], axis=0))).sum())

    name = min(angles, key=lambda name: difference(angles[name]))
    return angles[name], f'{name}, where neighboring spokes are most alike'
