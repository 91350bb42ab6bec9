# %% [markdown]
# # Train TV-Lambda in twenty lines
# A U-Net chooses the Lambda map of each image, ADMM solves
# $\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda \cdot \nabla x\|_1$, and the error of the image trains the U-Net
# through all iterations. Images are crops of a phantom here; use `mrpro_lambda.datasets.read_images` for your own.

# %%
import torch
from mrpro.data import SpatialDimension
from mrpro.phantoms import EllipsePhantom
from mrpro_lambda.datasets import SimulatedAcquisitions, VariableDensityRandom
from mrpro_lambda.metrics import relative_mse
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NoiseLevelInput
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM
from torch.utils.data import DataLoader

# %%
phantom = EllipsePhantom().image_space(SpatialDimension(1, 96, 96)).abs().squeeze()
data = SimulatedAcquisitions(
    [phantom] * 32, VariableDensityRandom((3.0, 6.0)), noise=(0.05, 0.3), crop=64, augment=True
)
net = LambdaNet(
    UNet(n_dim=2, n_channels_in=2, n_channels_out=1, n_features=8),
    inputs=[ImageInput(features='magnitude'), NoiseLevelInput()],
)
model = LambdaMapModel(net, ADMM(TotalVariation(dim=(-2, -1)), n_iterations=32))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
loader = DataLoader(data, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(0))

# %%
for epoch in range(8):
    data.set_epoch(epoch)  # new crops, masks and noise
    losses = []
    for sample in loader:
        img = model(sample.data, sample.acquisition_op(), sample.initial_image, noise_std=sample.noise_std)
        loss = relative_mse(img, sample.img, sample.initial_image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f'epoch {epoch}: error relative to the zero-filled image {sum(losses) / len(losses):.3f}')
