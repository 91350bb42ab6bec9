"""A convex reconstruction problem, its objective and its certificate."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.acquisition_factors import with_true_adjoint
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.operators.GridDictionary import GridDictionary
from mrpro_lambda.regularizers.Regularizer import Regularizer, real_parts

GapKind = Literal['bounded', 'scaled']


class Certificate(NamedTuple):
    """How far an image is from the minimizer, at most."""

    objective: float
    r"""Value :math:`F(x)`, summed over the batch."""

    gap: float
    r"""Upper bound of :math:`F(x) - \min F`, summed over the batch."""


@dataclass(frozen=True, eq=False)
class Problem:
    r"""The problem :math:`\min_u F(u) = \frac{1}{2} \|B u - y\|_2^2 + \|\Lambda \cdot K u\|_1`.

    The unknown :math:`u` is the image and :math:`B` the acquisition :math:`A`; or, for a synthesis regularizer, the
    coefficients of a dictionary with :math:`B = A D`, and :math:`y` the data without those of the smooth part.

    The solvers see the data through the Gram operator :math:`A^H A` and the right-hand side :math:`A^H y` only.
    """

    regularizer: Regularizer
    acquisition_op: LinearOperator
    data: torch.Tensor
    r""":math:`y`."""
    start: torch.Tensor
    """Where the iteration starts: the initial image, or no coefficients."""
    offset: torch.Tensor | None
    """Part of the image that is not synthesized."""
    gram: LinearOperator
    r"""Gram operator :math:`A^H A` of images."""
    rhs: torch.Tensor
    r"""Right-hand side :math:`A^H y`, an image."""
    threshold: torch.Tensor
    r"""Lambda map in the shape of :math:`K u`."""

    def __post_init__(self) -> None:
        """Transform the filters here, with the gradient mode of the caller; solvers set up without gradient."""
        if self.regularizer.synthesis_op is not None:
            self.dictionary  # noqa: B018

    @classmethod
    def create(
        cls,
        regularizer: Regularizer,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor,
    ) -> Self:
        """Check the parts of a problem and put them together.

        Parameters
        ----------
        regularizer
            Regularizer.
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data. Repeated Cartesian samples add up, see `with_true_adjoint`.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        lambda_map
            A number, one number for each map of the regularizer, or a map, see `Regularizer.lambda_map`.

        Raises
        ------
        ValueError
            If data or initial image hold NaN or Inf, if the data are all zero, if the adjoint of the data has not the
            shape of the initial image, if the Lambda map is not valid, or if filters are complex but not the image.
        """
        for name, tensor in (('data', data), ('initial_image', initial_image)):
            # NaN and Inf show in a sum, which needs no array of booleans
            if not bool(real_parts(tensor.detach()).sum(dtype=torch.float64).isfinite()):
                n_bad = int((~tensor.detach().isfinite()).sum())
                if n_bad == 0:  # the sum of large numbers has overflowed
                    continue
                raise ValueError(f'{name} must be finite, got {n_bad} NaN or Inf in shape {tuple(tensor.shape)}.')
        if not bool(data.detach().any()):
            raise ValueError(f'data must not be all zero, got shape {tuple(data.shape)}.')
        acquisition_op = with_true_adjoint(acquisition_op)
        threshold = regularizer.expand(regularizer.lambda_map(lambda_map, initial_image), initial_image)
        offset = regularizer.offset(initial_image)
        if offset is not None:
            data = data - acquisition_op(offset)[0]
        (rhs,) = acquisition_op.adjoint(data)
        if rhs.shape != initial_image.shape:
            raise ValueError(
                f'initial_image must have the shape of A^H data, got {tuple(initial_image.shape)} and '
                f'{tuple(rhs.shape)}.'
            )
        start = initial_image
        if (synthesis_op := regularizer.synthesis_op) is not None:
            if synthesis_op.filters.is_complex() and not rhs.is_complex():
                raise ValueError(
                    f'Complex filters need complex images, got an initial_image of {initial_image.dtype}, shape '
                    f'{tuple(initial_image.shape)}.'
                )
            start = rhs.new_zeros(()).expand(threshold.shape)  # one number in memory
        gram = gram_operator(acquisition_op).to(rhs.device)  # numbers in it have been on no device so far
        return cls(regularizer, acquisition_op, data, start, offset, gram, rhs, threshold)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient with respect to the map, the data, the initial image or the filters is wanted."""
        tensors = [self.rhs, self.start, self.threshold]
        if self.regularizer.synthesis_op is not None:
            tensors.append(self.dictionary.spectrum)
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    @cached_property
    def dictionary(self) -> GridDictionary:
        """The dictionary of a synthesis regularizer, for images of this problem.

        Raises
        ------
        ValueError
            If the regularizer has no dictionary.
        """
        if self.regularizer.synthesis_op is None:
            raise ValueError(f'{type(self.regularizer).__name__} has no dictionary.')
        return self.regularizer.synthesis_op.on_grid(self.rhs)

    def gradient_dual(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the negative gradient of the data term of a synthesis problem, projected to the dual ball."""
        (forward,) = self.gram(self.synthesize(unknown))
        dictionary = self.dictionary
        return self.regularizer.project(dictionary.analyze(dictionary.transform(self.rhs - forward)), self.threshold)

    def zero_coefficients(self) -> torch.Tensor:
        """Return zeros in the shape of the coefficients."""
        return torch.zeros(self.threshold.shape, dtype=self.start.dtype, device=self.rhs.device)

    def image(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the image that belongs to a value of the unknown."""
        return self.with_offset(self.synthesize(unknown))

    def with_offset(self, synthesized: torch.Tensor) -> torch.Tensor:
        """Return the image with a synthesized part."""
        return synthesized if self.offset is None else self.offset + synthesized

    def synthesize(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the image that belongs to a value of the unknown, without the offset."""
        if self.regularizer.synthesis_op is None:
            return unknown
        return self.dictionary.image(self.dictionary.synthesize(unknown))

    def analyze_(self, img: torch.Tensor, out: torch.Tensor) -> None:
        """Write the adjoint of `synthesize` to memory in the shape of the unknown."""
        if self.regularizer.synthesis_op is None:
            out.copy_(img)
            return
        spectrum = self.dictionary.transform(img)
        for chunk in self.dictionary.chunks:
            out[chunk] = self.dictionary.analyze_chunk(spectrum, chunk)

    def certificate(self, unknown: torch.Tensor, dual: torch.Tensor, kind: GapKind = 'bounded') -> Certificate:
        r"""Evaluate the objective and an upper bound of its distance to the minimum.

        With the residual :math:`r = B^H (B u - y) + K^H q` of the optimality condition, for any feasible dual :math:`q`

        .. math::

            F(u) - F(u^*) \le \|\Lambda \cdot K u\|_1 - \mathrm{Re} \langle q, K u \rangle
            + \mathrm{Re} \langle u, r \rangle + R \|r\|_1

        for every minimizer :math:`u^*` with :math:`|u^*| \le R` at each point. In the *bounded* gap, :math:`R` is 1.5
        times the largest modulus of :math:`u`: the bound is exact for the problem with this constraint added.

        The *scaled* gap needs no such assumption. It moves :math:`u` along the null space of :math:`K`, so that
        :math:`r` is orthogonal to it, and corrects the dual, :math:`q' = q - K (K^H K)^+ r`. Then
        :math:`B^H p + K^H q' = 0` for :math:`p = B u - y`. Scaled by :math:`k`, so that :math:`k q'` is feasible, the
        pair gives the lower bound :math:`-\frac{k^2}{2} \|p\|_2^2 - k\, \mathrm{Re} \langle p, y \rangle` of the
        minimum. It is looser, as a single point decides.

        Parameters
        ----------
        unknown
            Unknown :math:`u`.
        dual
            Feasible dual :math:`q`.
        kind
            Which gap.

        Returns
        -------
            Objective and gap, accumulated in float64.
        """
        coefficients = self.regularizer.transform(unknown)
        regularization = self.regularizer.value(coefficients, self.threshold)
        difference = self._forward(unknown) - self.data
        residual = self._adjoint(difference) + self.regularizer.transform_adjoint(dual)
        objective = 0.5 * _inner(difference, difference) + regularization
        if kind == 'scaled':
            return Certificate(objective.item(), (objective - self._lower_bound(difference, residual, dual)).item())
        radius = 1.5 * unknown.abs().amax(dim=(-4, -3, -2, -1), keepdim=True)
        gap = (
            regularization
            - _inner(dual, coefficients)
            + _inner(unknown, residual)
            + (radius * residual.abs()).sum(dtype=torch.float64)
        )
        return Certificate(objective.item(), gap.item())

    @cached_property
    def double(self) -> Problem:
        """The problem in double precision."""
        regularizer = copy.deepcopy(self.regularizer)
        if regularizer.synthesis_op is not None:
            regularizer.synthesis_op._apply(_double)
        return replace(
            self,
            regularizer=regularizer,
            acquisition_op=copy.deepcopy(self.acquisition_op)._apply(_double),
            gram=copy.deepcopy(self.gram)._apply(_double),
            data=_double(self.data),
            start=_double(self.start),
            offset=None if self.offset is None else _double(self.offset),
            rhs=_double(self.rhs),
            threshold=_double(self.threshold),
        )

    def _forward(self, unknown: torch.Tensor) -> torch.Tensor:
        """Apply :math:`B`."""
        return self.acquisition_op(self.synthesize(unknown))[0]

    def _adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """Apply :math:`B^H`."""
        (img,) = self.acquisition_op.adjoint(data)
        if self.regularizer.synthesis_op is None:
            return img
        return self.dictionary.analyze(self.dictionary.transform(img))

    def _lower_bound(self, difference: torch.Tensor, residual: torch.Tensor, dual: torch.Tensor) -> torch.Tensor:
        """Return a lower bound of the minimum from a feasible pair of dual variables."""
        regularizer = self.regularizer
        axes = tuple(sorted({*regularizer.dim, -3, -2, -1} | ({-4} if residual.shape[-4] == 1 else set())))
        if (
            regularizer.synthesis_op is None
        ):  # constants are the null space of a gradient, for each part that it couples
            if any(residual.shape[d] > 1 and d not in regularizer.dim for d in (-3, -2, -1)):
                raise ValueError(
                    f'The scaled gap needs a total variation along all axes of the image, got dim={regularizer.dim} '
                    f'for an image of shape {tuple(residual.shape)}: use the bounded gap.'
                )
            response = self._forward(torch.ones_like(residual))
            curvature = self._adjoint(response)
            total = curvature.sum(axes, keepdim=True)
            # without data at the zero frequency, the residual has no constant part
            scale = real_parts(self.rhs).square().sum() / real_parts(self.data).square().sum()
            sampled = total.abs() > 1e-6 * scale * residual.numel() / total.numel()
            shift = torch.where(sampled, -residual.sum(axes, keepdim=True) / torch.where(sampled, total, 1), 0)
            difference, residual = difference + shift * response, residual + shift * curvature
        dual = dual - regularizer.transform(regularizer.solve_normal(residual))
        norm = regularizer.dual_norm(dual)
        violation = torch.where(norm > 0, norm / self.threshold, 0).amax(0).amax(axes, keepdim=True)
        power = real_parts(difference).square().sum(-1, dtype=torch.float64).sum(axes, keepdim=True)
        product = real_parts(difference) * real_parts(self.data)
        correlation = product.sum(-1, dtype=torch.float64).sum(axes, keepdim=True)
        scale = (1 / violation.double().clamp_min(1)).minimum(-correlation / power.clamp_min(1e-300)).clamp_min(0)
        return (-0.5 * scale.square() * power - scale * correlation).sum()


def _inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the real part of the inner product, accumulated in float64."""
    return (real_parts(a) * real_parts(b)).sum(dtype=torch.float64)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    """Convert real and complex numbers to double precision."""
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor
