"""The networks of an independent implementation, with the same weights."""

from typing import Any

import pytest
import torch
from mrpro_lambda.models import UnrolledModel, VarNet
from mrpro_lambda.models.data_consistency import ProximalStep
from mrpro_lambda.nets import ComplexNet, ConvNet, intensity
from mrpro_lambda.operators import CartesianAcquisitionOp

from tests.models.acquisitions import Acquired, acquire

close: dict[str, Any] = {'rtol': 1e-5, 'atol': 1e-5}


@pytest.fixture
def deepinv() -> Any:
    return pytest.importorskip('deepinv')


@pytest.fixture
def net() -> ConvNet:
    """Five convolutions whose weights make a difference."""
    net = ConvNet(2, 2, 2, [8] * 4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net


def copied(net: ConvNet, deepinv: Any) -> Any:
    """DnCNN of deepinv, which adds its input, with these weights."""
    other = deepinv.models.DnCNN(in_channels=2, out_channels=2, depth=5, nf=8, pretrained=None)
    convolutions = [layer for layer in net.layers if isinstance(layer, torch.nn.Conv2d)]
    for mine, theirs in zip(convolutions, [other.in_conv, *other.conv_list, other.out_conv], strict=True):
        theirs.load_state_dict(mine.state_dict())
    return other


def normalized(name: str) -> tuple[Acquired, CartesianAcquisitionOp]:
    """Data whose initial image has the intensity 1, as deepinv has no normalization."""
    given = acquire(name)
    s = intensity(given.initial_image, (-4, -3, -2, -1))
    assert isinstance(given.acquisition_op, CartesianAcquisitionOp)
    return given._replace(data=given.data / s, initial_image=given.initial_image / s), given.acquisition_op


def channels(x: torch.Tensor) -> torch.Tensor:
    """From `(batch, coils, 1, y, x)` to `(batch, 2, coils, y, x)`, without the axis of a single coil."""
    x = torch.view_as_real(x[:, :, 0]).movedim(-1, 1)
    return x.squeeze(2) if x.shape[2] == 1 else x


def expanded(mask: torch.Tensor) -> torch.Tensor:
    """From `(batch, 1, 1, y, x)` to `(batch, 2, y, x)`."""
    return mask[:, 0].repeat(1, 2, 1, 1)


@pytest.mark.parametrize('weight', [1.0, 0.25])
def test_modl(net: ConvNet, deepinv: Any, weight: float) -> None:
    """Theirs has the proximal step before the network; the step itself is that of theirs in any order."""
    given, acquisition_op = normalized('points')
    physics = deepinv.physics.MRI(mask=expanded(acquisition_op.mask))
    reference = deepinv.models.MoDL(denoiser=copied(net, deepinv), num_iter=3)
    for stepsize in reference.init_params_algo['stepsize']:
        stepsize.data.fill_(1 / weight)
    denoise, step = ComplexNet(net, residual=True), ProximalStep(weight)
    with torch.no_grad():
        expected = reference(channels(given.data), physics)
        found = UnrolledModel(denoise, step, 3)(*given[:3])
        torch.testing.assert_close(channels(found), expected, **close)
        # MoDL as published: P D P D x0
        x = channels(given.initial_image)
        data_fidelity = deepinv.optim.data_fidelity.L2()
        for _ in range(2):
            x = data_fidelity.prox(copied(net, deepinv)(x, 0), channels(given.data), physics, gamma=1 / weight)
        found = UnrolledModel(denoise, step, 2, last='data_consistency')(*given[:3])
    torch.testing.assert_close(channels(found), x, **close)


@pytest.mark.parametrize('mode', ['varnet', 'e2e-varnet'])
@pytest.mark.parametrize('name', ['points', 'lines, 3 coils'])
def test_varnet(net: ConvNet, deepinv: Any, name: str, mode: str) -> None:
    """Their network returns the image plus what ours subtracts."""
    given, acquisition_op = normalized(name)
    mask, csm = expanded(acquisition_op.mask), acquisition_op.csm
    if csm is None:
        physics = deepinv.physics.MRI(mask=mask)
    elif mode == 'varnet':
        pytest.skip('their steps on images are other ones with several coils')
    else:
        physics = deepinv.physics.MultiCoilMRI(mask=mask, coil_maps=csm[:, :, 0])
    reference = deepinv.models.VarNet(denoiser=copied(net, deepinv), num_cascades=3, mode=mode)
    model = VarNet(ComplexNet(net, residual=True), 3)
    with torch.no_grad():
        for i, (theirs, ours) in enumerate(zip(reference.backbone_net, model.steps, strict=True)):
            theirs.dc_weight.fill_(0.5 + 0.2 * i)
            ours.fill_(0.5 + 0.2 * i)
        expected = reference(channels(given.data), physics)
        found = model(*given[:3])
    torch.testing.assert_close(channels(found), expected, **close)
