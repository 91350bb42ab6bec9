"""Base class of the regularizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from mrpro_lambda.checks import check_tensor
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp


def real_parts(coefficients: torch.Tensor) -> torch.Tensor:
    """View real and imaginary part as a last axis, of size 1 for real tensors."""
    return torch.view_as_real(coefficients) if coefficients.is_complex() else coefficients.unsqueeze(-1)


class Regularizer(torch.nn.Module, ABC):
    r"""A weighted norm :math:`R_\Lambda(x) = \|\Lambda \cdot K x\|_1` of a linear transform of the unknown.

    A solver needs four things of it: the transform :math:`K` and its adjoint, the Lambda map brought to the shape of
    :math:`K x`, the value of the weighted norm, and the projection to the unit ball of the dual norm scaled by
    :math:`\Lambda`.

    The unknown is the image, or the coefficients of a synthesis of the image, see `synthesis_op`. The norm is that of
    all real numbers by themselves; regularizers with another one say so in `elementwise`.

    Its operators are submodules: their tensors are part of the state and move with `to`, apart from those that require
    a gradient and are no parameters, which stay what they were given as.
    """

    synthesis_op: ConvolutionalDictionaryOp | None
    """Operator from the unknown to the image. `None`: the unknown is the image."""

    def __init__(self) -> None:
        """Initialize the regularizer of an image."""
        super().__init__()
        self.synthesis_op = None

    def offset(self, initial_image: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """Return the part of the image that is not synthesized, `None` if there is none."""
        return None

    @abstractmethod
    def transform(self, img: torch.Tensor) -> torch.Tensor:
        """Apply :math:`K`."""

    @abstractmethod
    def transform_adjoint(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Apply :math:`K^H`."""

    @abstractmethod
    def add_transform_(self, out: torch.Tensor, img: torch.Tensor, alpha: float) -> None:
        r"""Add :math:`\alpha K x` to `out` in place."""

    @abstractmethod
    def add_transform_adjoint_(self, out: torch.Tensor, coefficients: torch.Tensor, alpha: float) -> None:
        r"""Add :math:`\alpha K^H q` to `out` in place."""

    @abstractmethod
    def norm(self, shape: Sequence[int]) -> float:
        r"""Return :math:`\|K\|_2` for images of a given shape."""

    @abstractmethod
    def symbol(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        r"""Return the Fourier symbol of a circulant operator that is equal to :math:`K^H K` or above it."""

    @abstractmethod
    def solve_normal(self, img: torch.Tensor) -> torch.Tensor:
        r"""Apply the pseudo-inverse of :math:`K^H K`, for the certificate.

        Raises
        ------
        ValueError
            If there is no direct way to do so.
        """

    @property
    @abstractmethod
    def circulant(self) -> bool:
        r"""Whether :math:`K^H K` is equal to the operator with that symbol."""

    @property
    @abstractmethod
    def dim(self) -> tuple[int, ...]:
        """Negative axes of the image that :math:`K` couples."""

    @property
    @abstractmethod
    def n_maps(self) -> int:
        """Number of Lambda maps, the size of the first axis of a map."""

    @property
    @abstractmethod
    def elementwise(self) -> bool:
        """Whether the norm treats each real number on its own, so that its proximal mapping is piecewise affine."""

    @abstractmethod
    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Bring a validated Lambda map to the shape of the coefficients of an image (a view where possible)."""

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted norm of coefficients, a float64 scalar."""
        return self.weighted_norm(coefficients, threshold).sum(dtype=torch.float64)

    def weighted_norm(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return real numbers in the shape of the coefficients, whose sum is the weighted norm."""
        return threshold * real_parts(coefficients).abs().sum(-1)

    def dual_norm(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the norms that the projection bounds by the threshold, broadcastable to the coefficients."""
        return real_parts(coefficients).abs().amax(-1)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Project coefficients to the dual ball, the proximal mapping of the convex conjugate of the norm."""
        if not coefficients.is_complex():
            return coefficients.clamp(-threshold, threshold)
        bound = threshold.unsqueeze(-1)
        return torch.view_as_complex(torch.view_as_real(coefficients).clamp(-bound, bound))

    def lambda_map(self, weight: float | Sequence[float] | torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Turn a weight into a Lambda map and check it.

        Parameters
        ----------
        weight
            A number, one number for each map, or a map of shape `(n_maps, *other, 1, z, y, x)`. Axes of size 1
            broadcast.
        img
            Image that the map is for, shape `(*other, coils, z, y, x)`.

        Returns
        -------
            Real map with one axis more than the image, in its precision and on its device.

        Raises
        ------
        ValueError
            If the weight is negative, complex, not finite, or does not broadcast to the image, or if the image is not
            of single or double precision.
        TypeError
            If the weight is no number, sequence of numbers or tensor.
        """
        check_tensor('initial_image', img, finite=False)
        real_dtype = img.dtype.to_real()
        try:
            lambda_map = torch.as_tensor(weight, device=img.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f'The Lambda map must be a number, a sequence of numbers or a tensor, got {type(weight).__name__}: '
                f'{error}.'
            ) from error
        if lambda_map.is_meta or not lambda_map.numel():
            raise ValueError(
                f'The Lambda map must hold numbers, got shape {tuple(lambda_map.shape)} on {lambda_map.device}.'
            )
        if lambda_map.is_complex():
            raise ValueError(f'The Lambda map must be real, got {lambda_map.dtype} of shape {tuple(lambda_map.shape)}.')
        lambda_map = lambda_map.to(real_dtype)
        if lambda_map.ndim == 0:
            lambda_map = lambda_map.expand(self.n_maps)
        if lambda_map.ndim == 1:
            lambda_map = lambda_map.reshape(-1, *(1,) * img.ndim)
        if lambda_map.shape[0] != self.n_maps or lambda_map.ndim != img.ndim + 1:
            raise ValueError(
                f'The Lambda map must be a number, {self.n_maps} number(s), or have shape (n_maps, *image) with '
                f'n_maps={self.n_maps}, got shape {tuple(lambda_map.shape)} for an image of shape {tuple(img.shape)}'
                f'{self._advice(lambda_map.shape, img.shape)}.'
            )
        if any(m not in (1, n) for m, n in zip(lambda_map.shape[1:], img.shape, strict=True)):
            raise ValueError(
                f'Each axis of the Lambda map must have size 1 or that of the image, got map axes '
                f'{tuple(lambda_map.shape[1:])} for an image of shape {tuple(img.shape)}.'
            )
        smallest = lambda_map.detach().amin()
        if not bool((smallest >= 0) & lambda_map.detach().amax().isfinite()):
            raise ValueError(
                f'The Lambda map must be finite and non-negative, got a smallest value of {smallest.item()} and '
                f'{int((~lambda_map.isfinite()).sum())} non-finite value(s) in shape {tuple(lambda_map.shape)}.'
            )
        return lambda_map

    def _advice(self, shape: torch.Size, img_shape: torch.Size) -> str:
        """Tell how to reshape a map that lacks axes of size 1."""
        for n_maps, axes in ((shape[:1], shape[1:]), ((1,), shape)):
            missing = len(img_shape) - len(axes)
            fits = all(m in (1, n) for m, n in zip(axes[::-1], img_shape[::-1], strict=False))
            if tuple(n_maps) == (self.n_maps,) and missing > 0 and fits:
                return f': reshape it to {(*n_maps, *(1,) * missing, *axes)}'
        return ''
