"""Noise measurements."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import ismrmrd
import numpy as np
import torch
from mrpro.data import KNoise

from mrpro_lambda.raw_data.acquisitions import sort_lines
from mrpro_lambda.raw_data.ismrmrd_file import Measurement, datasets, read_measurement
from mrpro_lambda.raw_data.standardize import TOO_SMALL

_SMALLEST = 1e-6


def read_noise(path: Path, *, required: bool, sample_time_us: float | None = None) -> KNoise | None:
    """Read the noise measurement of a file. Of several data sets with noise, the last one is read.

    The noise is multiplied to have the standard deviation of the samples of a scan, see `to_noise`.

    Parameters
    ----------
    path
        ISMRMRD file.
    required
        Whether a file without noise measurement is an error.
    sample_time_us
        Duration of a sample of the scan in us. `None`: that of the other lines of the data set.

    Returns
    -------
        Noise measurement, `None` if there is none.

    Raises
    ------
    ValueError
        If the file is no ISMRMRD file, if it holds no noise although required, or if the noise is not finite or so
        small that mrpro takes it as constant.

    Warns
    -----
    UserWarning
        As `to_noise`.
    """
    for index in reversed(range(len(datasets(path)))):
        try:
            measurement = read_measurement(path, index)
            lines = sort_lines(measurement.acquisitions)
            if lines.noise:
                others = [*lines.image, *lines.calibration]
                if sample_time_us is None:
                    sample_time_us = others[0].sample_time_us if others else 0.0
                return to_noise(measurement, lines.noise, sample_time_us)
        except Exception as error:  # of many kinds
            raise ValueError(f'The noise measurement of {path} can not be read: {error!s:.200}') from error
    if required:
        raise ValueError(f'{path} holds no noise measurement.')
    return None


def to_noise(measurement: Measurement, noise: Sequence[ismrmrd.Acquisition], sample_time_us: float) -> KNoise:
    r"""Convert acquisitions of noise to one measurement, with the standard deviation of the samples of a scan.

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
    sample_time_us
        Duration of a sample of the scan in us, 0 if it is not known.

    Raises
    ------
    ValueError
        If the acquisitions have different numbers of coils, or different durations of a sample, or
        if the noise is not finite or too small.

    Warns
    -----
    UserWarning
        If the duration of a sample is not known for the noise or for the scan.
    """
    n_coils = {acquisition.data.shape[0] for acquisition in noise}
    if len(n_coils) > 1:
        raise ValueError(f'The acquisitions of noise must have the same coils, got {sorted(n_coils)} coils.')
    data = torch.as_tensor(np.concatenate([a.data for a in noise], axis=-1), dtype=torch.complex64)
    if measurement.vendor == 'siemens':
        data = data.conj().resolve_conj()
    system = measurement.header.acquisitionSystemInformation
    bandwidth = (system.relativeReceiverNoiseBandwidth if system is not None else None) or 1.0
    times = {acquisition.sample_time_us for acquisition in noise}
    if len(times) > 1:
        raise ValueError(f'The acquisitions of noise must have the same bandwidth, got samples of {sorted(times)} us.')
    noise_time = noise[0].sample_time_us
    if sample_time_us > 0 and noise_time > 0 and bandwidth > 0:
        data = data * math.sqrt(noise_time / (bandwidth * sample_time_us))
    else:
        warnings.warn(
            'The noise measurement is taken as it is, because the bandwidths of noise and scan are not known: samples '
            f'of {noise_time:g} us and {sample_time_us:g} us.',
            stacklevel=2,
        )
    if not bool(data.isfinite().all()):
        raise ValueError(f'The noise must be finite, got shape {tuple(data.shape)}.')
    if data.abs().max() < _SMALLEST:
        raise ValueError(f'The noise is too small: {TOO_SMALL}.')
    return KNoise(data[None, :, None, None, :])
