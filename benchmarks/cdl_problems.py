r"""Problems with a convolutional dictionary: smooth part, sparse coefficients of filters, and a Lambda map for each.

.. math::
    \min_s \frac{1}{2} \|A D s - y'\|_2^2 + \|\Lambda \cdot s\|_1, \qquad x = x_{low} + D s, \qquad y' = y - A x_{low}

with circular convolutions, :math:`x_{low} = (I + \beta \nabla^H \nabla)^{-1} x_0`, and real and imaginary part apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from mrpro.operators import IdentityOp

from problems import Norm, Problem, central_box, edge_map

BETA = 2.0
"""Strength of the low-pass filter of the smooth part."""

WEIGHT = 0.2
"""Largest value of the Lambda map, before the factors of the filters."""


@dataclass
class DictionaryProblem(Problem):
    """A problem whose unknowns are the coefficients of filters."""

    filters: torch.Tensor
    beta: float = BETA

    def to(self, *, device: str | None = None, double: bool = False) -> DictionaryProblem:
        """Copy to a device, or in double precision."""
        p = super().to(device=device, double=double)
        filters = self.filters.to(p.lambda_map)
        return DictionaryProblem(
            p.name, p.data, p.operator, p.initial_image, p.lambda_map, p.truth, filters, beta=self.beta
        )

    @cached_property
    def smooth(self) -> torch.Tensor:
        """Smooth part of the initial image."""
        waves = [
            4 * (torch.arange(n, device=self.data.device, dtype=self.lambda_map.dtype) * torch.pi / n).sin().square()
            for n in self.initial_image.shape[-2:]
        ]
        spectrum = torch.fft.fft2(self.initial_image) / (1 + self.beta * (waves[0][:, None] + waves[1]))
        smooth = torch.fft.ifft2(spectrum)
        return smooth if self.initial_image.is_complex() else smooth.real

    def image(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Synthesize the image: cross-correlations with a circular boundary, by FFTs."""
        half = [n // 2 for n in self.filters.shape[-2:]]
        padded = torch.nn.functional.pad(self.filters, (0, coefficients.shape[-1] - self.filters.shape[-1]))
        padded = torch.nn.functional.pad(padded, (0, 0, 0, coefficients.shape[-2] - self.filters.shape[-2]))
        spectrum = torch.fft.fft2(padded.roll((-half[0], -half[1]), (-2, -1))).conj()
        spectrum = spectrum.reshape(len(spectrum), *(1,) * (coefficients.ndim - 3), *spectrum.shape[1:])
        synthesized = torch.fft.ifft2((torch.fft.fft2(coefficients) * spectrum).sum(0))
        return self.smooth + (synthesized if coefficients.is_complex() else synthesized.real)

    def objective(self, img: torch.Tensor, norm: Norm = 'parts') -> float:
        """Evaluate the objective of coefficients, summed in double precision; independent of the package."""
        if norm != 'parts':
            raise ValueError(f'Coefficients have the norm of their parts only, got {norm=}.')
        difference = _parts(self.operator(self.image(img))[0] - self.data).double()
        sparsity = (self.lambda_map.unsqueeze(-1) * _parts(img).abs()).sum(dtype=torch.float64)
        return (0.5 * difference.square().sum() + sparsity).item()

    def norm_squared(self) -> float:
        """Return the squared norm of acquisition and dictionary, for a Cartesian acquisition with one coil."""
        shape = self.initial_image.shape[-2:]
        # a cross-correlation has the transfer function of the mirrored filter
        energy = torch.fft.fft2(self.filters.flip((-2, -1)), s=shape).abs().square().sum(0)
        mask = getattr(self.operator, 'mask', torch.ones(shape, device=energy.device))
        return (energy * torch.fft.ifftshift(mask, dim=(-2, -1))).amax().item()


def _parts(x: torch.Tensor) -> torch.Tensor:
    """View real and imaginary part as a last axis."""
    return torch.view_as_real(x) if x.is_complex() else x.unsqueeze(-1)


def random_filters(n_filters: int, size: int) -> torch.Tensor:
    """Return random filters of unit norm."""
    filters = torch.randn(n_filters, size, size, generator=torch.Generator().manual_seed(n_filters + size))
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


def central_box_dictionary(image: torch.Tensor, filters: torch.Tensor) -> DictionaryProblem:
    """Return the problem of one coil and the central half of k-space along both axes.

    The Lambda map falls at edges, to a third, and differs from filter to filter, as the maps of a network do.
    """
    p = central_box(image)
    scale = torch.linspace(0.8, 1.2, len(filters)).reshape(-1, *(1,) * p.initial_image.ndim)
    lambda_map = WEIGHT * scale * (0.3 + 0.7 * edge_map(image, 1.0))
    return DictionaryProblem(p.name, p.data, p.operator, p.initial_image, lambda_map, p.truth, filters)


def denoising(image: torch.Tensor, filters: torch.Tensor) -> DictionaryProblem:
    """Return the problem that the peers can pose: a real image with noise, all of it measured, and one weight."""
    truth = image[None, None, None]
    data = truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    weight = torch.full((len(filters), *(1,) * data.ndim), 0.05)
    return DictionaryProblem('denoising', data, IdentityOp(), data, weight, truth, filters)
