"""Base class of random Cartesian sampling patterns."""

from abc import ABC, abstractmethod

import torch

from mrpro_lambda.datasets.AcquisitionFamily import AcquisitionFamily


class CartesianSampling(AcquisitionFamily, ABC):
    """Random family of Cartesian sampling patterns of a 2D k-space."""

    @abstractmethod
    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw a sampling mask.

        Parameters
        ----------
        shape
            Size of the full k-space grid `(k1, k0)`, which is the size of the image `(y, x)`.
        generator
            Random number generator. The global one is not used.

        Returns
        -------
            Mask with 1 at sampled points and 0 elsewhere, float32, shape `(k1, k0)`. The k-space center is at index
            ``n // 2`` of each axis, as in `mrpro.operators.FastFourierOp`.
        """


def check_shape(shape: tuple[int, int]) -> None:
    """Check the size of a k-space grid.

    Parameters
    ----------
    shape
        Size of the grid `(k1, k0)`.

    Raises
    ------
    ValueError
        If it is not two positive integers.
    """
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f'The shape of a 2D k-space must be two positive integers (k1, k0), got {tuple(shape)}.')


def central_box(shape: tuple[int, int], fraction: tuple[float, float]) -> torch.Tensor:
    """Rectangle around the k-space center.

    The rectangle has ``b = max(1, round(fraction * n))`` points along an axis of `n` points, at the indices
    ``n // 2 - b // 2`` to ``n // 2 - b // 2 + b - 1``. It is symmetric about the center for odd `b` and reaches one
    point further to the negative frequencies for even `b`, as the full grid does for even `n`.

    Parameters
    ----------
    shape
        Size of the grid `(k1, k0)`.
    fraction
        Size of the rectangle relative to the grid along `k1` and `k0`.

    Returns
    -------
        Boolean mask, shape `(k1, k0)`.
    """
    check_shape(shape)
    box = torch.zeros(shape, dtype=torch.bool)
    sizes = [max(1, round(f * n)) for f, n in zip(fraction, shape, strict=True)]
    starts = [n // 2 - size // 2 for n, size in zip(shape, sizes, strict=True)]
    box[starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]] = True
    return box
