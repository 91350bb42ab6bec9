"""Sizes of the published networks, and what each method refuses."""

import pytest
import torch
from mrpro_lambda.models import SuperResolutionModel, UnrolledModel
from mrpro_lambda.models.data_consistency import ProximalStep
from mrpro_lambda.nets import ComplexNet, ConvNet, DenseNet
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.recipes import (
    ADMMNetRecipe,
    DirectInversionRecipe,
    MoDLRecipe,
    NetworkRecipe,
    PostProcessingRecipe,
    SuperResolutionRecipe,
    UnrolledRecipe,
    VarNetRecipe,
)

from tests.models.acquisitions import acquire


def n_parameters(recipe: NetworkRecipe) -> int:
    with torch.device('meta'):
        return sum(p.numel() for p in recipe.trainable().parameters())


@pytest.mark.parametrize(
    ('recipe', 'n'),
    [(MoDLRecipe(), 113_412 + 1), (SuperResolutionRecipe(), 5_654_834)],
)
def test_published_number_of_parameters(recipe: NetworkRecipe, n: int) -> None:
    assert n_parameters(recipe) == n


def test_shared_weights_are_fewer() -> None:
    """By the number of iterations; cascades have a step of their own anyway."""
    assert n_parameters(UnrolledRecipe()) == 10 * n_parameters(UnrolledRecipe(shared=True))
    apart, shared = n_parameters(VarNetRecipe(n_features=2)), n_parameters(VarNetRecipe(n_features=2, shared=True))
    assert apart - 12 == 12 * (shared - 12)


def test_super_resolution_keeps_the_image() -> None:
    """What the network sees is the image at every second pixel, and what it returns is added there."""

    class Repeating(DenseNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return torch.zeros(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])

    given, net = acquire('box'), Repeating(n_layers=1)
    torch.testing.assert_close(SuperResolutionModel(net)(*given[:3]), given.initial_image)
    low = torch.complex(*net.seen.unbind(1))
    expected = given.initial_image[:, 0, 0, ::2, ::2]
    ratio = (low / expected)[:, 2:6, 2:6]
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-4, atol=1e-4)
    assert ratio.imag.abs().max() < 1e-4


@pytest.mark.parametrize(
    ('sizes', 'box'), [((16, 16), (8, 6)), ((16, 16), (16, 8)), ((16, 15), (8, 7)), ((18, 16), (8, 8))]
)
def test_super_resolution_needs_the_half_box(sizes: tuple[int, int], box: tuple[int, int]) -> None:
    mask = torch.zeros(1, 1, 1, *sizes)
    start = [n // 2 - b // 2 for n, b in zip(sizes, box, strict=True)]
    mask[..., start[0] : start[0] + box[0], start[1] : start[1] + box[1]] = 1
    acquisition_op, img = CartesianAcquisitionOp(mask), torch.ones(1, 1, 1, *sizes) + 0j
    with pytest.raises(ValueError, match='needs the central half of k-space'):
        SuperResolutionRecipe(n_layers=1).build()(acquisition_op(img)[0], acquisition_op, img)


def test_direct_inversion_is_bound_to_a_size() -> None:
    given = acquire('points')
    with pytest.raises(ValueError, match=r'data of shape \(\*other, 1, 1, 32, 32\).* got \(2, 1, 1, 16, 16\)'):
        DirectInversionRecipe(n_hidden=4).build()(*given[:3])


def test_sensitivity_network_needs_calibration_lines() -> None:
    given = acquire('lines, 3 coils')
    op = given.acquisition_op
    assert isinstance(op, CartesianAcquisitionOp)
    mask = op.mask.clone()
    mask[..., 5, :] = 0
    model = VarNetRecipe(n_features=2, sensitivity_features=2).build()
    few = CartesianAcquisitionOp(mask, op.csm)
    with pytest.raises(ValueError, match=r'needs 8 fully sampled points .* got \[1, 5, 16\]'):
        model(few(given.img)[0], few, given.initial_image)


def test_networks_and_iterations_that_do_not_fit() -> None:
    net, step = ComplexNet(ConvNet(2, 2, 2, [4])), ProximalStep()
    with pytest.raises(ValueError, match='nets must be one or n_iterations=3, got 2'):
        UnrolledModel([net, net], step, 3)
    with pytest.raises(ValueError, match="last must be 'network' or 'data_consistency', got 'both'"):
        UnrolledModel(net, step, 3, last='both')  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='must have n_channels_in=3 with noise_level=True, got 2'):
        ComplexNet(ConvNet(2, 2, 2, [4]), noise_level=True)
    with pytest.raises(ValueError, match=r'complex and of the precision of the network, got torch\.complex128'):
        net(torch.ones(1, 1, 1, 8, 8, dtype=torch.complex128))


@pytest.mark.parametrize(
    'recipe',
    [
        PostProcessingRecipe(net_dim=(-5, -2, -1), n_features=2, depth=2),
        MoDLRecipe(net_dim=(-5, -2, -1), n_iterations=2, n_features=2, n_layers=2),
        VarNetRecipe(net_dim=(-5, -2, -1), n_cascades=2, n_features=2, n_resolutions=2),
        ADMMNetRecipe(net_dim=(-5, -2, -1), n_stages=2, n_knots=11),
    ],
)
def test_time_belongs_to_the_image(recipe: NetworkRecipe) -> None:
    """Frames share one network and one intensity, the images of a batch do not."""
    generator = torch.Generator().manual_seed(0)
    img = torch.randn(2, 4, 1, 1, 16, 16, generator=generator, dtype=torch.complex64)
    mask = (torch.rand(2, 4, 1, 1, 16, 16, generator=generator) < 0.6).float()
    acquisition_op = CartesianAcquisitionOp(mask)
    model = recipe.build(1).eval()

    def reconstruct(img: torch.Tensor) -> torch.Tensor:
        (data,) = acquisition_op(img)
        with torch.no_grad():
            return model(data, acquisition_op, acquisition_op.adjoint(data)[0])

    expected = reconstruct(img)
    assert expected.shape == img.shape
    other = img.clone()
    other[1] *= 5
    torch.testing.assert_close(reconstruct(other)[0], expected[0])
    other = img.clone()
    other[0, 3] *= 2
    assert not torch.allclose(reconstruct(other)[0, 2], expected[0, 2], rtol=1e-3)


def test_coils_that_stay_apart() -> None:
    """Without sensitivities, each coil is an image of its own."""
    generator = torch.Generator().manual_seed(0)
    img = torch.randn(2, 3, 1, 16, 16, generator=generator, dtype=torch.complex64)
    acquisition_op = CartesianAcquisitionOp((torch.rand(2, 1, 1, 16, 16, generator=generator) < 0.6).float())
    (data,) = acquisition_op(img)
    for recipe in (VarNetRecipe(n_cascades=2, n_features=2, n_resolutions=2), MoDLRecipe(n_iterations=2, n_features=2)):
        with torch.no_grad():
            found = recipe.build().eval()(data, acquisition_op, acquisition_op.adjoint(data)[0])
        assert found.shape == img.shape
