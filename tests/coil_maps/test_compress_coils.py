"""Virtual coils keep the energy and the white noise."""

import pytest
import torch
from mrpro.data import KData, KNoise
from mrpro.utils import RandomGenerator
from mrpro_lambda.coil_maps import combine_coils, compress_coils, find_coil_maps
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction

from tests.coil_maps.cases import coil_images, head, scan


def mixed_scan(n_coils: int = 9) -> KData:
    """Data of 4 independent coils, seen by more."""
    mixing = torch.linalg.qr(RandomGenerator(0).randn_tensor((n_coils, 4), torch.complex64)).Q
    return scan(torch.einsum('dc,oczyx->odzyx', mixing, coil_images(4, noise=0.0)))


@pytest.mark.parametrize('energy', [0.5, 0.9, 0.999])
def test_fewest_coils_keep_the_energy(energy: float) -> None:
    kdata = mixed_scan()
    compressed = compress_coils(kdata, energy)
    kept = compressed.kdata.data.abs().square().sum() / kdata.data.abs().square().sum()
    torch.testing.assert_close(kept.item(), compressed.energy, rtol=1e-4, atol=0)
    assert compressed.energy >= energy
    values = torch.linalg.svdvals(kdata.data.movedim(-4, 0).flatten(1)).square()
    n = len(compressed.matrix)
    assert values[: n - 1].sum() / values.sum() < energy
    assert compressed.kdata.data.shape[-4] == n
    torch.testing.assert_close(compressed.matrix @ compressed.matrix.mH, torch.eye(n) + 0j, atol=1e-5, rtol=0)


def test_all_energy_is_in_the_independent_coils() -> None:
    kdata = mixed_scan()
    compressed = compress_coils(kdata, 1 - 1e-6)
    assert compressed.matrix.shape == (4, 9)
    energy = compressed.kdata.data.abs().square().sum(-4)
    torch.testing.assert_close(energy, kdata.data.abs().square().sum(-4), atol=1e-4, rtol=1e-3)


def test_calibration_and_noise_are_compressed_alike() -> None:
    kdata, noise = mixed_scan(), KNoise(RandomGenerator(1).randn_tensor((1, 9, 1, 1, 4000), torch.complex64))
    compressed = compress_coils(kdata)
    assert torch.equal(combine_coils(kdata, compressed.matrix).data, compressed.kdata.data)
    white = combine_coils(noise, compressed.matrix).data[0, :, 0, 0]
    covariance = white @ white.mH / white.shape[-1]
    torch.testing.assert_close(covariance, torch.eye(len(white)) + 0j, atol=0.1, rtol=0)


def test_virtual_coils_give_the_image() -> None:
    kdata = compress_coils(mixed_scan(), 0.9999).kdata
    csm = find_coil_maps(kdata).csm
    reconstruction = AdaptiveTotalVariationReconstruction(
        kdata, None, csm, regularization_dim=(-2, -1), regularization_weight=1e-4
    )
    assert (reconstruction(kdata).data[0, 0].abs() - head()[0].abs()).norm() < 0.02 * head().norm()


def test_wrong_arguments_are_refused() -> None:
    kdata = scan(coil_images(4))
    with pytest.raises(ValueError, match='energy'):
        compress_coils(kdata, 1.5)
    with pytest.raises(ValueError, match='energy'):
        compress_coils(kdata, 0)
    with pytest.raises(ValueError, match='all zero'):
        compress_coils(scan(coil_images(4) * 0))
    with pytest.raises(ValueError, match=r'coils of the data.*2, 3'):
        combine_coils(kdata, torch.ones(2, 3) + 0j)
    with pytest.raises(TypeError, match='data'):
        combine_coils(kdata.data, torch.ones(2, 4) + 0j)  # type: ignore[type-var]
