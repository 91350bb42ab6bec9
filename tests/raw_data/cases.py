"""Raw data files line by line."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import torch
from ismrmrd import xsd
from mrpro.data import KData
from mrpro.operators import FourierOp
from mrpro_lambda.operators import gram_operator
from mrpro_lambda.reconstruct.choose import sampling_of

from tests.raw_file import N_X, N_Y


def line(
    data: torch.Tensor,
    *,
    flags: Sequence[int] = (),
    trajectory: torch.Tensor | None = None,
    position: Sequence[float] = (1, 2, 3),
    discard: tuple[int, int] = (0, 0),
    center: int | None = None,
    time: float = 0,
    **counters: int,
) -> ismrmrd.Acquisition:
    """Acquisition of data of shape `(coils, samples)` with a trajectory of shape `(samples, axes)` and counters."""
    stored = None if trajectory is None else trajectory.float().numpy()
    acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data.to(torch.complex64).numpy()), stored)
    acquisition.center_sample = data.shape[1] // 2 if center is None else center
    acquisition.discard_pre, acquisition.discard_post = discard
    acquisition.sample_time_us = time
    acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = map(tuple, np.eye(3))
    acquisition.position = tuple(position)
    for name, value in counters.items():
        setattr(acquisition.idx, {'k1': 'kspace_encode_step_1', 'k2': 'kspace_encode_step_2'}.get(name, name), value)
    for flag in flags:
        acquisition.set_flag(flag)
    return acquisition


def cartesian_lines(
    kspace: torch.Tensor, lines: Iterable[int] | None = None, **options: Any
) -> list[ismrmrd.Acquisition]:
    """Lines of k-space of shape `(coils, y, x)`."""
    return [line(kspace[:, k1], k1=k1, **options) for k1 in (range(kspace.shape[1]) if lines is None else lines)]


def write_lines(
    path: Path,
    lines: Iterable[ismrmrd.Acquisition],
    *,
    matrix: Sequence[int] = (N_X, N_Y, 1),
    recon: Sequence[int] | None = None,
    trajectory: str = 'cartesian',
    average: tuple[int, int] | None = None,
    vendor: str | None = None,
    edit: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Write a file; matrices are (x, y, z), pixels are 2 mm, and `edit` changes the header at last."""
    spaces = [
        xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(**dict(zip('xyz', size, strict=True))),
            fieldOfView_mm=xsd.fieldOfViewMm(**{axis: 2.0 * n for axis, n in zip('xyz', size, strict=True)}),
        )
        for size in (matrix, recon or matrix)
    ]
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=matrix[1] - 1, center=matrix[1] // 2),
        average=None if average is None else xsd.limitType(minimum=average[0], maximum=average[1], center=0),
    )
    encoding = xsd.encodingType(
        encodedSpace=spaces[0], reconSpace=spaces[1], encodingLimits=limits, trajectory=xsd.trajectoryType(trajectory)
    )
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_870_000), encoding=[encoding]
    )
    if vendor is not None:
        header.acquisitionSystemInformation = xsd.acquisitionSystemInformationType(
            systemVendor=vendor, relativeReceiverNoiseBandwidth=0.8
        )
    path.unlink(missing_ok=True)
    with ismrmrd.File(path) as file:
        file['dataset'].acquisitions = list(lines)
    with h5py.File(path, 'a') as content:
        document = content['dataset'].create_dataset('xml', shape=(1,), dtype=h5py.special_dtype(vlen=bytes))
        document[0] = edit(header.toXML('utf-8').encode('utf-8'))
    return path


def sampled_fraction(kdata: KData) -> float | None:
    """Sampled fraction of the measured band, none if it is not Cartesian."""
    _, acceleration = sampling_of(gram_operator(FourierOp.from_kdata(kdata)))
    return None if acceleration is None else 1 / acceleration
