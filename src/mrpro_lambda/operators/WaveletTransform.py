"""Base class of the wavelet transforms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_axes, check_number
from mrpro_lambda.operators.orthogonal_wavelet import orthogonal_wavelet
from mrpro_lambda.operators.Transform import Transform


class WaveletTransform(Transform):
    r"""Base class of the wavelet transforms of images of any size, with :math:`W^H W = I`.

    Bands are counted from the approximation, band 0, over the coarsest to the finest level. The details of a level are
    in the order of the binary numbers that have a digit for each axis of `dim`, 1 for a high pass: for two axes low
    and high, high and low, both high.
    """

    def __init__(self, dim: Sequence[int], wavelet: str = 'db4', levels: int = 3) -> None:
        """Initialize the transform.

        Parameters
        ----------
        dim
            Axes along which it transforms, negative: counted from the last one.
        wavelet
            Name of an orthogonal wavelet of PyWavelets.
        levels
            Number of levels. Axes must have at least `2**levels` elements.

        Raises
        ------
        ValueError
            If an axis is repeated or not negative, the wavelet is not known or not orthogonal, or there is no level.
        """
        super().__init__()
        check_axes('dim', dim)
        if not dim or len(set(dim)) != len(dim):
            raise ValueError(f'dim must name at least one axis and each axis once, got {dim=}.')
        check_number('levels', levels, 1, 62, integer=True)
        self._filters = orthogonal_wavelet(wavelet)
        self._dim = tuple(dim)
        self.wavelet = wavelet
        self.levels = levels

    @property
    def dim(self) -> tuple[int, ...]:
        """Axes along which it transforms."""
        return self._dim

    @property
    def n_bands(self) -> int:
        """Number of bands, the approximation included."""
        return 1 + self.levels * (2 ** len(self.dim) - 1)

    @property
    def circulant(self) -> bool:
        r"""Whether :math:`W^H W` is circulant, as the identity is."""
        return True

    def symbol(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Return ones, the symbol of the identity."""
        return torch.ones((1,) * len(shape), dtype=torch.float64, device=device)

    def norm(self, shape: Sequence[int]) -> float:  # noqa: ARG002
        """Return 1, the norm of an isometry."""
        return 1.0

    def solve_normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image itself."""
        return x

    @abstractmethod
    def weights(self, maps: Sequence[torch.Tensor], shape: Sequence[int]) -> torch.Tensor:
        """Return weights in the shape of the coefficients, a view where possible.

        Parameters
        ----------
        maps
            A map for each band, on the grid of the image or with axes of size 1.
        shape
            Shape of the image.
        """

    def _check_shape(self, shape: Sequence[int]) -> None:
        """Raise an error unless an image has the axes, with enough elements."""
        if any(-d > len(shape) for d in self.dim):
            raise ValueError(f'dim must be axes of the image, got dim={self.dim} for an image of shape {tuple(shape)}.')
        if any(shape[d] < 2**self.levels for d in self.dim):
            raise ValueError(
                f'levels must be such that each axis has 2**levels elements, got levels={self.levels} and sizes '
                f'{tuple(shape[d] for d in self.dim)} along {self.dim} of an image of shape {tuple(shape)}.'
            )
