r"""Problems of the benchmarks: an image, an acquisition of it, and a Lambda map that is small at edges.

.. math::
    \min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda \cdot \nabla x\|_1

with circular forward differences, and real and imaginary part apart.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from mrpro.data import SpatialDimension
from mrpro.operators import FourierOp, LinearOperator, SensitivityOp
from mrpro.phantoms import EllipsePhantom
from mrpro.phantoms.phantom_elements import EllipseParameters
from mrpro_lambda.datasets import (
    CartesianLines,
    CentralBox,
    ImageSource,
    Radial,
    complex_noise,
    read_images,
    simulate_coil_maps,
    smooth_phase,
)
from mrpro_lambda.operators import CartesianAcquisitionOp

Norm = Literal['parts', 'modulus', 'joint']
"""Total variation of real and imaginary parts apart, of complex differences, or of the joint norm of directions."""

NOISE_STD = 0.09
"""Standard deviation of the complex noise of a sample of the orthonormal Fourier transform; the image is at most 1."""

ELLIPSES = (  # center x, center y, radius x, radius y, intensity: a head with ventricles and small lesions
    (0.0, 0.0, 0.36, 0.46, 0.9),
    (0.0, 0.01, 0.33, 0.43, -0.65),
    (0.0, 0.01, 0.30, 0.39, 0.35),
    (-0.09, 0.02, 0.05, 0.15, -0.4),
    (0.09, 0.02, 0.05, 0.15, -0.4),
    (0.0, -0.22, 0.12, 0.08, 0.2),
    (-0.17, 0.20, 0.04, 0.03, 0.3),
    (0.18, -0.12, 0.03, 0.05, 0.3),
    (0.02, 0.29, 0.012, 0.012, 0.3),
    (0.06, 0.29, 0.006, 0.006, 0.3),
)


@dataclass
class Problem:
    """A problem with the image it was simulated from."""

    name: str
    data: torch.Tensor
    operator: LinearOperator
    initial_image: torch.Tensor
    lambda_map: torch.Tensor
    truth: torch.Tensor

    def to(self, *, device: str | None = None, double: bool = False) -> Problem:
        """Copy to a device, or in double precision; operators compute in the precision of their input."""
        real, complex_ = (torch.float64, torch.complex128) if double else (torch.float32, torch.complex64)
        operator = copy.deepcopy(self.operator).to(device=device)
        if double:
            operator = operator.double()  # trajectory and masks; complex tensors keep their values
        tensors = (self.data, self.initial_image, self.lambda_map, self.truth)
        data, initial_image, lambda_map, truth = (
            t.to(device=device, dtype=complex_ if t.is_complex() else real) for t in tensors
        )
        return Problem(self.name, data, operator, initial_image, lambda_map, truth)

    def with_weight(self, weight: float) -> Problem:
        """Replace the Lambda map by a number, for peers that take no map."""
        return replace(self, lambda_map=torch.full_like(self.lambda_map, weight))

    def objective(self, img: torch.Tensor, norm: Norm = 'parts') -> float:
        """Evaluate the objective, summed in double precision; written out here to be independent of the package."""
        difference = torch.view_as_real(self.operator(img)[0] - self.data).double()
        gradient = torch.view_as_real(torch.stack((img.roll(-1, -2) - img, img.roll(-1, -1) - img))).double()
        size = {'parts': gradient.abs().sum(-1), 'modulus': gradient.square().sum(-1).sqrt()}
        joint = gradient.square().sum((0, -1)).sqrt()
        return (0.5 * difference.square().sum() + (self.lambda_map * size.get(norm, joint)).sum()).item()


def magnitude(size: int, path: Path | None = None) -> torch.Tensor:
    """Read the middle slice of a volume (NIfTI: axial), or draw a phantom; maximum 1, shape `(size, size)`."""
    if path is None:
        ellipses = [EllipseParameters(*parameters) for parameters in ELLIPSES]
        image = EllipsePhantom(ellipses).image_space(SpatialDimension(1, size, size)).real.flatten(0, -3)[0]
        axis = torch.linspace(-1, 1, size)
        texture = 1 + 0.05 * torch.sin(14 * axis)[:, None] * torch.cos(11 * axis)
        return (image * texture).clamp_min(0) / (image * texture).max()
    images = read_images(ImageSource(path, size=size, min_tissue=0.01))
    return images[len(images) // 2]


def edge_map(image: torch.Tensor, weight: float) -> torch.Tensor:
    """Return a Lambda map that falls at the edges of a magnitude image to a twentieth, shape `(1, 1, 1, 1, y, x)`."""
    kernel = torch.exp(-0.5 * torch.arange(-3.0, 4.0).square())
    kernel = (kernel / kernel.sum())[None, None]
    padded = torch.nn.functional.pad(image[None, None], (3, 3, 3, 3), mode='replicate')
    blurred = torch.nn.functional.conv2d(torch.nn.functional.conv2d(padded, kernel[..., None]), kernel[:, :, None])[
        0, 0
    ]
    squared = (blurred.roll(-1, 0) - blurred).square() + (blurred.roll(-1, 1) - blurred).square()
    return weight * (1 / (1 + squared / 0.08**2)).clamp(0.05, 1)[None, None, None, None]


def cartesian(
    name: str, image: torch.Tensor, mask: torch.Tensor, n_coils: int, weight: float, *, batch: int = 1
) -> Problem:
    """Simulate a Cartesian acquisition."""
    generator = torch.Generator().manual_seed(1)
    shape = (image.shape[0], image.shape[1])
    truth = torch.polar(image, smooth_phase(shape, generator))[None, None, None].repeat(batch, 1, 1, 1, 1)
    csm = simulate_coil_maps(n_coils, shape, generator)[None].repeat(batch, 1, 1, 1, 1) if n_coils > 1 else None
    mask = mask[None, None, None].repeat(batch, 1, 1, 1, 1)
    operator = CartesianAcquisitionOp(mask, csm)
    (signal,) = operator(truth)
    data = signal + mask * complex_noise(signal.shape, NOISE_STD, generator)
    lambda_map = edge_map(image, weight).repeat(1, batch, 1, 1, 1, 1)
    return Problem(name, data, operator, operator.adjoint(data)[0], lambda_map, truth)


def central_box(image: torch.Tensor, *, batch: int = 1) -> Problem:
    """Return (a): one coil, the central half of k-space along both axes."""
    mask = CentralBox(0.5).mask((image.shape[0], image.shape[1]), torch.Generator().manual_seed(0))
    return cartesian('a', image, mask, 1, 0.08, batch=batch)


def random_lines(image: torch.Tensor, n_coils: int = 8, *, batch: int = 1) -> Problem:
    """Return (b): random lines, R = 4 with 24 calibration lines (fewer in small images)."""
    sampling = CartesianLines(4.0, min(24, image.shape[0] // 8))
    mask = sampling.mask((image.shape[0], image.shape[1]), torch.Generator().manual_seed(0))
    return cartesian('b', image, mask, n_coils, 0.05, batch=batch)


def radial(image: torch.Tensor, n_spokes: int = 48, n_coils: int = 8) -> Problem:
    r"""Return (c): golden-angle spokes with two-fold readout oversampling.

    The operator is mrpro's `FourierOp @ SensitivityOp` as it comes, not scaled to norm 1. The initial image is the
    density-compensated adjoint.
    """
    generator = torch.Generator().manual_seed(1)
    shape = (image.shape[0], image.shape[1])
    truth = torch.polar(image, smooth_phase(shape, generator))[None, None, None]
    csm = simulate_coil_maps(n_coils, shape, generator)[None]
    traj = Radial(n_spokes).trajectory(shape, generator)
    n_samples = traj.kx.shape[-1]
    grids = SpatialDimension(1, *shape), SpatialDimension(1, n_samples, n_samples)
    operator = FourierOp(*grids, traj) @ SensitivityOp(csm)
    (signal,) = operator(truth)
    # one sample of the oversampled non-uniform transform is the same integral with another normalization
    scale = image.shape[0] / n_samples
    data = signal + complex_noise(signal.shape, scale * NOISE_STD, generator)
    # adjoint of the data times the ramp, which compensates the density of evenly spread spokes, to scale
    ramp = (torch.arange(n_samples) - n_samples // 2).abs().clamp_min(0.25)
    (compensated,) = operator.adjoint(ramp * data)
    (response,) = operator(compensated)
    (adjoint,) = operator.adjoint(data)
    initial_image = compensated * (torch.vdot(compensated.ravel(), adjoint.ravel()).real / response.norm().square())
    return Problem('c', data, operator, initial_image, edge_map(image, 0.05), truth)
