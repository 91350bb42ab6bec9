"""Undecimated wavelet transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch

from mrpro_lambda.operators.FilterBankTransform import FilterBankTransform
from mrpro_lambda.operators.WaveletTransform import WaveletTransform


class UndecimatedWaveletTransform(WaveletTransform, FilterBankTransform):
    r"""Wavelet transform without downsampling, a Parseval frame: :math:`W^H W = I` [NAS1995]_.

    The filters of level :math:`l`, divided by :math:`\sqrt 2` for each axis, are dilated by :math:`2^{l-1}` (a trous),
    with circular continuation: one row of the shape of the image for each band. For multiples of `2**levels` the
    coefficients are those of PyWavelets' `swtn` with ``norm=True, trim_approx=True``.

    References
    ----------
    .. [NAS1995] Nason G, Silverman B (1995) The Stationary Wavelet Transform and some Statistical Applications. In:
       Wavelets and Statistics, Springer https://doi.org/10.1007/978-1-4612-2544-7_17
    """

    @property
    def n_rows(self) -> int:
        """Number of rows, one for each band."""
        return self.n_bands

    def transfer_functions(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return products of the filters along each axis, band after band."""
        self._check_shape(shape)
        low: torch.Tensor = torch.ones((1,) * len(shape), dtype=torch.complex128, device=device)
        bands: list[torch.Tensor] = []
        for level in range(self.levels):
            pairs = [self._along(d, shape, level, device) for d in self.dim]
            details = []
            for choice in product((0, 1), repeat=len(pairs)):
                transfer = low
                for pair, high in zip(pairs, choice, strict=True):
                    transfer = transfer * pair[high]
                details.append(transfer)
            low = details[0]
            bands = [*details[1:], *bands]  # the coarsest level comes first
        return torch.stack([low, *bands])

    def _along(
        self, axis: int, shape: Sequence[int], level: int, device: torch.device | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the transfer functions of low and high pass along an axis."""
        n, half = shape[axis], len(self._filters.low) // 2
        frequency = torch.arange(n, dtype=torch.float64, device=device) * (2 * math.pi / n)
        shift = 2**level * torch.arange(half, -half, -1, dtype=torch.float64, device=device)
        phases = torch.polar(torch.tensor(0.5**0.5, dtype=torch.float64, device=device), frequency[:, None] * shift)
        taps = torch.tensor(self._filters, dtype=torch.complex128, device=device)
        low, high = (taps @ phases.T).reshape(2, n, *(1,) * (-axis - 1))
        return low, high

    def weights(self, maps: Sequence[torch.Tensor], shape: Sequence[int]) -> torch.Tensor:
        """Return the maps, one after the other."""
        self._check_shape(shape)
        common = torch.broadcast_shapes(*(x.shape for x in maps))
        return torch.stack([x.expand(common) for x in maps]).expand(self.n_rows, *shape)
