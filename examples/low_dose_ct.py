# %% [markdown]
# # Low-dose computed tomography
# With few photons, the filtered back projection of a computed tomography drowns in noise, and a least-squares fit takes
# rays that hardly any photon has passed for as good as those beside the object. The counts are Poisson distributed, and
# attenuation is not negative: this script solves
#
# $$\min_{x \ge 0} \sum_i N_0 e^{-\mu (A x)_i} + N_0 \mu e^{-\mu y_i} (A x)_i + \|\Lambda \cdot \nabla x\|_1$$
#
# for a simulated scan, with a number and with a map $\Lambda$, and tells how far from the minimum the images are.
#
# ```bash
# python low_dose_ct.py output
# ```

# %%
import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mrpro_lambda.metrics import psnr, ssim
from mrpro_lambda.operators import ParallelBeam, RayTransformOp
from mrpro_lambda.reconstruction import AdaptiveLowDoseReconstruction
from mrpro_lambda.weighting import LowestLoss

parser = argparse.ArgumentParser(description='Reconstruct a simulated low-dose scan.')
parser.add_argument('output', type=Path, help='folder for the figure')
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The object
# A head of 26 cm: skull, brain, ventricles, a lesion and thin bones, relative to an attenuation of 81.36 per meter.

# %%
n_pixels, width = 96, 0.26
y, x = torch.meshgrid(*(torch.linspace(-1, 1, n_pixels),) * 2, indexing='ij')


def ellipse(center: tuple[float, float], radii: tuple[float, float]) -> torch.Tensor:
    """Return an ellipse with a soft edge of one pixel."""
    distance = ((y - center[0]) / radii[0]).hypot((x - center[1]) / radii[1])
    return (0.5 + (1 - distance) * min(radii) * n_pixels / 2).clamp(0, 1)


target = 0.45 * ellipse((0, 0), (0.9, 0.72)) - 0.2 * ellipse((0, 0), (0.83, 0.65))
for side in (-1, 1):
    target -= 0.02 * ellipse((-0.05, 0.14 * side), (0.3, 0.08))
    target += 0.2 * ellipse((0.45, 0.35 * side), (0.03, 0.15))
target += 0.02 * ellipse((0.3, -0.2), (0.1, 0.1))
target = target.clamp_min(0)[None, None]

# %% [markdown]
# ## The scan
# 60 angles, 4096 photons for a ray. The matrix of the line integrals is set up once; its adjoint is exact. A count of
# zero has no logarithm: `from_counts` says so and takes it to be 0.1, which hardly counts in the likelihood.

# %%
pixel_size = width / n_pixels
geometry = ParallelBeam.half_turn(n_angles=60, n_bins=137, bin_width=pixel_size)
ray_transform_op = RayTransformOp(geometry, (n_pixels, n_pixels), pixel_size)
reconstruction = AdaptiveLowDoseReconstruction(ray_transform_op, regularization_weight=LowestLoss(), tolerance=0.01)
counts = reconstruction.data_term.draw(target, torch.Generator().manual_seed(0))
data = reconstruction.from_counts(counts)
print(f'{ray_transform_op.n_entries / 1e6:.1f} million entries; counts from {counts.min():.0f} to {counts.max():.0f}')

# %% [markdown]
# ## A number as weight
# It is a multiple of the noise level that follows from the counts. The scan itself chooses it: a fifth of the photons
# is left out of the reconstruction, and the number with which the others predict them best is taken. The solver stops
# when it has proven that the objective is at most 1 % above its minimum; the noise is most of the objective.

# %%
back_projection = reconstruction.initial_image(data)
scalar = reconstruction.solve(data)
assert scalar.solution is not None
assert scalar.lambda_map is not None
assert scalar.report is not None
print(f'{scalar.report["factor"]:.3f} times the noise level: {scalar.solution}')

# %% [markdown]
# ## A map as weight
# Any map can be given, for example that of a network. Here it is made by hand: small at the edges of the image with a
# number as weight, larger elsewhere.

# %%
gradient = torch.stack(torch.gradient(scalar.img, dim=(-2, -1))).norm(dim=0)
smooth = torch.nn.functional.avg_pool2d(gradient, 3, stride=1, padding=1)
lambda_map = scalar.lambda_map * (0.7 + 0.8 * torch.exp(-smooth / 0.01))
with_map = AdaptiveLowDoseReconstruction(ray_transform_op, regularization_weight=lambda_map, tolerance=0.01).solve(data)
assert with_map.solution is not None
print(with_map.solution)

# %%
images = {
    'object': target,
    'filtered back projection': back_projection,
    'total variation, a number': scalar.img,
    'total variation, a map': with_map.img,
}
figure = Figure(figsize=(15, 3.4), layout='constrained')
axes = figure.subplots(1, 5)
for axis, (name, img) in zip(axes, images.items(), strict=False):
    axis.imshow(img[0, 0].numpy(), cmap='gray', vmin=0.15, vmax=0.35)
    quality = '' if img is target else f'\n{psnr(img, target).item():.1f} dB, SSIM {ssim(img, target).item():.3f}'
    axis.set_title(name + quality)
    axis.axis('off')
    print(name, quality.strip())
axes[-1].imshow(lambda_map[0, 0, 0].numpy(), cmap='viridis')
axes[-1].set_title('map')
axes[-1].axis('off')
figure.savefig(arguments.output / 'low_dose_ct.png', dpi=120)
