# %% [markdown]
# # What the filters of a dictionary do
# CDL-Lambda models an image as $x = x_{low} + \sum_k d_k \star s_k$: a smooth part, and filters $d_k$ with sparse
# coefficients $s_k$. Each filter has a Lambda map of its own, so one can look at what each of them contributes, where
# it is allowed to, and how many of them the image needs.
#
# The acquisition is simulated: of a real brain image, half of k-space along each axis is measured, with strong noise,
# as at low field. The image is that of the package dipy, which the extra `demo` installs.
#
# ```bash
# python interpret_dictionary.py output
# ```

# %%
import argparse
from pathlib import Path

import dipy
import numpy as np
import torch
from matplotlib.figure import Figure
from mrpro_lambda.datasets import AcquisitionSample, CentralBox, SimulatedAcquisitions
from mrpro_lambda.interpretation import PruningStep, filter_statistics, most_active, pruning_curve
from mrpro_lambda.metrics import foreground_mask, psnr
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.plotting import plot_filter_maps, plot_filters
from mrpro_lambda.pretrained import load_pretrained, load_weights
from mrpro_lambda.regularizers import DictionarySparsity

parser = argparse.ArgumentParser(description='Show what the filters of a dictionary do.')
parser.add_argument('output', type=Path, help='folder for the figures')
parser.add_argument('--weights', type=Path, help='weights of a CDL-Lambda model, in place of those of the package')
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Acquisition and reconstruction
# The solution holds the coefficients besides the image.

# %%
model = load_weights(arguments.weights)[0] if arguments.weights else load_pretrained('cdl-v3')
regularizer = model.solver.regularizer
if not isinstance(regularizer, DictionarySparsity):
    raise SystemExit(f'These are the weights of a model with {type(regularizer).__name__}, not with a dictionary.')

brain = np.load(Path(dipy.__file__).parent / 'data' / 'files' / 't1_coronal_slice.npy', allow_pickle=False)
sample = SimulatedAcquisitions([torch.as_tensor(brain)], CentralBox(0.5), noise=0.2, crop=176)[0]
assert isinstance(sample, AcquisitionSample)
target, data, initial_image = (x[None] for x in (sample.img, sample.data, sample.initial_image))
acquisition_op = CartesianAcquisitionOp(sample.mask[None])
noise_std = sample.noise_std.item()

with torch.no_grad():
    lambda_map = model.estimate(initial_image, noise_std)
solution = model.solve(data, acquisition_op, initial_image, lambda_map=lambda_map).solution
assert solution is not None
assert solution.coefficients is not None
mask = foreground_mask(target)
print(
    f'PSNR in the object: zero-filled {psnr(initial_image, target, mask).item():.2f} dB, '
    f'CDL-Lambda {psnr(solution.img, target, mask).item():.2f} dB'
)

# %% [markdown]
# ## The dictionary
# Filters in the order of the energy $\|d_k \star s_k\|_2^2$ that they contribute to this image, most important first.

# %%
filters = regularizer.synthesis_op.filters
statistics = filter_statistics(regularizer, solution.coefficients)
order = most_active(statistics, len(filters))
plot_filters(filters, indices=order).savefig(arguments.output / 'dictionary.png', dpi=150)
share = statistics.energy / statistics.energy.sum()
for k in order[:5]:
    print(f'filter {k}: {share[k]:.1%} of the energy, {statistics.active[k]:.1%} of the coefficients are active')

# %% [markdown]
# ## The filters that are used most
# Where the Lambda map of a filter is low, it may be used; where it is high, its coefficients are zero. Dark and bright
# in the contribution is what a filter takes from the image and adds to it.

# %%
figure = plot_filter_maps(
    solution.img,
    filters,
    solution.coefficients,
    lambda_map,
    order[:4],
    noise_std,
    boundary=regularizer.synthesis_op.boundary,
)
figure.savefig(arguments.output / 'filters.png', dpi=150)

# %% [markdown]
# ## How many filters the image needs
# The filters of least energy go first. Without them, either their contributions are missing in the image, or the
# problem is solved again and the filters that are kept take over.

# %%
numbers = sorted({0, *(len(filters) // 2**i for i in range(5))})
steps = pruning_curve(
    model,
    data,
    acquisition_op,
    initial_image,
    target,
    noise_std=noise_std,
    lambda_map=lambda_map,
    numbers=numbers,
    mask=mask,
)


def plot_pruning(steps: list[PruningStep]) -> Figure:
    """Plot the quality against the number of filters that are kept."""
    figure = Figure(figsize=(5, 3.5), layout='constrained')
    ax = figure.subplots()
    counts = [step.n_filters for step in steps]
    ax.plot(counts, [step.psnr_solved.item() for step in steps], 'o-', label='solved again')
    ax.plot(counts, [step.psnr_left_out.item() for step in steps], 's--', label='left out')
    ax.set_xlabel('filters kept')
    ax.set_ylabel('PSNR in the object / dB')
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


plot_pruning(steps).savefig(arguments.output / 'pruning.png', dpi=150)
for step in steps:
    qualities = f'left out {step.psnr_left_out.item():.2f} dB, solved again {step.psnr_solved.item():.2f} dB'
    print(f'{step.n_filters:3d} filters: {qualities}')
