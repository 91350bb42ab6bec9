"""ESPIRiT: the maps are those of the coils where there is signal."""

import sys

import pytest
import torch
from mrpro.data import SpatialDimension
from mrpro.utils import RandomGenerator
from mrpro_lambda.coil_maps import espirit, espirit_maps
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction

from tests.coil_maps.cases import N, coil_images, grid, head, idata, kspace, misalignment, scan, true_maps


@pytest.mark.parametrize(('shape', 'kernel'), [((1, N, N), 6), ((1, 33, 28), 5), ((12, 16, 18), 4)])
def test_maps_are_the_true_ones_in_the_object(shape: tuple[int, int, int], kernel: int) -> None:
    maps, eigenvalue = espirit_maps(coil_images(6, shape), calibration_width=16, kernel_width=kernel)
    inside = head(shape)[0].abs() > 0
    assert misalignment(maps[0], true_maps(6, shape))[inside].max() < 2e-3
    assert eigenvalue[0, 0][inside].min() > 0.98
    torch.testing.assert_close(maps.norm(dim=-4), torch.ones(1, *shape))
    assert eigenvalue.max() < 1 + 1e-4


def test_maps_are_those_of_sigpy() -> None:
    app = pytest.importorskip('sigpy.mri.app')
    images = coil_images(5, noise=0.01)
    theirs, their_eigenvalue = app.EspiritCalib(
        kspace(images)[0, :, 0].numpy(), calib_width=20, crop=0.0, show_pbar=False, output_eigenvalue=True, max_iter=300
    ).run()
    maps, eigenvalue = espirit_maps(images, calibration_width=20)
    inside = head()[0, 0].abs() > 0
    theirs = torch.from_numpy(theirs)
    phase = (maps[0, :, 0] * theirs.conj()).sum(0).sgn()  # theirs is that of the first coil
    assert (maps[0, :, 0] - phase * theirs).norm(dim=0)[inside].max() < 1e-3
    torch.testing.assert_close(
        eigenvalue[0, 0, 0][inside], torch.from_numpy(their_eigenvalue).reshape(N, N)[inside], rtol=0, atol=1e-3
    )


def test_maps_do_not_depend_on_a_complex_factor() -> None:
    images = coil_images().to(torch.complex128)
    torch.testing.assert_close(espirit_maps(300j * images).csm, espirit_maps(images).csm, atol=1e-6, rtol=0)


def test_maps_of_mixed_coils_are_mixed() -> None:
    images = coil_images(4).to(torch.complex128)
    mixing = torch.linalg.qr(RandomGenerator(3).randn_tensor((4, 4), torch.complex128)).Q
    mixed = torch.einsum('dc,oczyx->odzyx', mixing, images)
    expected, maps = torch.einsum('dc,oczyx->odzyx', mixing, espirit_maps(images).csm), espirit_maps(mixed).csm
    phase = (maps * expected.conj()).sum().sgn()  # relative to a coil
    torch.testing.assert_close(maps, phase * expected, atol=1e-6, rtol=0)


def test_the_phase_is_smooth_where_the_principal_component_vanishes() -> None:
    _, y, x = grid((1, N, N))
    position = x + 1j * y - 1.15 * torch.exp(2j * torch.pi * torch.arange(8) / 8).reshape(-1, 1, 1, 1)
    truth = torch.exp(-3 * position.abs().square()) * position.sgn()
    truth = truth / truth.norm(dim=0)
    images = truth * head() * (1 + 8 * (x**2 + y**2 > 0.35))  # a bright ring as of the skull
    inside = head()[0, 0].abs() > 0
    principal = torch.linalg.eigh(images.flatten(1) @ images.flatten(1).mH)[1][:, -1]

    def largest_step(csm: torch.Tensor) -> torch.Tensor:
        """Largest difference of the maps of neighbors in the object."""
        return (csm[:, 0, :, 1:] - csm[:, 0, :, :-1]).norm(dim=0)[inside[:, 1:] & inside[:, :-1]].max()

    of_principal = truth * torch.einsum('c,czyx->zyx', principal.conj(), truth).sgn().conj()
    assert largest_step(of_principal) > 1
    assert largest_step(espirit_maps(images, calibration_width=20).csm) < 0.4


