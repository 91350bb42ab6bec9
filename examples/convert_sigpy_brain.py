# %% [markdown]
# # Convert undersampled brain data to ISMRMRD
#
# The sigpy tutorial <https://github.com/mikgroup/sigpy-mri-tutorial> comes with one slice of a 3D brain scan of 8 coils
# as an array `(coils, ky, kx)`. Both of its axes are phase encoded and undersampled, and points that were not sampled
# are zero. The readout was along the third axis and is already transformed. This script writes such an array as an
# ISMRMRD file, that mrpro and the command line can read:
#
# ```bash
# python convert_sigpy_brain.py kspace_8x230x180_complex64.npy brain.h5
# mrpro-lambda reconstruct brain.h5 --trajectory ismrmrd --output brain
# ```
#
# Each sampled point is stored as an acquisition of one sample with its position in k-space as the trajectory. mrpro
# arranges data by the encoding indices: a running number as the first one and no second one give `k2=1`, which is what
# its `FourierOp` needs for an image with one slice.

# %%
import sys
from pathlib import Path

import ismrmrd
import ismrmrd.xsd
import numpy as np

# %% [markdown]
# The header states the size of the full grid. The field of view is not known: one millimeter per pixel stands for it.
# The image plane is `(y, x)`; the axis along the readout has one point.


# %%
def header(n_coils: int, n_y: int, n_x: int) -> str:
    """Create the XML header."""
    xsd = ismrmrd.xsd
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=n_x, y=n_y, z=1), fieldOfView_mm=xsd.fieldOfViewMm(x=n_x, y=n_y, z=1)
    )
    encoding = xsd.encodingType(
        encodedSpace=space,
        reconSpace=space,
        encodingLimits=xsd.encodingLimitsType(),
        trajectory=xsd.trajectoryType.OTHER,
    )
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=0)  # not known
    system = xsd.acquisitionSystemInformationType(receiverChannels=n_coils)
    document = xsd.ismrmrdHeader(
        experimentalConditions=conditions, acquisitionSystemInformation=system, encoding=[encoding]
    )
    return document.toXML('utf-8')


# %% [markdown]
# The zero frequency is at index `n // 2`, as in mrpro.


# %%
def convert(source: Path, target: Path) -> int:
    """Convert an array to an ISMRMRD file and return the number of sampled points."""
    kspace = np.load(source, allow_pickle=False)
    if kspace.ndim != 3 or not np.iscomplexobj(kspace):
        raise ValueError(f'{source} must hold a complex array (coils, ky, kx), got {kspace.dtype}, {kspace.shape}.')
    if target.exists():
        raise ValueError(f'{target} exists.')
    n_coils, n_y, n_x = kspace.shape
    points = np.argwhere(np.abs(kspace).any(0))
    with ismrmrd.Dataset(str(target), create_if_needed=True) as dataset:
        dataset.write_xml_header(header(n_coils, n_y, n_x))
        for number, (y, x) in enumerate(points):
            acquisition = ismrmrd.Acquisition.from_array(
                np.ascontiguousarray(kspace[:, y, x, None], np.complex64),
                np.array([[x - n_x // 2, y - n_y // 2, 0]], np.float32),
            )
            acquisition.scan_counter = acquisition.idx.kspace_encode_step_1 = number
            acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
            dataset.append_acquisition(acquisition)
    return len(points)


# %%
if __name__ == '__main__':
    if len(sys.argv) != 3:
        raise SystemExit('usage: python convert_sigpy_brain.py KSPACE.npy OUTPUT.h5')
    n_points = convert(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f'{sys.argv[2]}: {n_points} sampled points')
