# %% [markdown]
# # T1 mapping from undersampled data
# T1 tells tissues apart in numbers that do not depend on the scanner. It is fitted to images after several inversion
# times, so all of them must be measured: a quarter of the lines of each is what patience permits. The images share
# their edges, and neighbors in time have a similar contrast. So the series is reconstructed jointly, with one weight
# for space and another for the contrast, and T1 is fitted to each pixel of the result:
#
# $$ q(t; M_0, T_1) = M_0 (1 - 2 e^{-t / T_1}) $$
#
# The data are simulated here, so the script runs anywhere:
#
# ```bash
# python inversion_recovery.py
# ```

# %%
import torch
from mrpro.operators.models import InversionRecovery
from mrpro_lambda.datasets import KtLines, complex_noise, simulate_coil_maps, smooth_phase
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.reconstruction import fit_t1
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import ActivityWeight, FittedToScan, NoiseWeight

N, N_COILS, ACCELERATION, NOISE = 72, 4, 4.0, 0.03
TIMES = [0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
TISSUES = {'white matter': (0.77, 0.5), 'grey matter': (0.86, 0.83), 'fluid': (1.0, 2.57)}
"""Proton density and T1 in s."""
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## A head of three tissues

# %%
y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing='ij')
angle = torch.atan2(y, x)
radius = torch.hypot(x / 0.75, y / 0.9) * (1 + 0.05 * torch.sin(9 * angle))
regions = {
    'fluid': ((x.abs() - 0.12) / 0.07) ** 2 + (y / 0.25) ** 2 < 1,
    'white matter': radius < 0.7,
    'grey matter': radius < 1,
}
t1, density, tissue = torch.zeros(N, N), torch.zeros(N, N), torch.full((N, N), -1)
for name, region in reversed(regions.items()):
    density[region], t1[region] = TISSUES[name]
    tissue[region] = list(TISSUES).index(name)
m0 = torch.polar(density, smooth_phase((N, N), generator))[None, None]
(truth,) = InversionRecovery(TIMES)(m0, t1.clamp_min(0.01)[None, None])

# %% [markdown]
# ## The scan

# %%
mask = KtLines(ACCELERATION, 6, n_frames=len(TIMES)).mask((N, N), generator)[:, None, None]
acquisition_op = CartesianAcquisitionOp(mask, simulate_coil_maps(N_COILS, (N, N), generator)[None])
(data,) = acquisition_op(truth)
data = data + mask * complex_noise(data.shape, NOISE, generator)
(initial_image,) = acquisition_op.adjoint(data)

# %% [markdown]
# ## Reconstruction and fit
# The contrast is no cycle: its boundary is Neumann. With tensors, weight and solver make a model; with raw data, it
# is `mrpro_lambda.reconstruction.AdaptiveTotalVariationReconstruction`, as in the example of cine MRI.

# %%
regularizer = TotalVariation((-5, -2, -1), boundary=('neumann', 'circular', 'circular'))
solver = ADMM(regularizer, n_iterations=100)
weights = {
    'one weight': NoiseWeight(0.1),
    'space and contrast': NoiseWeight([0.1, 0.05]),
    'two maps, fitted': FittedToScan(
        ActivityWeight(2), n_steps=12, n_iterations=10, learning_rate=0.05, safeguard=False
    ),
}
images = {'zero-filled': initial_image}
for title, weight in weights.items():
    model = LambdaMapModel(weight, solver)
    images[title] = model(data, acquisition_op, initial_image, NOISE).detach()
for title, img in images.items():
    found = fit_t1(img, InversionRecovery(TIMES), mask=tissue >= 0).t1[0, 0]
    errors = [1e3 * (found - t1)[tissue == i].abs().mean().item() for i in range(len(TISSUES))]
    texts = [f'{name} {error:.0f} ms' for name, error in zip(TISSUES, errors, strict=True)]
    print(f'{title}, mean error of T1: ' + ', '.join(texts))
