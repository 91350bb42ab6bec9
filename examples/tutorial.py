# %% [markdown]
# # Raw data of the tutorial
# Three small raw data files with a known truth: one slice of a real brain, to which six spots of known contrast are
# added. They have one coil and strong noise, as at low field.
#
# - `scan.h5`: half of k-space along each axis, complete;
# - `repeat.h5`: the same once more, with other noise;
# - `folded.h5`: every fourth line only, and six in the center.
#
# The image is that of the package dipy, which the extra `demo` installs.
#
# ```bash
# python tutorial.py data                    # writes the files
# python tutorial.py data --figures figures  # reconstructs them as well, and draws the figures of the tutorial
# ```

# %%
import argparse
from pathlib import Path

import dipy
import ismrmrd
import ismrmrd.xsd
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mrpro.operators import FastFourierOp
from mrpro_lambda.reconstruct import Reconstructed, Settings, reconstruct_file

N = 176
"""Points of the true image along each axis, 1 mm each."""
N_MEASURED = 88
"""Points of k-space that are measured along each axis."""
NOISE = 0.2
"""Noise level relative to the root mean square of the image."""
SPOTS = {8: (97, 54), 4: (97, 122), 2: (72, 66), 1: (72, 112), 0.5: (114, 62), 0.25: (114, 116)}
"""Contrast of each spot in units of the noise of a voxel of the measured grid, and its position."""

parser = argparse.ArgumentParser(description='Write the raw data of the tutorial.')
parser.add_argument('data', type=Path, help='folder for the raw data')
parser.add_argument('--figures', type=Path, help='folder for the figures; default: no figures')
arguments = parser.parse_args()

# %% [markdown]
# ## The true image
# A smooth phase makes it complex. A spot has a diameter of 5 mm.

# %%
brain = np.load(Path(dipy.__file__).parent / 'data' / 'files' / 't1_coronal_slice.npy', allow_pickle=False)
top, left = (brain.shape[0] - N) // 2 - 20, (brain.shape[1] - N) // 2
truth = torch.as_tensor(brain[top : top + N, left : left + N].astype(np.float32))
truth /= truth.max()
noise_std = NOISE * truth.square().mean().sqrt().item()
y, x = torch.meshgrid(torch.arange(N), torch.arange(N), indexing='ij')
without_spots = truth.clone()
for contrast, (row, column) in SPOTS.items():
    # a voxel of the measured grid is as large as four of the true image, and has half of their noise
    truth[(y - row).square() + (x - column).square() <= 6.25] += contrast * noise_std / 2
phase = 0.8 * torch.cos(2 * torch.pi * (x + 0.5 * y) / N)

# %% [markdown]
# ## The acquisition
# An acquisition of the file is one line of k-space. The header states the matrix and the field of view.


# %%
def acquire(img: torch.Tensor, seed: int) -> torch.Tensor:
    """Simulate the central half of k-space along each axis, with noise."""
    (kspace,) = FastFourierOp(dim=(-2, -1))((img * torch.exp(1j * phase))[None, None, None])
    edge = (N - N_MEASURED) // 2
    kspace = kspace[0, 0, 0, edge : edge + N_MEASURED, edge : edge + N_MEASURED]
    noise = torch.randn(2, *kspace.shape, generator=torch.Generator().manual_seed(seed))
    return kspace + noise_std / 2**0.5 * torch.complex(*noise)


def write(path: Path, kspace: torch.Tensor, lines: list[int]) -> None:
    """Write lines of k-space as an ISMRMRD file."""
    xsd = ismrmrd.xsd
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=N_MEASURED, y=N_MEASURED, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=N, y=N, z=5),
    )
    limit = xsd.limitType(minimum=0, maximum=N_MEASURED - 1, center=N_MEASURED // 2)
    encoding = xsd.encodingType(
        encodedSpace=space,
        reconSpace=space,
        encodingLimits=xsd.encodingLimitsType(kspace_encoding_step_1=limit),
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=2_300_000), encoding=[encoding]
    )
    path.unlink(missing_ok=True)
    with ismrmrd.Dataset(str(path)) as dataset:
        dataset.write_xml_header(header.toXML('utf-8'))
        for line in lines:
            acquisition = ismrmrd.Acquisition.from_array(kspace[line][None].numpy())
            acquisition.center_sample = N_MEASURED // 2
            acquisition.idx.kspace_encode_step_1 = line
            acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
            dataset.append_acquisition(acquisition)


