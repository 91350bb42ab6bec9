"""Scans of ISMRMRD files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import ismrmrd
import numpy as np
from ismrmrd.xsd import ismrmrdHeader
from mrpro.data import KData

from mrpro_lambda.raw_data.acquisitions import counters, prepare_lines, sort_lines
from mrpro_lambda.raw_data.center import complete_center
from mrpro_lambda.raw_data.fit_calibration import fit_calibration
from mrpro_lambda.raw_data.ismrmrd_file import read_measurement
from mrpro_lambda.raw_data.RawScan import RawScan
from mrpro_lambda.raw_data.read_noise import to_noise
from mrpro_lambda.raw_data.standardize import check_header, standardize
from mrpro_lambda.raw_data.trajectory import Trajectory, choose_trajectory
from mrpro_lambda.raw_data.use_measured_grid import use_measured_grid

_IMAGES = ('average', 'slice', 'contrast', 'phase', 'repetition', 'set')
"""Counters that tell images apart."""

Averages = Literal['auto', 'combine', 'separate']


def read_ismrmrd(
    path: Path, *, trajectory: str = 'auto', averages: Averages = 'auto', with_noise: bool = True
) -> RawScan:
    """Read an ISMRMRD file, see `read_scan`. Of several data sets in the file, the last one is read."""
    measurement = read_measurement(path)
    lines = sort_lines(measurement.acquisitions)
    only_calibration = not lines.image
    image = lines.calibration if only_calibration else lines.image
    if not image:
        raise ValueError(f'The file holds no lines of an image among {len(measurement.acquisitions)} acquisitions.')
    notes = list(measurement.notes)
    combined, found = _check_averages(measurement.header, image, averages, notes)
    header, image, said = prepare_lines(measurement.header, image, combine_averages=combined)
    notes += said
    if lines.others:
        notes.append('Lines for other purposes are not used: ' + _list(lines.others) + '.')
    chosen = choose_trajectory(header, image, trajectory)
    if chosen.name == 'cartesian':
        notes += complete_center(header, image)
    kdata, said = _to_kdata(path, header, image, chosen)
    notes += chosen.notes + said
    standard = standardize(kdata)
    removed = standard.data.shape[-1] < kdata.data.shape[-1]
    if removed:
        notes.append(
            f'The oversampling of the readout was removed, from {kdata.data.shape[-1]} to {standard.data.shape[-1]} '
            'samples.'
        )
    if only_calibration:
        notes.append('The file holds lines for calibration only, which are taken as image.')
    calibration = None
    if lines.calibration and not only_calibration:
        try:
            calibration, n_lines = _read_calibration(path, measurement.header, lines.calibration)
            calibration = fit_calibration(calibration, standard)
            notes.append(f'The file holds {n_lines} lines for coil sensitivities.')
            found['calibration_lines'] = n_lines
        except ValueError as error:
            calibration = None
            notes.append(f'The {len(lines.calibration)} calibration lines of the file can not be used: {error}')
    noise = None
    if lines.noise and with_noise:
        noise = to_noise(measurement, lines.noise, image[0].sample_time_us)
        notes.append(f'The file holds a noise measurement of {noise.data.shape[-1]} samples.')
    notes += _describe(header, standard, image, chosen, found)
    oversampled = standardize(kdata, keep_oversampling=True) if removed else None
    return RawScan(standard, calibration, noise, oversampled, notes, found)


def _check_averages(
    header: ismrmrdHeader, lines: Sequence[ismrmrd.Acquisition], averages: Averages, notes: list[str]
) -> tuple[bool, dict[str, Any]]:
    """Return whether averages become one image, and what was found."""
    numbers = np.unique(counters(lines, 'average'))
    limits = header.encoding[0].encodingLimits and header.encoding[0].encodingLimits.average
    stated = None if limits is None else limits.maximum - limits.minimum + 1
    found = {'averages': len(numbers), 'averages_in_header': stated, 'averages_combined': averages != 'separate'}
    if stated is not None and (len(numbers) > stated or numbers.max() > limits.maximum):
        contradiction = (
            f'The header says {stated} average(s), numbered from {limits.minimum} to {limits.maximum}, but the lines '
            f'belong to {len(numbers)}, numbered from {numbers.min()} to {numbers.max()}'
        )
        if averages == 'auto':
            raise ValueError(f"{contradiction}: choose averages='combine' or averages='separate'.")
        notes.append(f'{contradiction}; they were {"combined" if averages == "combine" else "kept separate"}.')
    elif stated is not None and len(numbers) < stated:
        notes.append(f'The header says {stated} averages, but the lines belong to {len(numbers)}.')
    if len(numbers) > 1 and averages != 'separate':
        notes.append(f'{len(numbers)} averages are combined: their lines are repeated samples of one image.')
    return averages != 'separate', found


def _to_kdata(
    path: Path, header: ismrmrdHeader, lines: Sequence[ismrmrd.Acquisition], trajectory: Trajectory
) -> tuple[KData, list[str]]:
    """Convert lines, and return notes."""
    images = Counter(tuple(getattr(a.idx, name) for name in _IMAGES) for a in lines)
    if len(numbers := set(images.values())) > 1:
        raise ValueError(
            f'The {len(images)} images ({", ".join(f"{name}s" for name in _IMAGES)}) have different numbers of lines, '
            f'from {min(numbers)} to {max(numbers)}.'
        )
    time = datetime.fromtimestamp(path.stat().st_mtime)
    kdata = KData.from_ismrmrd(
        header, lines, trajectory.calculator, acquisition_filter_criterion=None, modification_time=time
    )
    kdata.header.lamor_frequency_proton = kdata.header.lamor_frequency_proton or None  # 0 stands for a missing one
    check_header(kdata)
    if trajectory.name == 'cartesian':
        _check_lines(kdata)
    return kdata, use_measured_grid(kdata)


def _check_lines(kdata: KData) -> None:
    """Raise an error if there are samples outside of the encoded matrix, which mrpro would ignore."""
    for axis in 'zyx':
        n, k = getattr(kdata.header.encoding_matrix, axis), getattr(kdata.traj, f'k{axis}')
        low, high = k.min().item(), k.max().item()
        if (n > 1 or low < high) and not (-(n // 2) <= low and high < n - n // 2):
            raise ValueError(
                f'Samples lie outside of the encoding_matrix: along {axis} it has {n} points from {-(n // 2)} to '
                f'{n - n // 2 - 1}, but the samples are from {low:g} to {high:g}.'
            )


def _read_calibration(path: Path, header: ismrmrdHeader, lines: Sequence[ismrmrd.Acquisition]) -> tuple[KData, int]:
    """Read lines for coil sensitivities, and return their number."""
    header, lines, _ = prepare_lines(header, lines, combine_averages=True)
    chosen = choose_trajectory(header, lines)
    if chosen.name == 'cartesian':
        complete_center(header, lines)
    kdata, _ = _to_kdata(path, header, lines, chosen)
    return standardize(kdata), len(lines)


def _describe(
    header: ismrmrdHeader,
    kdata: KData,
    lines: Sequence[ismrmrd.Acquisition],
    trajectory: Trajectory,
    found: dict[str, Any],
) -> list[str]:
    """Complete what was found, and return notes on it."""
    notes: list[str] = []
    encoding, matrix = header.encoding[0], header.encoding[0].encodedSpace.matrixSize
    found |= {
        'format': 'ISMRMRD',
        'trajectory': trajectory.name,
        'trajectory_kind': trajectory.kind,
        'trajectory_source': trajectory.source,
        'coils': kdata.data.shape[-4],
        'readout_oversampling': matrix.x / encoding.reconSpace.matrixSize.x,
    }
    found.setdefault('calibration_lines', 0)
    for name in _IMAGES[1:]:
        found[f'{name}s'] = len(np.unique(counters(lines, name)))
    if trajectory.name != 'cartesian':
        return notes
    partial = {}
    for axis, name, n in (('y', 'kspace_encode_step_1', matrix.y), ('z', 'kspace_encode_step_2', matrix.z)):
        line = np.unique(counters(lines, name))
        k = getattr(kdata.traj, f'k{axis}')
        below, above = -k.min().item(), k.max().item()
        found[f'acceleration_{axis}'] = (line.max() - line.min() + 1) / len(line)
        if n > 1 and min(below, above) < 0.9 * max(below, above) - 2:
            partial[axis] = round((below + above + 1) / (2 * max(below, above) + 1), 3)
    factor = encoding.parallelImaging and encoding.parallelImaging.accelerationFactor
    found['acceleration_in_header'] = factor and [factor.kspace_encoding_step_1, factor.kspace_encoding_step_2]
    if factor and abs(factor.kspace_encoding_step_1 / found['acceleration_y'] - 1) > 0.2:
        notes.append(
            f'The header says an acceleration of {factor.kspace_encoding_step_1}, but one of '
            f'{found["acceleration_y"]:.2f} is found in the lines.'
        )
    kx = kdata.traj.kx
    below, above = -kx.min().item(), kx.max().item()
    if min(below, above) < 0.9 * max(below, above) - 2:
        partial['x'] = round((below + above + 1) / (2 * max(below, above) + 1), 3)
    found['partial_fourier'] = partial
    for axis, fraction in partial.items():
        what = 'Asymmetric echo' if axis == 'x' else f'Partial Fourier along {axis}'
        notes.append(f'{what}: {fraction:.0%} of k-space was measured; nothing is mirrored.')
    return notes


def _list(counts: dict[str, int]) -> str:
    """Write counts in words."""
    return ', '.join(f'{n} {name}' for name, n in counts.items())
