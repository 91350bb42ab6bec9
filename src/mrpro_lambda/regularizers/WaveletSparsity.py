"""Sparsity of the wavelet coefficients of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch

from mrpro_lambda.norms import GroupNorm, L1Norm
from mrpro_lambda.operators.OrthonormalWaveletTransform import OrthonormalWaveletTransform
from mrpro_lambda.operators.UndecimatedWaveletTransform import UndecimatedWaveletTransform
from mrpro_lambda.operators.WaveletTransform import WaveletTransform
from mrpro_lambda.regularizers.Regularizer import Regularizer

WaveletMaps = Literal['band', 'level', 'one']


class WaveletSparsity(Regularizer):
    r"""Weighted sparsity :math:`R_\Lambda(x) = \|\Lambda \cdot W x\|_1` of wavelet coefficients [LUS2007]_.

    The transform has :math:`W^H W = I`: orthonormal and critically sampled, see
    `~mrpro_lambda.operators.OrthonormalWaveletTransform`, or undecimated, which does not depend on where the grid
    starts, see `~mrpro_lambda.operators.UndecimatedWaveletTransform`. Images may have any size.

    The maps are those of the details, from the coarsest to the finest level; within a level in the order of binary
    numbers with a digit for each axis of `dim`, 1 for a high pass. The approximation is not penalized, unless it is
    asked for; then its map is the first one. A map is given on the grid of the image. At the coefficients of an
    orthonormal transform the weight is the mean of the map over the `2**level` pixels of each axis that they stand for,
    which is differentiable.

    White noise has the same standard deviation in all coefficients of the orthonormal transform. In the undecimated one
    it falls by a factor of about 2 from level to level for two axes; a number as the weight does not follow that.

    References
    ----------
    .. [LUS2007] Lustig M, Donoho D, Pauly J (2007) Sparse MRI: The application of compressed sensing for rapid MR
       imaging. MRM 58(6) https://doi.org/10.1002/mrm.21391
    """

    transform_op: WaveletTransform
    """Wavelet transform."""

    def __init__(
        self,
        dim: Sequence[int],
        wavelet: str = 'db4',
        levels: int = 3,
        *,
        undecimated: bool = False,
        maps: WaveletMaps = 'band',
        approximation: bool = False,
        complex_modulus: bool = False,
    ) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        dim
            Axes along which the transform is taken, negative: counted from the last one.
        wavelet
            Name of an orthogonal wavelet of PyWavelets.
        levels
            Number of levels. Axes must have at least `2**levels` elements.
        undecimated
            Take the undecimated transform.
        maps
            A map for each band of details, for each level, or one for all of them.
        approximation
            Penalize the approximation, by a map of its own.
        complex_modulus
            Take the modulus of complex coefficients instead of the sum of absolute values of real and imaginary part.

        Raises
        ------
        ValueError
            If an axis is repeated or not negative, the wavelet is not known or not orthogonal, there is no level, or
            `maps` is not known.
        """
        if maps not in get_args(WaveletMaps):
            raise ValueError(f'maps must be one of {get_args(WaveletMaps)}, got {maps=}.')
        transform = UndecimatedWaveletTransform if undecimated else OrthonormalWaveletTransform
        transform_op: WaveletTransform = transform(dim, wavelet, levels)
        super().__init__(transform_op, GroupNorm(modulus=True) if complex_modulus else L1Norm())
        details = range(transform_op.n_bands - 1)
        per_level = len(details) // levels
        number = {'band': list(details), 'level': [band // per_level for band in details], 'one': [0 for _ in details]}
        self.map_of_band: tuple[int | None, ...] = (
            0 if approximation else None,
            *(approximation + m for m in number[maps]),
        )
        """Number of the map of each band, the approximation first; `None`: not penalized."""

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return one of each transform, with and without penalty of the approximation."""
        return {
            'wavelets': cls((-2, -1), 'db2', 1),
            'wavelets with approximation': cls((-2, -1), 'db4', 1, maps='level', approximation=True),
            'undecimated wavelets': cls((-2, -1), 'haar', 1, undecimated=True, approximation=True),
            'undecimated wavelets of the modulus': cls((-1,), 'db2', 1, undecimated=True, complex_modulus=True),
        }

    @property
    def n_maps(self) -> int:
        """Number of Lambda maps."""
        return 1 + max(m for m in self.map_of_band if m is not None)

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Bring a validated Lambda map to the coefficients of an image."""
        zero = torch.zeros((1,) * img.ndim, dtype=lambda_map.dtype, device=lambda_map.device)
        maps = list(lambda_map)
        return self.transform_op.weights([zero if m is None else maps[m] for m in self.map_of_band], img.shape)
