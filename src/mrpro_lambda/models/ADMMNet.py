"""Unrolled ADMM with learned filters and shrinkage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_number, check_tensor
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel

_SMALLEST = 1e-6
"""Smallest part of the system matrix at a frequency that neither data nor filters see."""


class ADMMNet(NetworkModel):
    r"""Stages of ADMM whose filters, shrinkage functions, penalties and steps are learned [YAN2016]_.

    .. math::

        x &\leftarrow \Big( A^H A + \mu \sum_k D_k^H D_k \Big)^{-1}
            \Big( A^H y + \mu \sum_k D_k^H (z_k - u_k) \Big) \\
        z_k &\leftarrow S_k(D_k x + u_k), \qquad u_k \leftarrow u_k + \eta (D_k x - z_k)

    :math:`D_k` are correlations with real filters, with circular boundary, and :math:`S_k` piecewise linear functions
    of real and imaginary part. Initially :math:`S_k` is the soft threshold :math:`\tau` and :math:`\eta = 1`, so that
    the stages are ADMM for :math:`\frac{1}{2} \|A x - y\|_2^2 + \mu \tau \sum_k \|D_k x\|_1`. Where the system is not
    circulant, with several coils or off the grid, one step towards its solution is taken, as by
    `~mrpro_lambda.solvers.ADMM`.

    References
    ----------
    .. [YAN2016] Yang Y, Sun J, Li H, Xu Z (2016) Deep ADMM-Net for compressive sensing MRI. NeurIPS 29. With the code
       of the journal version: IEEE Trans Pattern Anal Mach Intell 42(3) https://doi.org/10.1109/TPAMI.2018.2883941
    """

    def __init__(
        self,
        filters: torch.Tensor,
        n_stages: int = 10,
        dim: Sequence[int] = (-2, -1),
        *,
        penalty: float = 0.2,
        threshold: float = 0.04,
        n_knots: int = 101,
        knot_range: float = 1.0,
    ) -> None:
        r"""Initialize the model.

        Parameters
        ----------
        filters
            Initial filters, real, shape `(n_filters, *size)` with an odd size for each axis of `dim`.
        n_stages
            Number of stages, each with its own parameters. The image is updated once more after the last one.
        dim
            Negative axes of the filters.
        penalty
            Initial penalty :math:`\mu`.
        threshold
            Initial threshold :math:`\tau`, relative to the intensity of the image.
        n_knots
            Number of knots of the shrinkage functions, odd.
        knot_range
            Largest knot, relative to the intensity of the image. The knots are spaced evenly; beyond the outermost ones
            the slope is 1. The initial function is the soft threshold itself if that is at a knot.
        """
        check_tensor('filters', filters)
        check_number('n_stages', n_stages, 1, integer=True)
        for name, value in (('penalty', penalty), ('threshold', threshold), ('knot_range', knot_range)):
            check_number(name, value, positive=True)
        check_number('n_knots', n_knots, 3, 10**4, integer=True)
        if filters.is_complex() or filters.ndim != len(dim) + 1 or any(n % 2 == 0 for n in filters.shape[1:]):
            raise ValueError(
                f'filters must be real, with an odd size along each of {dim=}, got {filters.dtype} of shape '
                f'{tuple(filters.shape)}.'
            )
        if n_knots % 2 == 0:
            raise ValueError(f'n_knots must be odd, got {n_knots}.')
        super().__init__(dim)
        self.dim = tuple(dim)
        self.knot_range = knot_range
        knots = torch.linspace(-knot_range, knot_range, n_knots)
        values = knots.sign() * (knots.abs() - threshold).clamp_min(0)
        parameter = torch.nn.Parameter
        systems, stages = range(n_stages + 1), range(n_stages)
        self.filters = torch.nn.ParameterList(parameter(filters.detach().clone()) for _ in systems)
        self.log_penalties = torch.nn.ParameterList(parameter(torch.tensor(math.log(penalty))) for _ in systems)
        self.values = torch.nn.ParameterList(parameter(values.repeat(len(filters), 1)) for _ in stages)
        self.steps = torch.nn.ParameterList(parameter(torch.tensor(1.0)) for _ in stages)

    def reconstruct(
        self,
        measured: Measured,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | None,  # noqa: ARG002
    ) -> torch.Tensor:
        """Run the stages, see `NetworkModel.reconstruct`."""
        real = initial_image.dtype.to_real()
        bound = measured.data_term.circulant_bound(initial_image, self.dim)
        axes = tuple(sorted({*self.dim, *bound.dim}))
        transfer = bound.transfer.to(real)
        sampled = transfer > 0
        img = initial_image
        split = multiplier = torch.zeros((), dtype=img.dtype, device=img.device)
        right = torch.fft.fftn(measured.rhs, dim=axes) * sampled
        for i, (filters, log_penalty) in enumerate(zip(self.filters, self.log_penalties, strict=True)):
            responses = self._spectrum(filters, initial_image)
            penalty = log_penalty.exp()
            power = responses.abs().square().sum(0)
            system = (transfer + penalty * power).clamp_min(_SMALLEST)
            target = torch.zeros_like(right)
            if split.ndim:
                spectrum = torch.fft.fftn(split - multiplier, dim=axes)
                target = penalty * (responses.conj() * spectrum).sum(0)
            if bound.exact:
                transformed = (right + target) / system
            else:
                current = torch.fft.fftn(img, dim=axes)
                gradient = torch.fft.fftn(measured.data_term.gram(img)[0], dim=axes) * sampled - right
                transformed = current - (gradient + penalty * power * current - target) / system
            img = torch.fft.ifftn(transformed, dim=axes)
            if i < len(self.steps):
                coefficients = torch.fft.ifftn(responses * transformed, dim=axes)
                split = self._shrink(coefficients + multiplier, self.values[i])
                multiplier = multiplier + self.steps[i] * (coefficients - split)
        return img

    def _spectrum(self, filters: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Transfer functions of the correlations with filters, shape `(n_filters, *img.shape)` or of size 1."""
        sizes = [img.shape[d] for d in self.dim]
        if any(n < m for n, m in zip(sizes, filters.shape[1:], strict=True)):
            raise ValueError(
                f'The image must not be smaller than the filters along {self.dim}, got shapes {tuple(img.shape)} and '
                f'{tuple(filters.shape[1:])}.'
            )
        padded = filters.new_zeros(len(filters), *sizes)
        index = tuple(slice(0, n) for n in filters.shape[1:])
        padded[(slice(None), *index)] = filters
        last = tuple(range(-len(self.dim), 0))
        padded = padded.roll([-(n // 2) for n in filters.shape[1:]], last)
        spectrum = torch.fft.fftn(padded, dim=last).conj()
        spectrum = spectrum.reshape(len(filters), *(1,) * (img.ndim - len(sizes)), *sizes)
        return spectrum.movedim(last, self.dim)

    def _shrink(self, coefficients: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Apply the piecewise linear functions, given by their values at the knots, to real and imaginary part."""
        x = torch.view_as_real(coefficients)
        n_knots, limit = values.shape[1], self.knot_range
        spacing = 2 * limit / (n_knots - 1)
        inside = x.clamp(-limit, limit)
        position = (inside + limit) / spacing
        low = position.detach().floor().clamp(0, n_knots - 2)
        # one table for all filters, as a gather needs an array of indices of its size
        offset = n_knots * torch.arange(len(values), device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
        index, table = low.long() + offset, values.flatten()
        left, right = table[index], table[index + 1]
        out = left + (right - left) * (position - low) + (x - inside)
        return torch.view_as_complex(out)
