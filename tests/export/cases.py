"""Headers and results for tests of files."""

from typing import Any

import torch
from mrpro.data import IData, IHeader, KHeader, Rotation, SpatialDimension
from mrpro.utils import RandomGenerator
from mrpro_lambda.reconstruct import Reconstructed
from mrpro_lambda.solvers import Solution

READOUT, PHASE, SLICE = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]])
CENTER = torch.tensor([0.01, 0.02, 0.03])


def header(positions: torch.Tensor, slices: list[int]) -> IHeader:
    """Header of oblique images with given centers in m, shape (n, 3) along x, y and z."""
    x, y, z = (p.reshape(-1, 1, 1, 1, 1) for p in positions.unbind(-1))
    directions = [SpatialDimension(*d.flip(0)[:, None, None, None, None, None]) for d in (SLICE, PHASE, READOUT)]
    result = IHeader(resolution=SpatialDimension(0.005, 0.003, 0.002), position=SpatialDimension(z, y, x))
    result.orientation = Rotation.from_directions(*directions)
    result.idx.slice = torch.tensor(slices).reshape(-1, 1, 1, 1, 1)
    return result


def kheader(**groups: dict[str, Any] | None) -> KHeader:
    """Header of raw data with what an ISMRMRD header has in some groups."""
    matrix, fov = SpatialDimension(1, 8, 10), SpatialDimension(0.005, 0.024, 0.02)
    return KHeader(matrix, matrix, fov, fov, lamor_frequency_proton=63.87e6, patient_name='Doe^Jane', _misc=groups)


def result(n_images: int = 3, n_coils: int = 1, slices: list[int] | None = None, **fields: Any) -> Reconstructed:
    """Result of a reconstruction with random numbers of one slice at several times, or of several slices."""
    rng = RandomGenerator(seed=5)
    img = rng.complex64_tensor((n_images, n_coils, 1, 8, 10))
    slices = [0] * n_images if slices is None else slices
    positions = CENTER + 0.007 * torch.tensor(slices)[:, None] * SLICE
    idata = IData(img, header(positions, slices))
    solution = Solution(img, torch.ones(n_images), torch.ones(n_images), 0.01, 20, 'tolerance reached', 0.01)
    report = {
        'version': '0',
        'file': '<scan>.h5',
        'shape': [n_images, n_coils, 1, 8, 10],
        'image_shape': list(img.shape),
        'sampled_fraction': 1.0,
        'model': 'tv-low-field',
        'method': 'tv',
        'card': {},
        'whitening': 'none',
        'noise_source': 'given',
        'noise_reliable': True,
        'coil_maps': None,
        'coils': n_coils,
        'virtual_coils': n_coils,
        'noise_std': 0.5,
        'noise_relative_to_image': 0.1,
        'weight': None,
        'settings': {'tolerance': 0.01, 'phase': 'off'},
        'certificate': {
            'relative_gap': 0.01,
            'relative_estimate': 0.01,
            'n_iterations': 20,
            'reason': 'tolerance reached',
            'tolerance_reached': True,
        },
    }
    lambda_map = rng.float32_tensor((1, n_images, 1, 1, 8, 10), low=0.1, high=1.0)
    residual = rng.complex64_tensor(img.shape)
    values: dict[str, Any] = {'residual': residual, 'kheader': kheader()} | fields
    return Reconstructed(idata, idata, img, lambda_map, 0.5, solution, None, [], report, **values)