def test_slices_have_maps_of_their_own() -> None:
    images = torch.cat([coil_images(seed=1), coil_images(seed=2).flip(-1)])
    both = espirit_maps(images[:, None])
    for i in range(2):
        alone = espirit_maps(images[i])
        torch.testing.assert_close(both.csm[i, 0], alone.csm)
        torch.testing.assert_close(both.eigenvalue[i, 0], alone.eigenvalue)


def test_memory_is_bounded_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    images = coil_images()
    whole = espirit_maps(images)
    monkeypatch.setattr(sys.modules[espirit.__module__], '_POINTS_PER_CHUNK', 6**2 * N * 5)
    parts = espirit_maps(images)
    torch.testing.assert_close(parts.eigenvalue, whole.eigenvalue)
    torch.testing.assert_close(parts.csm, whole.csm, atol=1e-3, rtol=0)


def test_crop_sets_maps_to_zero_where_the_eigenvalue_is_below() -> None:
    images = coil_images()
    whole, eigenvalue = espirit_maps(images)
    cropped = espirit_maps(images, crop=0.9).csm
    kept = (eigenvalue >= 0.9).expand_as(whole)
    assert 0 < kept.float().mean() < 1
    torch.testing.assert_close(cropped[kept], whole[kept])
    assert not cropped[~kept].any()


def test_one_coil_has_a_map_of_ones() -> None:
    maps = espirit_maps(coil_images(1)).csm
    torch.testing.assert_close(maps, torch.ones_like(maps), atol=1e-4, rtol=0)


def test_a_dead_coil_changes_nothing() -> None:
    images = coil_images().to(torch.complex128)
    with_dead = espirit_maps(torch.cat([torch.zeros_like(images[:, :1]), images], dim=1)).csm
    assert with_dead[:, 0].abs().max() < 1e-6
    torch.testing.assert_close(with_dead[:, 1:], espirit_maps(images).csm, atol=0.03, rtol=0)


def test_it_is_a_function_of_reconstructions() -> None:
    images = coil_images()
    kdata = scan(images)
    reconstruction = AdaptiveTotalVariationReconstruction(
        kdata, None, espirit, regularization_dim=(-2, -1), regularization_weight=1e-4
    )
    img = reconstruction(kdata).data[0, 0].abs()
    assert (img - head()[0].abs()).norm() < 0.02 * head().norm()


def test_samples_that_hold_nothing_are_told() -> None:
    images = kspace(coil_images())
    images[..., : N // 2 - 8, :] = 0
    with pytest.warns(UserWarning, match='96 hold nothing'):
        espirit_maps(kspace(images).flip(-1, -2), calibration_width=SpatialDimension(1, 24, 24))


@pytest.mark.parametrize(
    ('images', 'options', 'match'),
    [
        (torch.ones(1, 2, 1, 8, 8), {}, 'complex'),
        (torch.ones(2, 8, 8) + 0j, {}, r'\(\*other, coils, z, y, x\).*\(2, 8, 8\)'),
        (torch.zeros(1, 2, 1, 8, 8) + 0j, {}, 'all zero'),
        (torch.full((1, 2, 1, 8, 8), torch.nan) + 0j, {}, 'finite'),
        (torch.ones(1, 2, 1, 8, 8) + 0j, {'crop': 1.5}, 'crop'),
        (torch.ones(1, 2, 1, 8, 8) + 0j, {'threshold': -1}, 'threshold'),
        (torch.ones(1, 2, 1, 8, 8) + 0j, {'calibration_width': 0}, 'calibration_width along z'),
        (torch.ones(1, 2, 1, 8, 8) + 0j, {'kernel_width': 8}, 'larger than kernel_width'),
    ],
)
def test_wrong_arguments_are_refused(images: torch.Tensor, options: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        espirit_maps(images, **options)  # type: ignore[arg-type]


def test_images_must_be_image_data() -> None:
    with pytest.raises(TypeError, match='idata'):
        espirit(coil_images())  # type: ignore[arg-type]
    assert espirit(idata(coil_images())).data.shape == (1, 6, 1, N, N)
