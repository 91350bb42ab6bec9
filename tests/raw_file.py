"""Small raw data files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import ismrmrd
import numpy as np
import torch
from ismrmrd import xsd
from mrpro.operators import FastFourierOp
from mrpro.utils import RandomGenerator

N_Y, N_X = 20, 24
LINES = [[0, 3, 5, 7, 8, 9, 10, 11, 12, 14, 17, 19]] * 2
"""Phase encoding steps of an undersampled acquisition of two slices."""

WriteRaw = Callable[..., Path]


def simulate_kspace(n_coils: int = 1, n_slices: int = 2, n_x: int = N_X) -> torch.Tensor:
    """k-space of a few blocks in air, with noise, shape `(slices, coils, y, x)`."""
    img = torch.zeros(n_slices, 1, N_Y, N_X, dtype=torch.complex64)
    img[..., 5:15, 6:18] = 1
    img[..., 8:12, 9:13] *= 0.5 + 0.2j
    img *= torch.arange(1, n_slices + 1)[:, None, None, None]
    img = torch.nn.functional.pad(img, ((n_x - N_X) // 2,) * 2)
    coils = torch.linspace(0.5, 1, n_x) ** torch.arange(n_coils)[:, None, None]
    (kspace,) = FastFourierOp(dim=(-2, -1))(img * coils)
    return kspace + 0.05 * RandomGenerator(seed=1).complex64_tensor(kspace.shape)


def write_raw(
    path: Path,
    kspace: torch.Tensor | None = None,
    *,
    lines: Sequence[Sequence[int]] | None = None,
    noise: torch.Tensor | None = None,
    trajectory: bool = False,
    n_ky: int = N_Y,
) -> Path:
    """Write an ISMRMRD file of Cartesian slices.

    Parameters
    ----------
    path
        file to write
    kspace
        k-space, shape `(slices, coils, y, x)`
    lines
        phase encoding steps of each slice; all if `None`
    noise
        acquisitions of noise, shape `(n, coils, samples)`
    trajectory
        whether to store the trajectory
    n_ky
        number of phase encoding steps stated in the header
    """
    kspace = simulate_kspace() if kspace is None else kspace
    n_coils, n_kx = kspace.shape[1], kspace.shape[-1]
    encoded, recon = (
        xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=n, y=n_ky, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=2.0 * n, y=3.0 * n_ky, z=5),
        )
        for n in (n_kx, N_X)
    )
    limits = xsd.encodingLimitsType(kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=N_Y - 1, center=N_Y // 2))
    encoding = xsd.encodingType(
        encodedSpace=encoded, reconSpace=recon, encodingLimits=limits, trajectory=xsd.trajectoryType.CARTESIAN
    )
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=2_341_550),
        encoding=[encoding],
    )
    with ismrmrd.Dataset(str(path), create_if_needed=True) as dataset:
        dataset.write_xml_header(header.toXML('utf-8'))
        for values in [] if noise is None else noise:
            acquisition = ismrmrd.Acquisition.from_array(values.numpy())
            acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            dataset.append_acquisition(acquisition)
        for s in range(len(kspace)):
            for k1 in range(N_Y) if lines is None else lines[s]:
                acquisition = ismrmrd.Acquisition()
                acquisition.resize(n_kx, n_coils, trajectory_dimensions=2 if trajectory else 0)
                acquisition.data[:] = kspace[s, :, k1].numpy()
                if trajectory:
                    acquisition.traj[:, 0] = np.arange(n_kx) - n_kx // 2
                    acquisition.traj[:, 1] = k1 - N_Y // 2
                acquisition.center_sample = n_kx // 2
                acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = k1, s
                acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = map(tuple, np.eye(3))
                acquisition.position = (1, 2, 7 * s)
                dataset.append_acquisition(acquisition)
    return path