arguments.data.mkdir(parents=True, exist_ok=True)
center = range(N_MEASURED // 2 - 3, N_MEASURED // 2 + 3)
write(arguments.data / 'scan.h5', acquire(truth, seed=0), list(range(N_MEASURED)))
write(arguments.data / 'repeat.h5', acquire(truth, seed=1), list(range(N_MEASURED)))
write(arguments.data / 'folded.h5', acquire(truth, seed=0), sorted({*range(0, N_MEASURED, 4), *center}))
np.savez(arguments.data / 'truth.npz', truth=truth.numpy())
if arguments.figures is None:
    raise SystemExit(f'Raw data and the true image are in {arguments.data}.')

# %% [markdown]
# ## The figures
# `reconstruct_file` is what the command line calls.


# %%
def magnitude(result: Reconstructed) -> torch.Tensor:
    """Return the image in the units of the truth."""
    img = result.idata.data.abs()[0, 0, 0]
    return img * img.shape[-1] / N


def show(axes: Axes, img: torch.Tensor, title: str, low: float = 0, high: float = 1, factor: float = 1) -> None:
    """Show an image from a smallest to a largest value, brightened by a factor."""
    axes.imshow(factor * img.numpy(), cmap='gray', vmin=low, vmax=high)
    axes.set_title(title if factor == 1 else f'{title}, x {factor:g}', fontsize=9)
    axes.axis('off')


arguments.figures.mkdir(parents=True, exist_ok=True)
write(arguments.figures / 'without.h5', acquire(without_spots, seed=0), list(range(N_MEASURED)))
scan = reconstruct_file(arguments.data / 'scan.h5', Settings(model='tv-low-field', upsample=2))
repeat = reconstruct_file(arguments.data / 'repeat.h5', Settings(model='tv-low-field', upsample=2))
without = reconstruct_file(arguments.figures / 'without.h5', Settings(model='tv-low-field', upsample=2))
folded = reconstruct_file(arguments.data / 'folded.h5', Settings(model='tv-variable-density', upsample=1))

# %% [markdown]
# The map in units of the noise: bright is smoothed strongly, dark hardly.

# %%
figure = Figure(figsize=(10, 2.7), layout='constrained')
axes = figure.subplots(1, 4)
show(axes[0], truth, 'truth')
show(axes[1], scan.initial_idata.data.abs()[0, 0, 0], 'zero-filled')
show(axes[2], magnitude(scan), 'TV-Lambda')
assert scan.lambda_map is not None  # as TV-Lambda has one
shown = axes[3].imshow((scan.lambda_map[0, 0, 0, 0] / scan.noise_std).numpy(), norm='log', cmap='viridis')
axes[3].set_title('map / noise level', fontsize=9)
axes[3].axis('off')
figure.colorbar(shown, ax=axes[3], shrink=0.8)
figure.savefig(arguments.figures / 'tutorial_map.png', dpi=120)

# %% [markdown]
# What is left of the spots, and what another scan of the same head tells.

# %%
figure = Figure(figsize=(10, 5.2), layout='constrained')
axes = figure.subplots(2, 3).flatten()
region = (slice(55, 130), slice(35, 141))
show(axes[0], truth[region], 'truth', 0.5, 1.1)
for contrast, (row, column) in SPOTS.items():
    axes[0].annotate(f'{contrast:g}', (column - 29, row - 59), color='red', fontsize=8, ha='center')
show(axes[1], magnitude(scan)[region], 'scan.h5', 0.5, 1.1)
show(axes[2], magnitude(repeat)[region], 'repeat.h5', 0.5, 1.1)
show(axes[3], scan.initial_idata.data.abs()[0, 0, 0][region], 'scan.h5, zero-filled', 0.5, 1.1)
show(axes[4], (magnitude(scan) - truth).abs()[region], 'scan.h5 minus truth', factor=5)
show(axes[5], (magnitude(scan) - magnitude(repeat)).abs()[region], 'scan.h5 minus repeat.h5', factor=5)
figure.savefig(arguments.figures / 'tutorial_spots.png', dpi=120)

# %% [markdown]
# Every fourth line, one coil: the ghosts are in the data, and smoothing does not remove them.

# %%
figure = Figure(figsize=(10, 2.7), layout='constrained')
axes = figure.subplots(1, 4)
reference = torch.nn.functional.avg_pool2d(truth[None, None], N // N_MEASURED)[0, 0]
zero_filled = folded.initial_idata.data.abs()[0, 0, 0] * N_MEASURED / N
show(axes[0], reference, 'truth')
show(axes[1], zero_filled, 'folded.h5, zero-filled')
show(axes[2], magnitude(folded), 'folded.h5, TV-Lambda')
show(axes[3], (magnitude(folded) - reference).abs(), 'folded.h5 minus truth', factor=3)
figure.savefig(arguments.figures / 'tutorial_folded.png', dpi=120)

for name, result in (('scan', scan), ('repeat', repeat), ('folded', folded)):
    ratio = result.report['noise_relative_to_image']
    print(f'{name}: {result.report["certificate"]["reason"]}, noise {ratio:.2f} of the root mean square of the image')
for contrast, (row, column) in SPOTS.items():
    spot = (y - row).square() + (x - column).square() <= 6.25
    before, after = (
        ((a.data.abs() - b.data.abs())[0, 0, 0][spot].mean() / (contrast * noise_std / 2)).item()
        for a, b in ((scan.initial_idata, without.initial_idata), (scan.idata, without.idata))
    )
    print(f'spot of {contrast:g} times the noise: {after:.0%} of its contrast, zero-filled {before:.0%}')
