"""Correlations with small filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mrpro_lambda.operators.ConvolutionalDictionaryOp import check_filters
from mrpro_lambda.operators.FilterBankTransform import FilterBankTransform


class CorrelationTransform(FilterBankTransform):
    r"""Responses of filters, :math:`(K x)_{k,i} = \sum_j f_{k,j}\, x_{i+j}`, with circular boundary.

    It is torch's convolution, the offset :math:`j` counted from the center of the filter. A filter that is larger than
    the image is wrapped around it.
    """

    def __init__(self, filters: torch.Tensor) -> None:
        """Initialize the transform.

        Parameters
        ----------
        filters
            Real filters, shape `(n_filters, [kz,] ky, kx)` with odd sizes. They must not change afterwards.

        Raises
        ------
        ValueError
            If they are complex, have an even size, are zero or not finite, or require a gradient.
        """
        super().__init__()
        check_filters(filters)
        what = f'got {filters.dtype} of shape {tuple(filters.shape)}'
        if filters.is_complex():
            raise ValueError(f'filters must be real, {what}.')
        if filters.requires_grad:
            raise ValueError(f'filters must not require a gradient, as none is computed: detach them, {what}.')
        self.filters = filters
        self.register_load_state_dict_post_hook(_forget)

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes of the image that the filters act along."""
        return tuple(range(1 - self.filters.ndim, 0))

    @property
    def n_rows(self) -> int:
        """Number of filters."""
        return len(self.filters)

    def transfer_functions(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return the transfer functions; frequencies that no filter passes are 0 up to the last bit."""
        transfer = self.filters.to(device, torch.complex128)
        if len(shape) < len(self.dim):
            raise ValueError(
                f'The image must have the {len(self.dim)} axes of the filters, got filters of shape '
                f'{tuple(self.filters.shape)} for an image of shape {tuple(shape)}.'
            )
        one = torch.ones((), dtype=torch.float64, device=transfer.device)
        for d in self.dim:  # a wrapped filter has the transfer function of the filter at the frequencies of the image
            n, size = shape[d], transfer.shape[d]
            frequency = torch.arange(n, dtype=torch.float64, device=transfer.device) * (2 * math.pi / n)
            offset = torch.arange(size, dtype=torch.float64, device=transfer.device) - size // 2
            phases = torch.polar(one, frequency[:, None] * offset)
            transfer = (transfer.movedim(d, -1) @ phases.T).movedim(-1, d)
        energy = transfer.abs().square().sum(0)
        # what rounding leaves would be inverted, where it is a null space
        transfer = torch.where(energy > 1e-14 * energy.amax(), transfer, 0)
        return transfer.reshape(len(transfer), *(1,) * (len(shape) - len(self.dim)), *transfer.shape[1:])


def _forget(transform: CorrelationTransform, _: object) -> None:
    """Drop the transfer functions of other filters."""
    transform.forget()
