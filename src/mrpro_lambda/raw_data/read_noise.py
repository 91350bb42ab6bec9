"""Noise measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import ismrmrd
import numpy as np
import torch
from mrpro.data import KNoise

from mrpro_lambda.raw_data.acquisitions import sort_lines
from mrpro_lambda.raw_data.ismrmrd_file import Measurement, datasets, read_measurement
from mrpro_lambda.raw_data.read_grid import is_grid
from mrpro_lambda.raw_data.standardize import TOO_SMALL

_SMALLEST = 1e-6


def read_noise(path: Path, *, required: bool) -> KNoise | None:
    """Read the noise measurement of a file. Of several data sets with noise, the last one is read.

    If the data set holds other lines as well, the noise is multiplied to have the standard deviation of their samples,
    see `to_noise`.

    Parameters
    ----------
    path
        ISMRMRD file; files of k-space on a grid hold no noise.
    required
        Whether a file without noise measurement is an error.

    Returns
    -------
        Noise measurement, `None` if there is none.

    Raises
    ------
    ValueError
        If the file is no ISMRMRD file, if it holds no noise although required, or if the noise is not finite or so
        small that mrpro takes it as constant.
    """
    for index in reversed(range(0 if is_grid(path) else len(datasets(path)))):
        try:
            measurement = read_measurement(path, index)
            lines = sort_lines(measurement.acquisitions)
            if lines.noise:
                return to_noise(measurement, lines.noise, lines.image)
        except Exception as error:  # of many kinds
            raise ValueError(f'The noise measurement of {path} can not be read: {error!s:.200}') from error
    if required:
        raise ValueError(f'{path} holds no noise measurement.')
    return None


def to_noise(
    measurement: Measurement, noise: Sequence[ismrmrd.Acquisition], lines: Sequence[ismrmrd.Acquisition]
) -> KNoise:
    r"""Convert acquisitions of noise to one measurement, with the standard deviation of the samples of lines.

    The variance of noise is proportional to the bandwidth. Between samples of duration :math:`T` and noise that was
    sampled with :math:`T_n` through a filter of relative bandwidth :math:`b`, its ratio is :math:`T_n / (b T)`. The
    sampled noise of Siemens is conjugated, as mrpro does with the data: otherwise the covariance would be that of other
    coils.

    Parameters
    ----------
    measurement
        Data set of the noise.
    noise
        Acquisitions of noise, of any lengths.
    lines
        Lines to whiten; the first one is looked at.

    Raises
    ------
    ValueError
        If the acquisitions have different numbers of coils, or if the noise is not finite or too small.
    """
    n_coils = {acquisition.data.shape[0] for acquisition in noise}
    if len(n_coils) > 1:
        raise ValueError(f'The acquisitions of noise must have the same coils, got {sorted(n_coils)} coils.')
    data = torch.as_tensor(np.concatenate([a.data for a in noise], axis=-1), dtype=torch.complex64)
    if measurement.vendor == 'siemens':
        data = data.conj().resolve_conj()
    system = measurement.header.acquisitionSystemInformation
    bandwidth = (system.relativeReceiverNoiseBandwidth if system is not None else None) or 1.0
    time, noise_time = lines[0].sample_time_us if lines else 0.0, noise[0].sample_time_us
    if time > 0 and noise_time > 0 and bandwidth > 0:
        data = data * math.sqrt(noise_time / (bandwidth * time))
    if not bool(data.isfinite().all()):
        raise ValueError(f'The noise must be finite, got shape {tuple(data.shape)}.')
    if data.abs().max() < _SMALLEST:
        raise ValueError(f'The noise is too small: {TOO_SMALL}.')
    return KNoise(data[None, :, None, None, :])
