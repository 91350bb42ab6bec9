"""Base class of the norms of coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from mrpro_lambda.operators.real_parts import real_parts


class Norm(torch.nn.Module, ABC):
    r"""A weighted convex function :math:`N_\Lambda(c)` of the coefficients :math:`c = K u` of a transform.

    Coefficients have shape `(n_rows, *image)`, weights :math:`\Lambda` the same, or an axis of size 2 more if real and
    imaginary part have weights of their own. What solvers and certificates need of it: the value, the ball that the
    dual variable is in, the projection to it, and the proximal mapping of the convex conjugate.
    """

    smoothing: float = 0.0
    r"""Width :math:`\delta` of the quadratic part of a smoothed norm, relative to :math:`\Lambda`."""

    @property
    @abstractmethod
    def elementwise(self) -> bool:
        """Whether each real number is treated on its own, by a clamp: the proximal mapping is piecewise affine."""

    @property
    def separable_parts(self) -> bool:
        """Whether real and imaginary part may have weights of their own."""
        return self.elementwise

    @abstractmethod
    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return real numbers in the shape of the coefficients, whose sum is the value."""

    @abstractmethod
    def dual_ratio(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return by how much each dual coefficient exceeds its ball: at most 1 within, Inf for a ball of radius 0."""

    @abstractmethod
    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Project coefficients to the dual ball."""

    def conjugate(self, dual: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """Return numbers whose sum is the convex conjugate of a dual variable in its ball; `None` if that is 0.

        It is quadratic in the dual variable.
        """
        if self.smoothing == 0:
            return None
        return 0.5 * self.smoothing * real_parts(dual).square().sum(-1)

    def contraction(self, step: torch.Tensor | float) -> torch.Tensor | float:
        """Return what `prox_conjugate` multiplies coefficients with before the projection."""
        return 1.0 if self.smoothing == 0 else 1 / (1 + self.smoothing * step)

    def prox_conjugate(
        self,
        coefficients: torch.Tensor,
        threshold: torch.Tensor,
        step: torch.Tensor | float,
        scale: torch.Tensor | float = 1.0,
    ) -> torch.Tensor:
        r"""Apply the proximal mapping of the convex conjugate, :math:`\alpha\,\mathrm{prox}_{\sigma N^*}(c / \alpha)`.

        Parameters
        ----------
        coefficients
            Coefficients :math:`c`.
        threshold
            Weights.
        step
            Step size :math:`\sigma`, a number or one for each image.
        scale
            Scale :math:`\alpha` of the dual variable, likewise.
        """
        bound = scaled_threshold(threshold, scale, coefficients)
        if self.smoothing == 0:
            return self.project(coefficients, bound)
        return self.project(coefficients * self.contraction(step), bound)


def scaled_threshold(threshold: torch.Tensor, scale: torch.Tensor | float, coefficients: torch.Tensor) -> torch.Tensor:
    """Multiply weights with a number for each image."""
    if isinstance(scale, torch.Tensor) and threshold.ndim > coefficients.ndim:
        scale = scale.unsqueeze(-1)
    return threshold * scale


def ratio(norm: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Divide norms by weights; 0 / 0 is 0."""
    return torch.where(norm == 0, 0, norm / threshold)
