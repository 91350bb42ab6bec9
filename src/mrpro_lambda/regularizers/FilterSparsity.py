"""Sparsity of the responses of filters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.norms import GroupNorm, HuberNorm, L1Norm, Norm
from mrpro_lambda.operators.CorrelationTransform import CorrelationTransform
from mrpro_lambda.regularizers.Regularizer import Regularizer

_LAYER = 'conv_layer.conv_layers.{}.parametrizations.weight.original'
_SPLINES = 'activation.coefficients_vect'


class FilterSparsity(Regularizer):
    r"""Weighted sparsity :math:`R_\Lambda(x) = \sum_k \|\Lambda_k \cdot (f_k \star x)\|_1` of responses of filters.

    The filters, for example learned ones, have zero mean. They are correlated with the image, with circular boundary.
    With `smoothing` the absolute value becomes Huber's function, whose width is :math:`\delta \Lambda_k`: then it is a
    convex ridge regularizer [GOU2023]_, :math:`\sum_k \psi_k(f_k \star x)`, whose potentials :math:`\psi_k` are
    quadratic at 0 and have a constant slope further out.

    References
    ----------
    .. [GOU2023] Goujon A, Neumayer S, Bohra P, et al. (2023) A Neural-Network-Based Convex Regularizer for Inverse
       Problems. IEEE Trans Comput Imaging 9 https://doi.org/10.1109/TCI.2023.3306100
    """

    transform_op: CorrelationTransform
    """Correlations with the filters."""

    def __init__(
        self,
        filters: torch.Tensor,
        *,
        smoothing: float | None = None,
        tied: bool = False,
        complex_modulus: bool = False,
    ) -> None:
        r"""Initialize the regularizer.

        Parameters
        ----------
        filters
            Real filters of zero mean, shape `(n_filters, [kz,] ky, kx)` with odd sizes.
        smoothing
            Width :math:`\delta` of the quadratic part, relative to :math:`\Lambda`. `None`: none, the absolute value.
        tied
            One map for all filters instead of one for each.
        complex_modulus
            Take the modulus of complex responses instead of the sum of absolute values of real and imaginary part.

        Raises
        ------
        ValueError
            If the filters are not valid or not of zero mean, or if a modulus is to be smoothed.
        """
        transform_op = CorrelationTransform(filters)
        flat = filters.detach().double().flatten(1)
        mean = flat.sum(1).abs() / flat.abs().sum(1)
        if bool((mean > 1e-4).any()):
            bad = (mean > 1e-4).nonzero()[:, 0].tolist()
            raise ValueError(
                f'filters must have zero mean, but number {bad} have not: got sums of up to {mean.amax():.2g} of the '
                f'sum of absolute values for filters of shape {tuple(filters.shape)}.'
            )
        norm: Norm = GroupNorm(modulus=True) if complex_modulus else L1Norm()
        if smoothing is not None:
            check_number('smoothing', smoothing, positive=True)
            if complex_modulus:
                raise ValueError(f'A smoothed norm needs complex_modulus=False, got {smoothing=}, {complex_modulus=}.')
            norm = HuberNorm(smoothing)
        super().__init__(transform_op, norm, (0,) * len(filters) if tied else range(len(filters)))

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return two filters with a map for each, and for both."""
        filters = torch.tensor([[[0, 0, 0], [-1, 2, -1], [0, 0, 0]], [[1, -2, 0], [-1, 1, 1], [0, 1, -1]]]).double()
        return {'filters': cls(filters), 'filters, tied, modulus': cls(filters, tied=True, complex_modulus=True)}

    @classmethod
    def from_file(
        cls, path: str | Path, *, smoothing: float | None = None, tied: bool = True, complex_modulus: bool = False
    ) -> Self:
        r"""Take the filters of a trained convex ridge regularizer [GOU2023]_.

        The file is a checkpoint of the repository of the paper (``trained_models/*/checkpoints/*.pth``), which is not
        part of this package: two convolutions, such as 11 x 11 with 1 to 8 to 32 channels, become filters of 21 x 21.

        **The potentials are not those of the file.** Those are splines :math:`\psi_k` that grow linearly far out. Here
        each filter is multiplied with this slope, the mean of both sides, and with the regularization strength of the
        file; the potential itself is the absolute value, or Huber's function of the given `smoothing`. So
        :math:`\Lambda = 1` has the slope of the file for responses far above the range of the splines, in images with
        values from 0 to 1, on which the published models were trained. The form of the splines near 0 and their
        asymmetry are lost. Filters whose spline is flat are left out. Convolutions there continue with zeros, here they
        are circular.

        Parameters
        ----------
        path
            File, read by `torch.load` with ``weights_only=True``.
        smoothing, tied, complex_modulus
            See the class.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        try:
            content = torch.load(path, map_location='cpu', weights_only=True)
            state = content['state_dict']
            first, second, coefficients, strength = (
                state[key].double() for key in (_LAYER.format(0), _LAYER.format(1), _SPLINES, 'lmbd')
            )
            # each layer has zero mean by its parametrization
            first, second = (x - x.mean((1, 2, 3), keepdim=True) for x in (first, second))
            # correlations one after the other are that with the convolution of their filters
            filters = torch.nn.functional.conv_transpose2d(second, first)[:, 0]
            # the splines are made monotonic, and constant beyond the outer intervals
            slopes = coefficients.reshape(len(filters), -1).diff(dim=1).clamp_min(0)[:, 1:-1]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(
                f'{path} must be a checkpoint of a convex ridge regularizer with two convolutions and splines, '
                f'got {error!r:.200}.'
            ) from error
        height = strength.clamp_min(1e-4) * 0.5 * slopes.sum(1)
        used = height > 1e-6 * height.amax()
        if not bool(used.any()):
            raise ValueError(f'{path} must hold potentials that are not all flat, got {len(filters)} flat ones.')
        filters = (height[:, None, None] * filters)[used]
        return cls(filters.float(), smoothing=smoothing, tied=tied, complex_modulus=complex_modulus)
