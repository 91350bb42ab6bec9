"""Base class of the data terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.data_terms.circulant_bound import CirculantBound


class DataTerm(ABC):
    r"""What is measured: a convex function :math:`f(A x; y)` of the data of an image.

    It owns what depends on the acquisition only, and is made once for it: solvers take an acquisition operator or a
    data term, and with the latter a second call has no set-up.

    Its dependence on the image is a sum over the samples, and that on the data is linear in the image,
    :math:`f(A x; y) = h(A x) - \mathrm{Re} \langle x, b(y) \rangle + \mathrm{const}`.
    """

    acquisition_op: LinearOperator
    """Acquisition operator :math:`A`, from images to data."""
    quadratic: bool = False
    """Whether :math:`h` is a square, so that the Gram operator is all that is needed of it."""
    non_negative: bool = False
    r"""Whether the minimum is over :math:`x \ge 0`."""

    def check_data(self, data: torch.Tensor) -> None:  # noqa: B027
        """Raise an error unless finite data are such as this term describes.

        Raises
        ------
        ValueError
            If they are not.
        """

    @abstractmethod
    def rhs(self, data: torch.Tensor) -> torch.Tensor:
        """Return the image :math:`b(y)`."""

    @abstractmethod
    def gradient(self, img: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
        r"""Return the gradient :math:`A^H h'(A x) - b`."""

    @abstractmethod
    def curvature(self, img: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        r"""Return the derivative of the gradient at an image, :math:`A^H h''(A x) A d`."""

    @abstractmethod
    def lipschitz(self, img: torch.Tensor, coupled_dim: tuple[int, ...] = ()) -> torch.Tensor:
        """Return an upper bound of the norm of the curvature of all images that are allowed.

        Parameters
        ----------
        img
            An image of the shape, precision and device that the operator is for.
        coupled_dim
            Negative axes along which images share one bound.

        Returns
        -------
            Bound for each image, float64, shape `(*other, 1, 1, 1, 1)`, with 1 for axes along which it is the same.
        """

    @abstractmethod
    def value(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Return numbers in the shape of the data whose sum is the data term, with a constant that makes it 0 at best.

        Parameters
        ----------
        response
            Data :math:`A x` of an image.
        data
            Measured data.
        """

    @abstractmethod
    def slope(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Return the derivative of `value` with respect to the response."""

    def dual_value(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Return numbers whose sum is minus the conjugate at the slope of a response, `value - slope * response`."""
        return self.value(response, data) - self.slope(response, data) * response

    @abstractmethod
    def model_slope(self, response: torch.Tensor) -> torch.Tensor:
        """Return :math:`h'` at a response, the part of the slope that does not depend on the data."""

    @abstractmethod
    def response(self, model_slope: torch.Tensor) -> torch.Tensor:
        """Return where :math:`h'` has values, the inverse of `model_slope`; next to the closest one it can have."""

    @abstractmethod
    def prox_conjugate(self, dual: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
        r"""Return the proximal map of :math:`\sigma h^*`: :math:`p = h'(t)` where :math:`p + \sigma t = v`.

        Parameters
        ----------
        dual
            Dual variable :math:`v`, shape of the data.
        step
            Step :math:`\sigma`, a number or one for each image.
        """

    @abstractmethod
    def prox_derivative(self, projected: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor | float:
        """Return the derivative of `prox_conjugate` where its value is `projected`."""

    @abstractmethod
    def sample_curvature(self, data: torch.Tensor) -> torch.Tensor | float:
        """Return what :math:`h''` is for most samples, one for each image: a scale for steps, and no bound."""

    @abstractmethod
    def circulant_bound(self, img: torch.Tensor, coupled_dim: tuple[int, ...]) -> CirculantBound:
        """Return a circulant upper bound of :math:`A^H A`, see `~mrpro_lambda.data_terms.circulant_bound`."""

    def weight_unit(self, data: torch.Tensor, img: torch.Tensor) -> torch.Tensor | float:  # noqa: ARG002
        """Return the unit of weights, with which they suit the term as they would suit least squares with a norm of 1.

        Parameters
        ----------
        data
            Data.
        img
            An image of the shape, precision and device that the operator is for.
        """
        return 1.0

    def noise_std(self, data: torch.Tensor, img: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """Return the standard deviation of the noise in that sense, if the term knows it, see `weight_unit`."""
        return None

    @property
    def coupled_dim(self) -> tuple[int, ...] | None:
        """Negative axes of the image that the acquisition couples; `None` for an operator that is not known."""
        return None

    @torch.no_grad()
    def data_shape(self, img: torch.Tensor) -> tuple[int, ...]:
        """Return the shape of the data of an image."""
        return tuple(self.acquisition_op(img)[0].shape)

    @abstractmethod
    def modulated(self, modulation: torch.Tensor) -> Self:
        """Return the data term for :math:`A M`, with a multiplication :math:`M` of the image."""

    @property
    @abstractmethod
    def double(self) -> DataTerm:
        """The data term in double precision."""

    def to(self, device: torch.device) -> DataTerm:  # noqa: ARG002
        """Move what it keeps besides the operator."""
        return self
